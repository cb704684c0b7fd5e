"""What is known of a suite's problems before any answer is judged: how each is judged, and whether it can be.

Where a problem has a reference solution, that is run first. What passes in split mode is judged split; what passes in
shared mode only is judged shared; what passes in neither is unmeasured, with the reason, and no answer to it is run or
counted. A problem whose checks' form needs shared mode (sandbox/host/needs.py) is judged shared although its reference
may pass split: another right answer may need what the reference does not. Without a reference the form alone decides.

`settle` is what every evaluation calls; `examine` gives the table of it. Both keep what they learned in the cache
folder, under a hash of everything that decides it, so that a reference is run once on a machine.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from importlib import metadata
from typing import Any

from assay.harness.evaluation import time_limits
from assay.harness.evaluation.expected_values import CPU_S, CheckTimes, Say, say_on_stderr, with_checks
from assay.harness.evaluation.judge import open_sandbox, run_with_more
from assay.harness.evaluation.scores import limits_of
from assay.harness.experiment import SandboxTable
from assay.sandbox import Limits, Mode, Outcome, Program, Sandbox, Verdict
from assay.sandbox.host.cache import sandbox_version
from assay.sandbox.host.needs import analyse
from assay.suites import Problem, Suite
from assay.suites.sources import cache_folder
from assay.trainers.files import write_text

# A reference that was asked for its answers ran on all inputs already: split mode is tried on those it takes this long
# for.
SPLIT_S = 0.5
UNMEASURED = "the problem is unmeasured: "  # begins the detail of its answers' verdicts
_FORMAT = 1
_MISSING_MODULE = re.compile(r"No module named '([\w.]+)'")

ASKING, RUNNING = "asking references for their answers", "running references"
OnProgress = Callable[[str, int, int], None]  # what is done, how many are done, of how many


@dataclass(frozen=True, slots=True)
class Truth:
    """What is known of one problem. `mode` None: unmeasured, and `reason` says why; else `reason` says why it is judged
    shared. `cpu_s` is the reference's, None without one."""

    mode: Mode | None
    reason: str = ""
    cpu_s: float | None = None
    stateful: bool = False


def settle(
    suite: Suite,
    table: SandboxTable,
    *,
    answered: Collection[str] | None = None,
    allow_weak: bool = False,
    on_progress: OnProgress = lambda what, done, total: None,
    on_fault: Say = say_on_stderr,
) -> Suite:
    """Return the suite as its answers are to be judged: with all checks, and each problem's mode, limits of time and
    what keeps it from being measured. Where `answered` names problems, the others stay as they are: nothing is known of
    them, not even whether they can be measured. Raises UnmeasuredError and MissingToolError as opening a sandbox
    does."""
    chosen = suite
    if answered is not None:
        chosen = replace(suite, problems=tuple(p for p in suite.problems if p.id in answered))
    settled, _ = examine(chosen, table, allow_weak=allow_weak, on_progress=on_progress, on_fault=on_fault)
    by_id = settled.by_id()
    return replace(suite, problems=tuple(by_id.get(p.id, p) for p in suite.problems))


def examine(
    suite: Suite,
    table: SandboxTable,
    *,
    allow_weak: bool = False,
    on_progress: OnProgress = lambda what, done, total: None,
    on_fault: Say = say_on_stderr,
) -> tuple[Suite, dict[str, Truth]]:
    """Return the suite as `settle` does, and what is known of each problem, in its order."""
    asking = partial(on_progress, ASKING)
    checked, times = with_checks(suite, table, allow_weak=allow_weak, on_progress=asking, on_fault=on_fault)
    limits = limits_of(table)
    if table.cpu_s is None:
        limits = replace(limits, cpu_s=CPU_S, wall_s=max(limits.wall_s, 4 * CPU_S))
    kept = _Kept(checked, table)
    known: dict[str, Truth] = {}
    references: dict[str, Program] = {}
    for problem in checked.problems:
        program = _reference(problem, limits, times.get(problem.id))
        truth = kept.get(program) if not problem.unmeasured else Truth(None, problem.unmeasured)
        if truth is None:
            truth = _from_text(problem, suite.packages)
            if truth is not None:
                kept.put(program, truth)
        if truth is None:
            references[problem.id] = program
        else:
            known[problem.id] = truth
    if references:

        def on_truth(problem_id: str, truth: Truth, *, lasting: bool) -> None:
            known[problem_id] = truth
            if lasting:
                kept.put(references[problem_id], truth)
            on_progress(RUNNING, sum(name in known for name in references), len(references))

        on_progress(RUNNING, 0, len(references))
        try:
            with open_sandbox(table, suite, allow_weak=allow_weak) as sandbox:
                _run(sandbox, references, on_truth, suite.packages)
        finally:
            kept.write(on_fault)
    else:
        kept.write(on_fault)
    problems = [_settled(p, known[p.id], times.get(p.id), table) for p in checked.problems]
    order = {p.id: _with_time(known[p.id], times.get(p.id)) for p in checked.problems}
    return replace(checked, problems=tuple(problems)), order


