"""Compare variants that answered the same problems: paired differences over problems, and claims about many of them.

One number a problem, the difference of the two pass rates, between −1 and 1. Interval, p and the bounds that
equivalence rests on are one family (`bounds`): the interval excludes 0 exactly where p is below its level, and both
are McNemar's mid-p test where every problem has one sample. Trainings with several seeds are compared in `crossed`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal

import numpy as np

from assay.harness.errors import BadInputError
from assay.harness.stats import bounds
from assay.harness.stats.bounds import Values
from assay.harness.stats.pass_at_k import Floats

Verdict = Literal["better", "worse", "equivalent", "undecided"]
MCNEMAR = "McNemar mid-p"
MID_P = "mid-p bounds over problems"
# So many problems that differ, and fewer, show nothing of how large a difference can be.
_FEW_DIFFER = 3


@dataclass(frozen=True, slots=True)
class Comparison:
    """The mean paired difference a - b over `n` problems, with its interval; `p` goes with the interval.

    `mde` is the smallest true difference that this many problems would show with 80 % power in this one comparison
    taken alone, before any adjustment; None where the differences have no variance to judge by. `p_adjusted` equals
    `p` until a family of comparisons is adjusted together (`holm`); "better" and "worse" rest on it. `lower` and
    `upper` are strict one-sided bounds of the difference, each at the interval's level: "equivalent" means that both
    lie within the margin, and is not adjusted for other pairs. None where another version made the comparison.
    """

    a: str
    b: str
    difference: float
    low: float
    high: float
    p: float
    p_adjusted: float
    mde: float | None
    n: int
    method: str
    verdict: Verdict
    lower: float | None = None
    upper: float | None = None


def compare(
    a: str,
    b: str,
    scores_a: Floats,
    scores_b: Floats,
    *,
    binary: bool,
    margin: float,
    confidence: float = 0.95,
) -> Comparison:
    """Test mean(scores_a - scores_b), with its interval; both have shape (problems,), in the same order.

    `binary` says that every score is of one sample a problem. `margin` is the difference that does not matter: a pair
    is equivalent when both one-sided bounds lie within it.
    """
    if scores_a.shape != scores_b.shape or not len(scores_a):
        raise BadInputError(
            f"{a} and {b} do not share their problems: {scores_a.shape} against {scores_b.shape}"
        )
    difference = scores_a - scores_b
    n, alpha = len(difference), 1 - confidence
    sample = limited(Values.of([difference], -1.0, 1.0))
    low, high, p = _two_sided(sample, confidence)
    lower, upper = bounds.one_sided(Values.of([difference], -1.0, 1.0), confidence)
    normal = NormalDist()
    reach = normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(0.8)
    spread = float(difference.std(ddof=1)) if np.ptp(difference) > 0 else 0.0
    mde = reach * spread / math.sqrt(n) if spread > 0 else None
    result = Comparison(
        a,
        b,
        float(difference.mean()),
        low,
        high,
        p,
        p,
        mde,
        n,
        MCNEMAR if binary else MID_P,
        "undecided",
        float(lower[0]),
        float(upper[0]),
    )
    return replace(result, verdict=decide(result, margin, alpha))


def limited(differences: Values) -> Values:
    """Return the differences with the limits that the two-sided interval and its p assume.

    The further value of the bounds stands for problems of a kind that none of these is. Where more than a few problems
    differ, it is taken for little greater than the greatest difference seen, M: M + (1 − M)(3 / K)² where K of them
    differ, and 1 for K ≤ 3. One sample a problem has differences of 1 alone, and nothing is assumed.
    """
    size = np.where(differences.counts > 0, np.abs(differences.values), 0.0)
    greatest = size.max(axis=1)
    differ = np.where(size > 0, differences.counts, 0.0).sum(axis=1)
    unseen = np.minimum(1.0, _FEW_DIFFER / np.maximum(differ, 1)) ** 2
    limit = greatest + (1 - greatest) * unseen
    return differences.with_limits(-limit, limit)


def _two_sided(sample: Values, confidence: float) -> tuple[float, float, float]:
    """Return the interval and its p. The ends are found to 1e-10: at the edge it is p that says whether 0 is inside."""
    p = float(bounds.two_sided_p(sample)[0])
    low, high = (float(end[0]) for end in bounds.interval(sample, confidence))
    if p >= 1 - confidence:
        low, high = min(low, 0.0), max(high, 0.0)
    elif low <= 0 <= high:
        low, high = (math.ulp(0.0), high) if sample.mean()[0] > 0 else (low, -math.ulp(0.0))
    return max(-1.0, low), min(1.0, high), p


def decide(result: Comparison, margin: float, alpha: float) -> Verdict:
    """Return the verdict: a proven difference first, then whether both bounds lie within the margin."""
    if result.p_adjusted < alpha and (result.low > 0 or result.high < 0):
        return "better" if result.difference > 0 else "worse"
    if (
        result.lower is not None
        and result.upper is not None
        and -margin < result.lower <= result.upper < margin
    ):
        return "equivalent"
    return "undecided"


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's step-down adjusted p values, in the order given (Holm 1979)."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = running
    return adjusted


def adjust(comparisons: Sequence[Comparison], *, alpha: float = 0.05) -> list[Comparison]:
    """Return the comparisons with Holm-adjusted p; a difference that no longer holds becomes undecided."""
    result = []
    for comparison, p in zip(comparisons, holm([c.p for c in comparisons]), strict=True):
        lost = comparison.verdict in ("better", "worse") and p >= alpha
        result.append(replace(comparison, p_adjusted=p, verdict="undecided" if lost else comparison.verdict))
    return result


def ranks(names: Sequence[str], comparisons: Sequence[Comparison]) -> dict[str, int]:
    """Return 1 + the number of variants proven better than each: those not told apart by a test share a rank."""
    losses = dict.fromkeys(names, 0)
    for comparison in comparisons:
        if comparison.verdict == "better":
            losses[comparison.b] += 1
        elif comparison.verdict == "worse":
            losses[comparison.a] += 1
    return {name: 1 + losses[name] for name in names}
