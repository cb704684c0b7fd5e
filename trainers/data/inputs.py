"""What a training learns from, and which kind of it each method takes. Torch-free.

SFT reads chats (`Records`), preference methods and reward models read judged answers (`Preferences`), reinforcement
methods act in an `Environment`. All three say what they are made of; the folder of a run is claimed by their hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import BaseModel

from assay.trainers.errors import TrainingError

if TYPE_CHECKING:
    from assay.trainers.config import CommonConfig
    from assay.trainers.rl.sampler import OpenSampler

PREFERENCE_METHODS = ("dpo", "ipo", "kto", "orpo", "reward")
REINFORCEMENT_METHODS = ("ppo", "rloo", "grpo")


class TrainingData(Protocol):
    """`sha256` is of the content; `kept` is what is learned from."""

    @property
    def sha256(self) -> str: ...

    @property
    def kept(self) -> Sequence[Any]: ...

    def counts(self) -> str:
        """In words: how much was read, kept and dropped, and why."""
        ...


def check_held_out(config: CommonConfig, evaluation: object | None) -> None:
    """Raise TrainingError where the best checkpoint is asked for and nothing is held out to tell it by."""
    if config.keep_best and evaluation is None:
        raise TrainingError("keep_best: no records are held out; give eval_fraction, eval_file or eval_split")


def unused_in_words(config: CommonConfig, evaluation: object | None) -> str:
    """`eval_steps` may come from a machine's environment, for trainings with and without held-out records."""
    unused = config.eval_steps is not None and evaluation is None
    return ", eval_steps unused: nothing is held out" if unused else ""


def data_table(method: str) -> type[BaseModel]:
    """The `[data]` table that a method reads."""
    if method in PREFERENCE_METHODS:
        from assay.trainers.data.preferences import PreferenceDataConfig

        return PreferenceDataConfig
    if method in REINFORCEMENT_METHODS:
        from assay.trainers.data.problems import ProblemsConfig

        return ProblemsConfig
    from assay.trainers.data import DataConfig

    return DataConfig


def load_data(
    method: str, table: Any, *, open_sampler: OpenSampler | None = None, allow_weak: bool = False
) -> TrainingData:
    """What `table` (of `data_table(method)`) names. `open_sampler` draws answers in an environment, and `allow_weak`
    lets them be judged where the sandbox's isolation is not whole. Raises DataError."""
    if method in PREFERENCE_METHODS:
        from assay.trainers.data.preferences import load_preferences

        return load_preferences(table, paired=method != "kto")
    if method in REINFORCEMENT_METHODS:
        from assay.trainers.data.problems import load_environment

        return load_environment(table, open_sampler, allow_weak=allow_weak)
    from assay.trainers.data import load_records

    return load_records(table)
