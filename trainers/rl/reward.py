"""The reward of one sample: named, weighted components of what its execution showed. No torch.

`infra` is no outcome of the program: such a sample has no reward (None) and is left out of every statistic. A program
that reaches for the machinery that judges it (`trainers.rl.tamper`) gains nothing and still pays every penalty, so that
an attempt is never worth more than an honest failure.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from sandbox.model import Outcome, Verdict
from trainers.config.rl import RewardTable
from trainers.preference.quality import lint
from trainers.rl.shaping import length_penalty
from trainers.rl.tamper import tampering

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
