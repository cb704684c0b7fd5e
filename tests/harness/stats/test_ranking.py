"""Intervals against the coverage they promise, and ranks against what they claim."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from assay.harness.errors import BadInputError, UnmeasuredError
from assay.harness.stats import Matches, Ranking, rank
from assay.harness.stats.bradley_terry import ELO, expected
from assay.harness.stats.pass_at_k import Floats
from assay.harness.stats.votes import from_rows, from_table

PLANTED = np.array([0.6, 0.2, -0.2, -0.6])


def play(
    rng: np.random.Generator, problems: int, games: int, *, spread: float = 0.0, ties: float = 0.0
) -> Matches:
    """Every pair of four players on every problem, `games` times. On a problem, a player's strength is off by a draw
    of deviation `spread`; `ties` is the share of the largest chance of a tie that leaves expected scores alone."""
    rows = []
    for problem in range(problems):
        chance = expected(PLANTED + rng.normal(0, spread, len(PLANTED)))
        for i, j in combinations(range(len(PLANTED)), 2):
            tied = ties * min(chance[i, j], 1 - chance[i, j])
            draws = rng.random(games)
            score = np.where(
                draws < chance[i, j] - tied, 1.0, np.where(draws < chance[i, j] + tied, 0.5, 0.0)
            )
            rows += [(f"p{i}", f"p{j}", float(s), str(problem)) for s in score]
    return from_rows(rows)


def strengths(ranking: Ranking) -> Floats:
    return np.array([s.strength for s in sorted(ranking.standings, key=lambda s: s.name)])


def coverage(make: Callable[[int], Ranking], truth: Floats, rounds: int) -> float:
    """How often the intervals hold the truth, over players and rounds."""
    inside = 0
    for i in range(rounds):
        for s in make(i).standings:
            assert s.low is not None
            assert s.high is not None
            inside += s.low <= truth[int(s.name[1])] <= s.high
    return inside / rounds / len(truth)


def test_independent_games_are_covered_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    found = coverage(lambda _: rank(replace(play(rng, 10, 3), problem=None)), PLANTED, 250)
    # 95 % nominal, 1,000 intervals of which those of a round depend on each other
    assert 0.93 < found < 0.97


def test_ties_make_the_observed_information_wide_never_narrow() -> None:
    rng = np.random.default_rng(2)
    found = coverage(lambda _: rank(replace(play(rng, 30, 1, ties=0.6), problem=None)), PLANTED, 120)
    assert found > 0.97


def test_clustered_on_problems_they_cover_what_independence_does_not() -> None:
    """Where a player's strength goes with the problem, games on one problem are no independent ones."""
    rng = np.random.default_rng(3)
    truth = strengths(rank(play(rng, 4000, 1, spread=1.0)))  # what averaging over problems leaves of PLANTED
    drawn = [play(rng, 20, 5, spread=1.0) for _ in range(150)]
    assert 0.92 < coverage(lambda i: rank(drawn[i]), truth, 150) < 0.985
    assert coverage(lambda i: rank(replace(drawn[i], problem=None)), truth, 150) < 0.85


def test_the_bootstrap_over_problems_agrees_with_the_sandwich() -> None:
    matches = play(np.random.default_rng(4), 60, 3, spread=0.8)
    formula, drawn = rank(matches), rank(matches, resamples=400, seed=1)
    assert rank(matches, resamples=400, seed=1) == drawn
    assert "bootstrap over problems, 400 resamples, seed 1" in drawn.interval
    for a, b in zip(formula.standings, drawn.standings, strict=True):
        assert None not in (a.low, a.high, b.low, b.high)
        assert b.high - b.low == pytest.approx(a.high - a.low, rel=0.2)  # type: ignore[operator]
        assert a.strength == b.strength


def test_a_bootstrap_over_comparisons_agrees_with_the_information() -> None:
    matches = from_table("ab", np.array([[0.0, 120.0], [60.0, 0.0]]))
    formula, drawn = (rank(matches, anchor="b", resamples=n) for n in (0, 2000))
    assert (drawn.standings[0].low, drawn.standings[0].high) == pytest.approx(
        (formula.standings[0].low, formula.standings[0].high), abs=0.05
    )


