"""The one place where decisions call the statistics: scores, paired tests, all pairs of a board, and noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.harness.decide.results import Counts, Floats, Results
from assay.harness.stats.paired import Comparison, adjust, compare, holm, quantile, two_sided_p
from assay.harness.stats.pass_at_k import Estimate, estimate_pass_at_k

__all__ = ["Comparison", "NoiseSplit", "adjust_suites", "compare_rates", "estimate_score", "noise_split"]

_REACH = 9.0  # standard deviations that a test's distribution is computed over: beyond lie less than 1e-17
_FINEST = 5040  # steps of a pass rate; rates of finer steps than this common denominator are rounded to it


def estimate_score(results: Results, *, confidence: float) -> Estimate:
    """Return pass@1 with its interval, over the problems that have a verdict."""
    return estimate_pass_at_k(results.counts, 1, confidence=confidence)


def compare_rates(
    candidate: str,
    baseline: str,
    rates: tuple[Floats, Floats],
    *,
    binary: bool,
    margin: float,
    confidence: float,
) -> Comparison:
    """Test candidate − baseline on the same problems; `rates` are the candidate's and the baseline's."""
    return compare(candidate, baseline, *rates, binary=binary, margin=margin, confidence=confidence)


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

    The test is the one of `paired.compare`: McNemar's exact test where every problem has one sample, else the sign-flip
    permutation test, here over all 2^m flips. Both ask how the sum of the differences is distributed when each may
    change its sign: of differences on a grid that has the characteristic function Π cos(jθ)^(how many are j steps).
    Where samples have no verdict, what is adjusted is the largest p that they could have made: no model is proven
    better by what it left out.
    """
    m = len(samples)
    lacking = np.zeros_like(samples) if unmeasured is None else unmeasured
    observed, (steps, grid) = samples > 0, rates_on_grid(samples, passed)
    every = samples + lacking
    _, low = rates_on_grid(every, passed)
    _, high = rates_on_grid(every, passed + lacking)
    partial = lacking.sum(axis=1) > 0
    difference, p = np.full((m, m), np.nan), np.full((m, m), np.nan)
    n, largest = np.zeros((m, m), np.int64), np.full((m, m), np.nan)
    for i in range(m):
        for j in range(i + 1, m):
            shared = observed[i] & observed[j]
            moved = (grid[i] - grid[j])[shared]
            n[i, j] = n[j, i] = len(moved)
            if not len(moved):
                continue
            difference[i, j] = moved.sum() / steps / len(moved)
            difference[j, i] = -difference[i, j]
            p[i, j] = p[j, i] = largest[i, j] = _p_of(moved)
            if partial[i] or partial[j]:
                won, lost = (i, j) if difference[i, j] > 0 else (j, i)
                both = (every[i] > 0) & (every[j] > 0)
                worst = (low[won] - high[lost])[both]
                largest[i, j] = max(p[i, j], _p_of(worst) if worst.sum() > 0 else 1.0)
    upper = np.triu_indices(m, 1)
    tested = np.isfinite(largest[upper])
    adjusted = np.full(len(upper[0]), np.nan)
    adjusted[tested] = holm(largest[upper][tested].tolist())
    p_adjusted = np.full((m, m), np.nan)
    p_adjusted[upper] = adjusted
    p_adjusted.T[upper] = adjusted
    return Pairs(difference, p, p_adjusted, n, 1 - confidence)


def _p_of(moved: NDArray[np.int32]) -> float:
    return flip_p(np.bincount(np.abs(moved)), int(moved.sum()))


def rates_on_grid(samples: Counts, passed: Counts) -> tuple[int, NDArray[np.int32]]:
    """Return pass rates as whole numbers of equal steps, and how many steps make 1."""
    steps = math.lcm(*(int(n) for n in np.unique(samples) if n))
    steps = steps if steps <= _FINEST else _FINEST
    with np.errstate(invalid="ignore"):
        rates = np.where(samples > 0, passed * steps / np.maximum(samples, 1), 0)
    return steps, np.rint(rates).astype(np.int32)


def flip_p(counts: NDArray[np.int64], total: int) -> float:
    """Return the two-sided p of a sum `total` of differences whose signs are fair coins.

    `counts[j]` of them are j steps. The probabilities of all sums come from the inverse transform of the characteristic
    function, over as many sums as matter; the error is below 1e-13. A sum further out has Hoeffding's bound as its p.
    """
    size = np.arange(len(counts))
    spread = math.sqrt(float((counts * size**2).sum()))
    if spread == 0 or total == 0:
        return 1.0
    reach = min(int((counts * size).sum()), math.ceil(_REACH * spread) + len(counts))
    if abs(total) > reach:
        return min(1.0, 2 * math.exp(-(total**2) / (2 * spread**2)))
    points = 1 << (2 * reach + 1).bit_length()
    angle = 2 * np.pi * np.arange(points // 2 + 1) / points
    moved = np.flatnonzero(counts[1:]) + 1
    transform = np.ones(len(angle))
    for j in moved:
        transform *= np.cos(j * angle) ** int(counts[j])
    chance = np.fft.irfft(transform, points)
    tail = np.maximum(chance[abs(total) : points // 2 + 1], 0)[
        ::-1
    ]  # from the small ones, which keeps their digits
    return float(min(1.0, 2 * tail.sum()))


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
