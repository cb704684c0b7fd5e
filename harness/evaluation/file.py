"""Evaluating a samples file: every sample judged, verdicts beside it in input order, pass@k with intervals."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from harness.cache import CacheUse, open_cached, was_cached
from harness.errors import BadInputError
from harness.evaluation.execution import limits_of, program_of
from harness.evaluation.oracle import with_checks
from harness.evaluation.overwrite import refuse_overwrite
from harness.evaluation.repeats import Flakiness, Repeats
from harness.evaluation.scores import Tally, base_scores, family_scores, scores
from harness.evaluation.verdict_lines import InOrder, Judged
from harness.experiment import SandboxTable
from harness.samples import Fault, SampleFile, open_samples
from harness.samples.parquet import table_in
from harness.stats.estimate import Estimate
from sandbox import Program
from suites import Suite
from suites.extract import extract

SHOWN_FAULTS = 100  # in the JSON; the file of malformed places has them all
RESULTS = "_results.jsonl"
MALFORMED = "_malformed.jsonl"
FLAKY = "_flaky.jsonl"
WINDOW = 1024  # samples put in another order; fewer than AHEAD, or the reader would wait for itself
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class Options:
    """How a samples file is evaluated. `k` None means 1, 10 and 100 as far as the samples reach; `format` None the
    one the file looks like; `output` None a file beside it. `repeat` above 1 executes every sample that many times,
    without the cache, and compares the verdicts."""

    k: Sequence[int] | None = None
    format: str | None = None
    output: Path | None = None
    allow_weak: bool = False
    cache: CacheUse = field(default_factory=CacheUse)
    repeat: int = 1


@dataclass
class Faults:
    """Malformed places: the first are kept, all are counted and written beside the results."""

    path: Path
    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        self.count += 1
        if len(self.first) < SHOWN_FAULTS:
            self.first.append(text)
        with self.path.open("w" if self.count == 1 else "a", encoding="utf-8") as file:
            file.write(json.dumps({"fault": text}) + "\n")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result of `evaluate_file`; `to_json` is the command line's contract."""

    suite: Suite
    samples: SampleFile
    tally: Tally
    scores: dict[int, Estimate]
    base: dict[int, Estimate]
    families: dict[str, dict[int, Estimate]]
    isolation: str
    backend: str
    seconds: float
    results: Path
    faults: Faults
    cached: int
    repeats: Flakiness | None

    def to_json(self) -> dict[str, Any]:
        return {
            "suite": self.suite.name,
            "suite_revision": self.suite.revision,
            "format": self.samples.format,
            "n_problems": len(self.tally.measured()),
            "n_problems_in_suite": len(self.suite.problems),
            "n_samples": self.tally.n_samples,
            "n_malformed": self.faults.count,
            "outcomes": self.tally.outcomes,
            "pass@k": _estimates(self.scores),
            "base pass@k": _estimates(self.base),
            "modes": {mode: self.tally.modes[mode] for mode in ("split", "shared")},
            "cached": self.cached,
            "isolation": self.isolation,
            "backend": self.backend,
            "results": str(self.results),
            "seconds": round(self.seconds, 3),
            "families": {family: _estimates(found) for family, found in self.families.items()},
            "per_problem": self.tally.table(tuple(self.scores)),
            "malformed": self.faults.first,
            "malformed_file": str(self.faults.path) if self.faults.count else None,
            "repeat": self.repeats.to_json() if self.repeats else None,
        }


def _estimates(found: dict[int, Estimate]) -> dict[str, Any]:
    return {str(k): estimate.to_json() for k, estimate in found.items()}


