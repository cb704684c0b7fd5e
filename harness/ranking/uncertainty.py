"""How far strengths would move with other comparisons: covariance clustered on problems, and resampling."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from harness.errors import BadInputError, UnmeasuredError
from harness.ranking.matches import Matches
from harness.stats.bradley_terry import Fit, expected, fit, no_maximum
from harness.stats.estimate import Floats

FLAT = 1e-9  # of the information: below it, problems do not differ at all in some direction


def clustered_covariance(matches: Matches, found: Fit) -> Floats:
    """The sandwich of Huber (1967) and White (1982), summed within problems (Liang and Zeger 1986), times G/(G − 1).

    Comparisons on one problem may go together as they like; problems are independent. Like every such estimate it is
    on the narrow side where problems are few. Raises UnmeasuredError where they are too few or too much alike to show
    how strengths vary between them in every direction: it would claim certainty there.
    """
    assert matches.problem is not None
    m = len(matches.names)
    clusters = np.unique(matches.problem, return_inverse=True)[1]
    count = int(clusters.max()) + 1
    surplus = matches.times * (matches.score - expected(found.strengths)[matches.first, matches.second])
    scores = np.zeros((count, m))
    np.add.at(scores, (clusters, matches.first), surplus)
    np.add.at(scores, (clusters, matches.second), -surplus)
    spread = scores.T @ scores
    # in units of the information every direction of the strengths is alike, and a flat one shows
    root = _root(found.covariance)
    if count < m or np.linalg.matrix_rank(root @ spread @ root, tol=FLAT * m, hermitian=True) < m - 1:
        raise UnmeasuredError(
            f"{count} problems are too few, or too much alike, to show how {m} strengths vary between problems; add "
            "problems, or take comparisons as independent (--independent)"
        )
    meat = spread * count / (count - 1)
    covariance: Floats = found.covariance @ meat @ found.covariance
    return covariance


def _root(covariance: Floats) -> Floats:
    values, vectors = np.linalg.eigh(covariance)
    root: Floats = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return root


def resampled_strengths(
    matches: Matches, times: int, *, seed: int, on_resample: Callable[[int], None] = lambda done: None
) -> Floats:
    """Strengths (sum zero) of `times` resamples, shape (times, players); NaN where a resample has no maximum.

    Problems are drawn with replacement where comparisons name them, else comparisons: a multinomial bootstrap.
    """
    if not matches.ties_known:
        raise BadInputError(
            "wins that hold ties as halves cannot be resampled: nothing says how many were ties; give them as 'ties'"
        )
    rng = np.random.default_rng(seed)
    clusters = None if matches.problem is None else np.unique(matches.problem, return_inverse=True)[1]
    count = matches.n if clusters is None else int(clusters.max()) + 1
    shares = matches.times / matches.times.sum() if clusters is None else np.full(count, 1 / count)
    drawn = np.full((times, len(matches.names)), np.nan)
    for i in range(times):
        often = rng.multinomial(count, shares).astype(np.float64)
        wins = matches.wins(often if clusters is None else matches.times * often[clusters])
        if no_maximum(wins, matches.names) is None:
            drawn[i] = fit(wins, matches.names).strengths
        on_resample(i + 1)
    return drawn


def percentiles(drawn: Floats, confidence: float) -> tuple[Floats, Floats]:
    """The ends of the interval of each column. A resample without a maximum may lie beyond either end: it counts as
    −∞ for the lower and as +∞ for the upper one, so that an end is infinite where there are too many of them."""
    tail = (1 - confidence) / 2
    low = np.quantile(np.where(np.isnan(drawn), -np.inf, drawn), tail, axis=0, method="lower")
    high = np.quantile(np.where(np.isnan(drawn), np.inf, drawn), 1 - tail, axis=0, method="higher")
    return low, high