def test_resamples_without_a_maximum_leave_the_interval_unmeasured() -> None:
    """One loss in eight: a third of the resamples have none."""
    found = rank(from_table("ab", np.array([[0.0, 7.0], [1.0, 0.0]])), resamples=300)
    assert found.standings[0].low is None
    assert found.standings[0].high is None
    assert "of 300 resamples have no finite strengths" in found.unmeasured["interval"]


def test_the_anchor_is_at_zero_and_at_its_elo() -> None:
    matches = play(np.random.default_rng(5), 40, 2)
    free, held = rank(matches), rank(matches, anchor="p2", elo_anchor=1500)
    at = {s.name: s for s in held.standings}
    assert (at["p2"].strength, at["p2"].low, at["p2"].high, at["p2"].elo) == pytest.approx((0, 0, 0, 1500))
    assert strengths(held) - strengths(held).mean() == pytest.approx(strengths(free), abs=1e-9)
    assert at["p0"].elo - 1500 == pytest.approx(ELO * at["p0"].strength)
    assert sum(s.strength for s in free.standings) == pytest.approx(0, abs=1e-9)
    assert [s.elo for s in free.standings] == pytest.approx([1000 + ELO * s.strength for s in free.standings])
    assert held.differences == free.differences  # who is stronger than whom is no matter of the anchor


def test_counts_and_chances() -> None:
    rows = [("a", "b", 1.0, None)] * 3 + [("b", "a", 1.0, None), ("b", "a", 0.5, None), ("b", "a", 0.5, None)]
    found = rank(from_rows(rows))
    first, second = found.standings
    assert (first.name, first.games, first.wins, first.ties, first.losses) == ("a", 6, 3, 2, 1)
    assert (second.games, second.wins, second.ties, second.losses) == (6, 1, 2, 3)
    assert found.chances[0][1] == pytest.approx(4 / 6)  # its score, ties half
    assert found.chances[1] == (pytest.approx(2 / 6), None)


def test_what_is_not_proven_shares_a_rank() -> None:
    few, many = (rank(from_table("abc", k * np.array([[0, 6, 18.0], [6, 0, 8], [2, 6, 0]]))) for k in (1, 40))
    assert [s.rank for s in few.standings] == [1, 1, 2]  # a against c is proven, nothing else
    assert few.tied_ranks == {1}
    assert [s.rank for s in many.standings] == [1, 2, 3]
    assert all(c.verdict == "better" for c in many.differences)
    assert all(c.p_adjusted >= c.p for c in few.differences)


def test_equals_are_told_apart_as_seldom_as_it_says() -> None:
    rng = np.random.default_rng(6)
    rounds, alarms = 400, 0
    for _ in range(rounds):
        upper = np.triu(rng.binomial(40, 0.5, (4, 4)), 1)
        wins = (upper + np.tril(40 - upper.T, -1)).astype(float)
        alarms += any(c.verdict != "undecided" for c in rank(from_table("abcd", wins)).differences)
    assert alarms / rounds < 0.09  # 5 % nominal for the whole family


def test_problems_too_few_or_too_much_alike_claim_no_certainty() -> None:
    row = [("a", "b", 1.0), ("a", "b", 1.0), ("a", "b", 0.0)]
    alike = from_rows([(*r, str(problem)) for problem in range(30) for r in row])
    with pytest.raises(UnmeasuredError, match=r"30 problems are too few, or too much alike.*--independent"):
        rank(alike)
    assert rank(replace(alike, problem=None)).standings[0].rank == 1
    with pytest.raises(UnmeasuredError, match="3 problems are too few"):
        rank(play(np.random.default_rng(7), 3, 9))


def test_impossible_questions_are_refused() -> None:
    matches = from_table("ab", np.array([[0, 2.5], [1.5, 0]]))
    assert rank(matches).standings[0].ties is None
    with pytest.raises(BadInputError, match="cannot be resampled: how many were ties is unknown"):
        rank(matches, resamples=500)
    with pytest.raises(BadInputError, match="'x' is not among the names: a, b"):
        rank(matches, anchor="x")
    with pytest.raises(BadInputError, match="20 resamples give no interval"):
        rank(matches, resamples=20)
    with pytest.raises(BadInputError, match="between 0 and 1, got 95"):
        rank(matches, confidence=95)
    with pytest.raises(BadInputError, match="has to be a number, got inf"):
        rank(matches, elo_anchor=float("inf"))
    with pytest.raises(BadInputError, match="no comparison"):
        rank(from_table("ab", np.zeros((2, 2))))
