"""Estimate pass@k, with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from assay.harness.errors import BadInputError

Floats = NDArray[np.float64]
RESAMPLES = 10_000
MANY = 2_000
STEPS = 256


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over `n` problems with a two-sided interval.

    `se` is the standard error over problems; `se_sampling` estimates how much of it more samples per problem would
    remove (with a half count added, so that it may exceed `se` where nearly all problems are alike). Both are None
    where they cannot be estimated: one problem, or one sample per problem.
    """

    value: float
    low: float
    high: float
    n: int
    method: str
    se: float | None
    se_sampling: float | None = None


def pass_at_k(n: int, c: int, k: int) -> float:
    """Return the unbiased pass@k of one problem: 1 - C(n-c, k)/C(n, k), for c of n samples passing.

    Chen et al. 2021 (arXiv 2107.03374), equation 1, in its numerically stable product form. k > n cannot be
    estimated without bias and is refused with BadInputError.
    """
    if not 0 <= c <= n:
        raise BadInputError(f"pass@k: {c} passing samples of {n} is impossible")
    if k < 1:
        raise BadInputError(f"pass@k: k must be at least 1, got {k}")
    if k > n:
        raise BadInputError(
            f"pass@{k} needs at least {k} samples a problem, there are {n}: lower k or sample more"
        )
    if n - c < k:
        return 1.0
    return float(1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1)))


def per_problem(counts: Sequence[tuple[int, int]], k: int) -> Floats:
    """Return pass@k of each (n, c) pair, shape (problems,)."""
    table = {pair: pass_at_k(*pair, k) for pair in set(counts)}
    return np.array([table[pair] for pair in counts], dtype=np.float64)


def estimate_pass_at_k(
    counts: Sequence[tuple[int, int]], k: int, *, confidence: float = 0.95, seed: int = 0
) -> Estimate:
    """Return the mean pass@k over problems, with an interval that is clustered on problems.

    `counts` holds (samples, passing samples) of each problem. One sample a problem: Wilson's score interval.
    More: percentile bootstrap that resamples problems, because samples of one problem are not independent
    (Miller 2024, arXiv 2411.00640; normal-theory intervals fail at this size: Bowyer et al., arXiv 2503.01747).
    """
    if not counts:
        raise BadInputError("pass@k of no problems: no sample could be scored")
    values = per_problem(counts, k)
    value, n = float(values.mean()), len(values)
    se = float(values.std(ddof=1) / math.sqrt(n)) if n > 1 else None
    if all(samples == 1 for samples, _ in counts):
        low, high = wilson(value, n, confidence)
        return Estimate(value, low, high, n, "Wilson score", se)
    sampling = sampling_se(counts, k)
    if np.ptp(values) == 0:  # every resample is alike: the bootstrap would claim certainty
        low, high = wilson(value, n, confidence)
        return Estimate(value, low, high, n, "Wilson score over problems", se, sampling)
    low, high = bootstrap_mean(values, confidence=confidence, seed=seed)
    return Estimate(value, low, high, n, "bootstrap over problems", se, sampling)


def wilson(p: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion p of n independent trials (Wilson 1927)."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half))


def bootstrap_mean(values: Floats, *, confidence: float, seed: int) -> tuple[float, float]:
    """Return the percentile interval of the mean of `values`, resampled with replacement RESAMPLES times.

    Of more than MANY values, how often each distinct value is drawn comes at once from the multinomial distribution
    that drawing them one by one amounts to; values then count as the nearest of STEPS + 1 where they are more
    different than that, which moves no end of an interval by more than 1e-5.
    """
    rng = np.random.default_rng(seed)
    n = len(values)
    tail = (1 - confidence) / 2
    if n > MANY:
        coarse = values if len(np.unique(values)) <= STEPS else np.round(values * STEPS) / STEPS
        distinct, times = np.unique(coarse, return_counts=True)
        means = rng.multinomial(n, times / n, size=RESAMPLES) @ distinct / n
        low, high = np.quantile(means, [tail, 1 - tail]) + (values.mean() - coarse.mean())
        return float(low), float(high)
    means = np.empty(RESAMPLES)
    step = max(1, 4_000_000 // n)  # at most 32 MB of indices at a time
    for start in range(0, RESAMPLES, step):
        stop = min(start + step, RESAMPLES)
        means[start:stop] = values[rng.integers(0, n, size=(stop - start, n))].mean(axis=1)
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def sampling_se(counts: Sequence[tuple[int, int]], k: int) -> float:
    """Return the standard error that comes from drawing finitely many samples, the problems held fixed.

    Each problem's passes are taken as Binomial(n, (c + 1/2)/(n + 1)): the half count keeps problems seen all-pass or
    all-fail from pretending to have no variance. The variance of pass@k under it is summed over every possible
    count, so that nothing is left to chance; that is work in proportion to the samples, whatever their shape.
    """
    pairs, times = np.unique(np.array(counts), axis=0, return_counts=True)
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, pairs[:, 0].max() + 1)))])
    variance = 0.0
    for n in np.unique(pairs[:, 0]):
        here = pairs[:, 0] == n
        scores = _scores_of_all(logs, int(n), k)
        chance = _binomial(logs, int(n), (pairs[here, 1] + 0.5) / (n + 1))
        mean = chance @ scores
        variance += float(times[here] @ (chance @ scores**2 - mean**2))
    return math.sqrt(max(0.0, variance)) / len(counts)


def _scores_of_all(logs: Floats, n: int, k: int) -> Floats:
    """Return pass@k for 0 … n passing samples, by the logarithms of factorials `logs`; exact to about 1e-12."""
    left = n - np.arange(n + 1)
    none = np.exp(logs[left] - logs[np.maximum(left - k, 0)] + logs[n - k] - logs[n])
    return np.where(left < k, 1.0, 1.0 - none)


def _binomial(logs: Floats, n: int, p: Floats) -> Floats:
    """Return the chance of each count 0 … n for each p, shape (len(p), n + 1)."""
    c = np.arange(n + 1)
    ways = logs[n] - logs[c] - logs[n - c]
    chance: Floats = np.exp(ways + np.outer(np.log(p), c) + np.outer(np.log1p(-p), n - c))
    return chance
