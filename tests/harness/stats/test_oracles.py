"""The statistics against scipy and statsmodels, which the product itself does not need."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import optimize, special
from scipy import stats as oracle
from statsmodels.stats.contingency_tables import mcnemar as oracle_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from assay.harness.equivalence.measures import score_bound
from assay.harness.stats.bradley_terry import fit, information
from assay.harness.stats.paired import holm, mcnemar, sign_flip
from assay.harness.stats.paired import quantile as student_quantile
from assay.harness.stats.paired import two_sided_p as student_p
from assay.harness.stats.pass_at_k import Floats, bootstrap_mean, pass_at_k, wilson


@given(st.floats(-60, 60), st.floats(0.5, 2000))
@example(1.2e-7, 11.0)  # x = df/(df + t²) is 1 to all but its last digit
@example(0.0, 1.0)
def test_students_p(t: float, df: float) -> None:
    assert student_p(t, df) == pytest.approx(2 * oracle.t.sf(abs(t), df), rel=1e-9, abs=1e-300)


@given(st.floats(0.01, 0.9999), st.floats(0.5, 2000))
def test_students_quantile(confidence: float, df: float) -> None:
    assert student_quantile(confidence, df) == pytest.approx(oracle.t.ppf(0.5 + confidence / 2, df), rel=1e-7)


@given(st.integers(1, 2000), st.data(), st.floats(0.5, 0.999))
def test_wilson(n: int, data: st.DataObject, confidence: float) -> None:
    passes = data.draw(st.integers(0, n))
    expected = proportion_confint(passes, n, alpha=1 - confidence, method="wilson")
    assert wilson(passes / n, n, confidence) == pytest.approx(expected, abs=1e-12)


@given(st.integers(1, 200), st.data())
def test_pass_at_k(n: int, data: st.DataObject) -> None:
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    assert pass_at_k(n, c, k) == pytest.approx(1 - oracle.hypergeom.pmf(0, n, c, k), abs=1e-9)


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar(only_a: int, only_b: int) -> None:
    table = [[0, only_a], [only_b, 0]]
    expected = 1.0 if only_a + only_b == 0 else oracle_mcnemar(table, exact=True).pvalue
    assert mcnemar(only_a, only_b) == pytest.approx(expected, rel=1e-9)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm(values: list[float]) -> None:
    assert holm(values) == pytest.approx(multipletests(values, method="holm")[1], abs=1e-12)


@given(st.lists(st.integers(-8, 8), min_size=2, max_size=11))
def test_the_sign_flip_where_it_is_exact(eighths: list[int]) -> None:
    difference = np.array(eighths) / 8
    expected = oracle.permutation_test(
        (difference,), np.sum, permutation_type="samples", n_resamples=np.inf, vectorized=False
    ).pvalue
    assert sign_flip(difference, seed=0) == pytest.approx(expected, abs=1e-12)


def test_the_sign_flip_where_it_is_drawn() -> None:
    difference = np.random.default_rng(0).normal(0.1, 0.5, size=60)
    expected = oracle.permutation_test(
        (difference,), np.sum, permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(1)
    ).pvalue
    se = math.sqrt(2 * expected * (1 - expected) / 20_000)
    assert sign_flip(difference, seed=0) == pytest.approx(expected, abs=5 * se)


def test_the_bootstrap() -> None:
    values = np.random.default_rng(2).beta(0.6, 0.8, size=200)
    drawn = oracle.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=10_000, rng=np.random.default_rng(3)
    )
    se = float(drawn.standard_error)
    ends = drawn.confidence_interval
    assert bootstrap_mean(values, confidence=0.95, seed=0) == pytest.approx(
        [ends.low, ends.high], abs=0.08 * se
    )


def tangos_statistic(difference: float, b: int, c: int, n: int) -> float:
    """Compute Tango's score with the constrained maximum likelihood found by search instead of in closed form."""

    def minus_log_likelihood(q: float) -> float:  # q is the chance that the first alone passes
        p = np.array([q + difference, q, 1 - 2 * q - difference])
        return -float(special.xlogy([b, c, n - b - c], np.clip(p, 1e-300, None)).sum())

    low, high = max(0.0, -difference), (1 - difference) / 2
    q = optimize.minimize_scalar(
        minus_log_likelihood, bounds=(low, high), method="bounded", options={"xatol": 1e-12}
    ).x
    return (b - c - n * difference) / math.sqrt(n * (2 * q + difference * (1 - difference)))


@pytest.mark.parametrize(("b", "c", "n"), [(3, 1, 40), (5, 9, 164), (1, 6, 30), (20, 25, 378)])
def test_tangos_bound(b: int, c: int, n: int) -> None:
    bound = score_bound(b, c, n)
    assert tangos_statistic(bound, b, c, n) == pytest.approx(oracle.norm.ppf(0.95), abs=1e-4)


@pytest.mark.parametrize("seed", range(8))
def test_bradley_terry_by_a_general_optimiser(seed: int) -> None:
    rng = np.random.default_rng(seed)
    m = int(rng.integers(3, 9))
    wins: Floats = rng.integers(1, 12, size=(m, m)).astype(float)
    np.fill_diagonal(wins, 0)

    def minus_log_likelihood(free: Floats) -> float:
        theta = np.append(free, -free.sum())
        return float((wins * np.logaddexp(0, theta[None, :] - theta[:, None])).sum())

    best = optimize.minimize(minus_log_likelihood, np.zeros(m - 1), method="BFGS", options={"gtol": 1e-9})
    fitted = fit(wins, [str(i) for i in range(m)])
    assert fitted.strengths[:-1] == pytest.approx(best.x, abs=1e-5)
    assert fitted.log_likelihood == pytest.approx(-best.fun, rel=1e-12)
    pseudo = np.linalg.pinv(information(wins + wins.T, fitted.strengths))
    assert fitted.covariance == pytest.approx(pseudo, abs=1e-10)
