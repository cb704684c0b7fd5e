"""Means over training seeds × problems, where both are samples: of runs that could have been, of problems there are.

Scores Y[s, p] of seed s on problem p: Y = μ + seed_s + problem_p + rest, seeds and problems crossed and random. The
variance of the mean is (MS_seed + MS_problem − MS_rest)/(S·P), its degrees of freedom are Satterthwaite's (1946), and
the interval is Student's: with three seeds a technique that depends on its seed gets the wide interval it deserves,
which a bootstrap over three values would not give. The method is that of a two-way random-effects table (Searle,
Casella and McCulloch 1992, section 4.5); a variance component that comes out negative counts as none.
"""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist

import numpy as np

from assay.harness.errors import BadInputError
from assay.harness.stats.paired import Comparison, decide, interval, sign_flip
from assay.harness.stats.pass_at_k import Estimate, Floats, wilson

METHOD = "t over seeds x problems"


def standard_error(scores: Floats) -> tuple[float, float]:
    """(standard error of the mean, degrees of freedom) of `scores`, shape (seeds, problems), both at least 2."""
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
    """The mean of `scores` (seeds, problems), each between 0 and 1, with its interval. `n` is of problems."""
    n = scores.shape[1]
    value = float(scores.mean())
    se, df = standard_error(scores)
    if se == 0:
        low, high = wilson(value, n, confidence)
        return Estimate(value, low, high, n, "Wilson score over problems", se)
    reach = quantile(confidence, df) * se
    return Estimate(value, max(0.0, value - reach), min(1.0, value + reach), n, METHOD, se)


def compare_crossed(
    a: str, b: str, difference: Floats, *, margin: float, confidence: float = 0.95
) -> Comparison:
    """Mean of `difference` = a − b, shape (seeds, problems): paired over problems, and over seeds where both have
    them. Test and interval rest on the same standard error."""
    alpha = 1 - confidence
    n = difference.shape[1]
    mean = float(difference.mean())
    se, df = standard_error(difference)
    if se == 0:
        per_problem = difference.mean(axis=0)
        outer, inner = (interval(per_problem, confidence=c, seed=0) for c in (confidence, 1 - 2 * alpha))
        p = sign_flip(per_problem, seed=0)
        result = Comparison(a, b, mean, *outer, p, p, None, n, METHOD, "undecided")
        return replace(result, verdict=decide(result, inner, margin, alpha))
    wide, narrow = (quantile(c, df) * se for c in (confidence, 1 - 2 * alpha))
    p = two_sided_p(mean / se, df)
    mde = (quantile(confidence, df) + NormalDist().inv_cdf(0.8)) * se
    result = Comparison(a, b, mean, mean - wide, mean + wide, p, p, mde, n, METHOD, "undecided")
    return replace(result, verdict=decide(result, (mean - narrow, mean + narrow), margin, alpha))


# Student's t distribution with any positive number of degrees of freedom, from the standard library alone.

_TINY = 1e-300
_ENOUGH = 1e-15


def two_sided_p(t: float, df: float) -> float:
    """P(|T| ≥ |t|) = I_x(df/2, 1/2) at x = df/(df + t²) (Abramowitz and Stegun 26.7.1)."""
    return _beta(df / (df + t * t), df / 2, 0.5)


def quantile(confidence: float, df: float) -> float:
    """The t with P(|T| ≤ t) = `confidence`, by bisection."""
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
    """The regularised incomplete beta function I_x(a, b), by its continued fraction (A&S 26.5.8)."""
    if x <= 0 or x >= 1:
        return min(max(x, 0.0), 1.0)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(x, a, b) / a
    return 1 - front * _fraction(1 - x, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    """Lentz's method."""
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
