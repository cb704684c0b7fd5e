"""Making variants of a model: training, merging, export. One readable file a method over TRL, PEFT and gguf.

Only names that cost nothing to import stand here; a method's module is loaded when its name is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from suites.registry import Registry
from trainers.artifact import Artifact, ArtifactKind, identify
from trainers.config import SftConfig, TrainConfig
from trainers.data import DataConfig, Records, TrainingRecord, load_records
from trainers.errors import (
    ArtifactError,
    DataError,
    ExportError,
    MissingExtraError,
    TrainersError,
    TrainingError,
)
from trainers.steplog import TrainingStep

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
    """One method. Makes an adapter or a tuned model of `base` in `out`, whole when its artifact.json is there.

    `config` is the method's own table (`trainers.config.METHODS`), `records` the kind of data that it learns from
    (`trainers.inputs`).
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
        "sft": "trainers.sft",
        "dpo": "trainers.preference.dpo",
        "ipo": "trainers.preference.dpo",
        "kto": "trainers.preference.kto",
        "orpo": "trainers.preference.orpo",
        "reward": "trainers.preference.reward_model",
        "ppo": "trainers.rl.train",
        "rloo": "trainers.rl.groups",
        "grpo": "trainers.rl.groups",
    },
)