def evaluate_file(
    suite: Suite,
    path: Path,
    table: SandboxTable,
    options: Options | None = None,
    *,
    on_progress: Callable[[int], None] = lambda done: None,
    on_malformed: Callable[[str], None] = lambda message: None,
    on_references: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Judge the samples in `path` and write `<path>_results.jsonl`.

    A malformed line is reported and left out; the rest is evaluated. `on_references` follows the making of answers
    that a suite's checks are still missing (harness/evaluation/oracle.py). Raises BadInputError when nothing can be
    read, the results cannot be written, or k asks for more samples than there are.
    """
    options = options or Options()
    started = time.perf_counter()
    refuse_overwrite({"the samples": table_in(path)}, outputs_of(path, options))
    suite = with_checks(suite, table, allow_weak=options.allow_weak, on_progress=on_references)
    samples = open_samples(path, suite, options.format)
    results = options.output or beside(path, RESULTS)
    work = _Work(samples, table, options, results, on_progress)
    with suppress(FileNotFoundError):
        work.faults.path.unlink()

    def malformed(fault: Fault) -> None:
        work.faults.add(str(fault))
        on_malformed(str(fault))

    isolation = work.first(malformed)
    repeats = work.repeated() if options.repeat > 1 else None
    found = scores(work.tally, options.k, str(results))
    return Evaluation(
        suite=suite,
        samples=samples,
        tally=work.tally,
        scores=found,
        base=base_scores(suite, work.tally, tuple(found)),
        families=family_scores(suite, work.tally, tuple(found)),
        isolation=isolation,
        backend=table.backend,
        seconds=time.perf_counter() - started,
        results=results,
        faults=work.faults,
        cached=work.cached,
        repeats=repeats,
    )


def outputs_of(path: Path, options: Options) -> dict[str, Path]:
    """The files that an evaluation of `path` may write, by what they are."""
    results = options.output or beside(path, RESULTS)
    return {
        "the verdicts' file": results,
        "the list of malformed lines": _sibling(results, MALFORMED),
        "the list of differing verdicts": _sibling(results, FLAKY),
    }


def _sibling(results: Path, suffix: str) -> Path:
    return results.with_name(results.name.removesuffix(RESULTS) + suffix)


def beside(path: Path, suffix: str) -> Path:
    """A file next to `path`, named after it; `path` may be a folder, and may be written as `.`."""
    path = path if path.name else path.resolve()
    return path.with_name(path.name + suffix)


class _Work:
    """The passes over one samples file: the first writes the results, further ones are compared with it."""

    def __init__(
        self,
        samples: SampleFile,
        table: SandboxTable,
        options: Options,
        results: Path,
        on_progress: Callable[[int], None],
    ) -> None:
        self.samples, self.table, self.results = samples, table, results
        self.options = options if options.repeat == 1 else replace(options, cache=CacheUse(enabled=False))
        self.tally, self.cached = Tally(), 0
        self._base_checks = {p.id: p.base_checks for p in samples.suite.problems if p.base_checks}
        self.faults = Faults(_sibling(results, MALFORMED))
        self._repeats = Repeats(_sibling(results, FLAKY))
        self._on_progress, self._done = on_progress, 0

    def first(self, on_fault: Callable[[Fault], None]) -> str:
        """Write the results; returns the isolation. An interrupted evaluation without a cache leaves what it had as
        `<results>.part`, one with a cache leaves it there."""
        temporary = self.results.with_name(f".{self.results.name}.{os.getpid()}.part")
        try:
            with self._writing(), temporary.open("w", encoding="utf-8") as out:
                isolation = self._pass(lambda judged: self._write(out, judged), on_fault)
            if not self.tally.problems:
                hint = f"; first fault: {self.faults.first[0]}" if self.faults.count else ""
                raise BadInputError(
                    f"{self.samples.path}, read as {self.samples.format}, holds no sample of the suite "
                    f"{self.samples.suite.name!r}{hint}"
                )
            temporary.replace(self.results)
            return isolation
        except BaseException:
            if self.tally.problems and not self.options.cache.enabled:
                temporary.replace(self.results.with_name(self.results.name + ".part"))
            raise
        finally:
            temporary.unlink(missing_ok=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.filename is None and error.errno not in _FULL:
                raise  # not of our file
            raise BadInputError(
                f"{self.results} cannot be written ({error.strerror}): name another place with --output FILE"
            ) from error

    def repeated(self) -> Flakiness:
        for _ in range(self.options.repeat - 1):
            self._pass(lambda judged: None, lambda fault: None)
        return self._repeats.finish()

    def _write(self, out: TextIO, judged: Judged) -> None:
        sample, verdict, row = judged.sample, judged.verdict, judged.row()
        base_checks = self._base_checks.get(sample.task_id, 0)
        base_passed = judged.base_passed(base_checks)
        if base_checks:
            row["base_passed"] = base_passed
        out.write(json.dumps(row) + "\n")
        self.tally.add(sample.task_id, verdict.outcome, verdict.mode, base_passed=base_passed)
        self.cached += judged.cached

    def _pass(self, emit: Callable[[Judged], None], on_fault: Callable[[Fault], None]) -> str:
        """Judge every sample once; returns what isolated them."""
        if self.options.repeat > 1:
            self._repeats.begin()

        def each(judged: Judged) -> None:
            emit(judged)
            if self.options.repeat > 1:
                self._repeats.add(judged)
            self._done += 1
            self._on_progress(self._done)

        order = InOrder(each)
        suite, options = self.samples.suite, self.options
        with open_cached(self.table, suite, cache=options.cache, allow_weak=options.allow_weak) as box:
            try:
                for verdict in box.run(_programs(self.samples, self.table, order, on_fault)):
                    order.add(verdict, was_cached(box, verdict.id))
                return box.isolation.label
            finally:  # before the sandbox is closed, which waits for whoever reads samples
                order.close()


def _programs(
    samples: SampleFile, table: SandboxTable, order: InOrder, on_fault: Callable[[Fault], None]
) -> Iterator[Program]:
    """In file order; where references are slow, the samples of the slowest first among each WINDOW samples, so that no
    worker begins the longest program when the others are about to end."""
    programs = _read_programs(samples, table, order, on_fault)
    if not any(problem.cpu_s for problem in samples.suite.problems):
        yield from programs
        return
    while window := list(islice(programs, WINDOW)):
        yield from sorted(window, key=lambda program: -program.limits.cpu_s)


def _read_programs(
    samples: SampleFile, table: SandboxTable, order: InOrder, on_fault: Callable[[Fault], None]
) -> Iterator[Program]:
    problems, limits = samples.suite.by_id(), limits_of(table)
    for sample in samples.read():
        if isinstance(sample, Fault):
            on_fault(sample)
            continue
        identity = order.expect(sample)
        if identity is None:
            return
        problem = problems[sample.task_id]
        yield program_of(identity, problem, extract(problem, sample.text, sample.form), limits)
