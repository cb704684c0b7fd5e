"""Fit Bradley–Terry strengths by maximum likelihood (Zermelo 1929; Bradley and Terry 1952, Biometrika 39).

Player i beats player j with chance σ(θ_i − θ_j). `wins[i, j]` counts i's wins over j, a tie as half a win to each. At
the estimate every player has its expected score; that needs σ to be the expected score, and allows ties. Uncertainty
comes from the observed information, from a covariance clustered on problems, or from resampling.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from assay.harness.errors import AssayError, BadInputError, UnmeasuredError
from assay.harness.stats.pass_at_k import Floats
from assay.harness.stats.votes import Matches

ELO = 400 / math.log(10)  # Elo points a unit of θ: 400 points are odds of ten to one (Elo 1978)
MOST_STEPS = 500
CLOSE = 1e-5  # standard errors in any direction that the last step but one may be from the maximum
NAMED = 5  # players that a message lists
FLAT = 1e-9  # of the information: below it, problems do not differ at all in some direction


@dataclass(frozen=True, slots=True)
class Fit:
    """The fitted strengths θ, which sum to zero, shape (players,).

    `covariance` is the inverse of the observed information on that sum: right where comparisons are independent, too
    wide where some are ties (a half varies less than a coin). `gradient` is the largest remaining |score − expected
    score| of a player.
    """

    strengths: Floats
    covariance: Floats
    log_likelihood: float
    gradient: float
    steps: int


def fit(wins: Floats, names: Sequence[str]) -> Fit:
    """Fit by damped Newton steps on the log-likelihood, which is concave: they converge wherever a maximum exists.

    Raises BadInputError for a `wins` that is not a matrix of wins, UnmeasuredError where there is no maximum.
    """
    _check(wins, names)
    reason = no_maximum(wins, names)
    if reason is not None:
        raise UnmeasuredError(reason)
    m, games = len(wins), wins + wins.T
    theta = np.zeros(m)
    value = log_likelihood(wins, theta)
    for step in range(1, MOST_STEPS + 1):
        gradient = surplus(wins, theta)
        direction = np.linalg.solve(information(games, theta) + 1 / m, gradient)
        slope = float(gradient @ direction)
        if slope <= CLOSE**2:  # the last step may go in full: Newton's error falls to about its square
            theta = theta + direction
            return _done(wins, theta - theta.mean(), step)
        scale = 1.0
        while scale > 1e-12:
            trial = theta + scale * direction
            reached = log_likelihood(wins, trial)
            if reached >= value + 1e-4 * scale * slope - 1e-14 * abs(value):
                break
            scale /= 2
        theta, value = trial - trial.mean(), reached
    raise AssayError(f"Bradley–Terry: no convergence in {MOST_STEPS} steps, scores off by {gradient}")


def _done(wins: Floats, theta: Floats, steps: int) -> Fit:
    m = len(wins)
    inverse = np.asarray(np.linalg.inv(information(wins + wins.T, theta) + 1 / m), dtype=np.float64)
    left = float(np.abs(surplus(wins, theta)).max())
    return Fit(theta, inverse - 1 / m, log_likelihood(wins, theta), left, steps)


def log_likelihood(wins: Floats, theta: Floats) -> float:
    """Return Σ wins[i, j] · log σ(θ_i − θ_j)."""
    return float(-(wins * np.logaddexp(0.0, theta[None, :] - theta[:, None])).sum())


def expected(theta: Floats) -> Floats:
    """Return σ(θ_i − θ_j), the expected score of i in a game against j, as [i, j]; one half against itself."""
    chance: Floats = np.exp(-np.logaddexp(0.0, theta[None, :] - theta[:, None]))
    return chance


def surplus(wins: Floats, theta: Floats) -> Floats:
    """Return each player's score less its expected score: the gradient of the log-likelihood.

    It is summed in small chances: of a million wins and one loss, the difference of scores would keep no digit.
    """
    chance = expected(theta)
    gradient: Floats = (wins * chance.T - wins.T * chance).sum(axis=1)
    return gradient


def information(games: Floats, theta: Floats) -> Floats:
    """Return the observed information at θ, minus the Hessian: a Laplacian whose rows sum to zero."""
    chance = expected(theta)
    weights = games * chance * chance.T
    laplacian: Floats = np.diag(weights.sum(axis=1)) - weights
    return laplacian


def no_maximum(wins: Floats, names: Sequence[str]) -> str | None:
    """Return the reason why the likelihood has no single maximum; None where it has one.

    It has one exactly where, however the players are split in two, each side has beaten the other at least once (Ford
    1957, Amer. Math. Monthly 64): the graph of wins is strongly connected. A tie is half a win both ways.
    """
    games = wins + wins.T
    idle = [name for name, played in zip(names, games.sum(axis=1), strict=True) if played == 0]
    if idle:
        return f"no comparison of {_listed(idle)}: their strength cannot be estimated; leave them out"
    met = _reach(games > 0)
    if not met.all():
        here, there = (_listed(list(compress(names, side))) for side in (met[0], ~met[0]))
        return (
            f"{here} were never compared with {there}, nor "
            "through others: no strengths hold for both; compare them, or rank them apart"
        )
    reach = _reach(wins > 0)
    if reach.all():
        return None
    faults = []
    for group in _groups(reach):
        others = np.setdiff1d(np.arange(len(wins)), group)
        who = _listed([names[i] for i in group])
        won, lost = wins[np.ix_(group, others)].sum(), wins[np.ix_(others, group)].sum()
        against = "anyone" if len(group) == 1 else "anyone else"
        if won == 0:
            faults.append(f"{who} never won against {against} ({lost:g} lost)")
        elif lost == 0:
            faults.append(f"{who} never lost against {against} ({won:g} won)")
    return (
        f"no finite strengths fit: {'; '.join(faults)} (Ford 1957: each side of every split has to win once); "
        "compare more, or leave them out"
    )


def _check(wins: Floats, names: Sequence[str]) -> None:
    if wins.shape != (len(names), len(names)) or len(names) < 2:
        raise BadInputError(
            f"wins of shape {wins.shape} are not a square of two players or more ({len(names)} named)"
        )
    if not np.isfinite(wins).all() or (wins < 0).any() or np.diag(wins).any():
        raise BadInputError("wins have to be finite and not negative, and nobody plays against itself")


def _reach(edges: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the transitive closure of edges, every player itself included."""
    reach = edges | np.eye(len(edges), dtype=bool)
    while True:
        further = (reach.astype(np.float32) @ reach.astype(np.float32)) > 0
        if (further == reach).all():
            return reach
        reach = further


