"""Paired tests against exact enumeration and against the error rates they promise."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.harness.errors import BadInputError
from assay.harness.stats.paired import adjust, compare, holm, mcnemar, ranks, sign_flip


def difference_of(a: np.ndarray, b: np.ndarray, *, binary: bool = False, margin: float = 0.05):
    return compare("a", "b", a.astype(float), b.astype(float), binary=binary, margin=margin)


def test_mcnemar_known_values() -> None:
    # Two-sided binomial of the discordant pairs: 2 * P(X <= 2 | n=12) and so on.
    assert mcnemar(10, 2) == pytest.approx(2 * (1 + 12 + 66) / 4096)
    assert mcnemar(0, 5) == pytest.approx(2 / 32)
    assert mcnemar(3, 3) == 1.0
    assert mcnemar(0, 0) == 1.0
    assert 0 < mcnemar(2000, 1800) < 0.01


@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0]), min_size=1, max_size=9))
def test_small_permutation_test_is_the_full_enumeration(values: list[float]) -> None:
    observed = abs(sum(values))
    signs = itertools.product((1, -1), repeat=len(values))
    totals = [abs(sum(s * v for s, v in zip(sign, values, strict=True))) for sign in signs]
    expected = sum(total >= observed - 1e-12 for total in totals) / len(totals)
    assert sign_flip(np.array(values), seed=0) == pytest.approx(expected)


def test_a_variant_against_itself_is_equivalent_never_better() -> None:
    scores = np.random.default_rng(0).integers(0, 2, 400)
    result = difference_of(scores, scores)
    assert (result.difference, result.p, result.verdict) == (0.0, 1.0, "equivalent")


def test_a_plain_gain_is_found_and_signed() -> None:
    rng = np.random.default_rng(1)
    base = rng.random(400) < 0.35
    better = base | (rng.random(400) < 0.2)
    assert difference_of(better, base, binary=True).verdict == "better"
    assert difference_of(base, better, binary=True).verdict == "worse"


def test_agreement_on_few_problems_is_no_proof_of_equivalence() -> None:
    for n in (1, 2, 20):
        result = difference_of(np.ones(n), np.ones(n), binary=True)
        assert result.verdict == "undecided"
        assert result.low < 0 < result.high
        assert result.mde is None
    # 1 - 0.05^(1/n) < 5 % from n = 59 on: the rule of three, both sides at the 5 % level.
    assert difference_of(np.ones(58), np.ones(58), binary=True).verdict == "undecided"
    assert difference_of(np.ones(59), np.ones(59), binary=True).verdict == "equivalent"


def test_a_constant_difference_keeps_its_uncertainty() -> None:
    result = difference_of(np.full(5, 2 / 3), np.full(5, 1 / 3))
    assert result.low < 1 / 3 < result.high
    assert result.mde is None


def test_ten_problems_of_noise_are_undecided() -> None:
    rng = np.random.default_rng(2)
    assert difference_of(rng.random(10) < 0.5, rng.random(10) < 0.5, binary=True).verdict == "undecided"


@pytest.mark.slow
def test_false_alarms_stay_at_their_level() -> None:
    rng = np.random.default_rng(5)
    rounds, alarms = 300, 0
    for i in range(rounds):
        rate = rng.beta(0.6, 0.8, size=120)
        a, b = (rng.binomial(4, rate) / 4 for _ in "ab")
        alarms += sign_flip(a - b, seed=i) < 0.05
    assert alarms / rounds < 0.09  # 5 % nominal; above 9 % in 300 rounds less than once in a thousand


@pytest.mark.slow
def test_the_detectable_effect_is_detected_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(6)
    found, rounds = 0, 120
    for i in range(rounds):
        base = rng.binomial(4, rng.beta(0.6, 0.8, size=200)) / 4
        noise = rng.normal(0, 0.25, size=200)
        mde = difference_of(base + noise, base).mde
        assert mde is not None
        found += sign_flip(noise + mde, seed=i) < 0.05
    assert 0.65 < found / rounds < 0.95  # 80 % nominal


def test_unshared_problems_are_refused() -> None:
    with pytest.raises(BadInputError, match="do not share"):
        difference_of(np.ones(3), np.ones(4))


def test_holm_known_values() -> None:
    # Holm 1979: the smallest times m, the next times m-1, never falling.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_never_lowers_a_p_value_and_keeps_order(values: list[float]) -> None:
    adjusted = holm(values)
    assert all(q >= p for p, q in zip(values, adjusted, strict=True))
    order = sorted(range(len(values)), key=lambda i: values[i])
    assert all(adjusted[a] <= adjusted[b] for a, b in itertools.pairwise(order))


def test_adjusting_takes_back_what_does_not_hold_among_many() -> None:
    rng = np.random.default_rng(8)
    base = rng.random(200) < 0.4
    weak = base.copy()
    weak[np.flatnonzero(~base)[:9]] = True  # nine problems won, none lost: p = 2/512
    single = difference_of(weak, base, binary=True)
    assert single.verdict == "better"
    crowd = [single] + [difference_of(base, base, binary=True)] * 60
    assert adjust(crowd)[0].verdict == "undecided"


def test_what_cannot_be_told_apart_shares_a_rank() -> None:
    rng = np.random.default_rng(9)
    base = rng.random(300) < 0.3
    good = base | (rng.random(300) < 0.3)
    pairs = [
        compare(x, y, a.astype(float), b.astype(float), binary=True, margin=0.05)
        for (x, a), (y, b) in itertools.combinations({"base": base, "sft": good, "merged": good}.items(), 2)
    ]
    assert ranks(["base", "sft", "merged"], adjust(pairs)) == {"sft": 1, "merged": 1, "base": 3}
