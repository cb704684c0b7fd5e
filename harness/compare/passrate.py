"""Paired non-inferiority on pass@1: is the second model worse than the first by more than a margin?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from harness.errors import UnmeasuredError
from harness.stats.estimate import Floats, per_problem
from harness.stats.paired import Comparison, compare, interval


@dataclass(frozen=True, slots=True)
class PassRate:
    """`comparison.difference` is second − first. `lower` is the one-sided 95 % bound of it: non-inferior means that it
    lies above −`margin` (ICH E9; the one-sided test at 5 % is the lower end of a two-sided 90 % interval)."""

    comparison: Comparison
    lower: float
    margin: float
    first: float
    second: float

    @property
    def verdict(self) -> Literal["equivalent", "better", "worse", "undecided"]:
        if self.comparison.verdict == "better":
            return "better"
        if self.lower > -self.margin:
            return "equivalent"
        return "worse" if self.comparison.verdict == "worse" else "undecided"

    @property
    def words(self) -> str:
        c, points = self.comparison, 100
        between = (
            f"{c.difference * points:+.1f} points of pass@1 ({c.low * points:+.1f} to {c.high * points:+.1f})"
        )
        mde = "" if c.mde is None else f"; smallest detectable {c.mde * points:.1f}"
        bound = f"one-sided bound {self.lower * points:+.1f}, margin {-self.margin * points:.1f}"
        return f"{between}, {bound}, {c.n} problems{mde}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"verdict": self.verdict}


def non_inferiority(
    a: str,
    b: str,
    first: Floats,
    second: Floats,
    *,
    binary: bool,
    margin: float,
    confidence: float = 0.95,
    seed: int = 0,
) -> PassRate:
    """Test `b` against `a`, given both models' pass@1 of the same problems, shape (problems,)."""
    comparison = compare(b, a, second, first, binary=binary, margin=margin, confidence=confidence, seed=seed)
    lower, _ = interval(second - first, confidence=1 - 2 * (1 - confidence), seed=seed)
    return PassRate(comparison, lower, margin, float(first.mean()), float(second.mean()))


def pass_rates(
    counts: Mapping[str, Mapping[str, tuple[int, int]]],
    pairs: Sequence[tuple[str, str]],
    *,
    margin: float,
    confidence: float,
    seed: int = 0,
) -> dict[tuple[str, str], PassRate]:
    """Non-inferiority of each pair's second model, on the problems measured for both."""
    found = {}
    for a, b in pairs:
        shared = [p for p in counts[a] if p in counts[b]]
        if not shared:
            raise UnmeasuredError(
                f"{a} and {b} have no problem that was measured for both; run again to retry"
            )
        first, second = (per_problem([counts[v][p] for p in shared], 1) for v in (a, b))
        binary = all(counts[v][p][0] == 1 for v in (a, b) for p in shared)
        found[a, b] = non_inferiority(
            a, b, first, second, binary=binary, margin=margin, confidence=confidence, seed=seed
        )
    return found
