"""Alarms: what counts as a spike, and which checkpoint is still good."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.trainers.config.common import AlarmTable
from assay.trainers.run.callback import Watch, last_good_checkpoint
from assay.trainers.run.log import TrainingStep

NAN, INF = float("nan"), float("inf")


def step(number: int, loss: float, grad_norm: float = 1.0) -> TrainingStep:
    return TrainingStep(number, 100, 0.0, loss, 1e-3, grad_norm, number * 10, 1.0, 1)


def first_alarm(losses: list[float], **table: object) -> tuple[int, str, int] | None:
    """(step, what it says, last good step) of the first alarm over these losses."""
    watch = Watch(AlarmTable.model_validate(table))
    for number, loss in enumerate(losses, 1):
        if (said := watch.see(step(number, loss))) is not None:
            return number, said, watch.last_good
    return None


@pytest.mark.parametrize("loss", [NAN, INF])
def test_a_loss_that_is_no_number_stops_at_once(loss: float) -> None:
    assert first_alarm([2.0, loss], spikes=False) == (2, f"loss is {loss} at step 2", 1)


def test_a_gradient_that_is_no_number_stops_unless_a_scaler_expects_it() -> None:
    assert Watch(AlarmTable()).see(step(1, 2.0, INF)) == "the gradient's norm is inf at step 1"
    assert Watch(AlarmTable(), scaled=True).see(step(1, 2.0, INF)) is None


def test_a_spike_is_told_from_a_bad_batch() -> None:
    """Three times the median of what was good, and a nat above it, twice in a row."""
    good = [2.0, 1.5, 1.2, 1.0, 1.0, 1.0]
    assert first_alarm([*good, 9.0, 1.0, 9.0, 1.0]) is None
    found = first_alarm([*good, 9.0, 9.5, 9.9])
    assert found is not None
    number, said, last_good = found
    assert (number, last_good) == (8, 6), "the last good step lies before the first of the row"
    assert said == (
        "loss has jumped to 9.5 at step 8 for 2 logged steps in a row; it was 1.1 (the median of the last 6), "
        "and more than 3 times and 1 nats above that is a spike"
    )
    assert first_alarm([*good, 9.0], patience=1, spike_factor=8.0) == (
        7,
        "loss has jumped to 9 at step 7; it was 1.1 (the median of the last 6), and more than 8 times and 1 nats above "
        "that is a spike",
        6,
    )
    assert first_alarm([*good, 9.0, 9.0], spikes=False) is None


def test_a_loss_near_zero_may_be_many_times_larger() -> None:
    assert first_alarm([0.01] * 10 + [0.5] * 5) is None
    assert first_alarm([0.01] * 10 + [0.5] * 5, spike_margin=0.1) is not None


def test_nothing_is_a_spike_before_there_is_a_level() -> None:
    assert first_alarm([1.0, 50.0, 60.0, 50.0]) is None


def test_the_level_is_the_median_of_exactly_the_last_window() -> None:
    """With a window of 3: four losses would have a median of 5.5, and two are not yet a level."""
    found = first_alarm([10.0, 10.0, 10.0, 1.0, 1.0, 4.0], window=3, patience=1)
    assert found is not None
    assert found[0] == 6
    assert "it was 1 (the median of the last 3)" in found[1]
    assert first_alarm([10.0, 10.0, 1.0, 4.0], window=3, patience=1) is None  # the median is 10
    assert first_alarm([1.0, 1.0, 50.0], window=3, patience=1) is None
    assert first_alarm([1.0, 1.0, 1.0, 50.0], window=3, patience=1) is not None


def test_a_spike_is_above_its_bounds_and_not_at_them() -> None:
    assert first_alarm([1.0] * 5 + [3.0], patience=1) is None
    assert first_alarm([1.0] * 5 + [3.001], patience=1) is not None
    assert first_alarm([0.1] * 5 + [1.1], patience=1) is None  # the margin of 1 nat
    assert first_alarm([0.1] * 5 + [1.101], patience=1) is not None


def test_the_level_is_of_the_last_losses_that_the_window_holds() -> None:
    """Three of 9.0 lie in a window of five, so their median is 9.0; a fourth good one pushes one of them out."""
    table = {"window": 5, "patience": 1, "spike_factor": 3.0, "spike_margin": 1.0}
    assert first_alarm([9.0, 9.0, 9.0, 1.0, 1.0, 8.0], **table) is None
    found = first_alarm([9.0, 9.0, 9.0, 1.0, 1.0, 1.0, 8.0], **table)
    assert found is not None
    assert (found[0], found[2]) == (7, 6)
    assert "it was 1 (the median of the last 5)" in found[1]


@pytest.mark.parametrize(("window", "first"), [(2, 3), (4, 5), (5, 6), (20, 6)])
def test_a_level_takes_five_losses_or_a_shorter_windows(window: int, first: int) -> None:
    found = first_alarm([1.0] * (first - 1) + [50.0], window=window, patience=1)
    assert found is not None
    assert found[0] == first
    assert first_alarm([1.0] * (first - 2) + [50.0], window=window, patience=1) is None


@given(st.lists(st.floats(0, 10), max_size=60))
def test_losses_within_the_margin_raise_no_alarm(losses: list[float]) -> None:
    assert first_alarm(losses, spike_margin=10.0) is None


@pytest.mark.train
def test_a_checkpoint_with_ruined_weights_is_not_good(tmp_path: Path) -> None:
    """The loss of a step is of the weights before its update: what was saved after it may be ruined already."""
    import torch
    from safetensors.torch import save_file

    for number in (2, 4, 6, 8):
        folder = tmp_path / f"checkpoint-{number}"
        folder.mkdir()
        weights = torch.ones(3)
        if number == 6:
            weights[1] = NAN
        save_file({"a": weights}, folder / "adapter_model.safetensors")
    (tmp_path / "checkpoint-4" / "adapter_model.safetensors").write_bytes(b"torn")
    (tmp_path / "checkpoint-5").mkdir()
    assert last_good_checkpoint(tmp_path, 7) == tmp_path / "checkpoint-2"
    assert last_good_checkpoint(tmp_path, 8) == tmp_path / "checkpoint-8"
    assert last_good_checkpoint(tmp_path, 1) is None
