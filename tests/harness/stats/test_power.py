"""What an experiment can show, and what more of each would buy."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from assay.harness.stats import power
from assay.harness.stats.power import Noise, Size

NOISE = Noise(0.05, (0.12, 0.12))


def test_more_of_anything_shows_less() -> None:
    sizes = [Size(100, 1), Size(100, 4), Size(400, 4), Size(1000, 4)]
    effects = [power.detectable(NOISE, size) for size in sizes]
    assert all(a > b for a, b in itertools.pairwise(effects))


def test_seeds_that_differ_are_paid_for_and_more_of_them_help() -> None:
    trained = replace(NOISE, seeds=(0.03**2, 0.0))
    alone = power.detectable(NOISE, Size(400, 2))
    three, five = (power.detectable(trained, Size(400, 2, (s, 1))) for s in (3, 5))
    assert three > five
    assert three > 1.3 * alone
    assert power.detectable(trained, Size(400, 2, (2, 1))) > 2 * three  # two seeds have one degree of freedom


@pytest.mark.parametrize("size", [Size(164, 5), Size(164, 5, (3, 1)), Size(164, 5, (4, 4))])
def test_the_parts_of_the_noise_add_up(size: Size) -> None:
    noise = replace(NOISE, seeds=(0.02**2, 0.01**2))
    split = power.split(noise, size)
    assert split.problems**2 + split.sampling**2 + split.seeds**2 == pytest.approx(split.se**2)
    assert (split.seeds > 0) == (max(size.seeds) > 1)


def test_what_is_bought_is_enough_and_no_less_would_be() -> None:
    noise = replace(NOISE, seeds=(0.01**2, 0.0))
    size = Size(200, 2, (3, 1))
    target = 0.8 * power.detectable(noise, size)
    buy = power.purchase(noise, size, target)
    assert buy.problems is not None
    assert power.detectable(noise, replace(size, problems=buy.problems)) <= target
    assert power.detectable(noise, replace(size, problems=int(0.95 * buy.problems))) > target
    assert buy.seeds is not None
    assert power.detectable(noise, replace(size, seeds=(buy.seeds, 1))) <= target
    assert power.purchase(noise, size, 0.001).samples is None  # problems alone leave more than that


def test_the_noise_that_a_run_shows_is_the_worlds() -> None:
    """400 runs of a world whose variances are known: their mean is within what 400 can tell."""
    rng = np.random.default_rng(0)
    problem = np.array([0.1, 0.3, 0.5, 0.7, 0.9] * 40)
    moved = np.where(np.arange(200) % 2, 0.1, -0.05)
    seed_sd, seen = 0.03, []
    for _ in range(400):
        first = np.clip(problem + moved + seed_sd * rng.normal(size=(3, 1)), 0, 1)
        rates = rng.binomial(4, first) / 4, rng.binomial(4, problem, size=(1, 200)) / 4
        samples = np.full((3, 200), 4.0), np.full((1, 200), 4.0)
        noise = power.noise_of(*rates, samples, (3, 1))
        assert noise is not None
        seen.append((noise.problems, noise.sampling[1], noise.seeds[0]))
    of_problems, drawn, of_seeds = np.mean(seen, axis=0)
    assert of_problems == pytest.approx(moved.var(ddof=1), rel=0.15)
    assert drawn == pytest.approx((problem * (1 - problem)).mean(), rel=0.02)
    assert of_seeds == pytest.approx(seed_sd**2, rel=0.25)


def test_one_sample_a_problem_tells_no_parts() -> None:
    one = np.ones((1, 5))
    assert power.noise_of(one, one, (one, one), (1, 1)) is None
