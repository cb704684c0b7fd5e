"""How small a difference an experiment can show: before it is run from guesses, after it from what it showed.

Also where the noise of a difference comes from, and what more of each would buy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from assay.harness.stats import student
from assay.harness.stats.crossed import SHARE
from assay.harness.stats.pass_at_k import Floats

# Standard deviation of a training's pass@1 over its seeds, as a share of 1, before any is known: the middle of the
# 0.3 to 5.8 points of the trainings in `results/reference`.
SEED_SD = 0.015
_POWER, _LEVEL = 0.8, 0.05
_DRAWS = 1000
_MOST = 1_000_000


@dataclass(frozen=True, slots=True)
class Noise:
    """The variance of a difference in pass@1 of two variants, each number of one problem, sample or seed.

    `problems` is the variance over problems of the true difference of the two pass rates; `sampling` that of one
    sample's outcome, as (first, second) variant; `seeds` that of a training's mean over its seeds, likewise, 0 for what
    was not trained with several.
    """

    problems: float
    sampling: tuple[float, float]
    seeds: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Size:
    """The size of an experiment: problems, samples a problem, and training seeds of the first and second variant."""

    problems: int
    samples: int
    seeds: tuple[int, int] = (1, 1)


def guess(*, rate: float = 0.5, correlation: float = 0.5, seeds: tuple[bool, bool] = (False, False)) -> Noise:
    """Return the noise that is assumed before a run.

    A pass rate `rate`; the variance of one sample's outcome, rate(1 − rate), half of it between problems (Miller 2024,
    arXiv 2411.00640, section 5); pass rates of the two variants that correlate by `correlation` over problems; SEED_SD
    for each variant that is trained anew from several `seeds`.
    """
    half = rate * (1 - rate) / 2
    of_seeds = (SEED_SD**2 * seeds[0], SEED_SD**2 * seeds[1])
    return Noise(2 * half * (1 - correlation), (half, half), of_seeds)


def detectable(noise: Noise, size: Size) -> float:
    """Return the smallest difference that the paired test finds with 80 % power at the 5 % level.

    One comparison taken alone, without adjustment. With several seeds the power is the mean over what the variances of
    few seeds come out as, by the rule of `crossed`; 1.0 where no difference would be found so often.
    """
    variance = _variance(noise, size)
    if variance <= 0:
        return 0.0
    if size.seeds == (1, 1):
        reach = NormalDist().inv_cdf(1 - _LEVEL / 2) + NormalDist().inv_cdf(_POWER)
        # What the further value of the bounds costs: half a problem, or twice the spread of differences of rates.
        further = 0.5 if size.samples == 1 else 2 * math.sqrt(variance * size.problems)
        return min(1.0, reach * math.sqrt(variance) + further / size.problems)
    return _with_seeds(noise, size)


def _variance(noise: Noise, size: Size) -> float:
    """Return the true variance of the mean difference."""
    drawn = sum(v / (size.samples * s) for v, s in zip(noise.sampling, size.seeds, strict=True))
    return (noise.problems + drawn) / size.problems + sum(
        v / s for v, s in zip(noise.seeds, size.seeds, strict=True)
    )


@lru_cache(maxsize=4096)
def _with_seeds(noise: Noise, size: Size) -> float:
    rng = np.random.default_rng(0)
    p = size.problems
    over_problems = (
        noise.problems + sum(v / (size.samples * s) for v, s in zip(noise.sampling, size.seeds, strict=True))
    ) / p
    over_problems_seen = over_problems * _chi_square(rng, p - 1)
    total, upper, lost, rests = np.zeros(_DRAWS), np.zeros(_DRAWS), np.zeros(_DRAWS), 0.0
    for drawn, of_seeds, s in zip(noise.sampling, noise.seeds, size.seeds, strict=True):
        if s < 2:
            continue
        rest = drawn / size.samples / (s * p)
        of_means = np.maximum((of_seeds / s + rest) * _chi_square(rng, s - 1), rest)
        limit = of_means * (s - 1) / student.chi_square_quantile(1 - SHARE, s - 1)
        total, upper, lost, rests = total + of_means, upper + limit, lost + limit**2 / (s - 1), rests + rest
    problems = np.maximum(over_problems_seen - rests, 0.0)
    df = (upper + problems) ** 2 / (lost + problems**2 / max(1, p - 1))
    critical = np.array([student.quantile(1 - _LEVEL, float(f"{x:.2g}")) for x in df])
    bar, spread = critical * np.sqrt(total + problems), math.sqrt(_variance(noise, size))
    low, high = 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        reached = np.mean([NormalDist().cdf((middle - b) / spread) for b in bar])
        low, high = (middle, high) if reached < _POWER else (low, middle)
    return high


def _chi_square(rng: np.random.Generator, df: int) -> Floats:
    """Draw chi-square over its degrees of freedom, whose mean is 1."""
    drawn: Floats = rng.chisquare(max(1, df), size=_DRAWS) / max(1, df)
    return drawn


def noise_of(
    first: Floats, second: Floats, samples: tuple[Floats, Floats], seeds: tuple[int, int]
) -> Noise | None:
    """Return the noise that a run showed: `first` and `second` are pass rates, shape (seeds, problems), and `samples`
    how many each rate is of. None where it has one problem, or some rate is of one sample."""
    n = first.shape[1]
    if n < 2 or min(samples[0].min(), samples[1].min()) < 2:
        return None
    # p̂(1 − p̂) n/(n − 1) is the unbiased variance of one sample's outcome.
    drawn = [float((r * (1 - r) * m / (m - 1)).mean()) for r, m in zip((first, second), samples, strict=True)]
    of_rates = [
        float((r * (1 - r) / (m - 1)).sum(axis=0).mean()) / len(r) ** 2
        for r, m in zip((first, second), samples, strict=True)
    ]
    difference = first.mean(axis=0) - second.mean(axis=0)
    problems = max(0.0, float(difference.var(ddof=1)) - sum(of_rates))
    of_seeds = []
    for rates, s, chance in zip((first, second), seeds, of_rates, strict=True):
        of_means = float(rates.mean(axis=1).var(ddof=1)) if s > 1 else 0.0
        of_seeds.append(max(0.0, of_means - chance * s / n))
    return Noise(problems, (drawn[0], drawn[1]), (of_seeds[0], of_seeds[1]))


@dataclass(frozen=True, slots=True)
class Split:
    """The standard error of a difference and its three parts, whose squares add up to its square."""

    se: float
    problems: float
    sampling: float
    seeds: float


def split(noise: Noise, size: Size) -> Split:
    """Return where the standard error of a difference comes from."""
    drawn = (
        sum(v / (size.samples * s) for v, s in zip(noise.sampling, size.seeds, strict=True)) / size.problems
    )
    of_seeds = sum(v / s for v, s in zip(noise.seeds, size.seeds, strict=True) if s > 1)
    of_problems = noise.problems / size.problems
    total = drawn + of_seeds + of_problems
    return Split(math.sqrt(total), math.sqrt(of_problems), math.sqrt(drawn), math.sqrt(of_seeds))


@dataclass(frozen=True, slots=True)
class Purchase:
    """What would show a difference of `target`: that many samples a problem, seeds or problems in all, the rest as it
    is. None where no number of them would."""

    target: float
    samples: int | None
    seeds: int | None
    problems: int | None


def purchase(noise: Noise, size: Size, target: float) -> Purchase:
    """Return how much of each alone would show a difference of `target`, see `detectable`."""

    def seeded(count: int) -> Size:
        first, second = (count if s > 1 else 1 for s in size.seeds)
        return replace(size, seeds=(first, second))

    trained = max(size.seeds) > 1
    return Purchase(
        target,
        _least(size.samples, 1000, lambda n: detectable(noise, replace(size, samples=n)) <= target),
        _least(max(size.seeds), 100, lambda n: detectable(noise, seeded(n)) <= target) if trained else None,
        _least(size.problems, _MOST, lambda n: detectable(noise, replace(size, problems=n)) <= target),
    )


def _least(low: int, most: int, enough: Callable[[int], bool]) -> int | None:
    """Return the least number from `low` on that is enough."""
    if enough(low):
        return low
    high = low * 2
    while not enough(min(high, most)):
        if high >= most:
            return None
        low, high = high, high * 2
    high = min(high, most)
    while high - low > max(1, low // 50):
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