def unmeasured_verdict(program_id: str, problem: Problem) -> Verdict:
    """Return what an answer to an unmeasured problem gets, which is not run: no verdict, with the reason."""
    detail = f"{UNMEASURED}{problem.unmeasured}"
    return Verdict(program_id, Outcome.INFRA, detail, checks_total=len(problem.checks))


def _settled(problem: Problem, truth: Truth, times: CheckTimes | None, table: SandboxTable) -> Problem:
    if truth.mode is None:
        return replace(problem, unmeasured=truth.reason)
    if truth.cpu_s is None:
        return problem
    cpu_s = problem.cpu_s
    if times is None and table.cpu_s is None:
        cpu_s = time_limits.of_program(truth.cpu_s)
        cpu_s = cpu_s if cpu_s > time_limits.DEFAULT_CPU_S else 0.0
    return replace(problem, mode=truth.mode, stateful=truth.stateful, cpu_s=cpu_s)


def _with_time(truth: Truth, times: CheckTimes | None) -> Truth:
    """The time of a reference that was asked for its answers is that of all its inputs."""
    if times is None or truth.cpu_s is None:
        return truth
    return replace(truth, cpu_s=round(sum(seconds or 0.0 for seconds in times), 3))


def _reference(problem: Problem, limits: Limits, times: CheckTimes | None) -> Program:
    """Return the program that runs a problem's reference; its candidate is empty where there is none."""
    solution = problem.canonical_solution
    checks = problem.checks if times is None else problem.checks[: _cheap(times)]
    return Program(
        id=problem.id,
        candidate=problem.prompt + solution if solution.strip() else "",
        checks=checks,
        entry_point=problem.entry_point,
        limits=limits,
        prelude=problem.prompt,
        mode=problem.mode,
        base_checks=min(problem.base_checks, len(checks)),
    )


def _cheap(times: CheckTimes) -> int:
    """Return how many checks to run: SPLIT_S of them, and at least the first of an input."""
    used, n_inputs = 0.0, 0
    for place, seconds in enumerate(times):
        used += seconds or 0.0
        if n_inputs and used > SPLIT_S:
            return place
        n_inputs += seconds is not None
    return len(times)


def _from_text(problem: Problem, packages: tuple[str, ...]) -> Truth | None:
    """Return what a problem's text alone says: that it cannot be measured, or how without a reference. Nothing where a
    reference has to be run."""
    generated = bool(problem.check_cpu_s)  # checks made from a reference's answers
    for number, check in enumerate(() if generated else problem.checks, start=1):
        try:
            compile(check, f"check {number}", "exec")
        except (SyntaxError, ValueError, RecursionError) as error:
            line = f" (line {error.lineno})" if isinstance(error, SyntaxError) else ""
            message = error.msg if isinstance(error, SyntaxError) else error
            return Truth(None, f"check {number} of {len(problem.checks)} is no Python: {message}{line}")
    source = problem.canonical_solution.strip()
    texts = (problem.prompt, source, *(() if generated else problem.checks))
    name = problem.entry_point
    if name and not generated and not any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", t) for t in texts):
        where = "its reference" if source else "its prompt"
        return Truth(None, f"its entry point {name!r} occurs neither in {where} nor in its checks")
    if source:
        return None
    needs = analyse(problem.checks, problem.prompt, problem.entry_point, packages)
    return Truth(problem.mode or needs.mode, needs.reason)


