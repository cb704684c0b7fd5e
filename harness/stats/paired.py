"""Compare variants that answered the same problems, over one run or over training seeds.

One run: McNemar's exact test or a sign-flip permutation test, and a bootstrap over problems. Several training seeds:
seeds and problems are both samples, of runs that could have been and of problems there are. Scores Y[s, p] of seed s on
problem p are μ + seed_s + problem_p + rest, seeds and problems crossed and random. The variance of the mean is
(MS_seed + MS_problem − MS_rest)/(S·P), its degrees of freedom are Satterthwaite's (1946), and the interval is
Student's: with three seeds a technique that depends on its seed gets the wide interval it deserves, which a bootstrap
over three values would not give. The method is that of a two-way random-effects table (Searle, Casella and McCulloch
1992, section 4.5); a variance component that comes out negative counts as none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal

import numpy as np

from assay.harness.errors import BadInputError
from assay.harness.stats.pass_at_k import Estimate, Floats, bootstrap_mean, wilson

Verdict = Literal["better", "worse", "equivalent", "undecided"]
PERMUTATIONS = 20_000
EXACT_UP_TO = 14  # differing problems; 2^14 sign patterns are enumerated, more are drawn
CROSSED = "t over seeds x problems"
_TINY = 1e-300
_ENOUGH = 1e-15


@dataclass(frozen=True, slots=True)
class Comparison:
    """The mean paired difference a - b over `n` problems.

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
    """Test mean(scores_a - scores_b), with its interval; both have shape (problems,), in the same order.

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
    """Return the two-sided interval of the mean difference: a paired bootstrap over problems.

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
    """Return the verdict; `inner` is the interval of two one-sided tests at level `alpha`."""
    if result.p_adjusted < alpha and (result.low > 0 or result.high < 0):
        return "better" if result.difference > 0 else "worse"
    if -margin < inner[0] and inner[1] < margin:
        return "equivalent"
    return "undecided"


def mcnemar(only_a: int, only_b: int) -> float:
    """Return the two-sided exact p of McNemar's test: the discordant pairs against a fair coin (McNemar 1947)."""
    n = only_a + only_b
    if n == 0:
        return 1.0
    tail = sum(math.comb(n, i) for i in range(min(only_a, only_b) + 1))
    return float(min(1.0, 2 * tail / 2**n))


def sign_flip(difference: Floats, *, seed: int) -> float:
    """Return the two-sided p of the paired permutation test: under the null, any difference may change its sign."""
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


def detectable(problems: int, samples: int, *, rate: float = 0.5, correlation: float = 0.5) -> float:
    """Return the smallest pass@1 difference that a paired test would show with 80 % power at the 5 % level.

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


def standard_error(scores: Floats) -> tuple[float, float]:
    """Return the mean's standard error and its degrees of freedom; `scores` are (seeds, problems), both at least 2."""
    s, p = scores.shape
    if s < 2 or p < 2:
        raise BadInputError(f"a variance over seeds and problems needs two of each, got {s} x {p}")
    mean = scores.mean()
    by_seed, by_problem = scores.mean(axis=1), scores.mean(axis=0)
    rest = scores - by_seed[:, None] - by_problem[None, :] + mean
    ms = (
        float(p * np.square(by_seed - mean).sum() / (s - 1)),
        float(s * np.square(by_problem - mean).sum() / (p - 1)),
        float(np.square(rest).sum() / ((s - 1) * (p - 1))),
    )
    dfs = (s - 1, p - 1, (s - 1) * (p - 1))
    if ms[0] <= ms[2]:  # no sign of the seed: what is left is the spread over problems
        used = [(ms[1], dfs[1])] if ms[1] > ms[2] else [(ms[2], dfs[2])]
        total = used[0][0]
    elif ms[1] <= ms[2]:
        used, total = [(ms[0], dfs[0])], ms[0]
    else:
        used, total = list(zip(ms, dfs, strict=True)), ms[0] + ms[1] - ms[2]
    if total <= 0:
        return 0.0, math.inf
    freedom = total**2 / sum(m * m / df for m, df in used if m > 0)
    return math.sqrt(total / (s * p)), freedom


def estimate_crossed(scores: Floats, *, confidence: float = 0.95) -> Estimate:
    """Return the mean of `scores` (seeds, problems), each between 0 and 1, with its interval. `n` is of problems."""
    n = scores.shape[1]
    value = float(scores.mean())
    se, df = standard_error(scores)
    if se == 0:
        low, high = wilson(value, n, confidence)
        return Estimate(value, low, high, n, "Wilson score over problems", se)
    reach = quantile(confidence, df) * se
    return Estimate(value, max(0.0, value - reach), min(1.0, value + reach), n, CROSSED, se)


def compare_crossed(
    a: str, b: str, difference: Floats, *, margin: float, confidence: float = 0.95
) -> Comparison:
    """Test the mean of `difference` = a − b, shape (seeds, problems), with its interval.

    It is paired over problems, and over seeds where both have them. Test and interval rest on the same standard error.
    """
    alpha = 1 - confidence
    n = difference.shape[1]
    mean = float(difference.mean())
    se, df = standard_error(difference)
    if se == 0:
        per_problem = difference.mean(axis=0)
        outer, inner = (interval(per_problem, confidence=c, seed=0) for c in (confidence, 1 - 2 * alpha))
        p, mde = sign_flip(per_problem, seed=0), None
    else:
        wide, narrow = (quantile(c, df) * se for c in (confidence, 1 - 2 * alpha))
        outer, inner = (mean - wide, mean + wide), (mean - narrow, mean + narrow)
        p, mde = two_sided_p(mean / se, df), (quantile(confidence, df) + NormalDist().inv_cdf(0.8)) * se
    result = Comparison(a, b, mean, *outer, p, p, mde, n, CROSSED, "undecided")
    return replace(result, verdict=decide(result, inner, margin, alpha))


def two_sided_p(t: float, df: float) -> float:
    """Return P(|T| ≥ |t|) of Student's t = I_x(df/2, 1/2) at x = df/(df + t²) (Abramowitz and Stegun 26.7.1)."""
    if math.isinf(df):
        return 2 * NormalDist().cdf(-abs(t))
    if t * t < 1:  # p is above 0.3, and x so near to 1 that its rounding would show: 1 - I_{1-x}(1/2, df/2)
        return 1 - _beta(t * t / (df + t * t), 0.5, df / 2)
    return _beta(df / (df + t * t), df / 2, 0.5)


def quantile(confidence: float, df: float) -> float:
    """Return the t with P(|T| ≤ t) = `confidence`, by bisection; the normal quantile where `df` is infinite."""
    if math.isinf(df):
        return NormalDist().inv_cdf(0.5 + confidence / 2)
    low, high = 0.0, 1.0
    while 1 - two_sided_p(high, df) < confidence:
        high *= 2
    while high - low > 1e-10 * high:
        middle = (low + high) / 2
        if 1 - two_sided_p(middle, df) < confidence:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _beta(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b), by its continued fraction (A&S 26.5.8)."""
    if x <= 0 or x >= 1:
        return min(max(x, 0.0), 1.0)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(x, a, b) / a
    return 1 - front * _fraction(1 - x, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    """Return the continued fraction, by Lentz's method."""
    c, d = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1))
    result = d
    for m in range(1, 500):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _away_from_zero(1 + term * d)
            c = _away_from_zero(1 + term / c)
            result *= c * d
        if abs(c * d - 1) < _ENOUGH:
            break
    return result


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
