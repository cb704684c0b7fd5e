"""The execute step: a verdict for every sample, written as verdicts come."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from assay.harness.errors import UnmeasuredError
from assay.harness.evaluation.ground_truth import UNMEASURED, OnProgress, settle, unmeasured_verdict
from assay.harness.evaluation.judge import open_executor, open_sandbox
from assay.harness.evaluation.scores import limits_of, prepared
from assay.harness.experiment import SandboxTable
from assay.harness.files import append_lines, recover_lines
from assay.harness.generation.types import Sample
from assay.harness.leaderboard.seeds import Counts
from assay.harness.pipeline.fingerprints import judging_sha256
from assay.harness.pipeline.seals import own_rows, sealed
from assay.harness.pipeline.steps import Context, Plan, StepKind, generate
from assay.harness.pipeline.steps.generate import doing, load_samples, read_table
from assay.harness.pipeline.store import Record, Step, Store
from assay.sandbox import Executor, Isolation, Outcome, Verdict
from assay.suites import Suite
from assay.suites.extraction.extract import Extraction, Form

LINES = "verdicts.jsonl"
TABLE = "verdicts.parquet"
FLUSH_EVERY_S = 1.0
COLUMNS = (
    "problem_id",
    "index",
    "program",
    "outcome",
    "detail",
    "isolation_level",
    "mode",
)  # that a table must have
MEASURED = ("checks_passed", "checks_total", "cpu_s", "wall_s", "peak_bytes", "mode")  # of a Verdict


@dataclass(frozen=True, slots=True)
class ExecuteSpec:
    """The settings of judging samples of `suite`; `style` is the style in which they were drawn."""

    suite: Suite
    sandbox: SandboxTable
    style: str

    def config(self) -> dict[str, Any]:
        limits = self.sandbox.model_dump(mode="json", exclude={"workers"})
        judging = judging_sha256(self.suite, self.sandbox.backend)
        return {"suite": self.suite.revision, "judging": judging, "sandbox": limits}


class Execution:
    """Verdicts of one variant, gathered while its samples are still being made.

    Use as a context manager around the generation; `submit` each sample. On leaving, all verdicts are in.
    """

    def __init__(
        self,
        spec: ExecuteSpec,
        work: Path,
        open_executor: Callable[[Callable[[Verdict], None]], AbstractContextManager[Executor]],
        *,
        allow_weak: bool = False,
        on_progress: OnProgress = lambda what, done, total: None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`open_executor` opens a sandbox, given what takes its verdicts; `on_progress` follows the references, which
        are run before the first sample. Lines in `work` that are not this user's own are said and judged again."""
        self._on_progress = on_progress
        self.spec, self.path, self._open_executor = spec, work / LINES, open_executor
        self._problems = spec.suite.by_id()
        self._limits = limits_of(spec.sandbox)
        self._place = ("verdict", work.name)
        lines = recover_lines(self.path)
        own = own_rows(lines, *self._place)
        if len(own) < len(lines):
            say(
                f"{len(lines) - len(own)} verdicts in {self.path} were not written here as they are: judged again"
            )
        standing = _standing(own, allow_weak=allow_weak)
        self._known = {(row["problem_id"], row["index"]) for row in standing}
        self._pending: dict[str, tuple[Sample, Extraction]] = {}
        self._rows: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._last = time.monotonic()
        self._stack = ExitStack()
        self._executor: Executor | None = None

    def submit(self, sample: Sample) -> None:
        """Have the sample judged, unless its verdict is on disk."""
        if (sample.problem_id, sample.index) in self._known:
            return
        executor = self._started()
        problem = self._problems[sample.problem_id]
        form: Form = "reply" if self.spec.style == "chat" else "completion"
        program_id = f"{sample.problem_id}#{sample.index}"
        extraction, program = prepared(program_id, problem, sample.completion, form, self._limits)
        verdict = unmeasured_verdict("", problem) if problem.unmeasured else program
        if isinstance(verdict, Verdict):
            with self._lock:
                self._rows.append(_row(sample, extraction, verdict, executor.isolation, cached=False))
            return
        self._pending[program_id] = (sample, extraction)
        executor.submit(verdict)

    def _started(self) -> Executor:
        if self._executor is None:  # a resumed step with every verdict on disk opens no sandbox
            self._executor = self._stack.enter_context(self._open_executor(self._on_verdict))
            weak = self._executor.isolation.level != "full"
            settled = settle(
                self.spec.suite, self.spec.sandbox, allow_weak=weak, on_progress=self._on_progress
            )
            self._problems = settled.by_id()
        return self._executor

    def __enter__(self) -> Execution:
        self._stack.__enter__()
        self._stack.callback(self._flush)
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def _on_verdict(self, verdict: Verdict) -> None:
        assert self._executor is not None
        sample, extraction = self._pending.pop(verdict.id)
        cached = self._executor.was_cached(verdict.id)
        with self._lock:
            self._rows.append(_row(sample, extraction, verdict, self._executor.isolation, cached=cached))
            due = time.monotonic() - self._last >= FLUSH_EVERY_S
        if due:
            self._flush()

    def _flush(self) -> None:
        with self._lock:
            rows, self._rows, self._last = self._rows, [], time.monotonic()
        if rows:
            append_lines(self.path, [sealed(row, *self._place) for row in rows])

    def finish(self) -> dict[str, Any]:
        """Turn the lines into a table in the suite's order and return the step's record."""
        lines = own_rows(recover_lines(self.path), *self._place)
        latest = {(row["problem_id"], row["index"]): row for row in lines}
        rows = list(latest.values())  # a sample that was not measured at first has a second line
        for row in rows:
            row.setdefault("cached", False)  # of a run that had no cache yet
        order = {p.id: i for i, p in enumerate(self.spec.suite.problems)}
        rows.sort(key=lambda row: (order[row["problem_id"]], row["index"]))
        pd.DataFrame(rows).to_parquet(self.path.with_name(TABLE), index=False)
        counted = [row for row in rows if not _is_unmeasured(row)]
        return {
            "n_verdicts": len(rows),
            "outcomes": dict(Counter(row["outcome"] for row in counted)),
            "modes": dict(Counter(row["mode"] for row in counted)),
            "unmeasured": {
                row["problem_id"]: row["detail"].removeprefix(UNMEASURED)
                for row in rows
                if _is_unmeasured(row)
            },
            "cached": sum(row["cached"] for row in rows),
            "isolation": {
                "label": "; ".join(sorted({row["isolation"] for row in rows})),
                "levels": sorted({row["isolation_level"] for row in rows}),
                "backend": self.spec.sandbox.backend,
            },
        }


