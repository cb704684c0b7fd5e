"""Steps that make a model: take, train, merge, export, compress."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.harness.experiment.training import Training, load_made_pairs
from assay.harness.pipeline.steps import Context, Plan, StepKind
from assay.harness.pipeline.steps.pairs import pairs_file
from assay.harness.pipeline.store import Record, Step, Store, step_record
from assay.trainers.artifact import Artifact, ArtifactKind, identify
from assay.trainers.data.inputs import REINFORCEMENT_METHODS, TrainingData
from assay.trainers.data.problems import Environment
from assay.trainers.errors import ArtifactError
from assay.trainers.merge.recipe import MergeRecipe
from assay.trainers.preference.reward_report import load_report
from assay.trainers.run.facts import load_facts
from assay.trainers.run.folder import by_content

MODEL = "model"
TAKEN = ", taken as it is"  # ends the recipe of a model that nothing was done to
_WHOLE = (ArtifactKind.BASE, ArtifactKind.TUNED, ArtifactKind.MERGED)


@dataclass(frozen=True, slots=True)
class TakeSpec:
    """A model that exists: `name` as the user wrote it."""

    name: str
    artifact: Artifact

    def config(self) -> dict[str, Any]:
        return {"model": self.name, "sha256": self.artifact.sha256}


@dataclass(frozen=True, slots=True)
class TrainSpec:
    """One training with one seed.

    `pairs` names the step that makes what is learned from, and `reward_model` the step that makes the reward model,
    where the experiment makes them.
    """

    training: Training
    pairs: str | None = None
    reward_model: str | None = None

    def config(self) -> dict[str, Any]:
        config = self.training.config
        if self.reward_model is None:  # a reward model in a folder counts by its content, not by its path
            config = by_content(config)
        return self.training.described | {"config": config.model_dump(mode="json")}

    def records(self, folder: Callable[[str], Path]) -> TrainingData:
        """Return the training data; `folder` gives the folder of a finished step. Raises TrainersError."""
        training = self.training
        if training.records is not None:
            return training.records
        assert self.pairs is not None, training
        return load_made_pairs(
            training.config.method, training.data, pairs_file(folder(self.pairs)), self.pairs
        )


@dataclass(frozen=True, slots=True)
class MergeSpec:
    recipe: MergeRecipe = dataclasses.field(default_factory=MergeRecipe)

    def config(self) -> dict[str, Any]:
        merging = self.recipe.model_dump(mode="json", exclude_defaults=True)
        return {"merging": merging} if merging else {}


@dataclass(frozen=True, slots=True)
class ExportSpec:
    quantize: str

    def config(self) -> dict[str, Any]:
        return {"quantize": self.quantize}


@dataclass(frozen=True, slots=True)
class CompressSpec:
    quantization: str
    double_quant: bool

    def config(self) -> dict[str, Any]:
        return {"quantization": self.quantization, "double_quant": self.double_quant}


class Artifacts:
    """The models that the steps of a run made, each hashed once: by what made it, or when a later run loads it."""

    def __init__(self, store: Store, steps: Iterable[Step]) -> None:
        self._store = store
        self._steps = {step.name: step for step in steps}
        self._kept: dict[str, Artifact] = {}

    def keep(self, step: Step, artifact: Artifact) -> None:
        """Remember the model that a step has just made; its folder gets its final name when the step is committed."""
        self._kept[step.name] = artifact

    def of(self, step: Step) -> Artifact:
        """Return the model that a finished step made, with its parents.

        Raises AssayError where the step is not done, and ArtifactError where its files changed since.
        """
        if isinstance(step.spec, TakeSpec):
            return step.spec.artifact
        record = step_record(self._store, step)["artifact"]
        folder = self._store.path(step.name, step.id)
        path = folder / record["path"]
        kept = self._kept.get(step.name)
        if kept is not None and kept.path == path:
            return kept
        names = step.inputs[:1] if isinstance(step.spec, TrainSpec) else step.inputs
        parent, *others = (self.of(self._steps[name]) for name in names)
        if kept is None:
            try:
                kept = identify(path, base=parent)
            except ArtifactError as error:
                raise ArtifactError(f"{error}; remove {folder} to make it again") from error
        described = {"path": path, "parent": parent, "others": tuple(others), "recipe": record["recipe"]}
        self._kept[step.name] = dataclasses.replace(kept, **described)
        return self._kept[step.name]


def size_bytes(path: Path) -> int:
    """Return the bytes of weights on disk: of the file itself, or of a folder's safetensors files."""
    if path.is_file():
        return path.stat().st_size
    return sum(f.stat().st_size for f in path.glob("*.safetensors"))


def records_of(store: Store, plan: Plan, variant: str) -> TrainingData:
    """Return what the training of `variant` learns from, in a run whose preferences are made."""
    spec: TrainSpec = plan.maker(variant).spec
    return spec.records(lambda name: store.path(name, plan.step(name).id))


def _take(_: Context, step: Step, work: Path) -> Record:
    spec: TakeSpec = step.spec
    return {"artifact": _described(step, spec.artifact, work, f"{spec.name}{TAKEN}")}


