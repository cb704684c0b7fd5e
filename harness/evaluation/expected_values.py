"""Expected values from reference solutions: computed once, in the sandbox, and kept by content hash.

A problem of an EvalPlus-form suite comes with an Oracle instead of checks. `with_checks` runs each reference on its
inputs, keeps the answers in the cache folder under a hash of reference and inputs, and returns the suite with checks
made of them. A kept answer is used only where its own hash holds; else it is computed again, with a message.
"""

from __future__ import annotations

import base64
import hashlib
import json
import platform
import sys
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from assay.harness.errors import UnmeasuredError
from assay.harness.evaluation.judge import open_sandbox
from assay.harness.evaluation.scores import limits_of
from assay.harness.experiment import SandboxTable
from assay.sandbox import Program, Sandbox
from assay.suites import Problem, Suite
from assay.suites.model import Oracle
from assay.suites.sources import cache_folder
from assay.trainers.files import write_text

CPU_S = 120.0  # for one reference on all its inputs
MOST_CPU_S = 60.0  # the most a problem gets for being slow, as in EvalPlus
SLOW_S = 1.0  # references below this leave --cpu-s alone
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Answers:
    """A reference's answers as JSON text, and the CPU seconds it took for all of them."""

    text: str
    cpu_s: float


def with_checks(
    suite: Suite,
    table: SandboxTable,
    *,
    allow_weak: bool = False,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    on_fault: Callable[[str], None] | None = None,
) -> Suite:
    """Return the suite with every problem's checks made. Raises UnmeasuredError where a reference gives no answers."""
    oracles = {problem.id: problem.oracle for problem in suite.problems if problem.oracle is not None}
    if not oracles:
        return suite
    say = on_fault or (lambda message: print(f"assay: {message}", file=sys.stderr))
    keys = {problem_id: key_of(oracle, table) for problem_id, oracle in oracles.items()}
    known = {problem_id: read_kept(key, say) for problem_id, key in keys.items()}
    missing = {problem_id: oracles[problem_id] for problem_id, answers in known.items() if answers is None}
    if missing:
        on_progress(0, len(missing))
        with open_sandbox(_roomy(table), suite, allow_weak=allow_weak) as sandbox:
            for problem_id, answers in ask(sandbox, missing, table):
                known[problem_id] = answers
                keep(keys[problem_id], answers)
                on_progress(sum(known[i] is not None for i in missing), len(missing))
    checked = replace(suite, problems=tuple(_made(p, known.get(p.id)) for p in suite.problems))
    short = {problem.id: problem.left_out for problem in checked.problems if problem.left_out}
    if short:
        named = ", ".join(f"{problem_id} ({n})" for problem_id, n in list(short.items())[:5])
        say(
            f"{sum(short.values())} inputs of {len(short)} problems are not checked, since the reference itself raises "
            f"or needs more than {table.memory_mb} MiB (--memory-mb) for them: {named}{', …' if len(short) > 5 else ''}"
        )
    return checked


def key_of(oracle: Oracle, table: SandboxTable) -> str:
    """Return the hash of everything that decides a reference's answers: itself, its inputs, the interpreter, and the
    memory it has."""
    version = f"{_FORMAT}:{platform.python_implementation()}-{platform.python_version()}:{table.memory_mb}"
    return hashlib.sha256(f"{version}:{oracle.key}".encode()).hexdigest()


def _made(problem: Problem, answers: Answers | None) -> Problem:
    if problem.oracle is None or answers is None:
        return problem
    slow = min(MOST_CPU_S, problem.oracle.cpu_factor * answers.cpu_s) if answers.cpu_s > SLOW_S else 0.0
    checked = problem.oracle.make_checks(answers.text)._asdict()
    return replace(problem, **checked, oracle=None, cpu_s=round(slow, 1))


def _roomy(table: SandboxTable) -> SandboxTable:
    return table.model_copy(update={"cpu_s": CPU_S, "wall_s": 4 * CPU_S})


@dataclass(slots=True)
class _Gathering:
    """The parts of one reference's answers that are there."""

    parts: dict[int, str] = field(default_factory=dict)
    total: int = 1
    sha256: str = ""
    cpu_s: float = 0.0

    @property
    def missing(self) -> list[int]:
        return [part for part in range(self.total) if part not in self.parts]


def ask(sandbox: Sandbox, oracles: dict[str, Oracle], table: SandboxTable) -> Iterable[tuple[str, Answers]]:
    """(problem id, answers) as they come. Long answers take a run for each part."""
    gathered = {problem_id: _Gathering() for problem_id in oracles}
    limits = limits_of(_roomy(table))
    while any(one.missing for one in gathered.values()):
        programs = [
            Program(
                id=f"{part}:{problem_id}",
                candidate=f"{oracle.program}\n{_for_part(oracle.driver, part)}",
                checks=("pass",),
                limits=limits,
                mode="shared",
            )
            for problem_id, oracle in oracles.items()
            for part in gathered[problem_id].missing
        ]
        for verdict in sandbox.run(programs):
            part, _, problem_id = verdict.id.partition(":")
            one = gathered[problem_id]
            if not verdict.passed:
                raise UnmeasuredError(
                    f"the reference solution of {problem_id} gives no answers: {verdict.outcome}, {verdict.detail}"
                )
            _take(problem_id, one, int(part), verdict.output, verdict.cpu_s)
            if not one.missing:
                yield problem_id, _join(problem_id, one)


def _for_part(driver: str, part: int) -> str:
    head, _, tail = driver.rpartition(", PART, ")
    return f"{head}, {part}, {tail}"


def _take(problem_id: str, one: _Gathering, part: int, output: str, cpu_s: float) -> None:
    try:
        report = json.loads(output.strip().splitlines()[-1])
        total, sha256, text = int(report["parts"]), str(report["sha256"]), str(report["part"])
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise UnmeasuredError(
            f"the reference solution of {problem_id} printed no answers ({error!r})"
        ) from None
    if one.sha256 not in ("", sha256):
        raise UnmeasuredError(f"the reference solution of {problem_id} does not answer the same twice")
    one.total, one.sha256, one.parts[part] = max(total, 1), sha256, text
    one.cpu_s = max(one.cpu_s, cpu_s)


def _join(problem_id: str, one: _Gathering) -> Answers:
    packed = "".join(one.parts[part] for part in range(one.total))
    text = zlib.decompress(base64.b64decode(packed))
    if hashlib.sha256(text).hexdigest() != one.sha256:
        raise UnmeasuredError(f"the answers of the reference solution of {problem_id} arrived damaged")
    return Answers(text.decode(), round(one.cpu_s, 3))


def _file(key: str) -> Path:
    return cache_folder() / "oracle" / key[:2] / f"{key}.json"


def read_kept(key: str, say: Callable[[str], None]) -> Answers | None:
    """The answers kept under `key`, or None; a file that is not what was written is named and left out."""
    file = _file(key)
    fault = f"{file} is damaged"
    try:
        kept = json.loads(file.read_bytes())
        text, seal = kept["answers"], kept["sha256"]
        if kept["format"] == _FORMAT and kept["key"] == key and _seal(key, text, kept["cpu_s"]) == seal:
            return Answers(text, kept["cpu_s"])
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


def _seal(key: str, text: str, cpu_s: float) -> str:
    return hashlib.sha256(f"{key}\n{cpu_s!r}\n{text}".encode()).hexdigest()
