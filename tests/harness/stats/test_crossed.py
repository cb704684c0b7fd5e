"""Means over seeds × problems: Student's t against published tables, variances against their definition, coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.harness.errors import BadInputError
from assay.harness.stats.crossed import SHARE, compare_crossed, difference_of, estimate_crossed, mean_of
from assay.harness.stats.student import chi_square_quantile, quantile, two_sided_p


@pytest.mark.parametrize(
    ("df", "confidence", "expected"),
    [
        (1, 0.95, 12.7062),
        (2, 0.95, 4.30265),
        (3, 0.99, 5.84091),
        (10, 0.95, 2.22814),
        (30, 0.90, 1.69726),
        (120, 0.95, 1.97993),
        (1e7, 0.95, 1.95996),
    ],
)
def test_students_quantiles_are_the_tables(df: float, confidence: float, expected: float) -> None:
    assert quantile(confidence, df) == pytest.approx(expected, rel=1e-5)
    assert two_sided_p(expected, df) == pytest.approx(1 - confidence, rel=1e-4)


@given(df=st.floats(0.5, 500), confidence=st.floats(0.5, 0.999))
def test_quantile_and_p_are_inverse(df: float, confidence: float) -> None:
    assert two_sided_p(quantile(confidence, df), df) == pytest.approx(1 - confidence, abs=1e-6)


def test_the_variance_is_that_of_seeds_and_of_problems_less_what_both_hold() -> None:
    """By hand: means 2, 4 over seeds and 1, 3, 5 over problems of the first table, no rest; the second has one seed."""
    scores = np.array([[0.0, 2.0, 4.0], [2.0, 4.0, 6.0]]) / 10
    mean = difference_of(scores, np.zeros((1, 3)))
    seeds = 0.02 / 2  # the variance of 0.2 and 0.4, over two seeds
    problems = (
        (0.08 + 2) / 2 / 3
    )  # of 0.1, 0.3 and 0.5 and of two that none of three showed, over three problems
    assert mean.value == pytest.approx(0.3)
    assert (mean.seeds, mean.problems) == (pytest.approx((seeds,)), pytest.approx(problems))
    assert mean.se == pytest.approx(math.sqrt(seeds + problems))
    upper = seeds / chi_square_quantile(1 - SHARE, 1)
    assert mean.df == pytest.approx((upper + problems) ** 2 / (upper**2 + problems**2 / 2))


def test_a_technique_that_depends_on_its_seed_has_the_wider_interval() -> None:
    rng = np.random.default_rng(0)
    problem = rng.uniform(0.2, 0.8, size=200)
    calm = np.clip(problem + rng.normal(0, 0.05, size=(3, 200)), 0, 1)
    wild = np.clip(calm + np.array([[-0.15], [0.0], [0.15]]), 0, 1)
    widths = [e.high - e.low for e in map(estimate_crossed, (calm, wild))]
    assert widths[1] > 4 * widths[0]


def test_equal_seeds_give_no_less_than_the_interval_over_problems() -> None:
    one = np.random.default_rng(1).binomial(1, 0.4, size=100).astype(float)
    mean = difference_of(np.stack([one] * 3), np.zeros((1, 100)))
    assert mean.se == pytest.approx(one.std(ddof=1) / 10, rel=0.01)
    assert mean.df == pytest.approx(99)


@pytest.mark.parametrize("seeds", [2, 3])
def test_few_seeds_carry_no_tiny_p(seeds: int) -> None:
    """p of 1e-10 to 1e-13 was printed from three seeds whose means fell together by chance."""
    rng = np.random.default_rng(2)
    problem = rng.uniform(0.2, 0.6, size=400)
    alike = problem + rng.normal(0, 0.3, size=(seeds, 400))
    alike += problem.mean() - alike.mean(axis=1, keepdims=True)  # the seeds' means are equal
    p = difference_of(alike + 0.15, problem[None, :] + rng.normal(0, 0.3, size=(1, 400))).p()
    assert 1e-6 < p < 0.05 if seeds == 3 else p > 1e-3


def test_one_problem_or_one_seed_of_many_is_no_crash() -> None:
    """A run with limit = 1 and seeds ended in an error after all its work."""
    one_problem = estimate_crossed(np.array([[1.0], [0.0], [1.0]]))
    assert (one_problem.low, one_problem.high) == (0.0, 1.0)
    c = compare_crossed("a", "b", np.ones((3, 1)), np.zeros((1, 1)), margin=0.05)
    assert c.verdict == "undecided"
    with pytest.raises(BadInputError, match="needs two seeds"):
        difference_of(np.ones((1, 5)), np.zeros((1, 5)))
    with pytest.raises(BadInputError, match=r"got \(1, 5\)"):
        mean_of(np.ones((1, 5)))


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 4), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_what_is_estimated_lies_inside_its_interval(seeds: int, problems: int, seed: int) -> None:
    scores = np.random.default_rng(seed).integers(0, 2, size=(seeds, problems)).astype(float)
    e = estimate_crossed(scores)
    assert 0 <= e.low <= e.value <= e.high <= 1
    c = compare_crossed("a", "b", scores, scores[:1], margin=0.05)
    assert c.low <= c.difference <= c.high
    assert (c.low > 0 or c.high < 0) == (c.p < 0.05)
    back = compare_crossed("b", "a", scores[:1], scores, margin=0.05)
    assert (back.difference, back.p) == (pytest.approx(-c.difference), pytest.approx(c.p))


def test_no_difference_anywhere_is_not_called_certain() -> None:
    c = compare_crossed("a", "b", np.zeros((3, 40)), np.zeros((3, 40)), margin=0.05)
    assert (c.p, c.difference, c.verdict) == (1.0, 0.0, "undecided")
    assert c.high > 0.05
    many = compare_crossed("a", "b", np.zeros((3, 4000)), np.zeros((3, 4000)), margin=0.05)
    assert many.verdict == "equivalent"


def test_one_difference_makes_no_equivalence_of_what_was_undecided() -> None:
    """3 seeds of 20 problems all alike are undecided; with one cell of 60 that differs they were equivalent once."""
    alike = np.ones((3, 20))
    assert compare_crossed("a", "b", alike, alike, margin=0.05).verdict == "undecided"
    other = alike.copy()
    other[0, 0] = 0
    assert compare_crossed("a", "b", alike, other, margin=0.05).verdict == "undecided"
