"""From counts to scores: 164 problems of 200 samples, as the papers have them, and two variants held together."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from assay.harness.evaluation.scores import Tally, scores
from assay.harness.stats.paired import compare
from assay.harness.stats.pass_at_k import pass_at_k
from assay.sandbox import Outcome

PROBLEMS, SAMPLES = 164, 200


def tally() -> Tally:
    draw, found = random.Random(0), Tally()
    for problem in range(PROBLEMS):
        rate = draw.random()
        for _ in range(SAMPLES):
            found.add(f"p/{problem}", Outcome.PASS if draw.random() < rate else Outcome.FAIL, "split")
    return found


def test_verdicts_are_counted(benchmark: Any) -> None:
    assert benchmark(tally).n_samples == PROBLEMS * SAMPLES


def test_pass_at_k_of_every_count(benchmark: Any) -> None:
    def every() -> float:
        return sum(pass_at_k(SAMPLES, c, 100) for c in range(SAMPLES + 1))

    assert 0 < benchmark(every) < SAMPLES + 1


def test_scores_with_intervals(benchmark: Any) -> None:
    found = benchmark(scores, tally(), (1, 10, 100), "here")
    assert found[1].low < found[1].value < found[100].value


def test_a_paired_comparison(benchmark: Any) -> None:
    draw = np.random.default_rng(0)
    a, b = draw.binomial(20, 0.5, PROBLEMS) / 20, draw.binomial(20, 0.4, PROBLEMS) / 20
    found = benchmark(compare, "a", "b", a, b, binary=False, margin=0.02)
    assert found.difference > 0
