"""Doing a plan: the missing steps, each once, and then the leaderboard."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from assay.harness.console import Progress
from assay.harness.evaluation.judge import CacheUse, open_executor, open_sandbox
from assay.harness.files import read_json, write_json
from assay.harness.hardware import describe_machine
from assay.harness.pipeline.plan import Plan, Step
from assay.harness.pipeline.steps.artifacts import load_artifact, make_artifact
from assay.harness.pipeline.steps.compare import write_links
from assay.harness.pipeline.steps.contamination import write_overlaps
from assay.harness.pipeline.steps.execute import Execution, keep_verdicts
from assay.harness.pipeline.steps.generate import ModelPool, generate, load, load_samples, sharing_key
from assay.harness.pipeline.steps.kl import write_distances
from assay.harness.pipeline.steps.pairs import in_words, make_pairs_step, pairs_file
from assay.harness.pipeline.steps.profile import measure, unsettled
from assay.harness.pipeline.store import Store, step_record
from assay.trainers.artifact import Artifact
from assay.trainers.data.inputs import REINFORCEMENT_METHODS

DEFAULT_RESULTS = Path("results/runs")
INPUTS = "made_from.json"
WEAK = "weak isolation"


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """A finished run: its folder, and which steps this call did (the others were done before)."""

    folder: Path
    store: Store
    plan: Plan
    did: tuple[str, ...]


def run(
    plan: Plan,
    results: Path,
    progress: Progress,
    *,
    allow_weak: bool = False,
    cache: CacheUse | None = None,
) -> Run:
    """Do what is missing of `plan` under `results/<experiment>/`; a killed run is simply run again."""
    store = Store(results / plan.experiment.name)
    with store.lock():
        return _Runner(plan, store, progress, allow_weak, cache or CacheUse()).run()


class _Runner:
    def __init__(
        self, plan: Plan, store: Store, progress: Progress, allow_weak: bool, cache: CacheUse
    ) -> None:
        self.plan, self.store, self.progress, self.allow_weak = plan, store, progress, allow_weak
        self.cache = cache
        self.loads = ModelPool(plan)
        self.did: list[str] = []
        self._artifacts: dict[str, Artifact] = {}

    def run(self) -> Run:
        self._check_walls()
        write_overlaps(self.store, self.plan, self.progress)  # before anything is paid for
        for step in self.plan.steps:
            if step.kind == "verify":
                self._evaluate(self.plan.step(step.inputs[0]), step)
            elif step.kind not in ("sample", "generate", "execute", "profile") and not self._is_done(step):
                self._do(step, self._pair if step.kind == "pairs" else self._make)
        write_overlaps(self.store, self.plan, self.progress)  # of pairs that were made meanwhile
        try:
            for step in self._in_order([s for s in self.plan.steps if s.kind == "execute"]):
                self._evaluate(self.plan.step(step.inputs[0]), step)
        finally:
            self.loads.close()
        for step in self.plan.steps:
            if step.kind == "profile" and not self._is_done(step):
                self._do(step, self._profile)
        write_links(self.store, self.plan, self._artifact, self.progress)
        write_distances(self.store, self.plan, self._artifact, self.progress)
        folder = self.store.root / self.plan.run_id
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "plan.json", plan_json(self.plan))
        return Run(folder, self.store, self.plan, tuple(self.did))

    def _check_walls(self) -> None:
        """A machine that cannot isolate says so now, and not after an hour of training."""
        missing = {
            id(asked.suite): asked
            for step in self.plan.steps
            if step.kind in ("execute", "verify") and self.store.record(step.name, step.id) is None
            for asked in [self.plan.asked(step)]
        }
        for asked in missing.values():
            table = asked.experiment.sandbox.model_copy(update={"workers": 1})
            with open_sandbox(table, asked.suite, allow_weak=self.allow_weak):
                pass

    def _is_done(self, step: Step) -> bool:
        """Done, and made from the very inputs that lie there now: a remade input makes its heirs stale."""
        record = self.store.record(step.name, step.id)
        if record is None:
            return False
        why = ""
        if record["made_from"] != self._made_from(step):
            why = "its input was made again since"
        elif step.kind == "profile":
            why = unsettled(record)
        elif not self.allow_weak and self._is_rewarded(step):
            why = _weakly_rewarded(record)
        if why:
            self.progress.say(f"{step.name}: {why}, so it is done again")
            self.store.discard(step.name, step.id)
        return not why

    def _is_rewarded(self, step: Step) -> bool:
        """Whether it is a training that executes answers, and so is as good as its walls."""
        return step.kind == "train" and (
            self.plan.trainings[step.variant].config.method in REINFORCEMENT_METHODS
        )

    def _made_from(self, step: Step) -> dict[str, str]:
        """When and as what each input was made."""
        found = {}
        for name in step.inputs:
            source = self.plan.step(name)
            record = self.store.record(source.name, source.id)
            found[name] = record["token"] if record else "missing"
        return found

    def _do(self, step: Step, work: Callable[[Step, Path], dict[str, Any]]) -> None:
        started = time.perf_counter()
        result = work(step, self._work(step, self._made_from(step)))
        self._commit(step, result)
        self.progress.say(f"{step.name}: {time.perf_counter() - started:.1f} s")

    def _commit(self, step: Step, result: dict[str, Any]) -> None:
        finished = datetime.now(UTC).isoformat(timespec="microseconds")
        record = {
            "name": step.name,
            "kind": step.kind,
            "id": step.id,
            "config": step.config,
            "made_from": self._made_from(step),
            "finished": finished,
            "token": result.get("artifact", {}).get("sha256") or f"{step.id}@{finished}",
            "machine": describe_machine(),
            **result,
        }
        self.store.commit(step.name, step.id, record)
        if step.kind in ("sample", "verify", "generate", "execute"):  # the table holds the same rows
            for lines in self.store.path(step.name, step.id).glob("*.jsonl"):
                lines.unlink()
        self.did.append(step.name)

    def _make(self, step: Step, folder: Path) -> dict[str, Any]:
        inputs = [self.plan.step(name) for name in step.inputs]
        pairs = next((pairs_file(self.store, s) for s in inputs if s.kind == "pairs"), None)
        return make_artifact(
            self.plan,
            step,
            [self._artifact(s) for s in inputs if s.kind != "pairs"],
            folder,
            self.progress,
            allow_weak=self.allow_weak,
            pairs=pairs,
        )

    def _profile(self, step: Step, folder: Path) -> dict[str, Any]:
        record = measure(step, self._artifact(self.plan.step(step.inputs[0])), folder, self.progress)
        found = record["profile"]
        if found["status"] != "done":
            self.progress.say(f"{step.name}: unmeasured, {found['status']}: {found['detail']}")
        return record

    def _pair(self, step: Step, folder: Path) -> dict[str, Any]:
        record = make_pairs_step(self.store, self.plan, step, folder)
        self.progress.say(f"{step.name}: {in_words(record)}")
        for warning in record["pairs"]["warnings"]:
            self.progress.say(f"warning: {step.name}: {warning}")
        return record

    def _artifact(self, step: Step) -> Artifact:
        if step.name not in self._artifacts:
            self._artifacts[step.name] = load_artifact(self.store, self.plan, step)
        return self._artifacts[step.name]

    def _evaluate(self, generating: Step, executing: Step) -> None:
        """Generation and execution of one variant, side by side: verdicts come while samples are being made."""
        generated = self._is_done(generating)
        if generated and self._is_done(executing):
            if self._stands(executing):
                return
            self._reopen(executing, self._made_from(generating))
        elif self.store.record(executing.name, executing.id) is not None:
            self.store.discard(executing.name, executing.id)  # verdicts of samples that are gone
        started = time.perf_counter()
        folder = self._work(executing, self._made_from(generating))
        asked = self.plan.asked(executing)
        execution = Execution(
            asked,
            folder,
            lambda on_verdict: open_executor(
                asked.experiment.sandbox,
                asked.suite,
                on_verdict,
                cache=self.cache,
                allow_weak=self.allow_weak,
            ),
            allow_weak=self.allow_weak,
        )
        with execution:
            if generated:
                title = f"execute {executing.variant}"
                with self.progress.task(title, unit="samples") as task:
                    samples = load_samples(self.store.path(generating.name, generating.id))
                    for number, sample in enumerate(samples, start=1):
                        execution.submit(sample)
                        task.update(number)
            else:
                self._generate(generating, execution)
        self._commit(executing, execution.finish() | {"seconds": time.perf_counter() - started})
        self.progress.say(f"{_doing(executing)} {executing.variant}: {time.perf_counter() - started:.1f} s")

    def _pending(self) -> dict[str, Artifact]:
        """The models of the variants that are still to be generated from."""
        waiting = [
            s for s in self.plan.steps if s.kind == "generate" and self.store.record(s.name, s.id) is None
        ]
        return {s.variant: self._artifact(self.plan.step(s.inputs[0])) for s in waiting}

    def _in_order(self, steps: list[Step]) -> list[Step]:
        """The steps as declared, but the adapters of one base one after another, so that it is loaded once."""
        places: dict[str, int] = {}
        order = {}
        pending = self._pending()
        for number, step in enumerate(steps):
            key = sharing_key(pending[step.variant]) if step.variant in pending else None
            order[step.name] = places.setdefault(key, number) if key else number
        return sorted(steps, key=lambda step: order[step.name])

    def _stands(self, step: Step) -> bool:
        """Whether every sample was measured, and behind walls as strong as this run asks for."""
        record = step_record(self.store, step)
        return not record["outcomes"].get("infra") and (
            self.allow_weak or record["isolation"]["levels"] == ["full"]
        )

    def _reopen(self, step: Step, made_from: dict[str, str]) -> None:
        """Make a finished execute step unfinished again, keeping the verdicts that stand."""
        record = step_record(self.store, step)
        weak = not self.allow_weak and record["isolation"]["levels"] != ["full"]
        why = (
            "its isolation was weaker than this run asks for"
            if weak
            else "some samples were not measured (infra)"
        )
        self.progress.say(f"{step.name}: {why}; those are executed again")
        keep_verdicts(
            self.store.path(step.name, step.id), self._work(step, made_from), allow_weak=self.allow_weak
        )
        self.store.reopen(step.name, step.id)

    def _generate(self, step: Step, execution: Execution) -> None:
        started = time.perf_counter()
        artifact = self._artifact(self.plan.step(step.inputs[0]))
        folder = self._work(step, self._made_from(step))
        title = f"{_doing(step)} {step.variant}"
        record = generate(
            self.plan.asked(step),
            lambda: (
                load(self.plan, artifact)
                if step.kind == "sample"
                else self.loads.open(step.variant, artifact, self._pending())
            ),
            folder,
            execution.submit,
            self.progress,
            title,
        )
        self._commit(step, record | {"seconds": time.perf_counter() - started})

    def _work(self, step: Step, made_from: dict[str, str]) -> Path:
        """The step's unfinished folder, emptied first when a killed run filled it from other inputs, or with rewards
        that may have been given behind weaker walls than this run asks for."""
        folder = self.store.work(step.name, step.id)
        marker = folder / INPUTS
        begun = read_json(marker) if marker.exists() else None
        weak = {WEAK: "allowed"} if self._is_rewarded(step) and self.allow_weak else {}
        inputs = made_from | {"step": step.id}
        if any(folder.iterdir()) and begun not in (inputs, inputs | weak):
            self.store.discard(step.name, step.id)
            folder = self.store.work(step.name, step.id)
        if not marker.exists() or weak:
            write_json(marker, inputs | weak)
        return folder


def _weakly_rewarded(record: dict[str, Any]) -> str:
    """Why a finished training's rewards are not good enough for a run that asks for full isolation; empty if not."""
    level = record.get("training", {}).get("isolation_level")
    if level == "full":
        return ""
    if level is None:
        return "it does not say behind which isolation its rewards were given"
    return f"its rewards were given behind {record['training']['isolation']}, weaker than this run asks for"


def _doing(step: Step) -> str:
    return "sample" if step.kind in ("sample", "verify") else "evaluate"


def plan_json(plan: Plan) -> dict[str, Any]:
    return {
        "experiment": plan.experiment.model_dump(mode="json"),
        "run": plan.run_id,
        "suite": {
            "name": plan.suite.name,
            "revision": plan.suite.revision,
            "n_problems": len(plan.suite.problems),
        },
        "steps": [
            {"name": s.name, "kind": s.kind, "id": s.id, "inputs": list(s.inputs), "config": s.config}
            for s in plan.steps
        ],
    }
