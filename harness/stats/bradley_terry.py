"""Bradley–Terry strengths of players by maximum likelihood (Zermelo 1929; Bradley and Terry 1952, Biometrika 39).

Player i beats player j with chance σ(θ_i − θ_j). `wins[i, j]` counts i's wins over j, a tie as half a win to each. The
estimate is where every player has the score that is expected of it; that asks of σ to be the expected score, not of
ties to be impossible.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from harness.errors import AssayError, BadInputError, UnmeasuredError
from harness.stats.estimate import Floats

ELO = 400 / math.log(10)  # Elo points a unit of θ: 400 points are odds of ten to one (Elo 1978)
MOST_STEPS = 500
CLOSE = 1e-5  # standard errors, in whatever direction: how far the last step but one may be from the maximum
NAMED = 5  # players that a message lists


@dataclass(frozen=True, slots=True)
class Fit:
    """`strengths` θ sum to zero, shape (players,). `covariance` is theirs, the inverse of the observed information on
    that sum: right where comparisons are independent, too wide where some are ties (a half varies less than a coin).
    `gradient` is the largest |score − expected score| of a player that was left."""

    strengths: Floats
    covariance: Floats
    log_likelihood: float
    gradient: float
    steps: int


def fit(wins: Floats, names: Sequence[str]) -> Fit:
    """Damped Newton on the log-likelihood, which is concave: it converges from anywhere once a maximum exists.

    Raises BadInputError for what is no matrix of wins, UnmeasuredError where there is no maximum.
    """
    _check(wins, names)
    why = no_maximum(wins, names)
    if why is not None:
        raise UnmeasuredError(why)
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
    """Σ wins[i, j] · log σ(θ_i − θ_j)."""
    return float(-(wins * np.logaddexp(0.0, theta[None, :] - theta[:, None])).sum())


def expected(theta: Floats) -> Floats:
    """σ(θ_i − θ_j): the score that i is expected to have in a game against j, one half against itself."""
    chance: Floats = np.exp(-np.logaddexp(0.0, theta[None, :] - theta[:, None]))
    return chance


def surplus(wins: Floats, theta: Floats) -> Floats:
    """Each player's score less what is expected of it: the gradient of the log-likelihood.

    Term by term in small chances: of a million wins and one loss, the difference of scores would keep no digit.
    """
    chance = expected(theta)
    found: Floats = (wins * chance.T - wins.T * chance).sum(axis=1)
    return found


def information(games: Floats, theta: Floats) -> Floats:
    """The observed information at θ, minus the Hessian: a Laplacian whose rows sum to zero."""
    chance = expected(theta)
    weights = games * chance * chance.T
    found: Floats = np.diag(weights.sum(axis=1)) - weights
    return found


def no_maximum(wins: Floats, names: Sequence[str]) -> str | None:
    """Why the likelihood has no single maximum, in words; None where it has one.

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
            f"wins of shape {wins.shape} are no square of two players or more ({len(names)} named)"
        )
    if not np.isfinite(wins).all() or (wins < 0).any() or np.diag(wins).any():
        raise BadInputError("wins have to be finite and not negative, and nobody plays against itself")


def _reach(edges: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Who gets to whom along edges, in any number of steps, none included."""
    reach = edges | np.eye(len(edges), dtype=bool)
    while True:
        further = (reach.astype(np.float32) @ reach.astype(np.float32)) > 0
        if (further == reach).all():
            return reach
        reach = further


def _groups(reach: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    """The strongly connected components, by their first player."""
    mutual = reach & reach.T
    return [np.flatnonzero(row) for i, row in enumerate(mutual) if np.flatnonzero(row)[0] == i]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(str, names[:NAMED]))
    return shown if len(names) <= NAMED else f"{shown} and {len(names) - NAMED} more"
