"""What a reward model is said to be worth, on scores whose answer is known."""

from __future__ import annotations

import math
import random

import pytest

from assay.trainers.preference.reward_report import Scored, describe


def test_accuracy_margins_and_scores_by_hand() -> None:
    report = describe(
        [Scored("a", 2.0, 1.0), Scored("a", 0.0, 3.0), Scored("b", 1.0, 1.0), Scored("c", 5.0, 1.0)]
    )
    assert report.accuracy is not None
    assert report.accuracy.value == (1 + 0 + 0.5 + 1) / 4
    assert report.accuracy.low <= report.accuracy.value <= report.accuracy.high
    assert report.mean_margin == (1 - 3 + 0 + 4) / 4
    assert sum(bar.pairs for bar in report.margins) == 4
    assert (report.margins[0].low, report.margins[-1].high) == (-3.0, pytest.approx(4.0))
    assert report.scores is not None
    assert report.scores.mean == 14 / 8
    assert (report.pairs, report.problems) == (4, 3)


def test_a_calibrated_model_has_a_small_error_and_a_sure_one_that_guesses_a_large_one() -> None:
    """Margins m whose sign is right with chance σ(m) are calibrated by definition of Bradley–Terry."""
    rng = random.Random(0)
    calibrated, guessing = [], []
    for i in range(4000):
        margin = rng.uniform(0, 3)
        right = rng.random() < 1 / (1 + math.exp(-margin))
        calibrated.append(Scored(str(i), margin if right else -margin, 0.0))
        guessing.append(Scored(str(i), 3.0 if rng.random() < 0.5 else -3.0, 0.0))
    good, bad = describe(calibrated), describe(guessing)
    assert good.calibration_error is not None
    assert good.calibration_error < 0.03
    assert bad.calibration_error == pytest.approx(1 / (1 + math.exp(-3)) - 0.5, abs=0.03)
    assert bad.accuracy is not None
    assert bad.accuracy.low < 0.5 < bad.accuracy.high


def test_the_interval_is_over_problems() -> None:
    """A hundred pairs of two problems know no more than two problems do."""
    few = describe([Scored("right" if i % 2 else "wrong", float(i % 2), 0.5) for i in range(100)])
    many = describe([Scored(str(i), float(i % 2), 0.5) for i in range(100)])
    assert few.accuracy is not None
    assert many.accuracy is not None
    assert (few.accuracy.low, few.accuracy.high) == pytest.approx((0.0, 1.0), abs=0.01)
    assert many.accuracy.high - many.accuracy.low < 0.25


def test_without_spread_a_problem_counts_as_one() -> None:
    """One problem says nothing; of eight that are all right, Wilson's bound at the effective number 8·(1.96/2.365)²."""
    one = describe([Scored("a", 1.0, 0.0)] * 8).accuracy
    assert one is not None
    assert (one.value, one.low, one.high) == (1.0, 0.0, 1.0)
    all_right = describe([Scored(str(i // 2), 1.0, 0.0) for i in range(16)]).accuracy
    assert all_right is not None
    effective = 8 * (1.959964 / 2.364624) ** 2
    assert all_right.low == pytest.approx(effective / (effective + 1.959964**2), abs=1e-3)
    assert all_right.high == 1.0


@pytest.mark.parametrize(("problems", "pairs"), [(2, 2), (5, 2), (10, 8), (40, 4)])
@pytest.mark.parametrize("accuracy", [0.5, 0.8])
def test_the_interval_covers(problems: int, pairs: int, accuracy: float) -> None:
    """Half of the pairs of a problem go with each other; a coin is seldom found to be better than one."""
    rng, missed, better = random.Random(problems), 0, 0
    for _ in range(1000):
        scored = []
        for problem in range(problems):
            whole = rng.random() < accuracy
            for _ in range(pairs):
                right = whole if rng.random() < 0.5 else rng.random() < accuracy
                scored.append(Scored(str(problem), float(right), 0.5))
        found = describe(scored).accuracy
        assert found is not None
        missed += not found.low <= accuracy <= found.high
        better += found.low > 0.5
    assert missed < 75
    assert accuracy > 0.5 or better < 45


def test_nothing_held_out_is_unmeasured_and_says_so() -> None:
    report = describe([])
    assert (report.accuracy, report.scores, report.pairs) == (None, None, 0)
    assert report.unmeasured == "no pairs were held out (data.eval_fraction)"
