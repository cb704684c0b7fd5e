"""Estimate pass@k, with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from assay.harness.errors import BadInputError
from assay.harness.stats import bounds

Floats = NDArray[np.float64]
METHOD = "mid-p bounds over problems"
STRICT = "strict bounds over problems"


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


def estimate_pass_at_k(counts: Sequence[tuple[int, int]], k: int, *, confidence: float = 0.95) -> Estimate:
    """Return the mean pass@k over problems, with an interval that is clustered on problems.

    `counts` holds (samples, passing samples) of each problem. One sample a problem: Wilson's score interval.
    More: the mid-p interval of a mean of values between 0 and 1 (`bounds`), one value a problem, because samples of one
    problem are not independent (Miller 2024, arXiv 2411.00640) and normal theory fails on few problems and near 0 and 1
    (Bowyer et al., arXiv 2503.01747). For k above 1, whose values pile up at 1, it is the strict form.
    """
    if not counts:
        raise BadInputError("pass@k of no problems: no sample could be scored")
    values = per_problem(counts, k)
    value, n = float(values.mean()), len(values)
    se = float(values.std(ddof=1) / math.sqrt(n)) if n > 1 else None
    if all(samples == 1 for samples, _ in counts):
        low, high = wilson(value, n, confidence)
        return Estimate(value, low, high, n, "Wilson score", se)
    sample = bounds.Values.of([values], 0.0, 1.0)
    if k == 1:
        ends, method = bounds.interval(sample, confidence), METHOD
    else:
        ends, method = bounds.one_sided(sample, (1 + confidence) / 2), STRICT
    low, high = (float(end[0]) for end in ends)
    return Estimate(value, low, high, n, method, se, sampling_se(counts, k))


def wilson(p: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion p of n independent trials (Wilson 1927)."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half))


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
