"""Plan an experiment: the list of its steps, each named by the hash of everything that decides its result."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from assay.harness.errors import BadInputError
from assay.harness.experiment import (
    AnyVariant,
    Experiment,
    Member,
    MergeVariant,
    ModelVariant,
    PairsTable,
    SuiteTable,
    TrainVariant,
    maker_of,
    sources_of,
)
from assay.harness.experiment.access import EVERYTHING, Access
from assay.harness.experiment.training import Training, check_training
from assay.harness.models.keys import ADDRESS
from assay.harness.models.resolve import look_at_model, resolve_model
from assay.harness.pipeline.fingerprints import digest, step_id
from assay.harness.pipeline.steps import Plan, StepKind, artifacts
from assay.harness.pipeline.steps.artifacts import TakeSpec, TrainSpec
from assay.harness.pipeline.steps.compare import COMPARE, KL, CompareSpec, KlSpec, linked_steps
from assay.harness.pipeline.steps.contamination import CONTAMINATION, ContaminationSpec
from assay.harness.pipeline.steps.execute import EXECUTE, ExecuteSpec
from assay.harness.pipeline.steps.generate import GENERATE, GenerateSpec
from assay.harness.pipeline.steps.pairs import PAIRS, PairingOptions
from assay.harness.pipeline.steps.profile import PROFILE, ProfileSpec
from assay.harness.pipeline.store import Step
from assay.suites import Suite, load_suite
from assay.trainers.artifact import Artifact, ArtifactKind
from assay.trainers.config import RewardModelConfig
from assay.trainers.merge.recipe import MergeRecipe

__all__ = ["KINDS", "Plan", "Step", "make_plan", "plan_json"]

_KINDS = (*artifacts.KINDS, PAIRS, GENERATE, EXECUTE, PROFILE, CONTAMINATION, COMPARE, KL)
KINDS: dict[str, StepKind] = {kind.name: kind for kind in _KINDS}
MERGED = "+merged"  # ends the name of an adapter merged so that it can be trained on: no variant's name holds a plus
_REWARD_MODEL = (
    "it is a reward model, which scores answers and writes none; "
    "name it in a ppo variant's config.reward.model"
)
_ADVICE = {
    ArtifactKind.ADAPTER: "merge it first",
    ArtifactKind.TUNED: "it has no adapter to fold in: use it as it is",
    ArtifactKind.BASE: "it has no adapter to fold in: use it as it is",
    ArtifactKind.MERGED: "it is merged already: use it as it is",
    ArtifactKind.GGUF: "name the model that it was exported from",
    ArtifactKind.ENDPOINT: "its weights are not here",
}


def make_plan(experiment: Experiment, access: Access = EVERYTHING) -> Plan:
    """Plan an experiment: resolve its suites and models, load its training data and check what is made of what.

    What `access` does not reach is left out, and said in the plan. Raises BadInputError, SuiteError, UnknownNameError
    or TrainersError for what is wrong in them.
    """
    return _Planner(experiment, _load_suite(experiment.suite, access), access).plan()


def plan_json(plan: Plan) -> dict[str, Any]:
    """Return a plan as `plan.json` and `assay plan --json` hold it; an id that is not known is null."""
    return {
        "experiment": plan.experiment.model_dump(mode="json"),
        "run": None if plan.unknown else plan.run_id,
        "suite": {
            "name": plan.suite.name,
            "revision": plan.suite.revision,
            "n_problems": len(plan.suite.problems),
        },
        "steps": [
            {
                "name": s.name,
                "kind": s.label,
                "id": None if s.name in plan.unknown else s.id,
                "inputs": list(s.inputs),
                "config": s.config,
            }
            for s in plan.steps
        ],
    }


def _kind_of(variant: AnyVariant) -> StepKind:
    """Return the kind of step that makes a variant; a model that exists is taken."""
    maker = str(maker_of(variant))
    return KINDS["take" if maker == "model" else maker]


def _load_suite(table: SuiteTable, access: Access) -> Suite:
    access.check_suite(table)
    return load_suite(**table.model_dump())


class _Planner:
    """Adds steps one after another; the plan's list is in the order in which they are added."""

    def __init__(self, experiment: Experiment, suite: Suite, access: Access) -> None:
        self.experiment, self.suite, self.access = experiment, suite, access
        self.steps: dict[str, Step] = {}
        self.kinds: dict[str, ArtifactKind] = {}  # of what each making step makes
        self.makers: dict[str, str] = {}  # the step that makes each member, or its preferences
        self.trainings: dict[str, Training] = {}
        self.models: dict[str, Artifact] = {}
        self.reward_models: set[str] = set()
        self.left_out: dict[str, None] = {}  # in order, each once
        self.unknown: set[str] = set()  # steps whose ids depend on what was left out

    def plan(self) -> Plan:
        members = {v.name: self.experiment.members(v.name) for v in self.experiment.variant}
        for variant in self.experiment.variant:
            self._check_sources(variant, sources_of(variant))
            training = (
                check_training(variant, self.experiment, self.access)
                if isinstance(variant, TrainVariant)
                else None
            )
            if training is not None and isinstance(training.config, RewardModelConfig):
                self.reward_models.add(variant.name)
            for member in members[variant.name]:
                self._make(variant, member, training)
            for table in self.experiment.pairs:
                if table.model == variant.name:
                    self._check_sources(table, (table.model,))
                    self._prefer(table, members[variant.name])
        reference = self.experiment.score.reference
        if reference in self.reward_models:
            raise BadInputError(f"score.reference {reference!r}: {_REWARD_MODEL}")
        evaluated = {name: forms for name, forms in members.items() if name not in self.reward_models}
        self._contamination(evaluated)
        self._evaluate(evaluated)
        self._profile(evaluated)
        self._compare()
        steps = self._in_order()
        # The same steps scored in the same way are the same run.
        score = self.experiment.score.model_dump(mode="json")
        run_id = digest({"steps": [(s.name, s.id) for s in steps], "score": score})
        reward_models = {name: members[name] for name in members if name in self.reward_models}
        products = (self.models, self.trainings, evaluated, reward_models, self.makers)
        looked_at = (tuple(self.left_out), frozenset(self.unknown & self.steps.keys()))
        return Plan(self.experiment, self.suite, steps, *products, run_id, *looked_at)

    def _in_order(self) -> tuple[Step, ...]:
        """Return the steps; overlaps with data that exists come first, before anything is paid for."""
        first = [s for s in self.steps.values() if s.kind == CONTAMINATION.name and not s.inputs]
        return (*first, *(s for s in self.steps.values() if s not in first))

    def _add(
        self, kind: StepKind, variant: str, spec: Any, inputs: Iterable[str] = (), label: str = ""
    ) -> str:
        label, inputs = label or kind.name, tuple(inputs)
        config = kind.config(spec)
        ids = [self.steps[source].id for source in inputs]
        name, identifier = f"{label}-{variant}", step_id(label, kind.version, config, ids)
        self.steps[name] = Step(name, kind.name, variant, identifier, config, inputs, spec)
        if self.unknown.intersection(inputs):
            self.unknown.add(name)
        if kind.makes is not None:
            sources = [self.kinds.get(source, ArtifactKind.BASE) for source in inputs]
            self.kinds[name] = kind.makes(spec, sources)
        return name

    def _shared(self, kind: StepKind, variant: str, spec: Any, inputs: Sequence[str], label: str) -> str:
        """Add a step, or return one with the same id that another table has already: it is done once."""
        name = self._add(kind, variant, spec, inputs, label)
        twin = next(
            s.name for s in self.steps.values() if s.kind == kind.name and s.id == self.steps[name].id
        )
        if twin != name:
            del self.steps[name]
        return twin

    def _check_sources(self, table: AnyVariant | PairsTable, sources: Sequence[str]) -> None:
        """Refuse what a variant, or preferences, cannot be made from. Raises BadInputError."""
        for name in sources:
            if name in self.reward_models:
                use = "sampled" if isinstance(table, PairsTable) else "the start of a variant"
                raise BadInputError(f"{table.name!r}: {name!r} cannot be {use}: {_REWARD_MODEL}")
            maker = self._maker_of(name, None)
            if isinstance(table, PairsTable) or self.kinds.get(maker) is None:
                continue
            kind, making = self.kinds[maker], _kind_of(table)
            if kind not in making.accepts:
                raise BadInputError(
                    f"variant {table.name!r} cannot {making.name} {name!r}, which is of kind {kind} "
                    f"(possible: {', '.join(making.accepts)}): {_ADVICE[kind]}"
                )

    def _make(self, variant: AnyVariant, member: Member, training: Training | None) -> None:
        """Add the step that makes one form of a variant."""
        sources = [self._maker_of(name, member.seed) for name in sources_of(variant)]
        spec: Any
        match variant:
            case ModelVariant():
                self.models[member.name] = self._taken(variant.model)
                spec = TakeSpec(variant.model, self.models[member.name])
            case TrainVariant():
                assert training is not None, variant
                spec, sources = self._training(member, training, sources[0])
            case MergeVariant():
                spec = variant.recipe
            case _:
                spec = variant
        maker = self._add(_kind_of(variant), member.name, spec, sources)
        self.makers[member.name] = maker
        if training is not None and training.left_out:
            self.left_out[f"variant {variant.name!r}: {training.left_out}"] = None
            self.unknown.add(maker)
        if isinstance(spec, TakeSpec) and not spec.artifact.sha256:
            self.unknown.add(maker)
            if spec.artifact.kind is not ArtifactKind.ENDPOINT:
                del self.kinds[maker]  # an adapter or a GGUF file, for all that is known

    def _taken(self, name: str) -> Artifact:
        """Return the model of that name; one that was left out has no hash."""
        if self.access.online:
            return resolve_model(name)
        artifact, note = look_at_model(name)
        if note:
            self.left_out[note] = None
        kind = ArtifactKind.ENDPOINT if ADDRESS.match(name) else ArtifactKind.BASE
        return artifact or Artifact(kind, Path(name), "")

    def _training(self, member: Member, training: Training, start: str) -> tuple[TrainSpec, list[str]]:
        """Return the spec of one training, and its inputs: the start, and the pairs and reward model made here."""
        if member.seed is not None:
            config = training.config.model_copy(update={"seed": member.seed})
            training = dataclasses.replace(training, config=config)
        self.trainings[member.name] = training
        pairs, reward_model = (
            None if name is None else self._maker_of(name, member.seed)
            for name in (training.pairs, training.reward_model)
        )
        inputs = [self._trainable(start), *(name for name in (pairs, reward_model) if name is not None)]
        return TrainSpec(training, pairs, reward_model), inputs

    def _trainable(self, maker: str) -> str:
        """Return the step whose model can be trained: `maker`, or where it makes an adapter the merge of that."""
        if self.kinds.get(maker) is not ArtifactKind.ADAPTER:
            return maker
        steps = self.steps.values()
        plain = (s.name for s in steps if (s.kind, s.inputs, s.config) == ("merge", (maker,), {}))
        variant = f"{self.steps[maker].variant}{MERGED}"
        return next(plain, None) or self._add(KINDS["merge"], variant, MergeRecipe(), [maker])

    def _maker_of(self, name: str, seed: int | None) -> str:
        """Return the step that makes a variant or preferences: with that training seed, where it has seeds."""
        members = self.experiment.members(name)
        return self.makers[next((m for m in members if m.seed == seed), members[0]).name]

    def _prefer(self, table: PairsTable, models: Sequence[Member]) -> None:
        """Add sampling, verifying and pairing, for each form of the model."""
        problems = table.problems(self.experiment.suite)
        suite = _load_suite(problems, self.access)
        seed = self.experiment.seed if table.seed is None else table.seed
        engine = self.experiment.engine
        sampling = GenerateSpec(suite, problems, table.sampling, seed, engine, shares_base=False)
        judging = ExecuteSpec(suite, self.experiment.sandbox, table.sampling.style)
        pairing = PairingOptions(table.kinds, table.per_problem, table.match, table.single, seed)
        for member, model in zip(self.experiment.members(table.name), models, strict=True):
            maker = self.makers[model.name]
            sampled = self._shared(GENERATE, member.name, sampling, [maker], "sample")
            verified = self._shared(EXECUTE, member.name, judging, [sampled], "verify")
            self.makers[member.name] = self._add(PAIRS, member.name, pairing, [sampled, verified])

    def _contamination(self, evaluated: dict[str, tuple[Member, ...]]) -> None:
        for name, forms in evaluated.items():
            specs = {m.name: self.steps[self.makers[m.name]].spec for m in forms if m.name in self.trainings}
            if specs:
                pairs = dict.fromkeys(spec.pairs for spec in specs.values() if spec.pairs is not None)
                step = self._add(CONTAMINATION, name, ContaminationSpec(self.suite, specs), pairs)
                if any(spec.training.left_out for spec in specs.values()):
                    self.unknown.add(step)

    def _evaluate(self, evaluated: dict[str, tuple[Member, ...]]) -> None:
        experiment = self.experiment
        sampling = GenerateSpec(
            self.suite, experiment.suite, experiment.sampling, experiment.seed, experiment.engine
        )
        judging = ExecuteSpec(self.suite, experiment.sandbox, experiment.sampling.style)
        for member in (member for forms in evaluated.values() for member in forms):
            generated = self._add(GENERATE, member.name, sampling, [self.makers[member.name]])
            self._add(EXECUTE, member.name, judging, [generated])

    def _profile(self, evaluated: dict[str, tuple[Member, ...]]) -> None:
        table, engine = self.experiment.profile, self.experiment.engine
        for forms in evaluated.values():
            maker = self.makers[forms[0].name]
            kind = self.kinds.get(maker)
            if table is not None and kind is not ArtifactKind.ENDPOINT:
                spec = ProfileSpec(table, engine, gguf=kind is ArtifactKind.GGUF)
                self._add(PROFILE, forms[0].name, spec, [maker])

    def _compare(self) -> None:
        """Add, where there is a `[compare]` table, the links of the chain and the distances of the trainings."""
        table = self.experiment.compare
        threads = self.experiment.engine.threads or len(os.sched_getaffinity(0))
        if table is None:
            return
        for source, result in linked_steps(self.steps.values()):
            spec = CompareSpec(self.suite, table, threads)
            self._add(COMPARE, result.variant, spec, [source.name, result.name])
        for step in [s for s in self.steps.values() if s.kind == "train"]:
            generated = f"{GENERATE.name}-{step.variant}"
            if generated in self.steps:  # a reward model writes no answers
                distance = KlSpec(self.suite, table.texts, self.experiment.seed, threads)
                self._add(KL, step.variant, distance, [step.inputs[0], step.name, generated])