def joined(samples_in: Path, verdicts_in: Path) -> pd.DataFrame:
    """Return the samples of a finished step with the verdicts of another, in the suite's order.

    Raises UnmeasuredError where some sample has no verdict.
    """
    samples = read_table(samples_in / generate.TABLE)
    verdicts = read_table(verdicts_in / TABLE, COLUMNS)
    both = samples.merge(verdicts, on=["problem_id", "index"], how="left", validate="one_to_one")
    if len(both) != len(samples) or both["outcome"].isna().any():
        raise UnmeasuredError(
            f"{verdicts_in}: some samples have no verdict; remove this folder and run again"
        )
    return both


def _standing(rows: list[dict[str, Any]], *, allow_weak: bool) -> list[dict[str, Any]]:
    """Return the rows that need no further execution.

    The others are `infra`, which is no verdict on a program, and, unless `allow_weak`, verdicts given under weak
    isolation.
    """
    rows = [row for row in rows if row["outcome"] != Outcome.INFRA.value]
    return [row for row in rows if allow_weak or row["isolation_level"] == "full"]


def keep_verdicts(finished: Path, work: Path, *, allow_weak: bool) -> None:
    """Write the verdicts of a finished step that stand as lines into its unfinished folder."""
    rows: Any = read_table(finished / TABLE, COLUMNS).to_dict("records")
    kept = _standing(rows, allow_weak=allow_weak)
    (work / LINES).unlink(missing_ok=True)
    if kept:
        append_lines(work / LINES, [sealed(row, "verdict", work.name) for row in kept])


