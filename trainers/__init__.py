"""Trainers make variants of a model: training, merging, export; one readable file a method over TRL, PEFT and gguf.

Only names that cost nothing to import stand here; a method's module is loaded when its name is looked up.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from assay.suites.registry import Registry
from assay.trainers.artifact import Artifact, ArtifactKind, identify
from assay.trainers.config import SftConfig, TrainConfig
from assay.trainers.data import DataConfig, Records, TrainingRecord, load_records
from assay.trainers.errors import (
    ArtifactError,
    DataError,
    ExportError,
    MissingExtraError,
    TrainersError,
    TrainingError,
)
from assay.trainers.run.log import TrainingStep

__all__ = [
    "TRAINERS",
    "Artifact",
    "ArtifactError",
    "ArtifactKind",
    "DataConfig",
    "DataError",
    "ExportError",
    "MissingExtraError",
    "Records",
    "SftConfig",
    "TrainConfig",
    "Trainer",
    "TrainersError",
    "TrainingError",
    "TrainingRecord",
    "TrainingStep",
    "identify",
    "load_records",
]


class Trainer(Protocol):
    """One method: makes an adapter or a tuned model of `base` in `out`, complete when its artifact.json is there.

    `config` is the method's own table (`assay.trainers.config.METHODS`), `records` the kind of data that it learns from
    (`assay.trainers.data.inputs`).
    Called again on a folder that a killed run left, it goes on from the newest checkpoint.
    """

    def __call__(
        self,
        base: Artifact,
        config: Any,
        records: Any,
        out: Path,
        on_step: Callable[[TrainingStep], None] | None = None,
        /,
    ) -> Artifact: ...


TRAINERS: Registry[Trainer] = Registry(
    "trainer",
    "assay.trainers",
    {
        "sft": "assay.trainers.methods.sft",
        "dpo": "assay.trainers.methods.dpo",
        "ipo": "assay.trainers.methods.dpo",
        "kto": "assay.trainers.methods.kto",
        "orpo": "assay.trainers.methods.orpo",
        "reward": "assay.trainers.methods.reward_model",
        "ppo": "assay.trainers.methods.ppo",
        "rloo": "assay.trainers.methods.grpo",
        "grpo": "assay.trainers.methods.grpo",
    },
)
