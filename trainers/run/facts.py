"""What a training run took and what it was made of: `training.json` beside the weights, for reports and comparisons.

Peak memory is of the whole process, so it is a figure of this training only where the training has a process to
itself (`assay.trainers.run.process`); elsewhere it says unmeasured.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from assay.sandbox.host.isolation import Level
from assay.trainers.artifact import Artifact
from assay.trainers.config import CommonConfig, LokrTable, LoraTable, NoAdapter
from assay.trainers.data.inputs import TrainingData
from assay.trainers.model.precision import arithmetic
from assay.trainers.model.prepare import base_dtype, count_parameters
from assay.trainers.run.isolation import RewardIsolation
from assay.trainers.run.log import TrainingStep

FACTS = "training.json"
# set by assay.trainers.run.process in the process that does one training and nothing else
OWN_PROCESS = "ASSAY_TRAINING_PROCESS"
_RESUMED = "the run was resumed after an interruption; its first part is not in this figure"
_SHARED = "the training shared its process; train by `assay` for a process of its own"
_PACKAGES = ("torch", "transformers", "peft", "trl", "bitsandbytes", "datasets", "accelerate")


class TrainingFacts(BaseModel):
    """`tokens` counts what the model read, padding left out; `tok_per_s` is over `train_s`, the loop with its
    checkpoints; `load_s` is loading, tokenising and preparing. `unmeasured` says why a figure is None. `isolation` and
    its level are those that answers were executed behind; None where the method executes none."""

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
    peak_rss_bytes: int | None
    start_rss_bytes: int | None
    peak_vram_bytes: int | None
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
    walls: RewardIsolation | None = None,
) -> TrainingFacts:
    """The facts of a run that has just ended in this process."""
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
        trained_bytes=sum(
            p.numel() * p.element_size() for p in trainer.model.parameters() if p.requires_grad
        ),
        tokens=tokens,
        final_loss=log[-1].loss if log else None,
        load_s=load_s,
        train_s=None if resumed else train_s,
        tok_per_s=None if resumed else tokens / train_s,
        peak_rss_bytes=memory.get("peak_rss_bytes"),
        start_rss_bytes=memory.get("start_rss_bytes"),
        peak_vram_bytes=memory.get("peak_vram_bytes"),
        resumed=resumed,
        isolation=None if walls is None else walls.label,
        isolation_level=None if walls is None else walls.level,
        unmeasured=unmeasured,
    )


def _memory(resumed: bool) -> tuple[dict[str, int | None], dict[str, str]]:
    """The memory that the training alone in this process took, and of each figure that is not known, why."""
    import torch

    found: dict[str, int | None] = {}
    unmeasured: dict[str, str] = {}
    own = OWN_PROCESS in os.environ
    if resumed or not own:
        unmeasured["peak_rss_bytes"] = _RESUMED if resumed else _SHARED
    else:
        found |= {"peak_rss_bytes": peak_rss_bytes(), "start_rss_bytes": int(os.environ[OWN_PROCESS])}
    if resumed:
        unmeasured["peak_vram_bytes"] = _RESUMED
    elif not torch.cuda.is_available():
        unmeasured["peak_vram_bytes"] = "no CUDA device on this machine"
    elif not own:  # the allocator's peak is the process's, and so may be another training's
        unmeasured["peak_vram_bytes"] = _SHARED
    else:
        found["peak_vram_bytes"] = int(torch.cuda.max_memory_allocated())
    return found, unmeasured


def versions() -> dict[str, str]:
    """Versions of the libraries that decide what a run comes to."""
    found = {"python": sys.version.split()[0]}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def peak_rss_bytes() -> int | None:
    """The largest resident set this process has had (VmHWM); None where /proc does not say."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def save_facts(out: Path, facts: TrainingFacts) -> None:
    part = out / f"{FACTS}.part"
    part.write_text(facts.model_dump_json(indent=1) + "\n", encoding="utf-8")
    part.replace(out / FACTS)


def load_facts(folder: Path) -> TrainingFacts | None:
    """What the run that filled `folder` took; None where it left no record."""
    path = folder / FACTS
    if not path.is_file():
        return None
    return TrainingFacts.model_validate_json(path.read_text(encoding="utf-8"))


# What a training run did, in one sentence that a person can repeat.

_NAMES = {"lora": "LoRA", "rslora": "rsLoRA", "dora": "DoRA", "loha": "LoHa", "lokr": "LoKr"}


def in_words(config: CommonConfig, records: TrainingData, steps: int) -> str:
    return (
        f"{config.method.upper()} with TRL: {weights_in_words(config)}, {steps} steps of "
        f"{config.batch_size}x{config.gradient_accumulation_steps} chats, lr {config.learning_rate:g} "
        f"{config.scheduler}, {config.optimizer}, {arithmetic(config)}, seed {config.seed}; "
        f"{len(records.kept)} records (sha256 {records.sha256[:12]})"
    )


def weights_in_words(config: CommonConfig) -> str:
    """Which weights learn, and in what form the others are kept."""
    said = _adapter(config)
    if config.quantization is not None:
        table = config.quantization
        said += f" on a base in {table.type}" + (
            " with double quantisation" if table.double_quant and table.type != "int8" else ""
        )
    elif (kept := base_dtype(config, arithmetic(config))) != "fp32":
        said += f" on a base in {kept}"
    if config.qat is not None:
        said += f", weights rounded to {config.qat.type} in the forward pass"
    if config.layerwise is not None:
        said += f", rates decayed by {config.layerwise.decay:g} a layer"
    if config.groups is not None:
        rates = config.groups.model_dump(exclude_none=True)
        said += ", " + ", ".join(f"{part} lr {rate:g}" for part, rate in rates.items())
    return said


def _adapter(config: CommonConfig) -> str:
    table = config.adapter
    if isinstance(table, NoAdapter):
        return "every weight"
    said = f"{_NAMES[table.type]} r={table.r} alpha={table.alpha:g} on {table.target_modules}"
    if isinstance(table, LoraTable) and table.bias != "none":
        said += f", bias {table.bias}"
    if isinstance(table, LokrTable) and table.factor != -1:
        said += f", factor {table.factor}"
    return said
