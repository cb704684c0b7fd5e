"""What of a training's table decides its result: a reward model by its content, and not by where it lies."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TypeVar

from trainers.artifact import identify, is_reward_model
from trainers.config import CommonConfig
from trainers.errors import TrainingError
from trainers.preference.reward_report import REPORT

C = TypeVar("C", bound=CommonConfig)


def by_content(config: C) -> C:
    """The same table, for hashing only: the path in `reward.model` is replaced by the hash of what is there.

    Raises ArtifactError where nothing is there, TrainingError where it is no reward model.
    """
    reward = getattr(config, "reward", None)
    if reward is None or reward.model is None:
        return config
    reward = reward.model_copy(update={"model": Path(reward_model_sha256(reward.model))})
    return config.model_copy(update={"reward": reward})


def reward_model_sha256(folder: Path) -> str:
    """Of weights, configuration and tokenizer, and of the report, whose mean and spread its scores are read by."""
    artifact = identify(folder)
    if not is_reward_model(artifact):
        raise TrainingError(f'reward.model: {folder} is no reward model; train one with method = "reward"')
    digest = hashlib.sha256(artifact.sha256.encode())
    report = folder / REPORT
    digest.update(report.read_bytes() if report.is_file() else b"")
    return digest.hexdigest()
