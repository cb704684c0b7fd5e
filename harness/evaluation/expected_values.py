"""Expected values from reference solutions: computed once, in the sandbox, and kept by content hash.

A problem of an EvalPlus-form suite comes with an Oracle instead of checks. `with_checks` runs each reference on its
inputs, keeps the answers in the cache folder under a hash of reference and inputs, and returns the suite with checks
made of them. A kept answer is used only where its own hash holds; else it is computed again, with a message. The CPU
time of each answer is kept with it: it decides the time that a candidate has for the same input (`time_limits`).
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import platform
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from assay.harness.errors import UnmeasuredError
from assay.harness.evaluation import time_limits
from assay.harness.evaluation.judge import open_sandbox, run_with_more
from assay.harness.evaluation.scores import limits_of
from assay.harness.experiment import SandboxTable
from assay.sandbox import Limits, Outcome, Program, Sandbox, Verdict
from assay.suites import Problem, Suite
from assay.suites.model import Oracle
from assay.suites.sources import cache_folder
from assay.trainers.files import write_text

CPU_S = 120.0  # for one reference, on one of its inputs or on several that take less
SLOW_S = 1.0  # a reference that took this for its first inputs has the others shared among the workers
_FORMAT = 2

Say = Callable[[str], None]
CheckTimes = tuple[float | None, ...]  # None of a check that runs no input, or several


@dataclass(frozen=True, slots=True)
class Answers:
    """A reference's answers as JSON text, and the CPU seconds that each took."""

    text: str
    cpu_s: tuple[float, ...]


def say_on_stderr(message: str) -> None:
    print(f"assay: {message}", file=sys.stderr)


def with_checks(
    suite: Suite,
    table: SandboxTable,
    *,
    allow_weak: bool = False,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    on_fault: Say = say_on_stderr,
) -> tuple[Suite, dict[str, CheckTimes]]:
    """Return the suite with every problem's checks made, and the reference's CPU seconds of each check where one ran
    it for its answers. A problem whose reference gives no answers is unmeasured."""
    oracles = {problem.id: problem.oracle for problem in suite.problems if problem.oracle is not None}
    if not oracles:
        return suite, {}
    keys = {problem_id: key_of(oracle, table) for problem_id, oracle in oracles.items()}
    known: dict[str, Answers | str | None] = {
        problem_id: read_kept(key, on_fault) for problem_id, key in keys.items()
    }
    missing = {problem_id: oracles[problem_id] for problem_id, answers in known.items() if answers is None}
    if missing:
        done = 0
        on_progress(0, len(missing))

        def on_answers(problem_id: str, answers: Answers | str) -> None:
            nonlocal done
            known[problem_id] = answers
            if isinstance(answers, Answers):
                keep(keys[problem_id], answers)
            done += 1
            on_progress(done, len(missing))

        with open_sandbox(table, suite, allow_weak=allow_weak) as sandbox:
            ask(sandbox, missing, table, on_answers)
    times: dict[str, CheckTimes] = {}
    checked = replace(suite, problems=tuple(_made(p, known.get(p.id), table, times) for p in suite.problems))
    short = {problem.id: problem.left_out for problem in checked.problems if problem.left_out}
    if short:
        named = ", ".join(f"{problem_id} ({n})" for problem_id, n in list(short.items())[:5])
        on_fault(
            f"{sum(short.values())} inputs of {len(short)} problems are not checked, since the reference itself raises "
            f"or needs more than {table.memory_mb} MiB (--memory-mb) for them: {named}{', …' if len(short) > 5 else ''}"
        )
    return checked, times


def key_of(oracle: Oracle, table: SandboxTable) -> str:
    """Return the hash of everything that decides a reference's answers: itself, its inputs, the interpreter, and the
    memory it has."""
    version = f"{_FORMAT}:{platform.python_implementation()}-{platform.python_version()}:{table.memory_mb}"
    return hashlib.sha256(f"{version}:{oracle.key}".encode()).hexdigest()


def _made(
    problem: Problem, answers: Answers | str | None, table: SandboxTable, times: dict[str, CheckTimes]
) -> Problem:
    if problem.oracle is None or answers is None:
        return problem
    if isinstance(answers, str):
        return replace(problem, oracle=None, unmeasured=answers)
    checks = problem.oracle.make_checks(answers.text)
    times[problem.id] = tuple(None if i is None else answers.cpu_s[i] for i in checks.inputs)
    each = time_limits.of_checks(times[problem.id])
    return replace(
        problem,
        oracle=None,
        checks=checks.checks,
        base_checks=checks.base_checks,
        mode=checks.mode,
        left_out=checks.left_out,
        check_cpu_s=each,
        cpu_s=0.0 if table.cpu_s else time_limits.of_sample(each),
    )


# Asking references.


@dataclass(frozen=True, slots=True)
class _Slice:
    """Some inputs of one problem, and which part of what is printed is wanted."""

    problem_id: str
    first: int
    end: int
    part: int = 0

    def program(self, number: int, oracle: Oracle, limits: Limits) -> Program:
        candidate = f"{oracle.program}\n{oracle.driver(self.first, self.end, self.part)}"
        return Program(id=str(number), candidate=candidate, checks=("pass",), limits=limits, mode="shared")


@dataclass(slots=True)
class _Gathering:
    """What one reference answered so far: JSON texts without their brackets and CPU seconds, by their first input."""

    missing: int
    texts: dict[int, str] = field(default_factory=dict)
    cpu_s: dict[int, list[float]] = field(default_factory=dict)
    parts: dict[int, list[str]] = field(default_factory=dict)  # of single long answers, by input
    sha256: dict[int, str] = field(default_factory=dict)

    def answers(self) -> Answers:
        order = sorted(self.texts)
        joined = ",".join(self.texts[first] for first in order)
        return Answers(f"[{joined}]", tuple(s for first in order for s in self.cpu_s[first]))


