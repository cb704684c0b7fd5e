"""Rank players by their comparisons: strengths with intervals, Elo, and who is proven stronger than whom."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from statistics import NormalDist
from typing import Any

import numpy as np

from assay.harness.errors import BadInputError
from assay.harness.stats.bradley_terry import (
    ELO,
    Fit,
    clustered_covariance,
    expected,
    fit,
    percentiles,
    resampled_strengths,
)
from assay.harness.stats.paired import Comparison, adjust, ranks
from assay.harness.stats.pass_at_k import Floats
from assay.harness.stats.student import quantile, two_sided_p
from assay.harness.stats.votes import Matches

ELO_ANCHOR = 1000.0
FEWEST_RESAMPLES = 200  # below it, the ends of a 95 % interval rest on fewer than five draws


@dataclass(frozen=True, slots=True)
class Standing:
    """One player's place.

    `strength` is in log odds against the anchor, `low` to `high` its interval (None where that is unmeasured). `rank`
    is one plus the number of players proven stronger. A tie is half a win; `wins` leave ties out, and are None, with
    `ties` and `losses`, where the file does not distinguish them.
    """

    rank: int
    name: str
    strength: float
    se: float
    low: float | None
    high: float | None
    elo: float
    elo_low: float | None
    elo_high: float | None
    games: int
    wins: int | None
    ties: int | None
    losses: int | None


@dataclass(frozen=True, slots=True)
class Ranking:
    """The ranking: `standings`, the strongest first.

    `differences` hold every pair, stronger − weaker, in log odds, `n` counting problems or else comparisons.
    `chances[i][j]` is the expected score of standing i against standing j, None against itself. `anchor` is the player
    at 0, None for the mean of all.
    """

    standings: tuple[Standing, ...]
    differences: tuple[Comparison, ...]
    chances: tuple[tuple[float | None, ...], ...]
    anchor: str | None
    elo_anchor: float
    confidence: float
    interval: str
    test: str
    n: int
    n_problems: int | None
    log_likelihood: float
    gradient: float
    unmeasured: dict[str, str]

    @property
    def tied_ranks(self) -> frozenset[int]:
        """The ranks that several players share."""
        given = [s.rank for s in self.standings]
        return frozenset(rank for rank in given if given.count(rank) > 1)

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"ties": "half a win to each", "elo_scale": ELO}


def rank(
    matches: Matches,
    *,
    anchor: str | None = None,
    elo_anchor: float = ELO_ANCHOR,
    confidence: float = 0.95,
    resamples: int = 0,
    seed: int = 0,
    on_resample: Callable[[int], None] = lambda done: None,
) -> Ranking:
    """Rank the players in `matches` by their Bradley–Terry strengths.

    Standard errors, intervals and tests are clustered on problems where the comparisons name them (Student's t with
    problems − 1 degrees of freedom), else they take comparisons as independent and the observed information; with
    `resamples` the intervals are percentiles of a bootstrap instead. Each pair is tested (Wald, Holm over all pairs).
    Raises BadInputError and UnmeasuredError.
    """
    _check(matches, anchor, elo_anchor, confidence, resamples)
    fitted = fit(matches.wins(), matches.names)
    if matches.problem is None:
        covariance, freedom = fitted.covariance, math.inf
        how = "observed information, comparisons independent"
    else:
        covariance, freedom = clustered_covariance(matches, fitted), (matches.n_problems or 0) - 1.0
        how = "sandwich clustered on problems"
    away = _from_anchor(matches, anchor)
    theta, se = away @ fitted.strengths, np.sqrt(np.maximum(np.diag(away @ covariance @ away.T), 0))
    reach = quantile(confidence, freedom) * se
    low, high, unmeasured, interval = theta - reach, theta + reach, {}, how
    if resamples:
        drawn = resampled_strengths(matches, resamples, seed=seed, on_resample=on_resample) @ away.T
        low, high = percentiles(drawn, confidence)
        what = "comparisons" if matches.problem is None else "problems"
        interval = f"bootstrap over {what}, {resamples} resamples, seed {seed}"
        lost = int(np.isnan(drawn).any(axis=1).sum())
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            unmeasured["interval"] = (
                f"{lost} of {resamples} resamples have no finite strengths (somebody never wins or never loses in them)"
            )
    pairs = _differences(matches, fitted, covariance, freedom, confidence, f"Wald, {how}")
    table = _standings(matches, theta, se, low, high, pairs, elo_anchor)
    order = [matches.names.index(s.name) for s in table]
    chance = expected(fitted.strengths)[np.ix_(order, order)]
    return Ranking(
        standings=tuple(table),
        differences=tuple(pairs),
        chances=tuple(
            tuple(None if i == j else float(p) for j, p in enumerate(row)) for i, row in enumerate(chance)
        ),
        anchor=anchor,
        elo_anchor=elo_anchor,
        confidence=confidence,
        interval=interval,
        test=f"Wald, {how}; Holm over {len(pairs)} pairs",
        n=matches.n,
        n_problems=matches.n_problems,
        log_likelihood=fitted.log_likelihood,
        gradient=fitted.gradient,
        unmeasured=unmeasured,
    )


def _check(
    matches: Matches, anchor: str | None, elo_anchor: float, confidence: float, resamples: int
) -> None:
    """Raise BadInputError for a setting that no ranking can be made by."""
    if not 0 < confidence < 1:
        raise BadInputError(f"confidence has to lie between 0 and 1, got {confidence}")
    if not math.isfinite(elo_anchor):
        raise BadInputError(f"the anchor's Elo has to be a number, got {elo_anchor}")
    if anchor is not None and anchor not in matches.names:
        raise BadInputError(f"the anchor {anchor!r} is not among the names: {', '.join(matches.names)}")
    if resamples and resamples < FEWEST_RESAMPLES:
        raise BadInputError(f"{resamples} resamples give no interval: take {FEWEST_RESAMPLES} or more")


def _from_anchor(matches: Matches, anchor: str | None) -> Floats:
    """Return the matrix that subtracts from all strengths the anchor's, or their mean."""
    m = len(matches.names)
    taken = np.full(m, 1 / m) if anchor is None else np.eye(m)[matches.names.index(anchor)]
    away: Floats = np.eye(m) - taken
    return away


