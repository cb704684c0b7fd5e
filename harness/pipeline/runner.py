"""Run a plan: its missing steps in topological order, each done once and published whole."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from assay.harness.console import Progress
from assay.harness.evaluation.judge import CacheUse
from assay.harness.files import read_json, write_json
from assay.harness.hardware import describe_machine
from assay.harness.pipeline.plan import KINDS, Plan, Step, plan_json
from assay.harness.pipeline.seals import FILES, SEAL, check_files, hashes_of, is_own, sealed, strangeness
from assay.harness.pipeline.steps import Artifacts, Context, StepKind
from assay.harness.pipeline.steps.generate import ModelPool
from assay.harness.pipeline.store import STEP_FILE, Record, Store

INPUTS = "made_from.json"
WEAK = "weak isolation"
FROM_0_1 = "it was taken from what version 0.1 left beside the steps"
BEGUN_ELSEWHERE = "it goes on from work that was begun elsewhere, or by an earlier version"


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run: its folder, and which steps this call did (the others were done before).

    `taken_over` are the steps that are not this user's own work as they are, each with the reason.
    """

    folder: Path
    store: Store
    plan: Plan
    did: tuple[str, ...]
    taken_over: dict[str, str] = dataclasses.field(default_factory=dict)


def run(
    plan: Plan,
    results: Path,
    progress: Progress,
    *,
    allow_weak: bool = False,
    cache: CacheUse | None = None,
) -> Run:
    """Do what is missing of `plan` under `results/<experiment>/`; a killed run is simply run again."""
    assert not plan.unknown, plan.left_out  # such a plan is to be looked at
    store = Store(results / plan.experiment.name)
    engines = ModelPool(plan.experiment.engine)
    models = Artifacts(store, plan.steps)
    context = Context(plan, store, progress, models, engines, allow_weak, cache or CacheUse())
    with store.lock():
        return _Runner(context, engines).run()


