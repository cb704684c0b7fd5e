"""The test over all pairs, the split of noise and the odd problems, against other ways to compute them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from assay.harness.decide import statistics
from assay.harness.stats.paired import compare, holm


def counts(seed: int, models: int, problems: int, samples: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    chance = np.clip(rng.random(problems) + np.linspace(-0.2, 0.2, models)[:, None], 0, 1)
    return np.full((models, problems), samples), rng.binomial(samples, chance)


@pytest.mark.parametrize("samples", [1, 3])
def test_all_pairs_are_tested_as_each_pair_is(samples: int) -> None:
    n, c = counts(1, 5, 60, samples)
    pairs = statistics.all_pairs(n, c, confidence=0.95)
    upper = [(i, j) for i in range(5) for j in range(i + 1, 5)]
    expected = []
    for i, j in upper:
        difference = (c[i] - c[j]) / samples
        assert pairs.difference[i, j] == pytest.approx(difference.mean())
        assert pairs.difference[j, i] == -pairs.difference[i, j]
        expected.append(pairs.p[i, j])
        alone = compare("i", "j", c[i] / samples, c[j] / samples, binary=samples == 1, margin=0.05)
        assert pairs.p[i, j] == pytest.approx(alone.p, rel=1e-6)
    assert [pairs.p_adjusted[i, j] for i, j in upper] == holm(expected)
    assert (pairs.p_adjusted == pairs.p_adjusted.T)[~np.eye(5, dtype=bool)].all()


def test_a_rank_is_one_plus_the_models_proven_better() -> None:
    n = np.ones((3, 40), int)
    c = np.zeros((3, 40), int)
    c[0, :38], c[1, :37], c[2, :5] = 1, 1, 1
    assert statistics.all_pairs(n, c, confidence=0.95).ranks.tolist() == [1, 1, 3]


def test_a_problem_that_one_of_a_pair_did_not_measure_is_left_out_of_that_pair() -> None:
    n, c = counts(2, 3, 50, 1)
    n[1, :10], c[1, :10] = 0, 0
    pairs = statistics.all_pairs(n, c, confidence=0.95)
    assert pairs.n[0, 1] == pairs.n[1, 2] == 40
    assert pairs.n[0, 2] == 50
    assert pairs.difference[0, 1] == pytest.approx((c[0, 10:] - c[1, 10:]).mean())


def test_models_without_a_problem_in_common_are_not_compared() -> None:
    n = np.array([[1, 0], [0, 1]])
    pairs = statistics.all_pairs(n, n.copy(), confidence=0.95)
    assert math.isnan(pairs.p[0, 1])
    assert pairs.ranks.tolist() == [1, 1]


def test_rates_of_different_numbers_of_samples_meet_on_one_grid() -> None:
    steps, grid = statistics.rates_on_grid(np.array([[4, 6, 0]]), np.array([[1, 3, 0]]))
    assert (steps, grid.tolist()) == (12, [[3, 6, 0]])


def test_noise_of_drawing_samples_is_told_from_that_of_drawing_problems() -> None:
    rng = np.random.default_rng(3)
    chance = rng.random(4000)
    n = np.full(4000, 5)
    a, b = (rng.binomial(5, chance) for _ in range(2))  # equal models: all their noise is of samples
    split = statistics.noise_split((n, a), (n, b))
    assert split.se is not None
    assert split.sampling is not None
    assert split.sampling == pytest.approx(split.se, rel=0.05)
    fixed = np.where(chance < 0.5, 5, 0)  # models whose answers do not vary: all of it is of problems
    split = statistics.noise_split((n, fixed), (n, np.roll(fixed, 1)))
    assert split.sampling == 0
    assert split.problems == pytest.approx(split.se)


def test_one_sample_a_problem_shows_no_noise_of_samples_and_says_so() -> None:
    one = np.ones(10, int)
    split = statistics.noise_split((one, one), (one, np.arange(10) % 2))
    assert split.se is not None
    assert split.sampling is None
    assert "one sample" in split.reason


def test_a_planted_problem_is_negatively_correlated_with_the_rest() -> None:
    _, c = counts(4, 12, 80, 1)
    c[:, 7] = (np.arange(12) < 6).astype(int)  # the weaker half alone passes it
    correlation = statistics.rest_correlations(c.astype(float))
    assert int(np.nanargmin(correlation)) == 7
    assert correlation[7] < -statistics.critical_correlation(12, level=0.05)
    assert statistics.negative_p(float(correlation[7]), 12) < 0.05


def test_the_critical_correlation_is_students() -> None:
    # r at the one-sided 5 % level with 10 degrees of freedom, from the tables: 0.4973
    assert statistics.critical_correlation(12, level=0.05) == pytest.approx(0.4973, abs=1e-4)
    limit = statistics.critical_correlation(12, level=0.05)
    assert statistics.negative_p(-limit, 12) == pytest.approx(0.05, abs=1e-6)


def test_a_problem_that_all_answer_alike_has_no_correlation() -> None:
    rates = np.array([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    assert math.isnan(statistics.rest_correlations(rates)[0])