def _differences(
    matches: Matches, fitted: Fit, covariance: Floats, freedom: float, confidence: float, method: str
) -> list[Comparison]:
    alpha, n = 1 - confidence, matches.n_problems or matches.n
    reach = quantile(confidence, freedom)
    order = sorted(range(len(matches.names)), key=lambda i: -fitted.strengths[i])
    pairs = []
    for i, j in combinations(order, 2):
        difference = float(fitted.strengths[i] - fitted.strengths[j])
        se = float(np.sqrt(covariance[i, i] + covariance[j, j] - 2 * covariance[i, j]))
        p = two_sided_p(difference / se, freedom)
        ends = (difference - reach * se, difference + reach * se)
        mde = (reach + NormalDist().inv_cdf(0.8)) * se
        one = Comparison(
            matches.names[i], matches.names[j], difference, *ends, p, p, mde, n, method, "undecided"
        )
        pairs.append(replace(one, verdict="better") if p < alpha else one)
    return adjust(pairs, alpha=alpha)


def _standings(
    matches: Matches,
    theta: Floats,
    se: Floats,
    low: Floats,
    high: Floats,
    pairs: list[Comparison],
    elo_anchor: float,
) -> list[Standing]:
    places = ranks(matches.names, pairs)
    scored, tied = matches.wins(), matches.ties().sum(axis=1)
    won, lost = scored.sum(axis=1) - tied / 2, scored.sum(axis=0) - tied / 2
    table = []
    for i, name in enumerate(matches.names):
        ends = [float(x[i]) if np.isfinite(x[i]) else None for x in (low, high)]
        counts = [round(float(x[i])) if matches.ties_known else None for x in (won, tied, lost)]
        table.append(
            Standing(
                rank=places[name],
                name=name,
                strength=float(theta[i]),
                se=float(se[i]),
                low=ends[0],
                high=ends[1],
                elo=elo_anchor + float(ELO * theta[i]),
                elo_low=None if ends[0] is None else elo_anchor + ELO * ends[0],
                elo_high=None if ends[1] is None else elo_anchor + ELO * ends[1],
                games=round(float(scored[i].sum() + scored[:, i].sum())),
                wins=counts[0],
                ties=counts[1],
                losses=counts[2],
            )
        )
    # by estimate: a player that is estimated weaker may hold a better rank, where less is known of it
    return sorted(table, key=lambda s: (-s.strength, s.name))
