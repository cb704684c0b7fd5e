"""A training in a process of its own: what comes back, what is measured, and what a death is reported as."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from assay.trainers import Artifact, MissingExtraError, Records, SftConfig, TrainingError
from assay.trainers.run.facts import load_facts
from assay.trainers.run.log import TrainingStep
from assay.trainers.run.process import train_alone

pytestmark = pytest.mark.train
Make = Callable[..., SftConfig]


@pytest.mark.slow
def test_it_is_the_same_training_with_its_own_memory(
    adapter: Artifact, tiny: Artifact, chats: Records, small_config: Make, tmp_path: Path
) -> None:
    steps: list[TrainingStep] = []
    made = train_alone(tiny, small_config(), chats, tmp_path / "out", steps.append)
    assert made.sha256 == adapter.sha256
    assert [s.step for s in steps] == [1, 2, 3, 4, 5, 6]
    here, there = load_facts(adapter.path), load_facts(made.path)
    assert here is not None
    assert there is not None
    assert here.peak_rss_bytes is None
    assert "shared its process" in here.unmeasured["peak_rss_bytes"]
    assert there.peak_rss_bytes is not None
    assert there.start_rss_bytes is not None
    assert there.peak_rss_bytes > there.start_rss_bytes > 1 << 20
    assert there.tok_per_s is not None
    assert (there.tokens, there.steps, there.seed) == (steps[-1].tokens, 6, 0)
    assert there.data_sha256 == chats.sha256
    assert {"torch", "trl", "peft", "transformers"} <= set(there.versions)


@pytest.mark.parametrize("own", [True, False])
def test_the_peak_of_a_shared_device_is_nobodys(own: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CUDA allocator's peak is of the process: a second training in it would report the first one's."""
    import torch

    from assay.trainers.run.facts import OWN_PROCESS, _memory

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 12)
    monkeypatch.delenv(OWN_PROCESS, raising=False)
    if own:
        monkeypatch.setenv(OWN_PROCESS, "7")
    found, unmeasured = _memory(resumed=False)
    assert (found.get("peak_vram_bytes"), found.get("start_rss_bytes")) == ((12, 7) if own else (None, None))
    why = {name: "shared its process" in said for name, said in unmeasured.items()}
    assert why == ({} if own else {"peak_rss_bytes": True, "peak_vram_bytes": True})
    found, unmeasured = _memory(resumed=True)
    assert found == {}
    assert all("resumed" in said for said in unmeasured.values())


def test_what_the_trainer_refuses_is_raised_here(
    tiny: Artifact, chats: Records, small_config: Make, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="no linear layer 'w_proj'"):
        train_alone(tiny, small_config(adapter={"target_modules": ["w_proj"]}), chats, tmp_path / "out")


@pytest.mark.slow
def test_a_killed_process_is_reported_and_the_next_goes_on(
    adapter: Artifact, tiny: Artifact, chats: Records, small_config: Make, tmp_path: Path
) -> None:
    """SIGKILL, as the kernel sends it when memory runs out: the message says so, and nothing is lost."""
    import multiprocessing

    def kill(step: TrainingStep) -> None:
        if step.step == 5:
            (child,) = multiprocessing.active_children()
            assert child.pid is not None
            os.kill(child.pid, signal.SIGKILL)

    config = small_config(save_steps=2)
    with pytest.raises(TrainingError, match="ended by SIGKILL; the kernel does that when memory runs out"):
        train_alone(tiny, config, chats, tmp_path / "out", kill)
    made = train_alone(tiny, config, chats, tmp_path / "out")
    assert made.sha256 == adapter.sha256


def test_an_error_keeps_its_kind_through_the_pipe() -> None:
    import pickle

    again = pickle.loads(pickle.dumps(MissingExtraError("trl", "train")))
    assert isinstance(again, MissingExtraError)
    assert "pip install 'assay[train]'" in str(again)