def _groups(reach: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    """Return the strongly connected components, by their first player."""
    mutual = reach & reach.T
    return [np.flatnonzero(row) for i, row in enumerate(mutual) if np.flatnonzero(row)[0] == i]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(str, names[:NAMED]))
    return shown if len(names) <= NAMED else f"{shown} and {len(names) - NAMED} more"


def clustered_covariance(matches: Matches, fitted: Fit) -> Floats:
    """Return the sandwich covariance, summed within problems.

    It is that of Huber (1967) and White (1982), clustered as by Liang and Zeger (1986), times G/(G − 1). Comparisons on
    one problem may depend on each other in any way; problems are independent. Like every such estimate it is on the
    narrow side where problems are few. Raises UnmeasuredError where they are too few or too much alike to show how
    strengths vary between them in every direction: it would claim certainty there.
    """
    assert matches.problem is not None
    m = len(matches.names)
    clusters = np.unique(matches.problem, return_inverse=True)[1]
    count = int(clusters.max()) + 1
    surplus = matches.times * (matches.score - expected(fitted.strengths)[matches.first, matches.second])
    scores = np.zeros((count, m))
    np.add.at(scores, (clusters, matches.first), surplus)
    np.add.at(scores, (clusters, matches.second), -surplus)
    spread = scores.T @ scores
    # in units of the information every direction of the strengths is alike, and a flat one shows
    root = _root(fitted.covariance)
    if count < m or np.linalg.matrix_rank(root @ spread @ root, tol=FLAT * m, hermitian=True) < m - 1:
        raise UnmeasuredError(
            f"{count} problems are too few, or too much alike, to show how {m} strengths vary between problems; add "
            "problems, or take comparisons as independent (--independent)"
        )
    meat = spread * count / (count - 1)
    covariance: Floats = fitted.covariance @ meat @ fitted.covariance
    return covariance


def _root(covariance: Floats) -> Floats:
    values, vectors = np.linalg.eigh(covariance)
    root: Floats = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return root


def resampled_strengths(
    matches: Matches, times: int, *, seed: int, on_resample: Callable[[int], None] = lambda done: None
) -> Floats:
    """Return strengths (sum zero) of `times` resamples, shape (times, players); NaN where one has no maximum.

    Problems are drawn with replacement where comparisons name them, else comparisons: a multinomial bootstrap.
    """
    if not matches.ties_known:
        raise BadInputError(
            "wins that hold ties as halves cannot be resampled: how many were ties is unknown; give them as 'ties'"
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
    """Return the ends of the interval of each column.

    A resample without a maximum may lie beyond either end: it counts as −∞ for the lower and as +∞ for the upper one,
    so that an end is infinite where there are too many of them.
    """
    tail = (1 - confidence) / 2
    low = np.quantile(np.where(np.isnan(drawn), -np.inf, drawn), tail, axis=0, method="lower")
    high = np.quantile(np.where(np.isnan(drawn), np.inf, drawn), 1 - tail, axis=0, method="higher")
    return low, high
