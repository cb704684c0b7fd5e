"""The reward of an answer: named, weighted components of what its execution showed, and shaping terms.

`infra` is not an outcome of the program: such an answer has no reward (None) and is left out of every statistic. A
program that reaches for the machinery that judges it (`assay.trainers.rl.tampering`) gains nothing and still pays every
penalty, so that an attempt is never worth more than an honest failure.

A shaping term steers learning. A potential's term moves the return of every policy from a state by the same amount, so
that the best policy stays the best (Ng, Harada and Russell 1999, theorem 1). A length penalty does not have that
property: it changes what is best, on purpose.
"""

from __future__ import annotations

import codeop
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assay.sandbox.model import Outcome, Verdict
from assay.suites.model import chat_messages
from assay.trainers.config.rl import RewardTable
from assay.trainers.preference.quality import lint, parse_program
from assay.trainers.rl.rollout import RolloutSample
from assay.trainers.rl.tampering import tampering

if TYPE_CHECKING:
    from torch import Tensor

LINT_CAP = 5  # findings beyond this many cost no more
# Scores of a batch of answers by a reward model.
ModelScores = Callable[[Sequence[RolloutSample]], list[float]]


@dataclass(frozen=True, slots=True)
class Reward:
    """The reward of one answer: `components` are unweighted, by name; `total` is Σ weight · component. `reason` is what
    no component shows: how the program tampered."""

    total: float
    components: dict[str, float]
    outcome: str
    passed: bool
    reason: str = ""


def score(
    program: str,
    verdict: Verdict,
    tokens: int,
    table: RewardTable,
    model_score: float | None = None,
    findings: int = 0,
) -> Reward | None:
    """Return the reward of `program`, whose execution gave `verdict`; None where that is `infra`.

    passed    1 when every check passed          fraction  checks passed / checks
    compiles  1 when Python compiles it          limit     −1 when it ran out of time, memory or output
    lint      −`findings` / 5, at least −1       length    −tokens beyond `free_tokens`
    model     `model_score`, a reward model's, where one is used
    """
    if verdict.outcome is Outcome.INFRA:
        return None
    passed = verdict.passed
    parts = {
        "passed": float(passed),
        "fraction": verdict.checks_passed / verdict.checks_total if verdict.checks_total else float(passed),
        "compiles": float(parse_program(program) is not None),
        "limit": -1.0 if verdict.outcome in (Outcome.TIMEOUT, Outcome.MEMORY, Outcome.OUTPUT) else 0.0,
        "lint": 0.0 - min(findings, LINT_CAP) / LINT_CAP,
        "length": length_penalty(tokens, table.free_tokens, 1.0),
    }
    if model_score is not None:
        parts["model"] = model_score
    weights = table.weights()
    if evidence := tampering(program, shared=verdict.mode == "shared"):
        penalties = sum(min(0.0, weights[name] * value) for name, value in parts.items())
        return Reward(penalties, parts, str(verdict.outcome), False, f"tampering: {evidence}")
    total = sum(weights[name] * value for name, value in parts.items())
    return Reward(total, parts, str(verdict.outcome), passed)


def lint_counts(programs: Sequence[str], table: RewardTable) -> list[int]:
    """Return ruff's findings in each program, counted at once; zeros where lint has no weight."""
    return [len(findings) for findings in lint(programs)] if table.lint else [0] * len(programs)


def reward_model_scores(table: RewardTable, style: str) -> ModelScores | None:
    """Return what scores answers with the reward model of `table`; None where no reward model pays.

    An answer is scored after the problem as the policy reads it: a chat, or with `style` "completion" the bare prompt.
    Scores are standardised by the mean and the spread of the reward model's own held-out answers, so that a weight of 1
    means one standard deviation of what it has seen, and not of what this policy writes. Raises TrainingError and
    ArtifactError.
    """
    if table.model is None:
        return None
    from assay.trainers.methods.reward_model import Prompt, load_reward_model

    model = load_reward_model(table.model)

    def scores(samples: Sequence[RolloutSample]) -> list[float]:
        problems = [sample.problem.problem for sample in samples]
        prompts: list[Prompt] = [chat_messages(p) if style == "chat" else p.prompt for p in problems]
        raw = model.score([(p, sample.drawn.text) for p, sample in zip(prompts, samples, strict=True)])
        return [(value - model.mean) / model.spread for value in raw]

    return scores


def potential_terms(potentials: Tensor, mask: Tensor, gamma: float) -> Tensor:
    """Return F_t = γ·Φ(s_{t+1}) − Φ(s_t) of each step; all [rows, steps], `potentials[:, t]` before step t.

    The state after an episode's last step is terminal and has potential 0, without which the theorem does not hold.
    """
    import torch

    ahead = torch.zeros_like(potentials)
    ahead[:, :-1] = potentials[:, 1:] * mask[:, 1:]
    return (gamma * ahead - potentials) * mask


def length_penalty(tokens: int, free: int, per_token: float) -> float:
    """Return the reward of `tokens` tokens: 0 up to `free`, −`per_token` for each beyond."""
    return 0.0 - per_token * max(0, tokens - free)


def syntax_potentials(
    prompt: str, tokens: Sequence[int], decode: Callable[[Sequence[int]], str]
) -> list[float]:
    """Return Φ of the state before each token of a bare answer to `prompt`.

    1 while what is written can still become a program, 0 once a finished line has made that impossible; decided at line
    ends, as Python's grammar does.
    """
    potentials, alive = [], True
    for t, token in enumerate(tokens):
        potentials.append(float(alive))
        if alive and "\n" in decode([token]):
            alive = can_become_a_program(prompt + decode(tokens[: t + 1]))
    return potentials


def can_become_a_program(text: str) -> bool:
    """Return whether some continuation of the complete lines of `text` parses. Compiles, runs nothing."""
    lines = text[: text.rfind("\n") + 1]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SyntaxWarning: the program's business
            codeop.compile_command(lines, symbol="exec")
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
        return False
    return True
