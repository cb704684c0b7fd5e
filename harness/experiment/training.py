"""A `train` variant of an experiment, checked: the trainer's configuration and what it learns from."""

from __future__ import annotations

import dataclasses
import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from assay.harness.errors import BadInputError
from assay.harness.experiment import Experiment, TrainVariant
from assay.harness.experiment.validation import explain
from assay.trainers.config import TrainConfig, config_class
from assay.trainers.data.inputs import (
    PREFERENCE_METHODS,
    REINFORCEMENT_METHODS,
    TrainingData,
    data_table,
    load_data,
)
from assay.trainers.data.preferences import Preferences

T = TypeVar("T", bound=BaseModel)
LATER = "made-by-the-experiment"  # stands for a file or a folder that a step makes


@dataclass(frozen=True, slots=True)
class Training:
    """`records` is None where they need preferences that the experiment makes: `data` then says how they are read.

    `told` is what of the data decides the training, beside those preferences. `pairs` and `judge` name the `[[pairs]]`
    table and the variant whose reward model pays; in a plan they name the steps that make these.
    """

    config: TrainConfig
    data: BaseModel
    records: TrainingData | None
    told: dict[str, Any]
    pairs: str | None = None
    judge: str | None = None


def check_training(variant: TrainVariant, experiment: Experiment) -> Training:
    """Raises BadInputError that names the variant, the key and its value, and TrainersError for data."""
    where, raw = f"variant {variant.name!r}, config", variant.config
    try:
        kind = config_class(raw)
    except ValueError as error:
        raise BadInputError(f"{where}: {error}") from None
    judge = variant.reward_model if variant.reward_model in {v.name for v in experiment.variant} else None
    if judge is not None:
        _check_judge(variant, judge, experiment)
        raw = raw | {"reward": raw["reward"] | {"model": LATER}}
    elif variant.reward_model is not None:
        _check_folder(variant, Path(variant.reward_model), experiment)
    config = _table(kind, {"seed": experiment.seed} | raw, where)
    where = f"variant {variant.name!r}, data"
    pairs = variant.pairs_of({table.name for table in experiment.pairs})
    if pairs is not None:
        return _on_pairs(variant, pairs, config, judge, experiment)
    if config.method in PREFERENCE_METHODS and "file" not in variant.data:
        raise BadInputError(
            f"{where}: method {config.method!r} learns from preferences: give `pairs`, the name of a [[pairs]] "
            "table, or `file`"
        )
    data = _table(data_table(config.method), variant.data, where)
    records = load_training_data(config.method, data)
    return Training(config, data, records, {"records": records.sha256}, judge=judge)


def _on_pairs(
    variant: TrainVariant, pairs: str, config: TrainConfig, judge: str | None, experiment: Experiment
) -> Training:
    """A training on preferences that the experiment makes, or on the problems that they are of."""
    where, method = f"variant {variant.name!r}, data", config.method
    table = next(t for t in experiment.pairs if t.name == pairs)
    if method in REINFORCEMENT_METHODS and "pairs" not in variant.data:
        data = _table(data_table(method), variant.data | {"only": LATER}, where)
        offered = load_training_data(method, data.model_copy(update={"only": None}))
        told = {"records": offered.sha256, "only": "pairs"}
        return Training(config, data, None, told, pairs, judge)
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
    data = _table(data_table(method), given | {"file": LATER}, where)
    return Training(
        config, data, None, {"data": data.model_dump(mode="json", exclude={"file"})}, pairs, judge
    )


def _check_judge(variant: TrainVariant, judge: str, experiment: Experiment) -> None:
    names = [v.name for v in experiment.variant]
    found = next(v for v in experiment.variant if v.name == judge)
    if names.index(judge) >= names.index(variant.name):
        raise BadInputError(
            f"variant {variant.name!r}: config.reward.model = {judge!r} must be a variant before it"
        )
    if not isinstance(found, TrainVariant) or found.config.get("method") != "reward":
        raise BadInputError(
            f"variant {variant.name!r}: config.reward.model = {judge!r} is no reward model; make it one with "
            'method = "reward", or name a folder'
        )


def _check_folder(variant: TrainVariant, folder: Path, experiment: Experiment) -> None:
    """What is no variant's name is a folder's; where there is none, a variant was meant."""
    if folder.exists():
        return
    known = [
        v.name
        for v in experiment.variant
        if isinstance(v, TrainVariant) and v.config.get("method") == "reward"
    ]
    near = difflib.get_close_matches(folder.name, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise BadInputError(
        f"variant {variant.name!r}: config.reward.model = {folder.name!r} is no variant, and there is no folder "
        f"{folder}; {hint}Variants that are reward models: {', '.join(known) or 'none'}"
    )


def _table(model: type[T], raw: dict[str, Any], where: str) -> T:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise BadInputError(f"{where}: {explain(error, model)}") from None


# What a training learns from, with what only the harness can give: the sampler that a policy draws with.


def load_training_data(method: str, table: Any, *, allow_weak: bool = False) -> TrainingData:
    """The data that a method's `[data]` table names. Raises TrainersError."""
    if method not in REINFORCEMENT_METHODS:
        return load_data(method, table)
    from assay.harness.generation.load import open_policy_sampler

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