def _train(context: Context, step: Step, work: Path) -> Record:
    from assay.trainers import TrainingStep
    from assay.trainers.run.process import train_alone

    spec: TrainSpec = step.spec
    config: Any = spec.training.config
    if spec.reward_model is not None:
        reward = config.reward.model_copy(update={"model": context.artifact(spec.reward_model).path})
        config = config.model_copy(update={"reward": reward})
    records = spec.records(context.folder)
    if isinstance(records, Environment):
        records = dataclasses.replace(records, allow_weak=context.allow_weak)
    with context.progress.task(step.name, unit="steps") as task:

        def on_step(at: TrainingStep) -> None:
            task.update(at.step, f"of {at.total_steps}, loss {at.loss:.3f}, {at.tok_per_s:,.0f} tok/s")

        start = context.artifact(step.inputs[0])
        artifact = train_alone(start, config, records, work / MODEL, on_step)
    context.models.keep(step, artifact)
    facts, report = load_facts(artifact.path), load_report(artifact.path)
    return {
        "artifact": _described(step, artifact, work),
        **({} if facts is None else {"training": facts.model_dump(mode="json")}),
        **({} if report is None else {"reward_model": report.model_dump(mode="json")}),
    }


def _weakly_rewarded(context: Context, step: Step, record: Record) -> str:
    """Say why the rewards of a finished training are not enough for a run that requires full isolation."""
    if context.allow_weak or not _is_rewarded(step):
        return ""
    training = record.get("training", {})
    level = training.get("isolation_level")
    if level == "full":
        return ""
    if level is None:
        return "it does not say behind which isolation its rewards were given"
    return f"its rewards were given behind {training['isolation']}, weaker than this run asks for"


def _is_rewarded(step: Step) -> bool:
    """Return whether a training executes answers, so that it is worth what their isolation was."""
    spec: TrainSpec = step.spec
    return spec.training.config.method in REINFORCEMENT_METHODS


def _merge(context: Context, step: Step, work: Path) -> Record:
    from assay.trainers.merge import merge

    spec: MergeSpec = step.spec
    sources = [context.artifact(name) for name in step.inputs]
    return _quick(
        context,
        step,
        work,
        lambda: merge(sources, work / MODEL, spec.recipe),
        lambda path: _merged(context, step, path),
    )


def _export(context: Context, step: Step, work: Path) -> Record:
    from assay.trainers.gguf import export_gguf

    spec: ExportSpec = step.spec
    source = context.artifact(step.inputs[0])
    return _quick(
        context, step, work, lambda: export_gguf(source, work / f"{step.variant}.gguf", spec.quantize)
    )


def _compress(context: Context, step: Step, work: Path) -> Record:
    from assay.trainers.model.quantize import compress_model

    spec: CompressSpec = step.spec
    source = context.artifact(step.inputs[0])

    def compress() -> Artifact:
        bits: Any = spec.quantization
        return compress_model(source, work / MODEL, bits, double_quant=spec.double_quant)

    return _quick(context, step, work, compress)


def _quick(
    context: Context,
    step: Step,
    work: Path,
    make: Callable[[], Artifact],
    more: Callable[[Path], str] = lambda _: "",
) -> Record:
    """Make a model that takes seconds, begun again from nothing after a kill; `more` ends its recipe."""
    shutil.rmtree(work / MODEL, ignore_errors=True)
    with context.progress.task(step.name):
        artifact = make()
    context.models.keep(step, artifact)
    described = _described(step, artifact, work)
    described["recipe"] += more(artifact.path)
    return {"artifact": described}


def _merged(context: Context, step: Step, folder: Path) -> str:
    """Say which adapters a merge is of, where there are several, and how far it moved the base."""
    from assay.trainers.merge.write import load_change

    names = [context.step(name).variant for name in step.inputs]
    of = f", of {' and '.join(names)}" if len(names) > 1 else ""
    change = load_change(folder)
    if change is None:
        return of
    return (
        f"{of}; {change['tensors_changed']} of {change['tensors']} tensors moved by "
        f"{change['relative_change']:.2%} of their norm"
    )


def _described(step: Step, artifact: Artifact, work: Path, recipe: str = "") -> dict[str, Any]:
    """Return the part of a record that describes a model; a path inside the step's folder is relative to it."""
    inside = artifact.path.is_relative_to(work)
    return {
        "kind": artifact.kind.value,
        "path": str(artifact.path.relative_to(work)) if inside else str(artifact.path),
        "sha256": artifact.sha256,
        "recipe": artifact.recipe or recipe or f"{step.name}{TAKEN}",
        "size_bytes": None if artifact.kind is ArtifactKind.ENDPOINT else size_bytes(artifact.path),
    }


def _trained_kind(spec: TrainSpec, _: Sequence[ArtifactKind]) -> ArtifactKind:
    return ArtifactKind.TUNED if spec.training.config.full else ArtifactKind.ADAPTER


TAKE = StepKind("take", _take, makes=lambda spec, _: spec.artifact.kind)
TRAIN = StepKind(
    "train",
    _train,
    unsettled=_weakly_rewarded,
    executes=_is_rewarded,
    accepts=(*_WHOLE, ArtifactKind.ADAPTER),  # an adapter is merged first, by the plan
    makes=_trained_kind,
    verb="train",
)
MERGE = StepKind(
    "merge", _merge, accepts=(ArtifactKind.ADAPTER,), makes=lambda *_: ArtifactKind.MERGED, verb="merge"
)
EXPORT = StepKind("export", _export, accepts=_WHOLE, makes=lambda *_: ArtifactKind.GGUF, verb="export")
COMPRESS = StepKind(
    "compress", _compress, accepts=_WHOLE, makes=lambda _, sources: sources[0], verb="compress"
)
