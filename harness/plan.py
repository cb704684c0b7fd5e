"""A Plan: the steps of an experiment, each named by the hash of everything that decides its result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from harness.chains import check_chains
from harness.errors import BadInputError
from harness.experiment import (
    AnyVariant,
    CompressVariant,
    Experiment,
    ExportVariant,
    Member,
    MergeVariant,
    ModelVariant,
    TrainVariant,
    sources_of,
)
from harness.explain import explain
from harness.identity import judging_sha256, prompts_sha256
from harness.machine import gpu_name
from harness.models import resolve_model
from harness.training_data import load_training_data
from suites import Suite, SuiteError, UnknownNameError, load_suite
from trainers.artifact import Artifact
from trainers.config import RewardModelConfig, TrainConfig, config_class
from trainers.errors import TrainersError
from trainers.identity import by_content
from trainers.inputs import TrainingData, data_table

T = TypeVar("T", bound=BaseModel)
Kind = Literal["take", "train", "merge", "export", "compress", "generate", "execute"]
# Raised when the meaning of a step's output changes, so that older results are not taken for today's.
FORMAT: dict[Kind, int] = {
    "take": 1,
    "train": 1,
    "merge": 1,
    "export": 1,
    "compress": 1,
    "generate": 1,
    "execute": 1,
}


@dataclass(frozen=True, slots=True)
class Step:
    """One piece of work. `id` is the hash of kind, `config` and the ids of `inputs` (names of earlier steps)."""

    name: str
    kind: Kind
    variant: str
    id: str
    config: dict[str, Any]
    inputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Training:
    """A train step's own input, checked: the trainer's configuration and the records it learns from."""

    config: TrainConfig
    records: TrainingData


@dataclass(frozen=True)
class Plan:
    """All that `assay run` will do, decided before anything is done.

    `members` says for each declared variant as what it is made: steps, models and trainings go by those names.
    """

    experiment: Experiment
    suite: Suite
    steps: tuple[Step, ...]
    models: dict[str, Artifact]
    trainings: dict[str, Training]
    members: dict[str, tuple[Member, ...]]

    @property
    def run_id(self) -> str:
        """Names the run: the same steps scored in the same way give the same one."""
        return _hash(
            {
                "steps": [(s.name, s.id) for s in self.steps],
                "score": self.experiment.score.model_dump(mode="json"),
            }
        )

    def step(self, name: str) -> Step:
        return next(s for s in self.steps if s.name == name)


def make_plan(experiment: Experiment) -> Plan:
    """Resolve suites, models, trainer tables and training data; raise BadInputError for what is wrong in them."""
    try:
        table = experiment.suite
        suite = load_suite(
            table.name, path=table.path, split=table.split, limit=table.limit, options=table.options
        )
        return _Planner(experiment, suite).plan()
    except (SuiteError, UnknownNameError, TrainersError) as error:
        raise BadInputError(str(error)) from error


class _Planner:
    def __init__(self, experiment: Experiment, suite: Suite) -> None:
        self.experiment, self.suite = experiment, suite
        self.steps: dict[str, Step] = {}
        self.models: dict[str, Artifact] = {}
        self.trainings: dict[str, Training] = {}

    def plan(self) -> Plan:
        members = {v.name: self.experiment.members(v.name) for v in self.experiment.variant}
        makers: dict[str, str] = {}
        for variant in self.experiment.variant:
            training = _training(variant, self.experiment.seed) if isinstance(variant, TrainVariant) else None
            for member in members[variant.name]:
                makers[member.name] = self._make(variant, member, training)
        declared = {name: made[0].name for name, made in members.items()}  # the seeds of one are of one kind
        check_chains(
            self.experiment,
            {name: self.models[first] for name, first in declared.items() if first in self.models},
            {
                name: self.trainings[first].config
                for name, first in declared.items()
                if first in self.trainings
            },
        )
        for name, maker in makers.items():
            self._evaluate(name, maker)
        return Plan(
            self.experiment, self.suite, tuple(self.steps.values()), self.models, self.trainings, members
        )

    def _add(self, kind: Kind, variant: str, config: dict[str, Any], inputs: Iterable[str]) -> str:
        inputs = tuple(inputs)
        identity = {
            "kind": kind,
            "format": FORMAT[kind],
            "config": config,
            "inputs": [self.steps[name].id for name in inputs],
        }
        name = f"{kind}-{variant}"
        self.steps[name] = Step(name, kind, variant, _hash(identity), config, inputs)
        return name

    def _make(self, variant: AnyVariant, member: Member, training: Training | None) -> str:
        name = member.name
        match variant:
            case ModelVariant():
                model = self.models[name] = resolve_model(variant.model)
                return self._add("take", name, {"model": variant.model, "sha256": model.sha256}, ())
            case TrainVariant():
                assert training is not None
                if member.seed is not None:
                    config = training.config.model_copy(update={"seed": member.seed})
                    training = Training(config, training.records)
                self.trainings[name] = training
                told = {
                    "config": by_content(training.config).model_dump(mode="json"),
                    "records": training.records.sha256,
                }
                return self._add("train", name, told, [self._maker_of(variant.train, member.seed)])
            case MergeVariant():
                merging = variant.recipe.model_dump(mode="json", exclude_defaults=True)
                makers = [self._maker_of(source, member.seed) for source in sources_of(variant)]
                return self._add("merge", name, {"merging": merging} if merging else {}, makers)
            case ExportVariant():
                source = self._maker_of(variant.export, member.seed)
                return self._add("export", name, {"quantize": variant.quantize}, [source])
            case CompressVariant():
                bits = {"quantization": variant.quantization, "double_quant": variant.double_quant}
                return self._add("compress", name, bits, [self._maker_of(variant.compress, member.seed)])

    def _maker_of(self, variant: str, seed: int | None) -> str:
        """The step that made the variant: with that training seed, where it has seeds."""
        members = self.experiment.members(variant)
        member = next((m for m in members if m.seed == seed), members[0])
        return next(s.name for s in self.steps.values() if s.variant == member.name)

    def _evaluate(self, variant: str, maker: str) -> None:
        experiment = self.experiment
        device = experiment.engine.device
        if device == "auto":  # samples drawn on another kind of device are other samples
            device = "cuda" if gpu_name() else "cpu"
        generate = {
            "suite": self.suite.revision,
            "prompts": prompts_sha256(self.suite, experiment.sampling.style),
            "seed": experiment.seed,
            "sampling": experiment.sampling.model_dump(mode="json"),
            "stop": list(self.suite.stop) if experiment.sampling.style == "completion" else [],
            "engine": {"device": device, "dtype": experiment.engine.dtype},
        }
        source = self._add("generate", variant, generate, [maker])
        limits = experiment.sandbox.model_dump(mode="json", exclude={"workers"})
        judging = judging_sha256(self.suite, experiment.sandbox.backend)
        execute = {"suite": self.suite.revision, "judging": judging, "sandbox": limits}
        self._add("execute", variant, execute, [source])


def _training(variant: TrainVariant, seed: int) -> Training:
    where = f"variant {variant.name!r}, config"
    try:
        kind = config_class(variant.config)
    except ValueError as error:
        raise BadInputError(f"{where}: {error}") from None
    if issubclass(kind, RewardModelConfig):
        raise BadInputError(
            f"{where}: method 'reward' makes a reward model, which answers nothing and cannot be scored on a suite; "
            "train it by `assay train` and name its folder in a ppo variant's config.reward.model"
        )
    config = _table(kind, {"seed": seed} | variant.config, where)
    data = _table(data_table(config.method), variant.data, f"variant {variant.name!r}, data")
    return Training(config, load_training_data(config.method, data))


def _table(model: type[T], raw: dict[str, Any], where: str) -> T:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise BadInputError(f"{where}: {explain(error, model)}") from None


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def relative_to(path: Path, root: Path) -> str:
    """`path` as seen from `root` where it lies below it, so that results can be moved."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
