"""Student's t and the chi-square distribution, as far as the intervals need them."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

_TINY = 1e-300
_ENOUGH = 1e-15


def two_sided_p(t: float, df: float) -> float:
    """Return P(|T| ≥ |t|) of Student's t = I_x(df/2, 1/2) at x = df/(df + t²) (Abramowitz and Stegun 26.7.1)."""
    if math.isinf(df):
        return 2 * NormalDist().cdf(-abs(t))
    if t * t < 1:  # p is above 0.3, and x so near to 1 that its rounding would show: 1 - I_{1-x}(1/2, df/2)
        return 1 - _beta(t * t / (df + t * t), 0.5, df / 2)
    return _beta(df / (df + t * t), df / 2, 0.5)


@lru_cache(maxsize=4096)
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


@lru_cache(maxsize=64)
def chi_square_quantile(chance: float, df: int) -> float:
    """Return the x below which chi-square with `df` degrees of freedom lies with that chance, by bisection."""
    low, high = 0.0, float(df)
    while _chi_square_below(high, df) < chance:
        high *= 2
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _chi_square_below(middle, df) < chance else (low, middle)
    return (low + high) / 2


def _chi_square_below(x: float, df: int) -> float:
    """Return P(X ≤ x), by the series of the incomplete gamma function (Abramowitz and Stegun 6.5.29)."""
    if x <= 0:
        return 0.0
    a, half = df / 2, x / 2
    term = total = math.exp(a * math.log(half) - half - math.lgamma(a + 1))
    k = a
    while term > _ENOUGH * total:
        k += 1
        term *= half / k
        total += term
    return min(1.0, total)
