"""Bounds of a bounded mean, against the exact bounds that they are for 0 and 1 and against drawing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats as oracle

from assay.harness.stats import bounds
from assay.harness.stats.bounds import Values


def one(values: list[float], counts: list[float], floor: float = -1.0, ceiling: float = 1.0) -> Values:
    return Values(np.array([values]), np.array([counts], float), np.array([floor]), np.array([ceiling]))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 400), st.data(), st.floats(0.8, 0.999))
@example(164, None, 0.95)
def test_of_zeros_and_ones_it_is_clopper_and_pearsons(
    n: int, data: st.DataObject | None, confidence: float
) -> None:
    k = n if data is None else data.draw(st.integers(0, n))
    low, high = bounds.one_sided(one([0.0, 1.0], [n - k, k], 0.0), confidence)
    expected = oracle.binomtest(k, n).proportion_ci(2 * confidence - 1, method="exact")
    assert (low[0], high[0]) == pytest.approx((expected.low, expected.high), abs=1e-8)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 500))
def test_of_paired_answers_its_p_is_mcnemars(won: int, lost: int, alike: int) -> None:
    if not won + lost + alike:
        return
    strict = bounds.at_most(one([-1.0, 0.0, 1.0], [lost, alike, won]), 0.0, "floor")
    assert strict[0] == pytest.approx(oracle.binom.sf(won - 1, won + lost, 0.5), rel=1e-6, abs=1e-12)
    exact = oracle.binom.cdf(min(won, lost), won + lost, 0.5)
    mid = min(1.0, 2 * exact - oracle.binom.pmf(min(won, lost), won + lost, 0.5))
    p = bounds.two_sided_p(one([-1.0, 0.0, 1.0], [lost, alike, won]))
    assert p[0] == pytest.approx(mid, rel=1e-6, abs=1e-12)


def test_of_other_values_it_is_what_drawing_the_shares_gives() -> None:
    rng = np.random.default_rng(0)
    for n in (1, 2, 5, 30):
        values = rng.integers(-5, 6, size=n) / 5
        sample = Values.of([values], -1.0, 1.0)
        shares = rng.dirichlet(np.ones(n + 1), size=200_000)
        for limit, further in (("floor", -1.0), ("ceiling", 1.0)):
            drawn = shares @ np.append(values, further)
            for at in (-0.4, -0.1, 0.0, 0.15, 0.5):
                chance = bounds.at_most(sample, at, limit)[0]
                expected = float((drawn <= at).mean())
                error = max(1e-5, 5 * np.sqrt(expected * (1 - expected) / 200_000))
                assert chance == pytest.approx(expected, abs=error)


def test_many_rows_at_once_are_each_by_itself() -> None:
    rng = np.random.default_rng(1)
    rows = [rng.integers(0, 5, size=n) / 4 for n in (1, 3, 20, 164)]
    together = bounds.interval(Values.of(rows, 0.0, 1.0), 0.95)
    for i, row in enumerate(rows):
        alone = bounds.interval(Values.of([row], 0.0, 1.0), 0.95)
        assert (together[0][i], together[1][i]) == pytest.approx((alone[0][0], alone[1][0]), abs=1e-9)


scores = st.lists(st.integers(0, 6), min_size=1, max_size=30)


@settings(max_examples=25, deadline=None)
@given(scores)
def test_interval_lies_between_the_strict_bounds_and_holds_the_mean(sixths: list[int]) -> None:
    sample = Values.of([np.array(sixths) / 6], 0.0, 1.0)
    low, high = (float(end[0]) for end in bounds.interval(sample, 0.95))
    lower, upper = (float(end[0]) for end in bounds.one_sided(sample, 0.975))
    mean = sum(sixths) / len(sixths) / 6
    assert 0 <= lower <= low + 1e-9
    assert low - 1e-9 <= mean <= high + 1e-9
    assert high - 1e-9 <= upper <= 1


@settings(max_examples=25, deadline=None)
@given(scores, st.data())
def test_a_better_answer_lowers_no_bound(sixths: list[int], data: st.DataObject) -> None:
    """The bootstrap's lower end rose by 13 points when one of 20 right problems was missed."""
    place = data.draw(st.integers(0, len(sixths) - 1))
    better = [*sixths]
    better[place] = data.draw(st.integers(sixths[place], 6))
    both = Values.of([np.array(sixths) / 6, np.array(better) / 6], 0.0, 1.0)
    for ends in (*bounds.interval(both, 0.95), *bounds.one_sided(both, 0.95)):
        assert ends[0] <= ends[1] + 1e-8


def test_the_ends_are_where_the_chance_is() -> None:
    rng = np.random.default_rng(2)
    sample = Values.of([rng.integers(-3, 4, size=40) / 3 for _ in range(20)], -1.0, 1.0)
    low, high = bounds.interval(sample, 0.9)
    assert bounds.mid_p(sample, low) == pytest.approx(0.05, abs=1e-7)
    assert bounds.mid_p(sample, high) == pytest.approx(0.95, abs=1e-7)
    lower, upper = bounds.one_sided(sample, 0.9)
    assert bounds.at_most(sample, lower, "floor") == pytest.approx(0.1, abs=1e-7)
    assert bounds.at_most(sample, upper, "ceiling") == pytest.approx(0.9, abs=1e-7)


def tables(n: int) -> np.ndarray:
    """Every (lost, alike, gained) of n problems with at least as many gained as lost: the others are their mirror."""
    gained, lost = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
    kept = (gained + lost <= n) & (gained >= lost)
    return np.stack([lost[kept], (n - gained - lost)[kept], gained[kept]], axis=1).astype(float)


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(200,), tuple(range(1, 61))], ids=["200", "1-60"])
def test_the_interval_excludes_0_exactly_where_p_is_below_its_level(sizes: tuple[int, ...]) -> None:
    """Every table of 200 problems, and all tables of up to 60."""
    counts = np.concatenate([tables(n) for n in sizes])
    limits = np.ones(len(counts))
    sample = Values(np.broadcast_to([-1.0, 0.0, 1.0], counts.shape), counts, -limits, limits)
    p = bounds.two_sided_p(sample)
    low, high = bounds.interval(sample, 0.95)
    assert 0.01 < (p < 0.05).mean() < 0.99
    np.testing.assert_array_equal((low > 0) | (high < 0), p < 0.05)
