"""The quality of a program by its source alone: ruff's findings, radon's cyclomatic complexity, docstring.

Both tools come with the `train` extra. The rules are a fixed set of ruff's stable ones, so that a reward or a
preference does not change when ruff adds rules; comments in a program cannot switch them off. One ruff process checks
any number of programs.
"""

from __future__ import annotations

import ast
import json
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from assay.suites.parsing import parse
from assay.trainers.errors import TrainersError, needs_extra

# Comparison with None, True and False; `not … in`, `not … is`; bare except; a lambda with a name; ambiguous names;
# unused imports and variables; star imports; repeated keys; shadowed builtins; mutable defaults; a name assigned to
# itself.
RULES = (
    *("E711", "E712", "E713", "E714", "E722", "E731", "E741"),
    *("F401", "F403", "F601", "F841", "A001", "B006", "PLW0127"),
)
_CHECK = "check --isolated --no-cache --ignore-noqa --exit-zero --quiet --target-version py311 --output-format json"
_Function = ast.FunctionDef | ast.AsyncFunctionDef


class Finding(NamedTuple):
    """One finding: ruff's code of the rule, and the line from 1."""

    rule: str
    line: int


@dataclass(frozen=True, slots=True)
class Quality:
    """`lint` counts findings; `complexity` is McCabe's over the program's functions and classes; `lines` counts those
    that are not empty."""

    lint: int
    complexity: int
    docstring: bool
    lines: int


def measure_all(programs: Sequence[str]) -> list[Quality | None]:
    """Return each program's quality; None where it does not parse. Raises MissingExtraError without ruff or radon."""
    with needs_extra("train", "radon"):
        from radon.visitors import ComplexityVisitor
    results: list[Quality | None] = []
    for program, findings in zip(programs, lint(programs), strict=True):
        tree = parse_program(program)
        if tree is None:
            results.append(None)
            continue
        complexity = int(ComplexityVisitor.from_ast(tree).total_complexity)
        lines = sum(bool(line.strip()) for line in program.split("\n"))
        results.append(Quality(len(findings), complexity, _documented(tree), lines))
    return results


def lint(programs: Sequence[str]) -> list[list[Finding]]:
    """Return ruff's findings in each program by line; none where it does not parse. Raises MissingExtraError."""
    findings: list[list[Finding]] = [[] for _ in programs]
    parsed = [i for i, program in enumerate(programs) if parse_program(program) is not None]
    if not parsed:
        return findings
    with needs_extra("train", "ruff"):
        from ruff import find_ruff_bin
    command = [find_ruff_bin(), *_CHECK.split(), "--select", ",".join(RULES), "."]
    with tempfile.TemporaryDirectory(prefix="assay-lint-") as folder:
        for i in parsed:
            (Path(folder) / f"{i}.py").write_text(programs[i], encoding="utf-8", errors="replace")
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        raise TrainersError(f"ruff could not check {len(parsed)} programs: {done.stderr.strip():.300}")
    for row in json.loads(done.stdout):
        place = int(Path(row["filename"]).stem)
        findings[place].append(Finding(row["code"], row["location"]["row"]))
    return [sorted(of_program, key=lambda f: (f.line, f.rule)) for of_program in findings]


def parse_program(program: str) -> ast.Module | None:
    """Return the program's syntax tree; None where Python does not parse it. Nothing of it is run."""
    try:
        return parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _documented(tree: ast.Module) -> bool:
    """Return whether the first function has a docstring."""
    first = next((node for node in ast.walk(tree) if isinstance(node, _Function)), None)
    return first is not None and ast.get_docstring(first) is not None