# Running references.


def _run(
    sandbox: Sandbox,
    references: dict[str, Program],
    on_truth: Callable[..., None],
    packages: tuple[str, ...],
) -> None:
    """Run each reference as its checks ask for, again where its answers hang on their order, and in shared mode where
    it does not pass split."""
    tried: dict[str, Program] = dict(references)
    reasons: dict[str, str] = {}

    def more(verdict: Verdict) -> list[Program]:
        program = tried[verdict.id]
        if not (verdict.passed or program.stateful) and verdict.mode == "split":
            tried[verdict.id] = replace(program, stateful=True)
            return [tried[verdict.id]]
        if not verdict.passed and verdict.mode == "split":
            reasons[verdict.id] = f"its reference passes in shared mode only; split: {_ending(verdict)}"
            tried[verdict.id] = replace(program, mode="shared", stateful=False)
            return [tried[verdict.id]]
        cpu_s = round(verdict.cpu_s, 3)
        lasting = verdict.outcome is not Outcome.INFRA and not (
            verdict.outcome is Outcome.TIMEOUT and verdict.detail.startswith("wall")
        )
        if not verdict.passed:
            on_truth(verdict.id, Truth(None, _why_unmeasured(verdict), cpu_s), lasting=lasting)
            return []
        reason = reasons.get(verdict.id, "")
        if verdict.mode == "shared" and not reason:
            needs = analyse(program.checks, program.prelude, program.entry_point, packages)
            reason = needs.reason or "split mode cannot carry its data"
        on_truth(verdict.id, Truth(verdict.mode, reason, cpu_s, program.stateful), lasting=True)
        return []

    run_with_more(sandbox, references.values(), more)


def _ending(verdict: Verdict) -> str:
    return f"{verdict.outcome}, {verdict.detail}" if verdict.detail else str(verdict.outcome)


def _why_unmeasured(verdict: Verdict) -> str:
    missing = _MISSING_MODULE.search(verdict.detail)
    if missing:
        return f"the package {missing[1].partition('.')[0]} is not in the sandbox"
    return f"its reference does not pass: {_ending(verdict)}"


# What is kept: one file a suite and setting, a row a problem.


class _Kept:
    """What was learned of a suite's problems in earlier evaluations, by the hash of what decides it.

    A file that is not what was written is left out, and written anew; one that cannot be written costs time on the
    next run, not this one.
    """

    def __init__(self, suite: Suite, table: SandboxTable) -> None:
        setting = {
            "format": _FORMAT,
            "sandbox": sandbox_version(),
            "python": [platform.python_implementation(), platform.python_version()],
            "packages": [(name, _version(name)) for name in suite.packages],
            "table": table.model_dump(mode="json", exclude={"workers"}),
        }
        self._setting = json.dumps(setting, sort_keys=True)
        name = hashlib.sha256(f"{self._setting}\0{suite.name}\0{suite.revision}".encode()).hexdigest()
        self._file = cache_folder() / "ground_truth" / f"{name[:32]}.json"
        self._rows = self._read()
        self._changed = False

    def _read(self) -> dict[str, Any]:
        try:
            content = json.loads(self._file.read_bytes())
            rows = content["rows"]
            return rows if content["sha256"] == _seal(rows) else {}
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return {}

    def _key(self, program: Program) -> str:
        digest = hashlib.sha256(self._setting.encode())
        for one in fields(program):
            if one.name not in ("id", "checks"):
                digest.update(
                    f"\0{one.name}={getattr(program, one.name)!r}".encode("utf-8", "backslashreplace")
                )
        for check in program.checks:
            digest.update(f"\0{len(check)}:{check}".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def get(self, program: Program) -> Truth | None:
        row = self._rows.get(self._key(program))
        return None if row is None else Truth(**row)

    def put(self, program: Program, truth: Truth) -> None:
        self._rows[self._key(program)] = asdict(truth)
        self._changed = True

    def write(self, on_fault: Say) -> None:
        if not self._changed:
            return
        text = json.dumps({"sha256": _seal(self._rows), "rows": self._rows})
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_text(self._file, text)
        except OSError as error:
            on_fault(f"cannot keep what references showed in {self._file.parent} ({error})")


def _seal(rows: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
