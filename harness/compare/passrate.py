"""Paired non-inferiority on pass@1: is the second model worse than the first by more than a margin?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from harness.stats.estimate import Floats
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
