"""Steps that make a model: take, train, merge, export, compress."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.harness.experiment import CompressVariant
from assay.harness.experiment.training import Training, load_made_pairs
from assay.harness.pipeline.steps import Context, StepKind
from assay.harness.pipeline.steps.pairs import FILE as PAIRS_FILE
from assay.harness.pipeline.store import Record, Step
from assay.harness.training.problems import settle_environment
from assay.trainers.artifact import Artifact, ArtifactKind
from assay.trainers.data.inputs import REINFORCEMENT_METHODS, TrainingData
from assay.trainers.data.problems import Environment
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
        file = folder(self.pairs) / PAIRS_FILE
        return load_made_pairs(training.config.method, training.data, file, self.pairs)


def size_bytes(path: Path) -> int:
    """Return the bytes of weights on disk: of the file itself, or of a folder's safetensors files."""
    if path.is_file():
        return path.stat().st_size
    return sum(f.stat().st_size for f in path.glob("*.safetensors"))


def _record(context: Context, step: Step, artifact: Artifact, work: Path) -> Record:
    """Return the record of a model; a path inside the step's folder is relative to it."""
    context.models.keep(step, artifact)
    inside = artifact.path.is_relative_to(work)
    recipe = artifact.recipe or f"{step.config.get('model', step.name)}{TAKEN}"
    return {
        "artifact": {
            "kind": artifact.kind.value,
            "path": str(artifact.path.relative_to(work)) if inside else str(artifact.path),
            "sha256": artifact.sha256,
            "recipe": recipe + (_merged(context, step, artifact.path) if step.kind == "merge" else ""),
            "size_bytes": None if artifact.kind is ArtifactKind.ENDPOINT else size_bytes(artifact.path),
        }
    }


def _take(context: Context, step: Step, work: Path) -> Record:
    return _record(context, step, step.spec.artifact, work)


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
        records = settle_environment(records, config.rollout, on_progress=context.progress.say_once)
    with context.progress.task(step.name, unit="steps") as task:

        def on_step(at: TrainingStep) -> None:
            task.update(at.step, f"of {at.total_steps}, loss {at.loss:.3f}, {at.tok_per_s:,.0f} tok/s")

        start = context.artifact(step.inputs[0])
        artifact = train_alone(start, config, records, work / MODEL, on_step)
    facts, report = load_facts(artifact.path), load_report(artifact.path)
    return {
        **_record(context, step, artifact, work),
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
        return "it does not say under which isolation its rewards were computed"
    return f"its rewards were computed under {training['isolation']}, weaker than this run asks for"


def _is_rewarded(step: Step) -> bool:
    """Return whether a training executes answers, so that it is worth what their isolation was."""
    spec: TrainSpec = step.spec
    return spec.training.config.method in REINFORCEMENT_METHODS


def _quickly(make: Callable[[Sequence[Artifact], Step, Path], Artifact]) -> Callable[..., Record]:
    """Return the `run` of a kind whose models take seconds to make: after a kill it begins again from nothing."""

    def run(context: Context, step: Step, work: Path) -> Record:
        shutil.rmtree(work / MODEL, ignore_errors=True)
        sources = [context.artifact(name) for name in step.inputs]
        with context.progress.task(step.name):
            artifact = make(sources, step, work)
        return _record(context, step, artifact, work)

    return run


def _merge(sources: Sequence[Artifact], step: Step, work: Path) -> Artifact:
    from assay.trainers.merge import merge

    return merge(sources, work / MODEL, step.spec)


def _export(sources: Sequence[Artifact], step: Step, work: Path) -> Artifact:
    from assay.trainers.gguf import export_gguf

    return export_gguf(sources[0], work / f"{step.variant}.gguf", step.spec.quantize)


def _compress(sources: Sequence[Artifact], step: Step, work: Path) -> Artifact:
    from assay.trainers.model.quantize import compress_model

    spec: CompressVariant = step.spec
    return compress_model(sources[0], work / MODEL, spec.quantization, double_quant=spec.double_quant)


def _merged(context: Context, step: Step, folder: Path) -> str:
    """Say which adapters a merge is of, where there are several, and how far it moved the base."""
    from assay.trainers.merge.write import load_change

    names = [context.plan.step(name).variant for name in step.inputs]
    of = f", of {' and '.join(names)}" if len(names) > 1 else ""
    change = load_change(folder)
    if change is None:
        return of
    return (
        f"{of}; {change['tensors_changed']} of {change['tensors']} tensors moved by "
        f"{change['relative_change']:.2%} of their norm"
    )


def _merging(recipe: MergeRecipe) -> dict[str, Any]:
    merging = recipe.model_dump(mode="json", exclude_defaults=True)
    return {"merging": merging} if merging else {}


KINDS = (
    StepKind(
        "take",
        _take,
        config=lambda spec: {"model": spec.name, "sha256": spec.artifact.sha256},
        makes=lambda spec, _: spec.artifact.kind,
    ),
    StepKind(
        "train",
        _train,
        unsettled=_weakly_rewarded,
        executes=_is_rewarded,
        accepts=(*_WHOLE, ArtifactKind.ADAPTER),  # an adapter is merged first, by the plan
        makes=lambda spec, _: ArtifactKind.TUNED if spec.training.config.full else ArtifactKind.ADAPTER,
    ),
    StepKind(
        "merge",
        _quickly(_merge),
        config=_merging,
        accepts=(ArtifactKind.ADAPTER,),
        makes=lambda *_: ArtifactKind.MERGED,
    ),
    StepKind(
        "export",
        _quickly(_export),
        config=lambda spec: {"quantize": spec.quantize},
        accepts=_WHOLE,
        makes=lambda *_: ArtifactKind.GGUF,
    ),
    StepKind(
        "compress",
        _quickly(_compress),
        config=lambda spec: spec.model_dump(include={"quantization", "double_quant"}),
        accepts=_WHOLE,
        makes=lambda _, sources: sources[0],
    ),
)
