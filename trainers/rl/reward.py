"""The reward of one sample: named, weighted components of what its execution showed. No torch.

`infra` is no outcome of the program: such a sample has no reward (None) and is left out of every statistic. A program
that reaches for the machinery that judges it (`assay.trainers.rl.tampering`) gains nothing and still pays
every penalty, so that
an attempt is never worth more than an honest failure.
"""

from __future__ import annotations

import ast
import codeop
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assay.sandbox.model import Outcome, Verdict
from assay.suites.model import chat_messages
from assay.trainers.config.rl import RewardTable
from assay.trainers.preference.quality import lint
from assay.trainers.rl.rollout import RolloutSample
from assay.trainers.rl.tampering import tampering

if TYPE_CHECKING:
    from torch import Tensor

LINT_CAP = 5  # findings beyond this many cost no more


@dataclass(frozen=True, slots=True)
class Reward:
    """`components` are unweighted, by name; `total` is Σ weight · component. `why` says what no component shows."""

    total: float
    components: dict[str, float]
    outcome: str
    passed: bool
    why: str = ""


def score(
    program: str, verdict: Verdict, tokens: int, table: RewardTable, judged: float | None = None
) -> Reward | None:
    """The reward of `program`, whose execution came to `verdict`; None where that is `infra`.

    passed    1 when every check passed          fraction  checks passed / checks
    compiles  1 when Python compiles it          limit     −1 when it ran out of time, memory or output
    lint      −findings / 5, at least −1         length    −tokens beyond `free_tokens`
    model     `judged`, a reward model's score, where one is used
    """
    if verdict.outcome is Outcome.INFRA:
        return None
    passed = verdict.passed
    parts = {
        "passed": float(passed),
        "fraction": verdict.checks_passed / verdict.checks_total if verdict.checks_total else float(passed),
        "compiles": float(compiles(program)),
        "limit": -1.0 if verdict.outcome in (Outcome.TIMEOUT, Outcome.MEMORY, Outcome.OUTPUT) else 0.0,
        "lint": 0.0 - min(len(lint(program)), LINT_CAP) / LINT_CAP if table.lint else 0.0,
        "length": length_penalty(tokens, table.free_tokens, 1.0),
    }
    if judged is not None:
        parts["model"] = judged
    weights = table.weights()
    found = tampering(program, shared=verdict.mode == "shared")
    if found:
        penalties = sum(min(0.0, weights[name] * value) for name, value in parts.items())
        return Reward(penalties, parts, str(verdict.outcome), False, f"tampering: {found}")
    total = sum(weights[name] * value for name, value in parts.items())
    return Reward(total, parts, str(verdict.outcome), passed)


def compiles(program: str) -> bool:
    """Whether Python parses it into a program; nothing of it is run."""
    try:
        ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


# A reward model as one component of the reward: its scores, standardised by what it gave its own held-out answers.

Judge = Callable[[Sequence[RolloutSample]], list[float]]


def judge_of(table: RewardTable, style: str) -> Judge | None:
    """The judge that `table` names; None where no reward model pays. An answer is scored behind the problem as it was
    asked: a chat, or with `style` "completion" the bare prompt. Raises TrainingError and ArtifactError.

    The mean and the spread are of the reward model's held-out answers, so that a weight of 1 means one standard
    deviation of what it has seen, and not of what this policy writes.
    """
    if table.model is None:
        return None
    from assay.trainers.preference.scorer import Prompt, load_reward_model

    model = load_reward_model(table.model)

    def judge(attempts: Sequence[RolloutSample]) -> list[float]:
        problems = [a.exercise.problem for a in attempts]
        asked: list[Prompt] = [chat_messages(p) if style == "chat" else p.prompt for p in problems]
        raw = model.score([(p, a.drawn.text) for p, a in zip(asked, attempts, strict=True)])
        return [(score - model.mean) / model.spread for score in raw]

    return judge


# Reward shaping: terms added to the reward that steer learning.
#
# A potential's term moves the return of every policy from a state by the same amount, so that the best policy stays the
# best (Ng, Harada and Russell 1999, theorem 1). A length penalty is no such term: it changes what is best, on purpose.


def potential_terms(potentials: Tensor, mask: Tensor, gamma: float) -> Tensor:
    """F_t = γ·Φ(s_{t+1}) − Φ(s_t) for each step; all [rows, steps], `potentials[:, t]` of the state before step t.

    The state after an episode's last step is terminal and has potential 0, without which the theorem does not hold.
    """
    import torch

    ahead = torch.zeros_like(potentials)
    ahead[:, :-1] = potentials[:, 1:] * mask[:, 1:]
    return (gamma * ahead - potentials) * mask


def length_penalty(tokens: int, free: int, per_token: float) -> float:
    """What `tokens` cost: nothing up to `free`, `per_token` for each beyond. Never positive."""
    return 0.0 - per_token * max(0, tokens - free)


def syntax_potentials(
    prompt: str, tokens: Sequence[int], decode: Callable[[Sequence[int]], str]
) -> list[float]:
    """Φ of the state before each token of a bare answer to `prompt`: 1 while what is written can still become a
    program, 0 once a finished line has made that impossible. Judged at line ends, where Python's grammar decides."""
    found, alive = [], True
    for t, token in enumerate(tokens):
        found.append(float(alive))
        if alive and "\n" in decode([token]):
            alive = can_become_a_program(prompt + decode(tokens[: t + 1]))
    return found


def can_become_a_program(text: str) -> bool:
    """Whether some continuation of the whole lines of `text` parses. Compiles, runs nothing."""
    lines = text[: text.rfind("\n") + 1]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SyntaxWarning: the program's business
            codeop.compile_command(lines, symbol="exec")
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
        return False
    return True
