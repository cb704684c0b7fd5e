"""What a samples file holds, whatever its format: samples, and places that could not be read as one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from assay.suites import Suite
from assay.suites.extraction.extract import FORMS, Form
from assay.suites.jsonlines import LineError


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample: its place in the file from 1 (a line, a row or a file's number), its problem, its index among
    that problem's samples in the file, its text and what that text is."""

    line: int
    task_id: str
    index: int
    text: str
    form: Form


@dataclass(frozen=True, slots=True)
class Fault:
    """A place that could not be read as a sample; the text names file, place and field."""

    text: str

    def __str__(self) -> str:
        return self.text


class Found(NamedTuple):
    """What a reader found, unchecked: `task` and `text` are whatever stood there; `place` is for a person."""

    line: int
    place: str
    task: Any
    text: Any
    form: Form
    field: str
    task_field: str = "task_id"


class SampleReader(Protocol):
    """Reads one format. Yields in file order, in memory that does not grow with the file; never raises for what
    the file holds: a place that cannot be read is a Fault."""

    def __call__(self, path: Path, suite: Suite, /) -> Iterator[Found | Fault]: ...


def fault(path: Path, place: str, problem: str) -> Fault:
    return Fault(f"{path}, {place}: {problem}" if place else f"{path}: {problem}")


def of_line(error: LineError) -> Fault:
    return Fault(str(error))


def the_form(row: dict[str, Any]) -> Form | str:
    """The one form that a row holds its sample in, or what is wrong with the row."""
    forms = [form for form in FORMS if row.get(form) is not None]
    if len(forms) == 1:
        return forms[0]
    found = " and ".join(repr(form) for form in forms) or "none"
    return f"needs exactly one of the fields 'completion', 'solution', 'reply'; found {found}"


class Tasks:
    """Finds a suite's problem by what samples call it.

    A number stands for the one problem whose id ends in it after a slash, as lm-eval's and bigcode's files number
    MBPP's problems.
    """

    def __init__(self, suite: Suite) -> None:
        self.suite = suite
        self.known = {problem.id for problem in suite.problems}
        self._numbered: dict[int, list[str]] = {}
        for problem in suite.problems:
            number = problem.id.rpartition("/")[2]
            if number.isascii() and number.isdigit():
                self._numbered.setdefault(int(number), []).append(problem.id)

    def find(self, task: Any, field: str) -> str | Fault:
        """The problem's id, or what is wrong with `task`, which stood in `field`."""
        if isinstance(task, int) and not isinstance(task, bool):
            named = self._numbered.get(task, [])
            if len(named) == 1:
                return named[0]
            return Fault(
                f"field {field!r}: no one problem of the suite {self.suite.name!r} is numbered {task}"
            )
        if not isinstance(task, str):
            return Fault(f"field {field!r} is {'missing' if task is None else f'not a string: {task!r:.80}'}")
        if task not in self.known:
            return Fault(f"field {field!r}: {task!r:.80} is no problem of the suite {self.suite.name!r}")
        return task
