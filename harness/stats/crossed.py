"""Estimate and compare variants that were trained with several seeds: seeds and problems are both samples.

Scores Y[s, p] of seed s on problem p are μ + seed_s + problem_p + rest, seeds and problems crossed and random
(Searle, Casella and McCulloch 1992, section 4.5). The variance of the mean is that of the seeds' means plus that of
the problems' means, less what both hold of the rest:

    V = Σ_v A_v + B,  A_v = max(var_s(Ȳ_v[s, ·]) / S_v, rest_v / (S_v P)),  B = var_p(D[·, p]) / P − Σ_v rest_v / (S_v
    P)

with D the difference of two variants' means over seeds, paired by problem. Seeds are not paired: seed 1 of one method
is nothing that seed 1 of another has to do with, so the degrees of freedom of both count (Welch 1947).

With few seeds the variance between them is small by chance now and then although the seed matters. So it is never taken
out of V: A_v does not fall below what the rest alone gives. And the degrees of freedom are Satterthwaite's (1946) with
each A_v at its upper confidence limit of SHARE, S_v − 1 degrees of freedom, for else that chance would make Student's t
a normal of the problems alone: p of 1e-10 from three seeds. What three seeds cannot carry stays undecided.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from assay.harness.errors import BadInputError
from assay.harness.stats import bounds, student
from assay.harness.stats.paired import Comparison, decide
from assay.harness.stats.pass_at_k import Estimate, Floats

METHOD = "Student's t over seeds x problems"
# The confidence at which the seeds' variance is taken when degrees of freedom are counted.
SHARE = 0.75
# So many problems that differ are few: a difference that no problem showed is allowed for as well.
_FEW_DIFFER = 4


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean with its standard error and degrees of freedom; `parts` are the variance of seeds (one figure a variant
    that has some) and of problems, of which `se`² is the sum."""

    value: float
    se: float
    df: float
    seeds: tuple[float, ...]
    problems: float

    def p(self, at: float = 0.0) -> float:
        """Return the two-sided p of a mean of `at`."""
        if self.se == 0:
            return 1.0 if self.value == at else 0.0
        return student.two_sided_p((self.value - at) / self.se, self.df)

    def reach(self, confidence: float) -> float:
        return student.quantile(confidence, self.df) * self.se


def mean_of(scores: Floats) -> Mean:
    """Return the mean of scores between 0 and 1, shape (seeds, problems), at least two seeds.

    One problem that is solved always and one that never is are added, as Agresti and Coull (1998) do for a share:
    near 0 and 1 the problems seen show too little of the variance.
    """
    seeds = len(scores)
    _check(scores)
    padded = np.hstack([scores, np.zeros((seeds, 1)), np.ones((seeds, 1))])
    return _mean([padded], padded.mean(axis=0), 0.0)


def difference_of(scores_a: Floats, scores_b: Floats) -> Mean:
    """Return the mean of a − b on the same problems; each has shape (seeds, problems), one of them at least two seeds.

    Where few problems differ, one more that a alone solves and one that b alone solves are allowed for.
    """
    if scores_a.shape[1] != scores_b.shape[1] or not scores_a.shape[1]:
        raise BadInputError(f"scores of other problems: {scores_a.shape} against {scores_b.shape}")
    if max(len(scores_a), len(scores_b)) < 2:
        raise BadInputError("a variance over seeds needs two seeds, got one of each")
    by_problem = scores_a.mean(axis=0) - scores_b.mean(axis=0)
    differ = int((by_problem != 0).sum())
    unseen = 1.0 if differ <= _FEW_DIFFER else (_FEW_DIFFER / differ) ** 2
    return _mean([scores_a, scores_b], by_problem, 2 * unseen**2)


def _check(scores: Floats) -> None:
    if len(scores) < 2 or not scores.shape[1]:
        raise BadInputError(f"a variance over seeds needs two of them and a problem, got {scores.shape}")


def _mean(tables: list[Floats], by_problem: Floats, unseen: float) -> Mean:
    """`unseen` is added to the sum of squares over problems."""
    n = len(by_problem)
    value = float(by_problem.mean())
    squares = float(np.square(by_problem - value).sum()) + unseen
    over_problems = squares / (max(1, n - 1) * n)
    seeds, shares, rests = [], [], 0.0
    for scores in tables:
        s = len(scores)
        if s < 2:
            continue
        by_seed = scores.mean(axis=1)
        rest = scores - by_seed[:, None] - scores.mean(axis=0)[None, :] + scores.mean()
        least = float(np.square(rest).sum()) / ((s - 1) * max(1, n - 1)) / (s * n)
        seeds.append(max(float(by_seed.var(ddof=1)) / s, least))
        shares.append((seeds[-1] * (s - 1) / student.chi_square_quantile(1 - SHARE, s - 1), s - 1))
        rests += least
    problems = max(over_problems - rests, 0.0)
    total = sum(seeds) + problems
    upper = sum(a for a, _ in shares) + problems
    lost = sum(a * a / df for a, df in shares) + problems**2 / max(1, n - 1)
    df = upper * upper / lost if lost > 0 else math.inf
    return Mean(value, math.sqrt(total), df, tuple(seeds), problems)


def estimate_crossed(scores: Floats, *, confidence: float = 0.95) -> Estimate:
    """Return the mean of `scores` (seeds, problems), each between 0 and 1, with its interval. `n` is of problems."""
    value, mean = float(scores.mean()), mean_of(scores)
    reach = mean.reach(confidence)
    low, high = max(0.0, min(value, mean.value - reach)), min(1.0, max(value, mean.value + reach))
    return Estimate(value, low, high, scores.shape[1], METHOD, mean.se)


def compare_crossed(
    a: str, b: str, scores_a: Floats, scores_b: Floats, *, margin: float, confidence: float = 0.95
) -> Comparison:
    """Test the mean of a − b, shapes (seeds, problems), with its interval: both rest on the same standard error.

    The one-sided bounds are the wider of Student's and of the strict bound over problems, which holds where few
    problems differ.
    """
    mean = difference_of(scores_a, scores_b)
    outer, inner = mean.reach(confidence), mean.reach(1 - 2 * (1 - confidence))
    by_problem = scores_a.mean(axis=0) - scores_b.mean(axis=0)
    strict = bounds.one_sided(bounds.Values.of([by_problem], -1.0, 1.0), confidence)
    lower = max(-1.0, min(mean.value - inner, float(strict[0][0])))
    upper = min(1.0, max(mean.value + inner, float(strict[1][0])))
    p = mean.p()
    mde = (student.quantile(confidence, mean.df) + student.quantile(0.6, mean.df)) * mean.se
    low, high = max(-1.0, mean.value - outer), min(1.0, mean.value + outer)
    result = Comparison(
        a, b, mean.value, low, high, p, p, mde, len(by_problem), METHOD, "undecided", lower, upper
    )
    return replace(result, verdict=decide(result, margin, 1 - confidence))
