"""Paired tests against exact enumeration and against the error rates they promise."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assay.harness.errors import BadInputError
from assay.harness.stats.paired import adjust, compare, holm, ranks


def difference_of(a: np.ndarray, b: np.ndarray, *, binary: bool = False, margin: float = 0.05):
    return compare("a", "b", a.astype(float), b.astype(float), binary=binary, margin=margin)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 80))
@example(4, 0, 160)  # printed +0.6 to +4.9 with p = 0.125 once
@example(5, 0, 159)
def test_interval_and_p_say_the_same(won: int, lost: int, alike: int) -> None:
    if not won + lost + alike:
        return
    a = np.array([1] * won + [0] * lost + [1] * alike)
    b = np.array([0] * won + [1] * lost + [1] * alike)
    result = difference_of(a, b, binary=True)
    assert (result.low > 0 or result.high < 0) == (result.p < 0.05)
    assert result.low <= result.difference <= result.high
    assert result.p == pytest.approx(mid_p(won, lost), rel=1e-6, abs=1e-12)
    assert result.method == "McNemar mid-p"


def mid_p(won: int, lost: int) -> float:
    """McNemar's mid-p: twice the smaller tail, the observed split counted half."""
    n, k = won + lost, min(won, lost)
    below = sum(math.comb(n, i) for i in range(k)) / 2**n
    return min(1.0, 2 * (below + math.comb(n, k) / 2**n / 2))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=1, max_size=40))
def test_so_they_do_with_several_samples_a_problem(fifths: list[int]) -> None:
    difference = np.array(fifths) / 5
    result = difference_of(np.maximum(difference, 0), np.maximum(-difference, 0))
    assert (result.low > 0 or result.high < 0) == (result.p < 0.05)
    assert result.low <= result.difference + 1e-12
    assert result.difference - 1e-12 <= result.high
    back = difference_of(np.maximum(-difference, 0), np.maximum(difference, 0))
    assert (back.p, back.low, back.lower) == pytest.approx((result.p, -result.high, -result.upper), abs=1e-8)


def test_one_difference_makes_no_equivalence_of_what_was_undecided() -> None:
    """20 problems all alike are undecided; a bootstrap called them equivalent when one differed by a fifth."""
    for n in (20, 50, 58):
        alike = np.ones(n)
        assert difference_of(alike, alike).verdict == "undecided"
        for moved in (0.2, 1.0):
            other = alike.copy()
            other[0] -= moved
            assert difference_of(alike, other).verdict == "undecided"
            assert difference_of(other, alike).verdict == "undecided"


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
    weak[np.flatnonzero(~base)[:9]] = True  # nine problems won, none lost: p = 1/512
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
