"""Bradley–Terry against closed forms, published tables, another algorithm and planted strengths."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.harness.errors import BadInputError, UnmeasuredError
from assay.harness.stats.bradley_terry import ELO, Fit, expected, fit, log_likelihood
from assay.harness.stats.pass_at_k import Floats

# 1987 American League, Eastern Division: Agresti, Categorical Data Analysis (2nd ed., 2002), table 10.10.
TEAMS = ("Milwaukee", "Detroit", "Toronto", "New York", "Boston", "Cleveland", "Baltimore")
BASEBALL = [
    [0, 7, 9, 7, 7, 9, 11],
    [6, 0, 7, 5, 11, 9, 9],
    [4, 6, 0, 7, 7, 8, 12],
    [6, 8, 6, 0, 6, 7, 10],
    [6, 2, 6, 7, 0, 7, 12],
    [4, 4, 5, 6, 6, 0, 6],
    [2, 4, 1, 3, 1, 7, 0],
]
# Citations between journals of statistics, cited against citing: Stigler 1994 (Statist. Sci. 9).
JOURNALS = ("Biometrika", "Comm Statist", "JASA", "JRSS-B")
CITATIONS = [[0, 730, 498, 221], [33, 0, 68, 17], [320, 813, 0, 142], [284, 276, 325, 0]]


def fitted(wins: object, names: tuple[str, ...] = ()) -> Fit:
    table = np.array(wins, dtype=np.float64)
    return fit(table, names or tuple(f"p{i}" for i in range(len(table))))


def se_against(found: Fit, i: int, j: int) -> float:
    c = found.covariance
    return math.sqrt(c[i, i] + c[j, j] - 2 * c[i, j])


@pytest.mark.parametrize(("won", "lost"), [(3, 1), (1, 1), (70, 30), (1, 999), (2.5, 0.5)])
def test_two_players_are_a_log_odds(won: float, lost: float) -> None:
    """θ₁ − θ₂ = ln(w/l), its variance 1/w + 1/l: a binomial's log odds."""
    found = fitted([[0, won], [lost, 0]])
    assert found.strengths[0] - found.strengths[1] == pytest.approx(math.log(won / lost), abs=1e-8)
    assert se_against(found, 0, 1) == pytest.approx(math.sqrt(1 / won + 1 / lost), rel=1e-7)
    assert found.strengths.sum() == pytest.approx(0, abs=1e-12)


def test_a_single_wins_loss() -> None:
    """−log σ(2.0 − 0.5) = 0.2014132780: what a reward model is trained by."""
    win = np.array([[0.0, 1.0], [0.0, 0.0]])
    assert -log_likelihood(win, np.array([2.0, 0.5])) == pytest.approx(0.2014132779827524, abs=1e-15)


def test_four_hundred_elo_points_are_ten_to_one() -> None:
    assert expected(np.array([400 / ELO, 0.0]))[0, 1] == pytest.approx(10 / 11)


def test_agrestis_baseball() -> None:
    """Agresti 2002, table 10.11, column 3, against Baltimore; section 10.6.1: standard errors of about 0.3."""
    found = fitted(BASEBALL, TEAMS)
    against = found.strengths - found.strengths[-1]
    assert np.round(against, 2).tolist() == [1.58, 1.44, 1.29, 1.25, 1.11, 0.68, 0.0]
    assert {round(se_against(found, i, 6), 1) for i in range(6)} == {0.3}


def test_stiglers_citations() -> None:
    """Estimates and standard errors against Biometrika, as Turner and Firth 2012 (J. Statist. Software 48, 9) print
    them."""
    found = fitted(CITATIONS, JOURNALS)
    assert (found.strengths - found.strengths[0])[1:] == pytest.approx(
        [-2.94907, -0.47957, 0.26895], abs=5e-6
    )
    assert [se_against(found, i, 0) for i in (1, 2, 3)] == pytest.approx(
        [0.10255, 0.06059, 0.07083], abs=5e-6
    )


def minorize_maximize(wins: Floats, steps: int = 20_000) -> Floats:
    """Hunter 2004 (Ann. Statist. 32), equation 3: slow, and as plain as can be."""
    games, strength = wins + wins.T, np.ones(len(wins))
    for _ in range(steps):
        strength = wins.sum(axis=1) / (games / (strength[:, None] + strength[None, :])).sum(axis=1)
        strength /= np.exp(np.log(strength).mean())
    return np.log(strength)


def connected(seed: int, m: int, most: int) -> Floats:
    """Random counts, zeros among them, with a cycle of wins so that a maximum exists."""
    rng = np.random.default_rng(seed)
    wins = rng.integers(0, most + 1, (m, m)) * rng.integers(0, 2, (m, m))
    wins[np.arange(m), (np.arange(m) + 1) % m] += 1
    np.fill_diagonal(wins, 0)
    return wins.astype(np.float64)


@pytest.mark.parametrize("seed", range(4))
def test_another_algorithm_finds_the_same(seed: int) -> None:
    wins = connected(seed, 5, 20)
    assert fitted(wins).strengths == pytest.approx(minorize_maximize(wins), abs=1e-7)


