"""A Plan: the steps of an experiment, each named by the hash of everything that decides its result."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from assay.harness.errors import BadInputError
from assay.harness.experiment import (
    AnyVariant,
    CompressVariant,
    Experiment,
    ExportVariant,
    Member,
    MergeVariant,
    ModelVariant,
    PairsTable,
    SuiteTable,
    TrainVariant,
    sources_of,
)
from assay.harness.experiment.lineage import check_chains
from assay.harness.experiment.training import Training, check_training
from assay.harness.models.resolve import resolve_model
from assay.harness.pipeline.fingerprints import _device, _hash, _questions
from assay.suites import Suite, SuiteError, UnknownNameError, load_suite
from assay.trainers.artifact import Artifact, ArtifactKind
from assay.trainers.config import RewardModelConfig
from assay.trainers.errors import TrainersError
from assay.trainers.run.folder import by_content

Kind = Literal[
    "take",
    "train",
    "merge",
    "export",
    "compress",
    "sample",
    "verify",
    "pairs",
    "generate",
    "execute",
    "profile",
]
WHOLE = "+merged"  # ends the name of an adapter merged so that it can be trained on: no variant's name holds a plus
# Raised when the meaning of a step's output changes, so that older results are not taken for today's.
FORMAT: dict[Kind, int] = {
    "take": 1,
    "train": 1,
    "merge": 1,
    "export": 1,
    "compress": 1,
    "sample": 1,
    "verify": 1,
    "pairs": 1,
    "generate": 1,
    "execute": 1,
    "profile": 1,
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
class PairsPlan:
    """Preferences to be made: their table, and the experiment as sampling and executing for them see it."""

    table: PairsTable
    experiment: Experiment
    suite: Suite


@dataclass(frozen=True)
class Plan:
    """All that `assay run` will do, decided before anything is done.

    `members` says for each variant that is evaluated as what it is made: steps, models and trainings go by those
    names, and so do `preferences`. `judges` are the reward models: made like them, and not evaluated.
    """

    experiment: Experiment
    suite: Suite
    steps: tuple[Step, ...]
    models: dict[str, Artifact]
    trainings: dict[str, Training]
    members: dict[str, tuple[Member, ...]]
    preferences: dict[str, PairsPlan] = dataclasses.field(default_factory=dict)
    judges: dict[str, tuple[Member, ...]] = dataclasses.field(default_factory=dict)

    @property
    def run_id(self) -> str:
        """Names the run: the same steps scored in the same way give the same one."""
        return _hash(
            {
                "steps": [(s.name, s.id) for s in self.steps],
                "score": self.experiment.score.model_dump(mode="json"),
            }
        )

    @property
    def declared(self) -> list[str]:
        """The names of the experiment's variants and preferences."""
        return [one.name for one in (*self.experiment.variant, *self.experiment.pairs)]

    def step(self, name: str) -> Step:
        return next(s for s in self.steps if s.name == name)

    def models_of(self, step: Step) -> list[Step]:
        """The steps that made the models which this step's model is made from; what it learns from is none."""
        names = step.inputs[:1] if step.kind == "train" else step.inputs
        return [self.step(name) for name in names]

    def asked(self, step: Step) -> Plan:
        """The plan as a step that samples or executes sees it: with the problems and the sampling that are its own."""
        if step.kind not in ("sample", "verify", "pairs"):
            return self
        found = self.preferences[step.variant]
        return dataclasses.replace(self, experiment=found.experiment, suite=found.suite)


def make_plan(experiment: Experiment) -> Plan:
    """Resolve suites, models, trainer tables and training data; raise BadInputError for what is wrong in them."""
    try:
        return _Planner(experiment, _load_suite(experiment.suite)).plan()
    except (SuiteError, UnknownNameError, TrainersError) as error:
        raise BadInputError(str(error)) from error


def _load_suite(table: SuiteTable) -> Suite:
    return load_suite(
        table.name, path=table.path, split=table.split, limit=table.limit, options=table.options
    )


