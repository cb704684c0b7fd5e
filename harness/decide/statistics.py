"""The one place where decisions call the statistics: scores, paired tests, all pairs of a board, and noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.harness.decide.results import Counts, Floats
from assay.harness.stats import bounds
from assay.harness.stats.crossed import compare_crossed, estimate_crossed
from assay.harness.stats.paired import Comparison, adjust, compare, holm, limited
from assay.harness.stats.pass_at_k import Estimate, estimate_pass_at_k
from assay.harness.stats.student import quantile, two_sided_p

__all__ = ["Comparison", "NoiseSplit", "adjust_suites", "compare_rates", "estimate_score", "noise_split"]

_FINEST = 5040  # steps of a pass rate; rates of finer steps than this common denominator are rounded to it


def estimate_score(samples: Counts, passed: Counts, *, confidence: float) -> Estimate:
    """Return pass@1 with its interval, given (training seeds, problems) counts that all have a sample."""
    if len(samples) > 1:
        return estimate_crossed(passed / samples, confidence=confidence)
    counts = list(zip(samples[0].tolist(), passed[0].tolist(), strict=True))
    return estimate_pass_at_k(counts, 1, confidence=confidence)


def compare_rates(
    candidate: str,
    baseline: str,
    rates: tuple[Floats, Floats],
    *,
    binary: bool,
    margin: float,
    confidence: float,
) -> Comparison:
    """Test candidate − baseline on the same problems; `rates` are the candidate's and the baseline's, each of shape
    (training seeds, problems)."""
    one, other = rates
    if len(one) == len(other) == 1:
        return compare(
            candidate, baseline, one[0], other[0], binary=binary, margin=margin, confidence=confidence
        )
    return compare_crossed(candidate, baseline, one, other, margin=margin, confidence=confidence)


def adjust_suites(comparisons: Sequence[Comparison], *, confidence: float) -> list[Comparison]:
    """Return the comparisons of several suites, p adjusted over them: each of them could say "worse" by chance."""
    return adjust(comparisons, alpha=1 - confidence)


@dataclass(frozen=True, slots=True)
class NoiseSplit:
    """The standard error of a difference, `se`, and its parts: `sampling` is what more samples a problem would take
    away, `problems` what only more problems would; se² = sampling² + problems². None where `reason` says why."""

    se: float | None
    sampling: float | None
    problems: float | None
    reason: str = ""


def noise_split(candidate: tuple[Counts, Counts], baseline: tuple[Counts, Counts]) -> NoiseSplit:
    """Split the paired error; each side is (samples, passing samples), shape (problems,), all with a sample.

    A problem's rate of n samples has the variance p(1 − p)/n, of which p̂(1 − p̂)/(n − 1) is the unbiased estimate: one
    sample a problem has none.
    """
    rates = [passed / samples for samples, passed in (candidate, baseline)]
    difference = rates[0] - rates[1]
    n = len(difference)
    if n < 2:
        return NoiseSplit(None, None, None, "one problem has no spread over problems")
    variance = float(difference.var(ddof=1)) / n
    if min(int(candidate[0].min()), int(baseline[0].min())) < 2:
        return NoiseSplit(
            math.sqrt(variance), None, None, "some problem has one sample, which shows no spread over samples"
        )
    drawn = sum(
        float((rate * (1 - rate) / (samples - 1)).sum())
        for rate, (samples, _) in zip(rates, (candidate, baseline), strict=True)
    )
    sampling = min(variance, drawn / n**2)
    return NoiseSplit(math.sqrt(variance), math.sqrt(sampling), math.sqrt(variance - sampling))


# All pairs of a board.


@dataclass(frozen=True, slots=True)
class Pairs:
    """Every pair of a board's models, each an array of shape (models, models): mean of row − column, two-sided p,
    p after Holm's method over all pairs, and the problems that both have; NaN and 0 where they have none. Where samples
    have no verdict, what was adjusted is the largest p that they could have made."""

    difference: Floats
    p: Floats
    p_adjusted: Floats
    n: NDArray[np.int64]
    alpha: float

    @property
    def better(self) -> NDArray[np.bool_]:
        """Where the row's model is proven better than the column's."""
        with np.errstate(invalid="ignore"):
            return (self.p_adjusted < self.alpha) & (self.difference > 0)

    @property
    def ranks(self) -> NDArray[np.int64]:
        """One plus the number of models proven better than each."""
        ranks: NDArray[np.int64] = 1 + self.better.sum(axis=0)
        return ranks


def all_pairs(
    samples: Counts, passed: Counts, unmeasured: Counts | None = None, *, confidence: float
) -> Pairs:
    """Test every pair of models, given (models, problems) counts; a problem without samples is not measured.

    The test is the one of `paired.compare`: the mid-p of the bounds over problems, McNemar's with one sample a problem.
    Where samples have no verdict, what is adjusted is the largest p that they could have made: no model is proven
    better by what it left out.
    """
    m = len(samples)
    lacking = np.zeros_like(samples) if unmeasured is None else unmeasured
    observed, (steps, grid) = samples > 0, rates_on_grid(samples, passed)
    every = samples + lacking
    worst_steps, low = rates_on_grid(every, passed)
    _, high = rates_on_grid(every, passed + lacking)
    partial = lacking.sum(axis=1) > 0
    difference, p = np.full((m, m), np.nan), np.full((m, m), np.nan)
    n, largest = np.zeros((m, m), np.int64), np.full((m, m), np.nan)
    for i in range(m):
        rivals, rows, worst_rivals, worst_rows = [], [], [], []
        for j in range(i + 1, m):
            shared = observed[i] & observed[j]
            moved = (grid[i] - grid[j])[shared]
            n[i, j] = n[j, i] = len(moved)
            if not len(moved):
                continue
            rivals.append(j)
            rows.append(moved)
            difference[i, j] = moved.sum() / steps / len(moved)
            difference[j, i] = -difference[i, j]
            if partial[i] or partial[j]:
                won, lost = (i, j) if difference[i, j] > 0 else (j, i)
                worst = (low[won] - high[lost])[(every[i] > 0) & (every[j] > 0)]
                largest[i, j] = 1.0
                if worst.sum() > 0:
                    worst_rivals.append(j)
                    worst_rows.append(worst)
        for j, value in zip(rivals, _p_of(rows, steps), strict=True):
            p[i, j] = p[j, i] = value
            largest[i, j] = value if np.isnan(largest[i, j]) else largest[i, j]
        for j, value in zip(worst_rivals, _p_of(worst_rows, worst_steps), strict=True):
            largest[i, j] = max(p[i, j], value)
    upper = np.triu_indices(m, 1)
    tested = np.isfinite(largest[upper])
    adjusted = np.full(len(upper[0]), np.nan)
    adjusted[tested] = holm(largest[upper][tested].tolist())
    p_adjusted = np.full((m, m), np.nan)
    p_adjusted[upper] = adjusted
    p_adjusted.T[upper] = adjusted
    return Pairs(difference, p, p_adjusted, n, 1 - confidence)


def _p_of(rows: Sequence[NDArray[np.int32]], steps: int) -> list[float]:
    """Return the two-sided p of each row of differences in steps."""
    if not rows:
        return []
    counts = np.array([np.bincount(row + steps, minlength=2 * steps + 1) for row in rows], dtype=np.float64)
    kinds = np.flatnonzero(counts.any(axis=0))
    values = np.broadcast_to((kinds - steps) / steps, (len(rows), len(kinds)))
    limits = np.ones(len(rows))
    sample = limited(bounds.Values(values, counts[:, kinds], -limits, limits))
    return [float(p) for p in bounds.two_sided_p(sample)]


def rates_on_grid(samples: Counts, passed: Counts) -> tuple[int, NDArray[np.int32]]:
    """Return pass rates as whole numbers of equal steps, and how many steps make 1."""
    steps = math.lcm(*(int(n) for n in np.unique(samples) if n))
    steps = steps if steps <= _FINEST else _FINEST
    with np.errstate(invalid="ignore"):
        rates = np.where(samples > 0, passed * steps / np.maximum(samples, 1), 0)
    return steps, np.rint(rates).astype(np.int32)


# Problems that a board shows up.


def critical_correlation(models: int, *, level: float) -> float:
    """Return how far below 0 the correlation of `models` points has to be for a one-sided test of that level."""
    t = quantile(1 - 2 * level, models - 2)
    return t / math.sqrt(models - 2 + t * t)


def negative_p(correlation: float, models: int) -> float:
    """Return the one-sided p of a negative correlation over `models` points, by Student's t."""
    rest = 1 - correlation**2
    return 0.0 if rest <= 0 else two_sided_p(correlation * math.sqrt((models - 2) / rest), models - 2) / 2


def rest_correlations(rates: Floats) -> Floats:
    """Return, for each problem, the correlation over models of its rate with the mean rate on all other problems.

    `rates` has shape (models, problems), NaN where not measured; a problem that all models answer alike has NaN.
    """
    measured = np.isfinite(rates)
    filled = np.where(measured, rates, 0.0)
    sums, counts = filled.sum(axis=1, keepdims=True), measured.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        rest = np.where(measured, (sums - filled) / np.maximum(counts - measured, 1), 0.0)
        n = measured.sum(axis=0)
        rest -= np.where(measured, rest.sum(axis=0) / n, 0.0)
        own = np.where(measured, filled - filled.sum(axis=0) / n, 0.0)
        rest = np.where(measured, rest, 0.0)
        scale = np.sqrt((own**2).sum(axis=0) * (rest**2).sum(axis=0))
        return np.where(scale > 1e-12, (own * rest).sum(axis=0) / scale, np.nan)


def places(values: Sequence[float]) -> list[int]:
    """Return the order of values from the greatest, equal ones in the order given."""
    return sorted(range(len(values)), key=lambda i: (-values[i] if math.isfinite(values[i]) else math.inf, i))
