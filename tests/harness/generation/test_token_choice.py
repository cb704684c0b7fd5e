"""Choosing a token leaves work out and changes nothing: every choice is the plain formula's, written out here."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from assay.harness.generation import Sampling
from assay.harness.generation.token_choice import Draws, bits_at, bits_numpy, choose_numpy, gumbel_numpy, kept

LARGE = 9_000  # beyond what is drawn densely


def plainly(logits: NDArray[np.float32], draws: Draws, sampling: Sampling) -> list[int]:
    """Sort, cut to top_k, cut to the nucleus, add noise to everything, take the largest."""
    scaled = logits.astype(np.float64) / sampling.temperature
    order = np.argsort(-scaled, axis=1, kind="stable")
    ranked = np.take_along_axis(scaled, order, axis=1)
    if sampling.top_k:
        ranked[:, sampling.top_k :] = -np.inf
    p = np.exp(ranked - ranked[:, :1])
    ranked[np.cumsum(p, axis=1) - p >= sampling.top_p * p.sum(axis=1, keepdims=True)] = -np.inf
    if sampling.top_p == 1:  # nothing is cut, not even what rounding would
        ranked = np.take_along_axis(scaled, order, axis=1)
        if sampling.top_k:
            ranked[:, sampling.top_k :] = -np.inf
    np.put_along_axis(scaled, order, ranked, axis=1)
    noise = gumbel_numpy(draws.keys(), logits.shape[1])
    return [int(i) for i in (scaled + noise).argmax(axis=1)]


def logits_of(seed: int, rows: int, vocabulary: int, spread: float, peaks: float) -> NDArray[np.float32]:
    draw = np.random.default_rng(seed)
    found = draw.normal(0, spread, (rows, vocabulary)) + peaks * (
        draw.random((rows, vocabulary)) < 3 / vocabulary
    )
    return found.astype(np.float32)


@given(
    st.integers(0, 2**32),
    st.sampled_from([7, 300, LARGE]),
    st.sampled_from([0.01, 1.0, 4.0]),
    st.sampled_from([0.0, 6.0, 20.0]),
    st.sampled_from([0.05, 0.8, 2.0]),
    st.sampled_from([0, 1, 5, 40]),
    st.sampled_from([0.01, 0.5, 0.95, 1.0]),
)
@settings(max_examples=60, deadline=None)
def test_every_choice_is_the_plain_formulas(
    seed: int, vocabulary: int, spread: float, peaks: float, temperature: float, top_k: int, top_p: float
) -> None:
    logits = logits_of(seed, 3, vocabulary, spread, peaks)
    draws = Draws([seed, seed + 1, seed], [0, 0, 9])
    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p)
    assert choose_numpy(logits, draws, sampling) == plainly(logits, draws, sampling)


@pytest.mark.parametrize("top_k", [0, 3, 700])
@pytest.mark.parametrize("top_p", [0.4, 1.0])
@pytest.mark.parametrize("vocabulary", [50, LARGE])
def test_equal_and_forbidden_logits_are_taken_as_they_come(vocabulary: int, top_k: int, top_p: float) -> None:
    logits = np.round(logits_of(3, 8, vocabulary, 1.0, 0.0))
    logits[:, ::3] = -np.inf
    draws = Draws(range(8), [4] * 8)
    sampling = Sampling(temperature=0.7, top_k=top_k, top_p=top_p)
    chosen = choose_numpy(logits, draws, sampling)
    assert chosen == plainly(logits, draws, sampling)
    assert np.isfinite(logits[range(8), chosen]).all()


def test_of_equal_tokens_the_first_are_kept() -> None:
    values = np.array([1.0, 2.0, 1.0, 2.0, 1.0])
    assert kept(values, Sampling(temperature=1.0, top_k=3))[0].tolist() == [0, 1, 3]
    assert kept(values, Sampling(temperature=1.0, top_p=0.3))[0].tolist() == [1]
    assert kept(values, Sampling(temperature=1.0, top_k=9))[0].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("vocabulary", [50, LARGE])
def test_a_row_without_a_finite_top_is_no_crash(vocabulary: int) -> None:
    logits = np.zeros((1, vocabulary), dtype=np.float32)
    logits[0, 17] = np.nan
    for sampling in (Sampling(temperature=1.0), Sampling(temperature=1.0, top_p=0.9)):
        assert choose_numpy(logits, Draws([0], [0]), sampling) == [17]


def test_some_integers_are_those_of_all() -> None:
    keys = Draws([5, 6], [1, 2]).keys()
    ids = np.array([0, 3, 40_000])
    whole = bits_numpy(keys, 50_000)
    for row, key in enumerate(keys):
        assert (bits_at(key, ids) == whole[row, ids]).all()
