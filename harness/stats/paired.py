"""Comparing two variants that answered the same problems."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import NormalDist
from typing import Any, Literal

import numpy as np

from assay.harness.errors import BadInputError
from assay.harness.stats.pass_at_k import Floats, bootstrap_mean

Verdict = Literal["better", "worse", "equivalent", "undecided"]
PERMUTATIONS = 20_000
EXACT_UP_TO = 14  # differing problems; 2^14 sign patterns are enumerated, more are drawn


@dataclass(frozen=True, slots=True)
class Comparison:
    """Mean paired difference a - b over `n` problems.

    `mde` is the smallest true difference that this many problems would show with 80 % power in this one comparison
    taken alone, before any adjustment; None where the differences have no variance to judge by. `p_adjusted` equals
    `p` until a family of comparisons is adjusted together (`holm`).
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

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def compare(
    a: str,
    b: str,
    scores_a: Floats,
    scores_b: Floats,
    *,
    binary: bool,
    margin: float,
    confidence: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Paired test and interval of mean(scores_a - scores_b); both have shape (problems,), in the same order.

    `binary` scores (one sample a problem) take McNemar's exact test, others a sign-flip permutation test. The
    interval is a paired bootstrap over problems. `margin` is the difference that does not matter: a pair is
    equivalent when the interval of two one-sided tests (90 % at the 5 % level) lies within it.
    """
    if scores_a.shape != scores_b.shape or not len(scores_a):
        raise BadInputError(
            f"{a} and {b} do not share their problems: {scores_a.shape} against {scores_b.shape}"
        )
    difference = scores_a - scores_b
    n, alpha = len(difference), 1 - confidence
    low, high = interval(difference, confidence=confidence, seed=seed)
    if binary:
        p, method = mcnemar(int((difference > 0).sum()), int((difference < 0).sum())), "McNemar exact"
    else:
        p, method = sign_flip(difference, seed=seed), "paired permutation"
    normal = NormalDist()
    reach = normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(0.8)
    spread = float(difference.std(ddof=1)) if np.ptp(difference) > 0 else 0.0
    mde = reach * spread / math.sqrt(n) if spread > 0 else None
    result = Comparison(a, b, float(difference.mean()), low, high, p, p, mde, n, method, "undecided")
    inner = interval(difference, confidence=1 - 2 * alpha, seed=seed)
    return replace(result, verdict=decide(result, inner, margin, alpha))


def interval(difference: Floats, *, confidence: float, seed: int) -> tuple[float, float]:
    """Two-sided interval of the mean difference: a paired bootstrap over problems.

    Where all differences are alike, every resample is too, and the bootstrap would claim certainty. Then the interval
    is as wide as the share of problems of another kind that n draws may have missed, 1 - tail^(1/n): the exact
    bound behind the rule of three (Hanley and Lippman-Hand 1983), each such problem counted as a whole point.
    """
    if np.ptp(difference) > 0:
        return bootstrap_mean(difference, confidence=confidence, seed=seed)
    missed = 1 - ((1 - confidence) / 2) ** (1 / len(difference))
    centre = float(difference[0])
    return max(-1.0, centre - missed), min(1.0, centre + missed)


def decide(result: Comparison, inner: tuple[float, float], margin: float, alpha: float) -> Verdict:
    if result.p_adjusted < alpha and (result.low > 0 or result.high < 0):
        return "better" if result.difference > 0 else "worse"
    if -margin < inner[0] and inner[1] < margin:
        return "equivalent"
    return "undecided"


def mcnemar(only_a: int, only_b: int) -> float:
    """Two-sided exact p of McNemar's test: the discordant pairs against a fair coin (McNemar 1947)."""
    n = only_a + only_b
    if n == 0:
        return 1.0
    tail = sum(math.comb(n, i) for i in range(min(only_a, only_b) + 1))
    return float(min(1.0, 2 * tail / 2**n))


def sign_flip(difference: Floats, *, seed: int) -> float:
    """Two-sided p of the paired permutation test: under the null each problem's difference may change sign."""
    nonzero = difference[difference != 0]
    m = len(nonzero)
    if m == 0:
        return 1.0
    observed = abs(float(nonzero.sum())) - 1e-12  # ties with the observed value count
    if m <= EXACT_UP_TO:
        signs = 1 - 2 * ((np.arange(2**m)[:, None] >> np.arange(m)) & 1)
        return float((np.abs(signs @ nonzero) >= observed).mean())
    rng = np.random.default_rng(seed)
    hits = 0
    step = max(1, 4_000_000 // m)
    for start in range(0, PERMUTATIONS, step):
        size = min(step, PERMUTATIONS - start)
        signs = rng.integers(0, 2, size=(size, m), dtype=np.int8) * 2 - 1
        hits += int((np.abs(signs @ nonzero) >= observed).sum())
    return (hits + 1) / (PERMUTATIONS + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p values, in the order given (Holm 1979)."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = running
    return adjusted


def adjust(comparisons: Sequence[Comparison], *, alpha: float = 0.05) -> list[Comparison]:
    """The same comparisons with Holm-adjusted p; a difference that no longer holds becomes undecided."""
    result = []
    for comparison, p in zip(comparisons, holm([c.p for c in comparisons]), strict=True):
        lost = comparison.verdict in ("better", "worse") and p >= alpha
        result.append(replace(comparison, p_adjusted=p, verdict="undecided" if lost else comparison.verdict))
    return result


def ranks(names: Sequence[str], comparisons: Sequence[Comparison]) -> dict[str, int]:
    """1 + the number of variants proven better than each, so that what cannot be told apart shares a rank."""
    losses = dict.fromkeys(names, 0)
    for comparison in comparisons:
        if comparison.verdict == "better":
            losses[comparison.b] += 1
        elif comparison.verdict == "worse":
            losses[comparison.a] += 1
    return {name: 1 + losses[name] for name in names}


# What a comparison could detect, before it is made.


def detectable(problems: int, samples: int, *, rate: float = 0.5, correlation: float = 0.5) -> float:
    """The smallest pass@1 difference that a paired test would show with 80 % power at the 5 % level.

    One comparison taken alone, without adjustment. Assumes a pass rate `rate`, and per-problem scores of two variants
    that correlate by `correlation` in what differs between problems; both are guesses before the run, and the run's
    own figure (`mde`) replaces them. Variance of a per-problem score: half of rate(1-rate) between problems, half
    shared out over the samples (Miller 2024, arXiv 2411.00640, section 5).
    """
    variance = rate * (1 - rate)
    between, within = variance / 2, variance / 2 / samples
    difference = 2 * between * (1 - correlation) + 2 * within
    normal = NormalDist()
    return (normal.inv_cdf(0.975) + normal.inv_cdf(0.8)) * math.sqrt(difference / problems)
