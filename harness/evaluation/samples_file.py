"""Evaluating a samples file: every sample judged, verdicts next to it in input order, pass@k with intervals."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from assay.harness.errors import BadInputError
from assay.harness.evaluation.formats import MalformedRow, Sample, SampleFile, open_samples
from assay.harness.evaluation.formats.read import table_in
from assay.harness.evaluation.ground_truth import OnProgress, settle, unmeasured_verdict
from assay.harness.evaluation.judge import CacheUse, open_executor
from assay.harness.evaluation.scores import (
    OUTCOMES,
    Tally,
    base_scores,
    family_scores,
    limits_of,
    prepared,
    scores,
)
from assay.harness.experiment import SandboxTable
from assay.harness.files import write_text
from assay.harness.stats.pass_at_k import Estimate
from assay.sandbox import Outcome, Verdict
from assay.suites import Suite
from assay.trainers.files import open_below, publish

SHOWN_MALFORMED = 100  # in the JSON; the file of malformed places has them all
RESULTS = "_results.jsonl"
MALFORMED = "_malformed.jsonl"
FLAKY = "_flaky.jsonl"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class Options:
    """The options of evaluating a samples file. `k` None means 1, 10 and 100 as far as the samples reach; `format`
    None the one the file looks like; `output` None a file next to it. `repeat` above 1 executes every sample that
    many times, without the cache, and compares the verdicts."""

    k: Sequence[int] | None = None
    format: str | None = None
    output: Path | None = None
    allow_weak: bool = False
    cache: CacheUse = field(default_factory=CacheUse)
    repeat: int = 1


@dataclass
class MalformedRows:
    """Malformed places: the first are kept, all are counted and written next to the results."""

    path: Path
    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        self.count += 1
        if len(self.first) < SHOWN_MALFORMED:
            self.first.append(text)
        fresh = os.O_TRUNC if self.count == 1 else os.O_APPEND
        descriptor = open_below(self.path.parent, self.path.name, os.O_WRONLY | os.O_CREAT | fresh)
        with os.fdopen(descriptor, "a", encoding="utf-8") as file:
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
    faults: MalformedRows
    cached: int
    repeats: Flakiness | None

    def to_json(self) -> dict[str, Any]:
        return {
            "suite": self.suite.name,
            "suite_revision": self.suite.revision,
            "format": self.samples.format,
            "n_problems": len(self.tally.measured()),
            "n_problems_in_suite": len(self.suite.problems),
            "unmeasured": {p.id: p.unmeasured for p in self.suite.problems if p.unmeasured},
            "n_unmeasured_samples": self.tally.unmeasured.total(),
            "n_samples": self.tally.n_samples,
            "n_malformed": self.faults.count,
            "outcomes": self.tally.outcomes,
            "pass@k": _estimates(self.scores),
            "base pass@k": _estimates(self.base),
            "modes": {mode: self.tally.modes[mode] for mode in ("split", "shared")},
            "near_limit": self.tally.near_limit,
            "not_data": {problem: n for problem, n in sorted(self.tally.not_data.items()) if n},
            "cached": self.cached,
            "isolation": self.isolation,
            "backend": self.backend,
            "results": str(self.results),
            "seconds": round(self.seconds, 3),
            "families": {family: _estimates(scored) for family, scored in self.families.items()},
            "per_problem": self.tally.table(tuple(self.scores)),
            "malformed": self.faults.first,
            "malformed_file": str(self.faults.path) if self.faults.count else None,
            "repeat": self.repeats.to_json() if self.repeats else None,
        }


def _estimates(by_k: dict[int, Estimate]) -> dict[str, Any]:
    return {str(k): asdict(estimate) for k, estimate in by_k.items()}


def evaluate_file(
    suite: Suite,
    path: Path,
    table: SandboxTable,
    options: Options | None = None,
    *,
    on_progress: Callable[[int], None] = lambda done: None,
    on_malformed: Callable[[str], None] = lambda message: None,
    on_references: OnProgress = lambda what, done, total: None,
) -> Evaluation:
    """Judge the samples in `path` and write `<path>_results.jsonl`.

    A malformed line is reported and left out; the rest is evaluated. `on_references` follows the references of the
    problems that have a sample, which are run before any sample (`ground_truth`). Raises BadInputError when nothing can
    be read, the results cannot be written, or k asks for more samples than there are.
    """
    options = options or Options()
    started = time.perf_counter()
    refuse_overwrite({"the samples": table_in(path)}, outputs_of(path, options))
    samples = open_samples(path, suite, options.format)
    answered = _answered(samples)
    suite = settle(suite, table, answered=answered, allow_weak=options.allow_weak, on_progress=on_references)
    samples = replace(samples, suite=suite)
    results = options.output or sibling_path(path, RESULTS)
    work = _Work(samples, table, options, results, on_progress)
    with suppress(FileNotFoundError):
        work.faults.path.unlink()

    def malformed(row: MalformedRow) -> None:
        work.faults.add(str(row))
        on_malformed(str(row))

    isolation = work.first(malformed)
    repeats = work.repeated() if options.repeat > 1 else None
    estimates = scores(work.tally, options.k, str(results))
    return Evaluation(
        suite=suite,
        samples=samples,
        tally=work.tally,
        scores=estimates,
        base=base_scores(suite, work.tally, tuple(estimates)),
        families=family_scores(suite, work.tally, tuple(estimates)),
        isolation=isolation,
        backend=table.backend,
        seconds=time.perf_counter() - started,
        results=results,
        faults=work.faults,
        cached=work.cached,
        repeats=repeats,
    )


def _answered(samples: SampleFile) -> set[str]:
    """Return the problems that have a sample: the file is read as far as it takes to find them all."""
    total, answered = len(samples.suite.problems), set[str]()
    for sample in samples.read():
        if isinstance(sample, Sample):
            answered.add(sample.task_id)
            if len(answered) == total:
                break
    return answered


def outputs_of(path: Path, options: Options) -> dict[str, Path]:
    """The files that an evaluation of `path` may write, by what they are."""
    results = options.output or sibling_path(path, RESULTS)
    return {
        "the verdicts' file": results,
        "the list of malformed lines": _sibling(results, MALFORMED),
        "the list of differing verdicts": _sibling(results, FLAKY),
    }


def _sibling(results: Path, suffix: str) -> Path:
    return results.with_name(results.name.removesuffix(RESULTS) + suffix)


def sibling_path(path: Path, suffix: str) -> Path:
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
        self._unmeasured = {p.id for p in samples.suite.problems if p.unmeasured}
        self._base_checks = {p.id: p.base_checks for p in samples.suite.problems if p.base_checks}
        self.faults = MalformedRows(_sibling(results, MALFORMED))
        self._repeats = Repeats(_sibling(results, FLAKY))
        self._on_progress, self._done = on_progress, 0

    def first(self, on_malformed: Callable[[MalformedRow], None]) -> str:
        """Write the results; return the label of the isolation. An interrupted evaluation without a cache leaves what
        it had as `<results>.part`, one with a cache leaves it there."""
        with self._writing(), publish(self.results) as part:
            try:
                with part.open("w", encoding="utf-8") as out:
                    isolation = self._pass(lambda judged: self._write(out, judged), on_malformed)
            except BaseException:
                if self.tally.problems and not self.options.cache.enabled:
                    with publish(self.results.with_name(self.results.name + ".part")) as kept:
                        shutil.copyfile(part, kept)
                raise
            if not self.tally.problems and not self.tally.unmeasured:
                hint = f"; first fault: {self.faults.first[0]}" if self.faults.count else ""
                raise BadInputError(
                    f"{self.samples.path}, read as {self.samples.format}, holds no sample of the suite "
                    f"{self.samples.suite.name!r}{hint}"
                )
        return isolation

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
            self._pass(lambda judged: None, lambda row: None)
        return self._repeats.finish()

    def _write(self, out: TextIO, judged: Judged) -> None:
        sample, verdict, row = judged.sample, judged.verdict, judged.row()
        base_checks = self._base_checks.get(sample.task_id, 0)
        base_passed = judged.base_passed(base_checks)
        if base_checks:
            row["base_passed"] = base_passed
        out.write(json.dumps(row) + "\n")
        if sample.task_id in self._unmeasured:
            self.tally.unmeasured[sample.task_id] += 1
            return
        self.tally.add(
            sample.task_id, verdict.outcome, verdict.mode, base_passed=base_passed, notes=verdict.notes
        )
        self.cached += judged.cached

    def _pass(self, emit: Callable[[Judged], None], on_malformed: Callable[[MalformedRow], None]) -> str:
        """Judge every sample once; returns what isolated them."""
        suite, options = self.samples.suite, self.options
        problems, limits = suite.by_id(), limits_of(self.table)
        samples: dict[str, Sample] = {}  # those without a verdict, without their text
        if options.repeat > 1:
            self._repeats.begin()

        # Those of unmeasured problems, which are not executed, by their numbers: they wait for the ones before them.
        apart: deque[tuple[int, Verdict]] = deque()

        def each(verdict: Verdict) -> None:
            while apart and apart[0][0] < int(verdict.id):
                give(apart.popleft()[1], cached=False)
            give(verdict, cached=executor.was_cached(verdict.id))

        def give(verdict: Verdict, *, cached: bool) -> None:
            judged = Judged(samples.pop(verdict.id), verdict, cached)
            emit(judged)
            if options.repeat > 1:
                self._repeats.add(judged)
            self._done += 1
            self._on_progress(self._done)

        with open_executor(
            self.table,
            suite,
            each,
            cache=options.cache,
            allow_weak=options.allow_weak,
            ordered=True,
            keep_output=False,
        ) as executor:
            for number, sample in enumerate(self.samples.read()):
                if isinstance(sample, MalformedRow):
                    on_malformed(sample)
                    continue
                problem, program_id = problems[sample.task_id], str(number)
                if problem.unmeasured:
                    samples[program_id] = replace(sample, text="")
                    apart.append((number, unmeasured_verdict(program_id, problem)))
                    continue
                _, program = prepared(program_id, problem, sample.text, sample.form, limits)
                samples[program_id] = replace(sample, text="")
                if isinstance(program, Verdict):
                    apart.append((number, program))
                else:
                    executor.submit(program)
            executor.wait()
            while apart:
                give(apart.popleft()[1], cached=False)
            return executor.isolation.label


# Refusing to write over what is read.


def refuse_overwrite(read: Mapping[str, Path], written: Mapping[str, Path]) -> None:
    """Raise BadInputError where a file to write is one that is read, also by a link, or where two files to write are
    the same. Keys say what a path is, for the message."""
    known = dict(read)
    for what, path in written.items():
        taken = next((name for name, other in known.items() if _same(path, other)), None)
        if taken is not None:
            raise BadInputError(f"{what} {path} would overwrite {taken}: name another file")
        known[what] = path


def _same(a: Path, b: Path) -> bool:
    if a.exists() and b.exists():
        return a.samefile(b)
    return a.resolve() == b.resolve()


# Executing the same samples several times: which verdicts do not hold.

SHOWN = 100
_CODE = {outcome: code for code, outcome in enumerate(OUTCOMES)}
_INFRA = _CODE[Outcome.INFRA]


@dataclass
class Repeats:
    """One byte a sample and repetition. `infra` is no verdict, so it differs from none."""

    path: Path
    runs: list[bytearray] = field(default_factory=list)
    names: list[tuple[str, int, int]] = field(default_factory=list)

    def begin(self) -> None:
        self.runs.append(bytearray())

    def add(self, judged: Judged) -> None:
        if len(self.runs) == 1:
            self.names.append((judged.sample.task_id, judged.sample.index, judged.sample.line))
        self.runs[-1].append(_CODE[judged.verdict.outcome])

    def differing(self) -> Iterator[dict[str, Any]]:
        """Samples with more than one outcome, in file order, with the outcome of each repetition."""
        for (task, index, line), *codes in zip(self.names, *self.runs, strict=True):
            if len(set(codes) - {_INFRA}) > 1:
                outcomes = [OUTCOMES[code].value for code in codes]
                yield {"task_id": task, "index": index, "line": line, "outcomes": outcomes}

    def finish(self) -> Flakiness:
        """Write the differing samples next to the results; an older list is replaced, also by an empty one."""
        differing = list(self.differing())
        write_text(self.path, "".join(json.dumps(row) + "\n" for row in differing))
        return Flakiness(len(self.runs), len(differing), tuple(differing[:SHOWN]), self.path)


@dataclass(frozen=True, slots=True)
class Flakiness:
    """The result of `--repeat`: how many samples had more than one verdict over `n` executions of each."""

    n: int
    n_differing: int
    first: tuple[dict[str, Any], ...]
    path: Path

    def to_json(self) -> dict[str, Any]:
        shown = {"differing": list(self.first), "file": str(self.path)}
        return {"n": self.n, "n_differing": self.n_differing} | shown


class Judged(NamedTuple):
    """A sample (without its text) and its verdict (without its output); `cached` where it was not executed itself."""

    sample: Sample
    verdict: Verdict
    cached: bool

    def base_passed(self, base_checks: int) -> bool:
        """Return whether the first `base_checks` checks held; such checks stop at the first that does not."""
        return 0 < base_checks <= self.verdict.checks_passed and self.verdict.outcome is not Outcome.INFRA

    def row(self) -> dict[str, Any]:
        """The line of a results file."""
        sample, verdict = self.sample, self.verdict
        return {
            "task_id": sample.task_id,
            "index": sample.index,
            "line": sample.line,
            "outcome": verdict.outcome.value,
            "passed": verdict.outcome is Outcome.PASS,
            "detail": verdict.detail,
            "cpu_s": round(verdict.cpu_s, 6),
            "wall_s": round(verdict.wall_s, 6),
            "mode": verdict.mode,
            "checks_passed": verdict.checks_passed,
            "checks_total": verdict.checks_total,
            "notes": list(verdict.notes),
            "cached": self.cached,
        }
