"""Check a `train` variant of an experiment: the trainer's configuration, and the data that it learns from."""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from assay.harness.errors import BadInputError
from assay.harness.experiment import Experiment, TrainVariant
from assay.harness.experiment.access import EVERYTHING, Access
from assay.harness.experiment.validation import checked
from assay.trainers.config import TrainConfig, config_class
from assay.trainers.data.inputs import (
    PREFERENCE_METHODS,
    REINFORCEMENT_METHODS,
    TrainingData,
    data_table,
    load_data,
)
from assay.trainers.data.preferences import Preferences

LATER = "made-by-the-experiment"  # stands for a file or a folder that a step makes


@dataclass(frozen=True, slots=True)
class Training:
    """The checked settings and data of one training.

    `records` is None where they need preferences that the experiment makes: `data` then says how they are read.
    `described` is the part of the data that decides the training, apart from those preferences. `pairs` names the
    `[[pairs]]` table that is learned from, and `reward_model` the variant that is the reward model, where there are
    any. `left_out` is why the data were not read, where the file is only looked at: `records` is None then too.
    """

    config: TrainConfig
    data: BaseModel
    records: TrainingData | None
    described: dict[str, Any]
    pairs: str | None = None
    reward_model: str | None = None
    left_out: str = ""


def check_training(variant: TrainVariant, experiment: Experiment, access: Access = EVERYTHING) -> Training:
    """Return the variant's training; data that `access` does not reach are left out.

    Raises BadInputError that names the variant, the key and its value, and TrainersError for data.
    """
    where, raw = f"variant {variant.name!r}, config", variant.config
    try:
        kind = config_class(raw)
    except ValueError as error:
        raise BadInputError(f"{where}: {error}") from None
    reward_model = _reward_model(variant, experiment)
    if reward_model is not None:
        raw = raw | {"reward": raw["reward"] | {"model": LATER}}
    config = checked(kind, {"seed": experiment.seed} | raw, where)
    where = f"variant {variant.name!r}, data"
    pairs = variant.pairs_of({table.name for table in experiment.pairs})
    if pairs is not None:
        return _on_pairs(variant, pairs, config, reward_model, experiment, access)
    if config.method in PREFERENCE_METHODS and "file" not in variant.data:
        raise BadInputError(
            f"{where}: method {config.method!r} learns from preferences: give `pairs`, the name of a [[pairs]] "
            "table, or `file`"
        )
    data = checked(data_table(config.method), variant.data, where)
    if reason := access.left_out(data):
        return _unread(config, data, reason, reward_model=reward_model)
    records = load_training_data(config.method, data)
    return Training(config, data, records, {"records": records.sha256}, reward_model=reward_model)


def _unread(config: TrainConfig, data: BaseModel, reason: str, **names: str | None) -> Training:
    """Return a training whose data were left out; two that differ in them differ in `described`."""
    described: dict[str, Any] = {"records": None, "data": data.model_dump(mode="json")}
    return Training(config, data, None, described, **names, left_out=reason)


def _on_pairs(
    variant: TrainVariant,
    pairs: str,
    config: TrainConfig,
    reward_model: str | None,
    experiment: Experiment,
    access: Access,
) -> Training:
    """Return a training on preferences that the experiment makes, or on the problems that they are of."""
    where, method = f"variant {variant.name!r}, data", config.method
    table = next(t for t in experiment.pairs if t.name == pairs)
    if method in REINFORCEMENT_METHODS and "pairs" not in variant.data:
        data = checked(data_table(method), variant.data | {"only": LATER}, where)
        if reason := access.left_out(data):
            return _unread(config, data, reason, pairs=pairs, reward_model=reward_model)
        offered = load_training_data(method, data.model_copy(update={"only": None}))
        described: dict[str, Any] = {"records": offered.sha256, "only": "pairs"}
        return Training(config, data, None, described, pairs, reward_model)
    if method not in PREFERENCE_METHODS:
        hint = f"; to practise on their problems alone, give only = {pairs!r}"
        raise BadInputError(
            f"{where}: method {method!r} does not learn from pairs; those that do: {', '.join(PREFERENCE_METHODS)}"
            + (hint if method in REINFORCEMENT_METHODS else "")
        )
    if table.single and method != "kto":
        raise BadInputError(
            f"{where}: pairs {pairs!r} are single answers with a label (single = true), which only kto takes"
        )
    given = {key: value for key, value in variant.data.items() if key != "pairs"}
    if "file" in given:
        raise BadInputError(f"{where}: `pairs` and `file` both say what to learn from: keep one")
    data = checked(data_table(method), given | {"file": LATER}, where)
    described = {"data": data.model_dump(mode="json", exclude={"file"})}
    return Training(config, data, None, described, pairs, reward_model)


def _reward_model(variant: TrainVariant, experiment: Experiment) -> str | None:
    """Return the variant that is the reward model, or None where there is none or it is a folder.

    Raises BadInputError; of a name that is neither a variant nor a folder, a variant was meant.
    """
    name, names = variant.reward_model, [v.name for v in experiment.variant]
    if name is None or (name not in names and Path(name).exists()):
        return None
    trained = [v for v in experiment.variant if isinstance(v, TrainVariant)]
    known = [v.name for v in trained if v.config.get("method") == "reward"]
    key = f"variant {variant.name!r}: config.reward.model"
    if name not in names:
        folder = Path(name)
        near = difflib.get_close_matches(folder.name, known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise BadInputError(
            f"{key} = {folder.name!r} is no variant, and there is no folder {folder}; {hint}"
            f"Variants that are reward models: {', '.join(known) or 'none'}"
        )
    if names.index(name) >= names.index(variant.name):
        raise BadInputError(f"{key} = {name!r} must be a variant before it")
    if name not in known:
        raise BadInputError(
            f'{key} = {name!r} is no reward model; make it one with method = "reward", or name a folder'
        )
    return name


def load_training_data(method: str, table: Any, *, allow_weak: bool = False) -> TrainingData:
    """Return the data that a method's `[data]` table names, with the harness's sampler for methods that draw answers.

    Raises TrainersError.
    """
    if method not in REINFORCEMENT_METHODS:
        return load_data(method, table)
    from assay.harness.generation.load import PolicySampler

    return load_data(method, table, open_sampler=PolicySampler, allow_weak=allow_weak)


def load_made_pairs(method: str, table: BaseModel, file: Path, name: str) -> TrainingData:
    """Return what `table` makes of the preferences that an experiment wrote to `file`.

    That is the preferences, or for a method that is rewarded their problems. They are called by their name and not by
    their path, so that a recipe reads the same wherever results lie. Raises TrainersError.
    """
    if method in REINFORCEMENT_METHODS:
        return load_training_data(method, table.model_copy(update={"only": file}))
    preferences = load_data(method, table.model_copy(update={"file": file}))
    assert isinstance(preferences, Preferences), method
    held_out = preferences.evaluation
    if held_out is not None:
        held_out = dataclasses.replace(held_out, origin=f"held out of {name}")
    return dataclasses.replace(preferences, origin=name, evaluation=held_out)
