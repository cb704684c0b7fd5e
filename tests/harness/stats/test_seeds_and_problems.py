"""Means over seeds × problems: Student's t against published tables, variances against their definition, coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.harness.errors import BadInputError
from assay.harness.stats.paired import (
    compare_crossed,
    estimate_crossed,
    quantile,
    standard_error,
    two_sided_p,
)


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


def test_the_variance_is_that_of_the_two_way_table() -> None:
    """By hand: means 2, 4 over seeds and 1, 3, 5 over problems, no rest. MS_seed = 3·2 = 6, MS_problem = 2·8/2 = 8."""
    scores = np.array([[0.0, 2.0, 4.0], [2.0, 4.0, 6.0]])
    se, df = standard_error(scores)
    assert se == pytest.approx(math.sqrt((6 + 8 - 0) / 6))
    assert df == pytest.approx(14**2 / (6**2 / 1 + 8**2 / 2))


def test_a_technique_that_depends_on_its_seed_has_the_wider_interval() -> None:
    rng = np.random.default_rng(0)
    problem = rng.uniform(0.2, 0.8, size=200)
    calm = np.clip(problem + rng.normal(0, 0.05, size=(3, 200)), 0, 1)
    wild = np.clip(calm + np.array([[-0.15], [0.0], [0.15]]), 0, 1)
    widths = [e.high - e.low for e in map(estimate_crossed, (calm, wild))]
    assert widths[1] > 4 * widths[0]


def test_equal_seeds_give_the_interval_over_problems() -> None:
    """Three copies of one run hold no more than the run: t with P − 1 degrees of freedom on its problems."""
    one = np.random.default_rng(1).binomial(1, 0.4, size=100).astype(float)
    se, df = standard_error(np.stack([one] * 3))
    assert se == pytest.approx(one.std(ddof=1) / 10)
    assert df == pytest.approx(99)


@settings(max_examples=50)
@given(st.integers(2, 4), st.integers(2, 12), st.integers(0, 2**32 - 1))
def test_what_is_estimated_lies_inside_its_interval(seeds: int, problems: int, seed: int) -> None:
    scores = np.random.default_rng(seed).integers(0, 2, size=(seeds, problems)).astype(float)
    e = estimate_crossed(scores)
    assert 0 <= e.low <= e.value <= e.high <= 1
    c = compare_crossed("a", "b", scores - scores[:1], margin=0.05)
    assert c.low <= c.difference <= c.high
    back = compare_crossed("b", "a", scores[:1] - scores, margin=0.05)
    assert (back.difference, back.p) == (pytest.approx(-c.difference), pytest.approx(c.p))


@pytest.mark.parametrize("seed_sd", [0.0, 0.03, 0.1])
def test_the_interval_covers_as_often_as_it_says(seed_sd: float) -> None:
    """95 % of 500 experiments with 3 seeds and 60 problems cover the truth, within what 500 can tell."""
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(500):
        scores = (
            0.5
            + rng.normal(0, seed_sd, size=(3, 1))
            + rng.normal(0, 0.2, size=(1, 60))
            + rng.normal(0, 0.3, size=(3, 60))
        )
        se, df = standard_error(scores)
        hits += abs(scores.mean() - 0.5) <= quantile(0.95, df) * se
    assert 0.92 <= hits / 500 <= 0.999


def test_one_seed_or_one_problem_has_no_variance_to_take() -> None:
    with pytest.raises(BadInputError, match="got 1 x 5"):
        standard_error(np.zeros((1, 5)))


def test_no_difference_anywhere_is_not_called_certain() -> None:
    c = compare_crossed("a", "b", np.zeros((3, 40)), margin=0.05)
    assert (c.p, c.difference, c.verdict) == (1.0, 0.0, "undecided")
    assert c.high > 0.05
    many = compare_crossed("a", "b", np.zeros((3, 4000)), margin=0.05)
    assert many.verdict == "equivalent"
