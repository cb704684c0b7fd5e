"""Bounds of the mean of bounded values, one for each problem, that hold on few problems and near the ends.

n independent values between known limits, of no known distribution, with mean μ. Gaffke (2005) gives a bound: weigh the
values, and one more that stands at a limit, by shares drawn from Dirichlet(1, …, 1). The α quantile of that weighted
mean, with the further value at the lower limit, is a lower bound of μ at the level 1 − α; an upper bound likewise.
Learned-Miller and Thomas (arXiv 1905.06208) compare it with the bounds that are proven: it is tighter than all, and no
distribution is known at which it fails. For values that are 0 or 1 it is Clopper and Pearson's (1934) bound, and for
paired differences of −1, 0 and 1 the p of no difference is McNemar's exact one. So one sample a problem and several,
one variant and the difference of two are treated alike.

Discrete values make the strict bound hold more often than it says. A two-sided interval takes the mid-p form instead
(Lancaster 1961), the average over the further value at either limit: for 0 and 1 the mid-p form of Clopper and
Pearson's interval, for pairs McNemar's mid-p test (Fagerland, Lydersen and Laake 2013). How often each holds, in
simulation, stands in `results/reference/calibration`.

The chances are computed, not drawn: Dirichlet shares are gamma variates over their sum, so the chance is that of the
sign of Σ m_j-fold gamma variates times (value_j − c), by inversion of its moment generating function along the line
through the saddle point (the trapezoidal rule after y = sinh u, to about 1e-9 of the chance).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_SEARCH = 60  # steps at most that find an end of an interval, or the saddle point
_CLOSE = 1e-10  # how near to an end of an interval is enough
_CHUNK = 1_500_000  # complex numbers at a time
_FEW = 15  # values, below which the integrand falls slowly
_MOST = 2000  # distinct values of one sample
_COARSE, _FINE = (0.04, 120), (0.05, 480)  # step and number of points of the trapezoidal rule


@dataclass(frozen=True, slots=True)
class Values:
    """The values of many samples of problems: row i has value `values[i, j]` `counts[i, j]` times, shape (rows, kinds).

    All lie within [`floor`, `ceiling`], one limit for each row.
    """

    values: Floats
    counts: Floats
    floor: Floats
    ceiling: Floats

    @staticmethod
    def of(rows: list[Floats], floor: float, ceiling: float) -> Values:
        """Count the values of each row; rows may differ in length."""
        kinds = [_counted(row) for row in rows]
        width = max(len(values) for values, _ in kinds)
        values, counts = np.zeros((len(rows), width)), np.zeros((len(rows), width))
        for i, (distinct, times) in enumerate(kinds):
            values[i, : len(distinct)], counts[i, : len(times)] = distinct, times
        limits = np.full((2, len(rows)), [[floor], [ceiling]], dtype=np.float64)
        return Values(values, counts, limits[0], limits[1])

    def rows(self, which: NDArray[np.intp]) -> Values:
        return Values(self.values[which], self.counts[which], self.floor[which], self.ceiling[which])

    def with_limits(self, floor: Floats, ceiling: Floats) -> Values:
        return Values(self.values, self.counts, floor, ceiling)

    def mean(self) -> Floats:
        mean: Floats = (self.values * self.counts).sum(axis=1) / self.counts.sum(axis=1)
        return mean


def _counted(row: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Return the distinct values and how often each comes; of more than _MOST, each counts as the nearest of so many,
    and their mean is kept."""
    values, counts = np.unique(row.round(12), return_counts=True)
    if len(values) <= _MOST:
        return values, counts
    coarse = (row * _MOST).round() / _MOST
    values, counts = np.unique(coarse, return_counts=True)
    return np.clip(values + (row.mean() - coarse.mean()), row.min(), row.max()), counts


def at_most(sample: Values, at: Floats | float, limit: Literal["floor", "ceiling"]) -> Floats:
    """Return, for each row, the chance that the weighted mean is at most `at`, with the further value at that limit."""
    further = sample.floor if limit == "floor" else sample.ceiling
    values = np.column_stack([sample.values, further])
    counts = np.column_stack([sample.counts, np.ones(len(further))])
    return _chance(values - np.broadcast_to(at, further.shape)[:, None], counts)


def mid_p(sample: Values, at: Floats | float) -> Floats:
    """Return, for each row, the confidence that the mean is at most `at`: the average over both limits."""
    return (at_most(sample, at, "floor") + at_most(sample, at, "ceiling")) / 2


def interval(sample: Values, confidence: float) -> tuple[Floats, Floats]:
    """Return the two-sided mid-p interval of each row's mean, equal-tailed."""
    tail = (1 - confidence) / 2
    ends = [_solve(sample, level, lambda at, rows: mid_p(rows, at)) for level in (tail, 1 - tail)]
    mean = sample.mean()
    return np.minimum(ends[0], mean), np.maximum(ends[1], mean)


def one_sided(sample: Values, confidence: float) -> tuple[Floats, Floats]:
    """Return the strict lower bound of each row's mean and the strict upper one, each at the level `confidence`."""
    lower = _solve(sample, 1 - confidence, lambda at, rows: at_most(rows, at, "floor"))
    upper = _solve(sample, confidence, lambda at, rows: at_most(rows, at, "ceiling"))
    mean = sample.mean()
    return np.minimum(lower, mean), np.maximum(upper, mean)