class _Planner:
    def __init__(self, experiment: Experiment, suite: Suite) -> None:
        self.experiment, self.suite = experiment, suite
        self.steps: dict[str, Step] = {}
        self.models: dict[str, Artifact] = {}
        self.trainings: dict[str, Training] = {}
        self.preferences: dict[str, PairsPlan] = {}

    def plan(self) -> Plan:
        members = {v.name: self.experiment.members(v.name) for v in self.experiment.variant}
        makers: dict[str, str] = {}
        for variant in self.experiment.variant:
            training = check_training(variant, self.experiment) if isinstance(variant, TrainVariant) else None
            for member in members[variant.name]:
                makers[member.name] = self._make(variant, member, training)
            for table in self.experiment.pairs:
                if table.model == variant.name:
                    self._prefer(table, members[variant.name], makers)
        first = {name: made[0].name for name, made in members.items()}  # the seeds of one are of one kind
        configs = {n: self.trainings[m].config for n, m in first.items() if m in self.trainings}
        check_chains(
            self.experiment, {n: self.models[m] for n, m in first.items() if m in self.models}, configs
        )
        judges = {name for name, config in configs.items() if isinstance(config, RewardModelConfig)}
        evaluated = {name: made for name, made in members.items() if name not in judges}
        for made in evaluated.values():
            for member in made:
                self._evaluate(member.name, makers[member.name])
        for made in evaluated.values():
            self._profile(made[0].name, makers[made[0].name])
        return Plan(
            self.experiment,
            self.suite,
            tuple(self.steps.values()),
            self.models,
            self.trainings,
            evaluated,
            self.preferences,
            {name: made for name, made in members.items() if name in judges},
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
                return self._train(variant, member, training)
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

    def _train(self, variant: TrainVariant, member: Member, training: Training) -> str:
        name, config = member.name, training.config
        if member.seed is not None:
            config = config.model_copy(update={"seed": member.seed})
        pairs, judge = (
            None if source is None else self._maker_of(source, member.seed)
            for source in (training.pairs, training.judge)
        )
        self.trainings[name] = dataclasses.replace(training, config=config, pairs=pairs, judge=judge)
        told = training.told | {
            "config": (by_content(config) if judge is None else config).model_dump(mode="json")
        }
        start = self._whole(self._maker_of(variant.train, member.seed))
        return self._add("train", name, told, [start, *(s for s in (pairs, judge) if s is not None)])

    def _whole(self, maker: str) -> str:
        """The step whose model can be trained: `maker`, or where it makes an adapter the merge of that."""
        step = self.steps[maker]
        if step.kind == "train":
            adapter = not self.trainings[step.variant].config.full
        else:
            adapter = step.kind == "take" and self.models[step.variant].kind is ArtifactKind.ADAPTER
        if not adapter:
            return maker
        planned = (s for s in self.steps.values() if s.kind == "merge")
        known = next((s.name for s in planned if s.inputs == (maker,) and not s.config), None)
        return known or self._add("merge", f"{step.variant}{WHOLE}", {}, [maker])

    def _maker_of(self, variant: str, seed: int | None) -> str:
        """The step that made the variant, or the preferences: with that training seed, where it has seeds."""
        members = self.experiment.members(variant)
        member = next((m for m in members if m.seed == seed), members[0])
        return next(
            s.name
            for s in self.steps.values()
            if s.variant == member.name and s.kind not in ("sample", "verify")
        )

    def _prefer(self, table: PairsTable, models: tuple[Member, ...], makers: Mapping[str, str]) -> None:
        """Sample, verify and pair, for each of the model's training seeds."""
        problems = table.problems(self.experiment.suite)
        seed = self.experiment.seed if table.seed is None else table.seed
        own = {"suite": problems, "sampling": table.sampling, "seed": seed}
        asked = PairsPlan(table, self.experiment.model_copy(update=own), _load_suite(problems))
        for member, model in zip(self.experiment.members(table.name), models, strict=True):
            self.preferences[member.name] = asked
            sampling, verifying = _questions(asked.experiment, asked.suite)
            sampled = self._shared("sample", member.name, sampling, [makers[model.name]])
            verified = self._shared("verify", member.name, verifying, [sampled])
            told = table.model_dump(mode="json", include={"kinds", "per_problem", "match", "single"})
            self._add("pairs", member.name, told | {"seed": seed}, [sampled, verified])

    def _shared(self, kind: Kind, variant: str, config: dict[str, Any], inputs: Iterable[str]) -> str:
        """The step, or the one of the same identity that another table has already: it is done once."""
        name = self._add(kind, variant, config, inputs)
        twin = next(s.name for s in self.steps.values() if s.kind == kind and s.id == self.steps[name].id)
        if twin != name:
            del self.steps[name]
        return twin

    def _evaluate(self, variant: str, maker: str) -> None:
        generating, executing = _questions(self.experiment, self.suite)
        source = self._add("generate", variant, generating, [maker])
        self._add("execute", variant, executing, [source])

    def _profile(self, variant: str, maker: str) -> None:
        table, engine = self.experiment.profile, self.experiment.engine
        model = self.models.get(variant)
        if table is None or (model is not None and model.kind is ArtifactKind.ENDPOINT):
            return
        job = table.model_dump(mode="json") | {"device": _device(engine.device), "threads": engine.threads}
        gguf = self.steps[maker].kind == "export" or (model is not None and model.kind is ArtifactKind.GGUF)
        job["dtype"] = "auto" if gguf else engine.dtype  # a GGUF file has its own
        self._add("profile", variant, {"job": job}, [maker])


def relative_to(path: Path, root: Path) -> str:
    """`path` as seen from `root` where it lies below it, so that results can be moved."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
