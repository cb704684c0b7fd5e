"""The common ground of all kinds of step: the plan they stand in, the context they run in, and what a kind is.

Each module of this folder defines one kind, or a few that belong together, as `StepKind` objects;
`assay.harness.pipeline.plan.KINDS` is the table of all of them. A new kind is one such object: the planner gives it a
spec and inputs, and the runner does the rest (skipping what is done, resuming what was killed, recording,
publishing).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from assay.harness.console import Progress
from assay.harness.evaluation.judge import CacheUse
from assay.harness.experiment import Experiment, Member
from assay.harness.experiment.training import Training
from assay.harness.pipeline.store import Record, Step, Store, step_record
from assay.suites import Suite
from assay.trainers.artifact import Artifact, ArtifactKind, identify
from assay.trainers.errors import ArtifactError

if TYPE_CHECKING:
    from assay.harness.generation.types import Sample

__all__ = ["Artifacts", "Context", "Plan", "StepKind", "Stream"]


@dataclass(frozen=True)
class Plan:
    """Everything that `assay run` will do, decided before anything is done.

    `steps` are in an order in which each comes after its inputs. `members` are, for each variant that is evaluated, the
    forms in which it is made (one per training seed): steps, `models` (taken as they are) and `trainings` go by their
    names. `reward_models` are made in the same way and not evaluated. `makers` names the step that makes each member.

    Of a plan that is only looked at, `left_out` says what was not read or asked, and the ids of the steps in `unknown`
    are not known: they depend on it. Such a plan cannot be run.
    """

    experiment: Experiment
    suite: Suite
    steps: tuple[Step, ...]
    models: dict[str, Artifact]
    trainings: dict[str, Training]
    members: dict[str, tuple[Member, ...]]
    reward_models: dict[str, tuple[Member, ...]] = dataclasses.field(default_factory=dict)
    makers: dict[str, str] = dataclasses.field(default_factory=dict)
    run_id: str = ""
    left_out: tuple[str, ...] = ()
    unknown: frozenset[str] = frozenset()

    @cached_property
    def by_name(self) -> dict[str, Step]:
        return {step.name: step for step in self.steps}

    @property
    def declared(self) -> list[str]:
        """The names of the experiment's variants and preferences."""
        return [one.name for one in (*self.experiment.variant, *self.experiment.pairs)]

    def step(self, name: str) -> Step:
        return self.by_name[name]

    def maker(self, variant: str) -> Step:
        """Return the step that makes the model of a member."""
        return self.by_name[self.makers[variant]]


class Stream(Protocol):
    """A step at work that takes its input while the input is being made."""

    def submit(self, sample: Sample, /) -> None: ...

    def finish(self) -> Record: ...


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
        if step.kind == "take":
            taken: Artifact = step.spec.artifact
            return taken
        record = step_record(self._store, step)["artifact"]
        folder = self._store.path(step.name, step.id)
        path = folder / _inside(record["path"], folder)
        kept = self._kept.get(step.name)
        if kept is not None and kept.path == path:
            return kept
        names = step.inputs[:1] if step.kind == "train" else step.inputs
        parent, *others = (self.of(self._steps[name]) for name in names)
        if kept is None:
            try:
                kept = identify(path, base=parent)
            except ArtifactError as error:
                raise ArtifactError(f"{error}; remove {folder.resolve()} to make it again") from error
        described = {"path": path, "parent": parent, "others": tuple(others), "recipe": record["recipe"]}
        self._kept[step.name] = dataclasses.replace(kept, **described)
        return self._kept[step.name]


def _inside(path: Any, folder: Path) -> str:
    """Return the path of a step's record that lies in its folder. Raises ArtifactError: a model lies nowhere else."""
    if not isinstance(path, str) or Path(path).is_absolute() or ".." in Path(path).parts:
        raise ArtifactError(
            f"{folder}: its record names a model at {path!r:.200}, outside of it; remove the folder"
        )
    return path


@dataclass(frozen=True)
class Context:
    """The means that a step has while it runs. `on_sample` gets every sample that a generation makes or made."""

    plan: Plan
    store: Store
    progress: Progress
    models: Artifacts
    engines: Any  # the generators that are open: assay.harness.pipeline.steps.generate.ModelPool
    allow_weak: bool = False
    cache: CacheUse = dataclasses.field(default_factory=CacheUse)
    on_sample: Callable[[Sample], None] = lambda _: None

    def record(self, name: str) -> Record:
        """Return the record of a finished step. Raises AssayError."""
        return step_record(self.store, self.plan.step(name))

    def folder(self, name: str) -> Path:
        """Return the folder of a finished step."""
        step = self.plan.step(name)
        return self.store.path(step.name, step.id)

    def artifact(self, name: str) -> Artifact:
        """Return the model that a finished step made."""
        return self.models.of(self.plan.step(name))


@dataclass(frozen=True)
class StepKind:
    """One kind of step.

    `run` does a step in its work folder and returns its record, and `config` gives what of a spec is hashed into the
    id (by default the spec's own `config()`); `version` is raised when the meaning of the output changes. `unsettled`
    says why a finished step must be done again, or is empty; `reopen` then keeps what stands of the finished folder
    in the new one. `before` checks, before anything is done, that this machine can do the steps. `recover` takes the
    result from a results folder of version 0.1, where the kind was no step. `stream` opens a step that takes its only
    input while that is being made. `executes` tells whether a step runs generated code, so that its result is worth
    what the isolation was. `scratch` are files that the record and tables replace, and `title` begins the line that
    says how long a step took (there is none where it is empty). A kind that makes models names the kinds of artifact
    that it `accepts`, and `makes` gives the kind of the new one.
    """

    name: str
    run: Callable[[Context, Step, Path], Record]
    config: Callable[[Any], dict[str, Any]] = lambda spec: spec.config()
    version: int = 1
    unsettled: Callable[[Context, Step, Record], str] = lambda *_: ""
    reopen: Callable[[Context, Step, Path, Path], None] | None = None
    before: Callable[[Context, Sequence[Step]], None] | None = None
    recover: Callable[[Context, Step, Path], Record | None] | None = None
    stream: Callable[[Context, Step, Path], AbstractContextManager[Stream]] | None = None
    executes: Callable[[Step], bool] = lambda _: False
    scratch: tuple[str, ...] = ()
    title: Callable[[Step], str] = lambda step: step.name
    accepts: tuple[ArtifactKind, ...] = ()
    makes: Callable[[Any, Sequence[ArtifactKind]], ArtifactKind] | None = None