@given(st.integers(0, 10**6), st.integers(2, 7), st.sampled_from([1, 9, 1000, 10**6]))
def test_at_the_maximum_every_score_is_the_expected_one(seed: int, m: int, most: int) -> None:
    wins = connected(seed, m, most)
    found = fitted(wins)
    games = wins + wins.T
    off = wins.sum(axis=1) - (games * expected(found.strengths)).sum(axis=1)
    assert math.sqrt(max(0.0, off @ found.covariance @ off)) < 1e-6  # standard errors from the maximum
    assert found.gradient == pytest.approx(np.abs(off).max(), abs=1e-14 * games.sum())
    for away in np.random.default_rng(seed).normal(0, 1e-3, (5, m)):
        assert log_likelihood(wins, found.strengths + away) <= found.log_likelihood + 1e-12 * abs(
            found.log_likelihood
        )


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.lists(st.integers(-6, 6), min_size=2, max_size=6, unique=True))
def test_the_planted_order_is_recovered(seed: int, planted: list[int]) -> None:
    """Strengths 0.3 apart or more and 3,000 games a pair: neighbours' difference is six standard errors or more."""
    theta = 0.3 * np.array(planted)
    m, rng = len(theta), np.random.default_rng(seed)
    wins = np.zeros((m, m))
    for i in range(m):
        for j in range(i):
            wins[i, j] = rng.binomial(3000, expected(theta)[i, j])
            wins[j, i] = 3000 - wins[i, j]
    found = fitted(wins)
    assert np.argsort(found.strengths).tolist() == np.argsort(theta).tolist()
    assert found.strengths == pytest.approx(theta - theta.mean(), abs=0.25)


@given(st.integers(0, 10**6), st.permutations(range(5)))
def test_names_do_not_matter(seed: int, order: list[int]) -> None:
    wins = connected(seed, 5, 30)
    plain, turned = fitted(wins), fitted(wins[np.ix_(order, order)])
    assert turned.strengths == pytest.approx(plain.strengths[order], abs=1e-6)
    assert turned.covariance == pytest.approx(plain.covariance[np.ix_(order, order)], rel=1e-5)


@given(st.integers(0, 10**6))
def test_turned_results_turn_the_strengths_and_repeated_ones_leave_them(seed: int) -> None:
    wins = connected(seed, 5, 30)
    found = fitted(wins)
    assert fitted(wins.T).strengths == pytest.approx(-found.strengths, abs=1e-6)
    thrice = fitted(3 * wins)
    assert thrice.strengths == pytest.approx(found.strengths, abs=1e-6)
    assert thrice.covariance == pytest.approx(found.covariance / 3, rel=1e-5)


def test_even_games_keep_the_order_and_draw_strengths_together() -> None:
    """Each pair as many games more, half won by either."""
    wins = np.array(BASEBALL, dtype=np.float64)
    even = 20 * (1 - np.eye(7))
    found, drawn = fitted(wins), fitted(wins + even)
    assert np.argsort(drawn.strengths).tolist() == np.argsort(found.strengths).tolist()
    assert (np.abs(drawn.strengths) < np.abs(found.strengths)).all()
    assert fitted(even).strengths == pytest.approx(np.zeros(7))


def test_the_error_says_who_never_won_or_lost() -> None:
    with pytest.raises(
        UnmeasuredError, match=r"a never lost against anyone \(7 won\); b, c never won against"
    ):
        fitted([[0, 3, 4], [0, 0, 2], [0, 1, 0]], ("a", "b", "c"))
    with pytest.raises(
        UnmeasuredError,
        match=r"a, b never lost against anyone else \(3 won\); c never won against anyone \(3 lost\)",
    ):
        fitted([[0, 3, 2], [1, 0, 1], [0, 0, 0]], ("a", "b", "c"))


def test_the_error_says_who_never_met() -> None:
    wins = np.zeros((4, 4))
    wins[0, 1] = wins[1, 0] = wins[2, 3] = wins[3, 2] = 5
    with pytest.raises(UnmeasuredError, match="a, b were never compared with c, d, nor through others"):
        fitted(wins, ("a", "b", "c", "d"))
    with pytest.raises(UnmeasuredError, match="no comparison of c, d"):
        fitted([[0, 1, 0, 0], [1, 0, 0, 0], [0] * 4, [0] * 4], ("a", "b", "c", "d"))


def test_a_tie_is_a_way_back() -> None:
    """Half a win: who won all but one tie has a finite strength."""
    assert fitted([[0, 9.5], [0.5, 0]]).strengths[0] == pytest.approx(math.log(19) / 2)


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(2, 6))
def test_refused_exactly_where_a_split_was_never_won(seed: int, m: int) -> None:
    """Ford's condition by trying every split in two."""
    wins = (np.random.default_rng(seed).random((m, m)) < 0.35).astype(np.float64)
    np.fill_diagonal(wins, 0)
    splits = ([(s >> i) & 1 == 1 for i in range(m)] for s in range(1, 2**m - 1))
    ok = all(wins[np.ix_(np.array(side), ~np.array(side))].any() for side in splits)
    if ok:
        assert np.isfinite(fitted(wins).strengths).all()
    else:
        with pytest.raises(UnmeasuredError):
            fitted(wins)


@pytest.mark.parametrize(
    "wins", [[[0, -1], [1, 0]], [[0, math.nan], [1, 0]], [[1, 1], [1, 0]], [[0, 1, 1], [1, 0, 1]], [[0]]]
)
def test_what_is_no_matrix_of_wins_is_refused(wins: list[list[float]]) -> None:
    with pytest.raises(BadInputError):
        fitted(wins)