class _BadReportError(Exception):
    """A reference did not print what was asked for."""


def ask(
    sandbox: Sandbox,
    oracles: dict[str, Oracle],
    table: SandboxTable,
    on_answers: Callable[[str, Answers | str], None],
) -> None:
    """Ask references for their answers; `on_answers` gets those of each problem, or why there are none.

    What one program leaves of the inputs goes to others, at once and before all that did not begin yet. Raises
    UnmeasuredError where the sandbox fails.
    """
    limits = replace(limits_of(table), cpu_s=CPU_S, wall_s=4 * CPU_S)
    longer = replace(limits, cpu_s=CPU_S + 1)  # the scheduler begins with the longest
    gathered = {problem_id: _Gathering(oracle.n_inputs) for problem_id, oracle in oracles.items()}
    under_way: dict[str, _Slice] = {}
    numbers = itertools.count()

    def program_of(one: _Slice, most: Limits) -> Program:
        program = one.program(next(numbers), oracles[one.problem_id], most)
        under_way[program.id] = one
        return program

    def more(verdict: Verdict) -> list[Program]:
        one = under_way.pop(verdict.id)
        gathering = gathered.get(one.problem_id)
        if gathering is None:  # given up
            return []
        try:
            rest = _take(gathering, one, verdict, sandbox.workers)
        except _BadReportError as error:
            del gathered[one.problem_id]
            on_answers(one.problem_id, str(error))
            return []
        if not gathering.missing:
            del gathered[one.problem_id]
            on_answers(one.problem_id, gathering.answers())
        return [program_of(further, longer) for further in rest]

    slices = [_Slice(problem_id, 0, oracle.n_inputs) for problem_id, oracle in oracles.items()]
    run_with_more(sandbox, [program_of(one, limits) for one in slices], more)


def _take(gathering: _Gathering, one: _Slice, verdict: Verdict, workers: int) -> list[_Slice]:
    """Add what a program printed; return what is still to be asked because of it."""
    if verdict.outcome is Outcome.INFRA:
        raise UnmeasuredError(
            f"the reference solution of {one.problem_id} could not be run: {verdict.detail}"
        )
    if not verdict.passed:
        raise _BadReportError(f"its reference gives no answers: {verdict.outcome}, {verdict.detail}")
    try:
        report: dict[str, Any] = json.loads(verdict.output.strip().splitlines()[-1])
        cpu_s = [float(seconds) for seconds in report["cpu_s"]]
        parts, sha256, text = int(report["parts"]), str(report["sha256"]), str(report["part"])
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise _BadReportError(f"its reference printed no answers ({error!r})") from None
    if gathering.sha256.setdefault(one.first, sha256) != sha256:
        raise _BadReportError("its reference does not answer the same twice")
    known = gathering.parts.setdefault(one.first, [])
    known.append(text)
    rest: list[_Slice] = []
    if one.part == 0:
        rest += _rest_of(one, one.first + len(cpu_s), sum(cpu_s), workers)
        gathering.cpu_s[one.first] = cpu_s
    if one.part + 1 < parts:  # one after the other, since all need the same time
        return [*rest, replace(one, part=one.part + 1)]
    packed = "".join(gathering.parts.pop(one.first))
    if hashlib.sha256(packed.encode()).hexdigest() != sha256:
        raise _BadReportError("its reference's answers arrived damaged")
    gathering.texts[one.first] = zlib.decompress(base64.b64decode(packed)).decode()[1:-1]
    gathering.missing -= len(gathering.cpu_s[one.first])
    return rest


def _rest_of(one: _Slice, first: int, cpu_s: float, workers: int) -> list[_Slice]:
    """Return the inputs from `first` on that a program left over, in as many slices as can run at once if it was
    slow."""
    left = one.end - first
    count = min(left, workers if cpu_s > SLOW_S else 1)
    ends = [first + left * (i + 1) // count for i in range(count)]
    return [_Slice(one.problem_id, begin, end) for begin, end in zip([first, *ends], ends, strict=False)]


def _file(key: str) -> Path:
    return cache_folder() / "oracle" / key[:2] / f"{key}.json"


def read_kept(key: str, say: Say) -> Answers | None:
    """The answers kept under `key`, or None; a file that is not what was written is named and left out."""
    file = _file(key)
    fault = f"{file} is damaged"
    try:
        kept = json.loads(file.read_bytes())
        text, seal, cpu_s = kept["answers"], kept["sha256"], tuple(kept["cpu_s"])
        if kept["format"] == _FORMAT and kept["key"] == key and _seal(key, text, cpu_s) == seal:
            return Answers(text, cpu_s)
    except FileNotFoundError:
        return None
    except OSError as error:
        fault = f"cannot read {file} ({error})"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    say(f"{fault}; its answers are computed again")
    return None


def keep(key: str, answers: Answers) -> None:
    """Write, whole or not at all. A folder that cannot be written costs time on the next run, not this one."""
    file = _file(key)
    row = {
        "format": _FORMAT,
        "key": key,
        "sha256": _seal(key, answers.text, answers.cpu_s),
        "cpu_s": answers.cpu_s,
        "answers": answers.text,
    }
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, json.dumps(row))
    except OSError as error:
        print(f"assay: cannot keep a reference's answers in {file.parent} ({error})", file=sys.stderr)


def _seal(key: str, text: str, cpu_s: tuple[float, ...]) -> str:
    return hashlib.sha256(f"{key}\n{cpu_s!r}\n{text}".encode()).hexdigest()