def _row(
    sample: Sample, extraction: Extraction, verdict: Verdict, isolation: Isolation, *, cached: bool
) -> dict[str, Any]:
    """Return the line of one verdict; its keys are the table's columns."""
    return {
        "problem_id": sample.problem_id,
        "index": sample.index,
        "program": storable(extraction.program),
        "rule": extraction.rule,
        "outcome": verdict.outcome.value,
        "detail": storable(verdict.detail),
        "output": storable(verdict.output),
        **{name: getattr(verdict, name) for name in MEASURED},
        "notes": " ".join(verdict.notes),
        "isolation": isolation.label,
        "isolation_level": isolation.level,
        "cached": cached,
    }


def storable(text: str) -> str:
    """Return text as UTF-8 can hold it: a lone surrogate, which a program may print, becomes its escape."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def load_tables(store: Store, plan: Plan) -> dict[str, pd.DataFrame]:
    """Return samples joined with their verdicts, one table per evaluated member, in the suite's order."""
    tables = {}
    for member in (member for members in plan.members.values() for member in members):
        step = plan.step(f"execute-{member.name}")
        source = plan.step(step.inputs[0])
        tables[member.name] = joined(store.path(source.name, source.id), store.path(step.name, step.id))
    return tables


def count(table: pd.DataFrame) -> Counts:
    """Return (samples, passing samples) of each problem, in the table's order, without `infra`, which is unmeasured."""
    measured = table[table["outcome"] != Outcome.INFRA.value]
    passed = (measured["outcome"] == Outcome.PASS.value).groupby(measured["problem_id"], sort=False)
    return {problem: (int(n), int(c)) for problem, n, c in passed.agg(["size", "sum"]).itertuples()}


def _is_unmeasured(row: Any) -> bool:
    """Return whether a sample's problem cannot be measured, so that it was not executed."""
    return bool(row["outcome"] == Outcome.INFRA.value and row["detail"].startswith(UNMEASURED))


def without_unmeasured(table: pd.DataFrame) -> pd.DataFrame:
    """Return the samples of problems that can be measured."""
    return table[[not _is_unmeasured(row) for row in table[["outcome", "detail"]].to_dict("records")]]


def _open(context: Context, step: Step, work: Path) -> Execution:
    spec: ExecuteSpec = step.spec
    settings: dict[str, Any] = {"cache": context.cache, "allow_weak": context.allow_weak}
    opened = partial(open_executor, spec.sandbox, spec.suite, **settings)
    say = context.progress.say_once
    heard: dict[str, Any] = {"on_progress": say, "say": context.progress.say}
    return Execution(spec, work, opened, allow_weak=context.allow_weak, **heard)


def _execute(context: Context, step: Step, work: Path) -> Record:
    """Execute the samples of a generation that is done."""
    with (
        _open(context, step, work) as execution,
        context.progress.task(f"execute {step.variant}", unit="samples") as task,
    ):
        for number, sample in enumerate(load_samples(context.folder(step.inputs[0])), start=1):
            execution.submit(sample)
            task.update(number)
    return execution.finish()


def _unsettled(context: Context, _: Step, record: Record) -> str:
    """Say why some verdicts of a finished step do not stand."""
    if not context.allow_weak and record["isolation"]["levels"] != ["full"]:
        return "its isolation was weaker than this run asks for"
    return "some samples were not measured (infra)" if record["outcomes"].get("infra") else ""


def _check_isolation(context: Context, steps: Sequence[Step]) -> None:
    """Open a sandbox for each suite: a machine that cannot isolate says so now, not after an hour of training."""
    specs: dict[int, ExecuteSpec] = {id(step.spec.suite): step.spec for step in steps}
    for spec in specs.values():
        table = spec.sandbox.model_copy(update={"workers": 1})
        with open_sandbox(table, spec.suite, allow_weak=context.allow_weak):
            pass


EXECUTE = StepKind(
    "execute",
    _execute,
    unsettled=_unsettled,
    reopen=lambda context, _, finished, work: keep_verdicts(finished, work, allow_weak=context.allow_weak),
    before=_check_isolation,
    stream=_open,
    scratch=(LINES,),
    title=lambda step: f"{doing(step)} {step.variant}",
)
