"""Steps that make an artifact: take, train, merge, export."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assay.harness.console import Progress
from assay.harness.errors import AssayError, BadInputError, MissingToolError
from assay.harness.experiment.training import load_made_pairs
from assay.harness.pipeline.plan import Plan, Step
from assay.harness.pipeline.store import Store
from assay.trainers.artifact import Artifact, ArtifactKind, identify
from assay.trainers.data.problems import Environment
from assay.trainers.errors import MissingExtraError, TrainersError
from assay.trainers.preference.reward_report import load_report
from assay.trainers.run.facts import load_facts

MODEL = "model"
TAKEN = ", taken as it is"  # ends the recipe of a model that nothing was done to


def make_artifact(
    plan: Plan,
    step: Step,
    sources: Sequence[Artifact],
    work: Path,
    progress: Progress,
    *,
    allow_weak: bool = False,
    pairs: Path | None = None,
) -> dict[str, Any]:
    """Do the step in the folder `work` and return its record's own part; `allow_weak` is for trainings that execute,
    `pairs` the file for those that learn from the experiment's own preferences. Raises AssayError."""
    started = time.perf_counter()
    try:
        if step.kind == "train":
            artifact = _train(plan, step, sources, work / MODEL, progress, allow_weak, pairs)
        else:
            artifact = _make(plan, step, sources, work, progress)
    except MissingExtraError as error:
        raise MissingToolError(str(error)) from error
    except TrainersError as error:
        raise BadInputError(f"{step.name}: {error}") from error
    inside = artifact.path.is_relative_to(work)
    facts = load_facts(artifact.path) if step.kind == "train" else None
    judged = load_report(artifact.path) if step.kind == "train" else None
    return {
        "artifact": {
            "kind": artifact.kind.value,
            "path": str(artifact.path.relative_to(work)) if inside else str(artifact.path),
            "sha256": artifact.sha256,
            "recipe": (artifact.recipe or f"{step.config.get('model', step.name)}{TAKEN}")
            + (_merged(plan, step, artifact.path) if step.kind == "merge" else ""),
            "size_bytes": None if artifact.kind is ArtifactKind.ENDPOINT else size_bytes(artifact.path),
        },
        "seconds": time.perf_counter() - started,
        **({} if facts is None else {"training": facts.model_dump(mode="json")}),
        **({} if judged is None else {"reward_model": judged.model_dump(mode="json")}),
    }


def _merged(plan: Plan, step: Step, folder: Path) -> str:
    """Which adapters a merge is of, where they are several, and how far it moved the base; in words."""
    from assay.trainers.merge.write import load_change

    names = [plan.step(name).variant for name in step.inputs]
    of = f", of {' and '.join(names)}" if len(names) > 1 else ""
    change = load_change(folder)
    if change is None:
        return of
    return (
        f"{of}; {change['tensors_changed']} of {change['tensors']} tensors moved by "
        f"{change['relative_change']:.2%} of their norm"
    )


def _make(plan: Plan, step: Step, sources: Sequence[Artifact], work: Path, progress: Progress) -> Artifact:
    if step.kind == "take":
        return plan.models[step.variant]
    source = sources[0]
    shutil.rmtree(work / MODEL, ignore_errors=True)  # merge and export are quick: begun again from nothing
    with progress.task(step.name):
        if step.kind == "merge":
            from assay.trainers.merge import MergeRecipe, merge

            return merge(sources, work / MODEL, MergeRecipe.model_validate(step.config.get("merging", {})))
        if step.kind == "compress":
            from assay.trainers.model.quantize import compress_model

            told = step.config
            return compress_model(
                source, work / MODEL, told["quantization"], double_quant=told["double_quant"]
            )
        from assay.trainers.gguf import export_gguf

        return export_gguf(source, work / f"{step.variant}.gguf", step.config["quantize"])


def _train(
    plan: Plan,
    step: Step,
    sources: Sequence[Artifact],
    out: Path,
    progress: Progress,
    allow_weak: bool,
    pairs: Path | None,
) -> Artifact:
    """`sources` are the start, and behind it the reward model where a variant is it."""
    from assay.trainers import TrainingStep
    from assay.trainers.run.process import train_alone

    training = plan.trainings[step.variant]
    config: Any = training.config
    if training.judge is not None:
        config = config.model_copy(
            update={"reward": config.reward.model_copy(update={"model": sources[1].path})}
        )
    records = training.records
    if records is None:
        assert pairs is not None, step.name
        assert training.pairs is not None, step.name
        records = load_made_pairs(config.method, training.data, pairs, training.pairs)
    if isinstance(records, Environment):
        records = dataclasses.replace(records, allow_weak=allow_weak)
    with progress.task(step.name, unit="steps") as task:

        def on_step(at: TrainingStep) -> None:
            task.update(at.step, f"of {at.total_steps}, loss {at.loss:.3f}, {at.tok_per_s:,.0f} tok/s")

        return train_alone(sources[0], config, records, out, on_step)


def load_artifact(store: Store, plan: Plan, step: Step) -> Artifact:
    """The artifact that a finished step made, held against the hash its record gives, with its parents."""
    record = store.record(step.name, step.id)
    if record is None:
        raise AssayError(f"step {step.name} is not done")
    if step.kind == "take":
        return plan.models[step.variant]
    made = record["artifact"]
    parent, *others = (load_artifact(store, plan, source) for source in plan.models_of(step))
    path = store.path(step.name, step.id) / made["path"]
    try:
        found = identify(path, base=parent)
    except TrainersError as error:
        raise BadInputError(f"{error}; remove {store.path(step.name, step.id)} to make it again") from error
    return dataclasses.replace(found, parent=parent, recipe=made["recipe"], others=tuple(others))


def size_bytes(path: Path) -> int:
    """Bytes of weights on disk: the file itself, or a folder's safetensors files."""
    if path.is_file():
        return path.stat().st_size
    return sum(f.stat().st_size for f in path.glob("*.safetensors"))
