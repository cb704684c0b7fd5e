"""The record of a training run (`training.json` beside the weights): its inputs, versions, time and memory.

Peak memory is that of the process, so it is a figure of this training only where the training has a process to itself
(`assay.trainers.run.process`); elsewhere it is unmeasured, with the reason.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from assay.sandbox.host.isolation import Level
from assay.trainers.artifact import Artifact
from assay.trainers.config import CommonConfig
from assay.trainers.data.inputs import TrainingData
from assay.trainers.files import write_text
from assay.trainers.model.precision import arithmetic
from assay.trainers.model.prepare import count_parameters, parameter_bytes
from assay.trainers.run.folder import RewardIsolation
from assay.trainers.run.log import TrainingStep

FACTS = "training.json"
# set by assay.trainers.run.process in the process that does one training and nothing else
OWN_PROCESS = "ASSAY_TRAINING_PROCESS"
_RESUMED = "the run was resumed after an interruption; its first part is not in this figure"
_SHARED = "the training shared its process; train by `assay` for a process of its own"
_PACKAGES = ("torch", "transformers", "peft", "trl", "bitsandbytes", "datasets", "accelerate")


class TrainingFacts(BaseModel):
    """`training.json`. `tokens` counts what the model read, without padding; `tok_per_s` is over `train_s`, the loop
    with its checkpoints; `load_s` is loading, tokenising and preparing. `unmeasured` gives the reason why a figure is
    None. `isolation` and its level are those under which answers were executed; None where the method executes none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str
    base_sha256: str
    data_sha256: str
    data_counts: str
    seed: int
    dtype: str
    versions: dict[str, str]
    steps: int
    effective_batch: int
    trainable_parameters: int
    total_parameters: int
    trained_bytes: int
    tokens: int
    final_loss: float | None
    load_s: float
    train_s: float | None
    tok_per_s: float | None
    peak_rss_bytes: int | None = None
    start_rss_bytes: int | None = None
    peak_vram_bytes: int | None = None
    resumed: bool
    warnings: tuple[str, ...] = ()
    isolation: str | None = None
    isolation_level: Level | None = None
    unmeasured: dict[str, str] = {}


def measure(
    trainer: Any,
    log: Sequence[TrainingStep],
    config: CommonConfig,
    records: TrainingData,
    base: Artifact,
    *,
    resumed: bool,
    load_s: float,
    train_s: float,
    isolation: RewardIsolation | None = None,
) -> TrainingFacts:
    """Return the facts of a run that has just ended in this process."""
    memory, unmeasured = _memory(resumed)
    if resumed:
        unmeasured |= dict.fromkeys(("train_s", "tok_per_s"), _RESUMED)
    tokens = log[-1].tokens if log else 0
    trainable, total = count_parameters(trainer.model)
    return TrainingFacts(
        method=config.method,
        base_sha256=base.sha256,
        data_sha256=records.sha256,
        data_counts=records.counts(),
        seed=config.seed,
        dtype=arithmetic(config),
        versions=versions(),
        steps=int(trainer.state.global_step),
        effective_batch=config.batch_size * config.gradient_accumulation_steps,
        trainable_parameters=trainable,
        total_parameters=total,
        trained_bytes=parameter_bytes(trainer.model, trainable=True),
        tokens=tokens,
        final_loss=log[-1].loss if log else None,
        load_s=load_s,
        train_s=None if resumed else train_s,
        tok_per_s=None if resumed else tokens / train_s,
        resumed=resumed,
        isolation=None if isolation is None else isolation.label,
        isolation_level=None if isolation is None else isolation.level,
        unmeasured=unmeasured,
        **memory,
    )


def _memory(resumed: bool) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the memory that a training alone in this process took, and the reason for each figure that is unknown."""
    import torch

    memory: dict[str, Any] = {}
    unmeasured: dict[str, str] = {}
    own = OWN_PROCESS in os.environ
    if resumed or not own:
        unmeasured["peak_rss_bytes"] = _RESUMED if resumed else _SHARED
    else:
        memory |= {"peak_rss_bytes": peak_rss_bytes(), "start_rss_bytes": int(os.environ[OWN_PROCESS])}
    if resumed:
        unmeasured["peak_vram_bytes"] = _RESUMED
    elif not torch.cuda.is_available():
        unmeasured["peak_vram_bytes"] = "no CUDA device on this machine"
    elif not own:  # the allocator's peak is the process's, and so may be another training's
        unmeasured["peak_vram_bytes"] = _SHARED
    else:
        memory["peak_vram_bytes"] = int(torch.cuda.max_memory_allocated())
    return memory, unmeasured


def versions() -> dict[str, str]:
    """Return the versions of the libraries that decide the result of a run."""
    installed = {"python": sys.version.split()[0]}
    for package in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            installed[package] = version(package)
    return installed


def peak_rss_bytes() -> int | None:
    """Return the largest resident set that this process has had (VmHWM); None without /proc."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return None
    high_water = re.search(r"^VmHWM:\s*(\d+)", status, re.MULTILINE)
    return None if high_water is None else int(high_water[1]) * 1024


def save_facts(out: Path, facts: TrainingFacts) -> None:
    """Write `training.json`."""
    write_text(out / FACTS, facts.model_dump_json(indent=1) + "\n")


def load_facts(folder: Path) -> TrainingFacts | None:
    """Return the record of the run that filled `folder`; None where it left none."""
    path = folder / FACTS
    if not path.is_file():
        return None
    return TrainingFacts.model_validate_json(path.read_text(encoding="utf-8"))
