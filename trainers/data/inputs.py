"""The training data of each method, by its kind. Torch-free.

SFT reads chats (`Records`), preference methods and reward models read judged answers (`Preferences`), reinforcement
methods act in an `Environment`. The folder of a run is claimed by the hash of its data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from pydantic import BaseModel

from assay.trainers.data.load import DataConfig, load_records
from assay.trainers.data.preferences import PreferenceDataConfig, load_preferences
from assay.trainers.data.problems import OpenSampler, ProblemsConfig, load_environment

PREFERENCE_METHODS = ("dpo", "ipo", "kto", "orpo", "reward")
REINFORCEMENT_METHODS = ("ppo", "rloo", "grpo")


class TrainingData(Protocol):
    """The part that all kinds of training data have: `sha256` is of the content; `kept` is what is learned from."""

    @property
    def sha256(self) -> str: ...

    @property
    def kept(self) -> Sequence[Any]: ...

    def counts(self) -> str:
        """Return how much was read, kept and dropped, and why, as text."""
        ...


def data_table(method: str) -> type[BaseModel]:
    """Return the class of the `[data]` table that a method reads."""
    if method in PREFERENCE_METHODS:
        return PreferenceDataConfig
    return ProblemsConfig if method in REINFORCEMENT_METHODS else DataConfig


def load_data(
    method: str, table: Any, *, open_sampler: OpenSampler | None = None, allow_weak: bool = False
) -> TrainingData:
    """Load the data that `table` (of `data_table(method)`) names. Raises DataError.

    `open_sampler` draws answers in an environment; `allow_weak` lets them be executed under less than full isolation.
    """
    if method in PREFERENCE_METHODS:
        return load_preferences(table, paired=method != "kto")
    if method in REINFORCEMENT_METHODS:
        return load_environment(table, open_sampler, allow_weak=allow_weak)
    return load_records(table)
