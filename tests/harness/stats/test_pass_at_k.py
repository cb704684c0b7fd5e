"""pass@k against the published vectors, and intervals against what intervals promise."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.harness.errors import BadInputError
from assay.harness.stats.pass_at_k import estimate_pass_at_k, pass_at_k, wilson

# Chen et al. 2021 (arXiv 2107.03374), equation 1: (n, c, k, value).
VECTORS = [
    (5, 2, 3, 0.9),
    (10, 3, 5, 0.9166666667),
    (200, 10, 1, 0.05),
    (200, 10, 10, 0.408547866081),
    (200, 10, 100, 0.999228973937),
    (20, 1, 10, 0.5),
]


@pytest.mark.parametrize(("n", "c", "k", "value"), VECTORS)
def test_pass_at_k_vectors(n: int, c: int, k: int, value: float) -> None:
    assert pass_at_k(n, c, k) == pytest.approx(value, abs=1e-10)


@given(st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_is_the_share_of_k_subsets_with_a_pass(case: tuple[int, int, int]) -> None:
    n, c, k = case
    subsets = list(itertools.combinations(range(n), k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(any(i < c for i in s) for s in subsets) / len(subsets))


@pytest.mark.parametrize(("n", "c", "k"), [(5, 2, 6), (5, 6, 1), (5, -1, 1), (5, 2, 0)])
def test_impossible_questions_are_refused(n: int, c: int, k: int) -> None:
    with pytest.raises(BadInputError):
        pass_at_k(n, c, k)


def test_refusal_of_k_above_n_says_what_to_do() -> None:
    with pytest.raises(BadInputError, match="pass@10 needs at least 10 samples a problem, there are 5"):
        estimate_pass_at_k([(5, 2)], 10)


def test_no_problems_is_an_error_not_a_zero() -> None:
    with pytest.raises(BadInputError, match="no problems"):
        estimate_pass_at_k([], 1)


def test_wilson_published_value() -> None:
    # Newcombe 1998 (Statist. Med. 17, 857), table I, method 3: 81 of 263 and 15 of 148.
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15 / 148, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)


def test_one_sample_a_problem_takes_wilson() -> None:
    estimate = estimate_pass_at_k([(1, 1)] * 72 + [(1, 0)] * 92, 1)
    assert estimate.method == "Wilson score"
    assert estimate.value == pytest.approx(72 / 164)
    assert (estimate.low, estimate.high) == pytest.approx(wilson(72 / 164, 164))


def test_all_passing_does_not_claim_certainty() -> None:
    estimate = estimate_pass_at_k([(5, 5)] * 164, 1)
    assert estimate.value == estimate.high == 1.0
    assert estimate.low < 0.99


def test_problems_all_alike_do_not_claim_certainty_either() -> None:
    for counts in ([(2, 1)] * 5, [(3, 1)]):
        estimate = estimate_pass_at_k(counts, 1)
        assert estimate.low < estimate.value < estimate.high


def test_a_failure_raises_no_end_of_an_interval() -> None:
    """20 problems, all right: 83.9 to 100 once; with one of them 4 of 5 right 97.0 to 100."""
    all_right = estimate_pass_at_k([(5, 5)] * 20, 1)
    one_missed = estimate_pass_at_k([(5, 4)] + [(5, 5)] * 19, 1)
    assert one_missed.low < all_right.low < 0.9


@settings(max_examples=30)
@given(st.lists(st.integers(0, 6), min_size=2, max_size=40), st.integers(1, 6))
def test_the_interval_contains_the_value_and_stays_in_range(passes: list[int], k: int) -> None:
    estimate = estimate_pass_at_k([(6, c) for c in passes], k)
    assert 0 <= estimate.low <= estimate.value + 1e-12
    assert estimate.value - 1e-12 <= estimate.high <= 1


@pytest.mark.slow
def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    problems, samples, rounds = 150, 4, 300
    covered = 0
    for _ in range(rounds):
        rates = rng.beta(0.6, 0.8, size=problems)  # some easy, some hopeless: as suites are
        counts = [(samples, int(c)) for c in rng.binomial(samples, rates)]
        estimate = estimate_pass_at_k(counts, 1)
        covered += estimate.low <= 0.6 / 1.4 <= estimate.high
    # 95 % nominal: a fair interval falls below 91 % in 300 rounds less than once in a thousand.
    assert covered / rounds > 0.91


def test_sampling_error_shrinks_with_samples_and_problem_error_does_not() -> None:
    rng = np.random.default_rng(3)
    rates = rng.beta(0.6, 0.8, size=300)
    few = estimate_pass_at_k([(2, int(c)) for c in rng.binomial(2, rates)], 1)
    many = estimate_pass_at_k([(200, int(c)) for c in rng.binomial(200, rates)], 1)
    assert few.se is not None
    assert many.se is not None
    assert few.se_sampling is not None
    assert many.se_sampling is not None
    assert many.se_sampling < few.se_sampling / 5
    assert many.se > 0.7 * few.se
    assert not math.isnan(few.se_sampling)
