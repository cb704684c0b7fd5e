"""The cap on the allocator: kept and told where there is one, refused where nothing would keep it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from assay.harness import formatting
from assay.harness.cli import app
from assay.harness.errors import BadInputError
from assay.harness.models.resolve import POCKET_FOLDER
from assay.harness.profiling.measure import Job, profile, read_record, summarise, with_prediction
from assay.harness.profiling.measure.inference import measure_inference
from assay.harness.profiling.measure.job import Recorder, Source, Training
from assay.harness.profiling.measure.summary import render
from assay.harness.profiling.measure.training import measure_training
from assay.trainers.artifact import ArtifactKind, identify

pytestmark = pytest.mark.train
GIB = 1 << 30
WORKLOADS: dict[str, dict[str, Any]] = {
    "inference": {},
    "training": {"phases": ("load", "train"), "training": Training(method="lora")},
}


def job_of(workload: str, **more: Any) -> Job:
    pocket = {"name": "pocket", "source": Source.of(identify(POCKET_FOLDER)), "memory_limit_bytes": GIB}
    return Job(**pocket | WORKLOADS[workload] | more)


def measured(job: Job, raw: Path) -> None:
    """The measured process's part, in this one, its events in `raw`."""
    recorder = Recorder(os.open(raw, os.O_WRONLY | os.O_CREAT))
    with recorder._out:
        (measure_inference if job.training is None else measure_training)(job, recorder)


def no_cuda() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device, and keeps a limit")


@pytest.mark.parametrize("workload", WORKLOADS)
def test_the_cpu_and_a_gguf_file_are_refused_as_they_are_named(workload: str) -> None:
    with pytest.raises(
        ValueError, match=r"1 GiB cannot be kept: .* device = 'cpu'.*; leave --memory-limit out"
    ):
        job_of(workload, device="cpu")
    if workload == "inference":
        file = Source(kind=ArtifactKind.GGUF, path=Path("m.gguf"), sha256="0" * 64)
        with pytest.raises(ValueError, match=r"llama\.cpp.* has its own; leave --memory-limit out"):
            job_of(workload, source=file)


@pytest.mark.parametrize("workload", WORKLOADS)
def test_a_measured_process_without_cuda_refuses(workload: str, tmp_path: Path) -> None:
    no_cuda()
    with pytest.raises(BadInputError, match=r"1 GiB cannot be kept: .*torch sees no CUDA device here"):
        measured(job_of(workload), tmp_path / "raw.jsonl")


@pytest.mark.slow
def test_a_profile_without_cuda_fails_and_says_why(tmp_path: Path) -> None:
    no_cuda()
    made = summarise(profile(job_of("inference"), tmp_path / "raw.jsonl"))
    assert (made["status"], made["speed"]) == ("failed", {})
    assert made["detail"].startswith("a memory limit of 1 GiB cannot be kept")
    assert (made["workload"]["memory_limit_bytes"], made["allocator_cap_bytes"]) == (GIB, None)


@pytest.mark.parametrize("more", [[], ["--device", "cpu"], ["--train", "lora"]])
def test_the_command_refuses_it_before_a_process_is_started(more: list[str], tmp_path: Path) -> None:
    no_cuda()
    given = ["profile", "pocket", "--memory-limit", "0.5", "-o", str(tmp_path / "out"), *more]
    with pytest.raises(BadInputError, match=r"a memory limit of 0\.5 GiB cannot be kept"):
        CliRunner().invoke(app, given, catch_exceptions=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("workload", WORKLOADS)
@pytest.mark.parametrize(("total", "cap", "share"), [(4 * GIB, GIB, 0.25), (GIB // 2, GIB // 2, 1.0)])
def test_on_a_gpu_it_is_kept_and_told(
    workload: str, total: int, cap: int, share: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What follows the cap is cut short: there is no such device to load anything on."""
    import torch

    shares: list[float] = []

    def stop() -> None:
        raise InterruptedError

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 0))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=total))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", shares.append)
    monkeypatch.setattr("assay.harness.profiling.measure.inference._warm_up", lambda _: stop())
    monkeypatch.setattr("assay.harness.profiling.measure.training._warm_up", lambda *_: stop())
    raw, job = tmp_path / "raw.jsonl", job_of(workload)
    start = profile_start(job, tmp_path / "start.jsonl", monkeypatch)
    with pytest.raises(InterruptedError):
        measured(job, raw)
    assert shares == [share]
    raw.write_text(start + raw.read_text())
    summary = with_prediction(summarise(read_record(raw)), job, None)
    assert (summary["workload"]["memory_limit_bytes"], summary["allocator_cap_bytes"]) == (GIB, cap)
    console = Console(width=120)
    with console.capture() as shown:
        console.print(render(summary))
    assert f"CUDA allocator was capped at {formatting.size(cap)} (--memory-limit)" in shown.get()


def profile_start(job: Job, raw: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The first line of the job's record."""
    monkeypatch.setattr("assay.harness.profiling.measure.watch._watch", lambda *_: None)
    profile(job, raw)
    first = raw.read_text().splitlines()[0]
    assert json.loads(first)["event"] == "start"
    return first + "\n"
