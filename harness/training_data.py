"""What a training learns from, with what only the harness can give: the sampler that a policy draws with."""

from __future__ import annotations

from typing import Any

from trainers.inputs import REINFORCEMENT_METHODS, TrainingData, load_data


def load_training_data(method: str, table: Any, *, allow_weak: bool = False) -> TrainingData:
    """The data that a method's `[data]` table names. Raises TrainersError."""
    if method not in REINFORCEMENT_METHODS:
        return load_data(method, table)
    from harness.generation.policy import open_policy_sampler

    return load_data(method, table, open_sampler=open_policy_sampler, allow_weak=allow_weak)
