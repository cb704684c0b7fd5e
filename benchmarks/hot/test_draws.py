"""The next token of eight rows over Qwen2.5's vocabulary and of sixty-four over pocket's, by every kind of sampling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from assay.harness.generation import Sampling
from assay.harness.generation.token_choice import Draws, choose_numpy

SHAPES = {"qwen": (8, 151_936), "pocket": (64, 896)}
KINDS = {
    "greedy": Sampling(),
    "plain": Sampling(temperature=0.8),
    "top_p": Sampling(temperature=0.8, top_p=0.95),
    "top_k": Sampling(temperature=0.8, top_k=50),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_next_tokens(benchmark: Any, shape: str, kind: str) -> None:
    rows, vocabulary = SHAPES[shape]
    draw = np.random.default_rng(0)
    logits = (2.5 * draw.normal(size=(rows, vocabulary))).astype(np.float32)
    logits[:, :5] += 20  # as a trained model's: a few tokens hold nearly all of the mass
    draws = Draws(range(rows), [3] * rows)
    assert len(benchmark(choose_numpy, logits, draws, KINDS[kind])) == rows
