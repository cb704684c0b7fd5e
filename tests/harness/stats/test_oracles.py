"""The statistics against scipy and statsmodels, which the product itself does not need."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import optimize
from scipy import stats as oracle
from statsmodels.stats.contingency_tables import mcnemar as oracle_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from assay.harness.stats.bradley_terry import fit, information
from assay.harness.stats.paired import compare, holm
from assay.harness.stats.pass_at_k import Floats, pass_at_k, wilson
from assay.harness.stats.student import chi_square_quantile
from assay.harness.stats.student import quantile as student_quantile
from assay.harness.stats.student import two_sided_p as student_p


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


@given(st.floats(0.01, 0.99), st.integers(1, 400))
def test_chi_square_quantile(chance: float, df: int) -> None:
    assert chi_square_quantile(chance, df) == pytest.approx(oracle.chi2.ppf(chance, df), rel=1e-8)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 90), st.integers(0, 90))
def test_mcnemar(only_a: int, only_b: int) -> None:
    """The mid-p is the exact p less the chance of the split that was seen."""
    if not only_a + only_b:
        return
    exact = oracle_mcnemar([[0, only_a], [only_b, 0]], exact=True).pvalue
    seen = oracle.binom.pmf(only_a, only_a + only_b, 0.5)
    a = np.array([1.0] * only_a + [0.0] * only_b)
    p = compare("a", "b", a, 1 - a, binary=True, margin=0.05).p
    assert p == pytest.approx(1.0 if only_a == only_b else exact - seen, rel=1e-6)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm(values: list[float]) -> None:
    assert holm(values) == pytest.approx(multipletests(values, method="holm")[1], abs=1e-12)


@pytest.mark.parametrize("n", [60, 164])
def test_with_many_samples_it_is_near_the_permutation_test(n: int) -> None:
    """The two differ in what they take for the spread, less the more problems there are."""
    difference = np.random.default_rng(0).integers(-4, 6, size=n) / 10
    expected = oracle.permutation_test(
        (difference,), np.sum, permutation_type="samples", n_resamples=20_000, rng=np.random.default_rng(1)
    ).pvalue
    p = compare("a", "b", np.maximum(difference, 0), np.maximum(-difference, 0), binary=False, margin=0.05).p
    assert expected / 2 < p < expected * 2 + 0.002


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