def two_sided_p(sample: Values, at: float = 0.0) -> Floats:
    """Return the two-sided mid-p of each row for a mean of `at`."""
    below = mid_p(sample, at)
    p: Floats = np.minimum(1.0, 2 * np.minimum(below, 1 - below))
    return p


def _solve(sample: Values, level: float, chance: Callable[[Floats, Values], Floats]) -> Floats:
    """Return where each row's `chance`, which rises with the mean, reaches `level`: by secants of its logit, which is
    nearly straight, between ends that hold the place; halving where a secant leaves them."""
    n = sample.counts.sum(axis=1)
    mean, second = sample.mean(), (sample.values**2 * sample.counts).sum(axis=1) / n
    spread = np.sqrt(np.maximum(second - mean**2, 0.0) / n) + 0.5 * (sample.ceiling - sample.floor) / (n + 1)
    low, high = sample.floor.copy(), sample.ceiling.copy()
    at: Floats = np.clip(
        mean + NormalDist().inv_cdf(level) * spread, (3 * low + mean) / 4, (3 * high + mean) / 4
    )
    before, error_before = at.copy(), np.full(len(at), np.nan)
    open_ = np.arange(len(at))
    for _ in range(_SEARCH):
        error = _logit(chance(at[open_], sample.rows(open_))) - _logit(np.array(level))
        low[open_], high[open_] = (
            np.where(error < 0, at[open_], low[open_]),
            np.where(error < 0, high[open_], at[open_]),
        )
        moved, change = at[open_] - before[open_], error - error_before[open_]
        with np.errstate(all="ignore"):
            slope = np.where(change * moved > 0, change / moved, 2.4 / spread[open_])
        step = at[open_] - error / slope
        inside = (low[open_] < step) & (step < high[open_])
        step = np.where(inside, step, (low[open_] + high[open_]) / 2)
        before[open_], error_before[open_] = at[open_], error
        settled = (np.abs(step - at[open_]) <= _CLOSE) | (high[open_] - low[open_] <= _CLOSE)
        at[open_] = step
        open_ = open_[~settled]
        if not len(open_):
            break
    return at


def _logit(chance: Floats) -> Floats:
    bounded = np.clip(chance, 1e-15, 1 - 1e-15)
    logit: Floats = np.log(bounded) - np.log1p(-bounded)
    return logit


def _chance(offsets: Floats, counts: Floats) -> Floats:
    """Return the chance that Σ offset_j · Gamma(count_j) ≤ 0 of each row; a count of 0 is no variate."""
    there = counts > 0
    result: Floats = np.where(np.where(there, offsets, -np.inf).max(axis=1) <= 0, 1.0, 0.0)
    open_ = (result == 0) & (np.where(there, offsets, np.inf).min(axis=1) < 0)
    if not open_.any():
        return result
    offsets, counts, there = offsets[open_], counts[open_], there[open_]
    # The smaller tail is computed: where the mean is above 0 that of Σ ≤ 0, which is Σ of the opposites ≥ 0.
    turned = (counts * offsets).sum(axis=1) >= 0
    offsets = np.where(there, np.where(turned[:, None], -offsets, offsets), -1.0)
    tail = _tail(offsets, counts)
    result[open_] = np.where(turned, tail, 1 - tail)
    return result


def _tail(offsets: Floats, counts: Floats) -> Floats:
    """Return the chance that Σ offset_j · Gamma(count_j) ≥ 0, where its mean is at most 0."""
    pole = 1 / offsets.max(axis=1)
    low, high = np.zeros(len(pole)), pole * (1 - 1e-12)
    for _ in range(_SEARCH):
        middle = (low + high) / 2
        slope = (counts * offsets / (1 - offsets * middle[:, None])).sum(axis=1)
        low, high = np.where(slope < 0, middle, low), np.where(slope < 0, high, middle)
        if np.all(high - low <= 1e-4 * pole):
            break
    width = _width(offsets, counts, (low + high) / 2)
    # Any line between 0 and the pole will do; one that is too near to 0 would pass that other pole.
    through = np.maximum((low + high) / 2, np.minimum(0.6 * width, 0.5 * pole))
    width = _width(offsets, counts, through)
    few = np.where(offsets == 0, 0, counts).sum(axis=1) < _FEW
    result = np.empty(len(pole))
    for rows, (step, points) in ((few, _FINE), (~few, _COARSE)):
        u = (np.arange(points) + 0.5) * step
        y, weight = np.sinh(u), np.cosh(u) * step / np.pi
        places = np.flatnonzero(rows)
        size = max(1, _CHUNK // points)
        for start in range(0, len(places), size):
            at = places[start : start + size]
            z = through[at, None] + 1j * width[at, None] * y
            log = np.zeros_like(z)
            block = max(1, size // len(at))
            for j in range(0, offsets.shape[1], block):
                part = slice(j, j + block)
                logs = np.log(1 - offsets[at, part, None] * z[:, None, :])
                log -= np.einsum("rk,rkp->rp", counts[at, part], logs)
            result[at] = (np.exp(log) / z).real @ weight * width[at]
    clipped: Floats = np.clip(result, 0.0, 1.0)
    return clipped


def _width(offsets: Floats, counts: Floats, at: Floats) -> Floats:
    """Return the spread of the integrand along the line through `at`."""
    curvature = (counts * (offsets / (1 - offsets * at[:, None])) ** 2).sum(axis=1)
    width: Floats = 1 / np.sqrt(curvature)
    return width