class _Runner:
    """Do the missing steps of one plan, under the lock of its experiment."""

    def __init__(self, context: Context, engines: ModelPool) -> None:
        self.context, self.engines = context, engines
        self.plan, self.store, self.progress = context.plan, context.store, context.progress
        self.did: list[str] = []
        self.taken_over: dict[str, str] = {}
        self._begun_elsewhere: set[str] = set()

    def run(self) -> Run:
        self._check_machine()
        waiting = list(self.plan.steps)
        with closing(self.engines):
            while waiting:
                if not any(step.kind == "generate" for step in waiting):
                    self.engines.close()  # before a model is loaded for anything else
                step = self._next(waiting)
                waiting.remove(step)
                if self._is_done(step):
                    continue
                follower = self._follower(step, waiting)
                if follower is None:
                    self._do(step)
                else:
                    self._do_together(step, follower)
                    waiting.remove(follower)
        folder = self.store.root / self.plan.run_id
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "plan.json", plan_json(self.plan))
        if self.taken_over:
            reasons = ", ".join(sorted(set(self.taken_over.values())))
            self.progress.say(f"warning: taken as they are: {', '.join(self.taken_over)} ({reasons})")
        return Run(folder, self.store, self.plan, tuple(self.did), self.taken_over)

    def _check_machine(self) -> None:
        """Let each kind check, before anything is done, that this machine can do its missing steps."""
        missing = [s for s in self.plan.steps if self.store.record(s.name, s.id) is None]
        for kind in KINDS.values():
            steps = [s for s in missing if s.kind == kind.name]
            if kind.before is not None and steps:
                kind.before(self.context, steps)

    def _next(self, waiting: list[Step]) -> Step:
        """Return the step to do next: one whose adapter is on the base that is loaded, else the first in order."""
        loaded = (s for s in waiting if s.kind == "generate" and self.engines.serves(s.variant))
        return next(loaded, waiting[0])

    def _is_done(self, step: Step) -> bool:
        """Return whether a step is done, and from the very inputs that are there now; what is not is cleared away."""
        kind = KINDS[step.kind]
        made_from = self._made_from(step)
        record = self.store.record(step.name, step.id) or self._recognised(step, kind, made_from)
        if record is None:
            return False
        folder = self.store.folder(step.name, step.id)
        stale, strange = record["made_from"] != made_from, strangeness(folder, record)
        if not stale:
            check_files(folder, record)
        reason = "its input was made again since" if stale else kind.unsettled(self.context, step, record)
        if not reason:
            if strange:
                self.taken_over[step.name] = strange
            return True
        if kind.reopen is not None and not stale and not strange:  # else nothing of it is kept as ours
            self.progress.say(f"{step.name}: {reason}; those are executed again")
            kind.reopen(self.context, step, self.store.path(step.name, step.id), self._work(step))
            self.store.reopen(step.name, step.id)
        else:
            self.progress.say(f"{step.name}: {reason}, so it is done again")
            self.store.discard(step.name, step.id)
        return False

    def _recognised(self, step: Step, kind: StepKind, made_from: dict[str, str]) -> Record | None:
        """Return the record of a result that stands under another id, or in another form of results folder."""
        equal = self.store.equal_record(step, kind.version, made_from)
        if equal is not None and not kind.unsettled(self.context, step, equal[1]):
            self.store.link(step, equal[0])
            return equal[1]
        if kind.recover is None:
            return None
        recovered = kind.recover(self.context, step, self._work(step))
        return None if recovered is None else self._commit(step, recovered | {"taken_over": FROM_0_1})

    def _follower(self, step: Step, waiting: list[Step]) -> Step | None:
        """Return the step that takes the result of `step` while it is being made, where there is one."""
        followers = (s for s in waiting if s.inputs == (step.name,) and KINDS[s.kind].stream is not None)
        return next(followers, None)

    def _do(self, step: Step) -> None:
        kind, started = KINDS[step.kind], time.perf_counter()
        with _named(step.name):
            result = kind.run(self.context, step, self._work(step))
        self._finish(step, result, started)

    def _do_together(self, step: Step, follower: Step) -> None:
        """Do a step and the one that takes its result meanwhile: verdicts come while samples are being made."""
        kind, taking, started = KINDS[step.kind], KINDS[follower.kind], time.perf_counter()
        assert taking.stream is not None, follower
        self.store.reopen(follower.name, follower.id)  # verdicts of samples that are gone
        with (
            _named(taking.title(follower)),
            taking.stream(self.context, follower, self._work(follower)) as stream,
        ):
            context = dataclasses.replace(self.context, on_sample=stream.submit)
            self._finish(step, kind.run(context, step, self._work(step)), started)
        self._finish(follower, stream.finish(), started)

    def _finish(self, step: Step, result: Record, started: float) -> None:
        seconds = time.perf_counter() - started
        self._commit(step, {"seconds": seconds, **result})
        self.did.append(step.name)
        if title := KINDS[step.kind].title(step):
            self.progress.say(f"{title}: {seconds:.1f} s")

    def _commit(self, step: Step, result: Record) -> Record:
        kind = KINDS[step.kind]
        if step.name in self._begun_elsewhere and not kind.scratch:  # lines are sealed one by one
            result = {"taken_over": BEGUN_ELSEWHERE} | result
        if taken_over := result.get("taken_over"):
            self.taken_over[step.name] = taken_over
        finished = datetime.now(UTC).isoformat(timespec="microseconds")
        record = {
            "name": step.name,
            "kind": step.label,
            "format": kind.version,
            "id": step.id,
            "config": step.config,
            "made_from": self._made_from(step),
            "finished": finished,
            "token": result.get("artifact", {}).get("sha256") or f"{step.id}@{finished}",
            "machine": describe_machine(),
            FILES: hashes_of(self.store.work(step.name, step.id), (STEP_FILE, *kind.scratch)),
            **result,
        }
        record = sealed(json.loads(json.dumps(record)), "step")
        self.store.commit(step.name, step.id, record)
        for name in kind.scratch:  # the table holds the same rows
            (self.store.path(step.name, step.id) / name).unlink(missing_ok=True)
        return record

    def _made_from(self, step: Step) -> dict[str, str]:
        """Return the token of each input: an artifact's or a file's sha256, else when it was made."""
        records = {name: self.store.record(name, self.plan.step(name).id) for name in step.inputs}
        return {name: record["token"] if record else "missing" for name, record in records.items()}

    def _work(self, step: Step) -> Path:
        """Return the step's unfinished folder.

        It is emptied first when a killed run filled it from other inputs, or with rewards that may have been given
        behind weaker isolation than this run requires. Verdicts that were taken from a generation at work stand as
        long as the model is the same.
        """
        kind = KINDS[step.kind]
        source = step if kind.stream is None else self.plan.step(step.inputs[0])
        inputs = self._made_from(source) | {"step": step.id}
        weak = {WEAK: "allowed"} if kind.executes(step) and self.context.allow_weak else {}
        folder = self.store.work(step.name, step.id)
        marker = folder / INPUTS
        begun = read_json(marker) if marker.exists() else None
        place, ours = ("work", f"{step.name}-{step.id}"), True
        if isinstance(begun, dict):
            ours = is_own(begun, *place)
            begun = {key: begun[key] for key in begun if key != SEAL}
        if any(folder.iterdir()) and begun not in (inputs, inputs | weak):
            self.store.restart(step.name, step.id)
            folder, ours = self.store.work(step.name, step.id), True
        if not ours:
            self._begun_elsewhere.add(step.name)
        if not marker.exists() or weak:
            write_json(marker, sealed(inputs | weak, *place) if ours else inputs | weak | {SEAL: ""})
        return folder


@contextmanager
def _named(title: str) -> Iterator[None]:
    """Put the step's title in front of the message of an error."""
    try:
        yield
    except Exception as error:
        error.add_note(title)
        raise
