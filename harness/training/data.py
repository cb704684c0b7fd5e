"""What a training learns from, with what only the harness can give: the sampler that a policy draws with."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from trainers.inputs import REINFORCEMENT_METHODS, TrainingData, load_data
from trainers.preference.model import Preferences


def load_training_data(method: str, table: Any, *, allow_weak: bool = False) -> TrainingData:
    """The data that a method's `[data]` table names. Raises TrainersError."""
    if method not in REINFORCEMENT_METHODS:
        return load_data(method, table)
    from harness.generation.policy import open_policy_sampler

    return load_data(method, table, open_sampler=open_policy_sampler, allow_weak=allow_weak)


def load_made_pairs(method: str, table: BaseModel, file: Path, name: str) -> TrainingData:
    """What `table` makes of the preferences that an experiment wrote to `file`: the preferences, or for a method that
    is rewarded their problems. They are called by their name and not by their path, so that a recipe reads the same
    wherever results lie. Raises TrainersError.
    """
    if method in REINFORCEMENT_METHODS:
        return load_training_data(method, table.model_copy(update={"only": file}))
    found = load_data(method, table.model_copy(update={"file": file}))
    assert isinstance(found, Preferences), method
    held = found.evaluation
    if held is not None:
        held = dataclasses.replace(held, origin=f"held out of {name}")
    return dataclasses.replace(found, origin=name, evaluation=held)
