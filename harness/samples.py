"""Samples files: what other tools wrote, read line by line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suites import Suite
from suites.extract import FORMS, Form
from suites.lines import LineError, read_objects


@dataclass(frozen=True, slots=True)
class SampleLine:
    """One sample of a file: its line from 1, its problem, its index among that problem's samples, its text."""

    line: int
    task_id: str
    index: int
    text: str
    form: Form


def read_samples(path: Path, suite: Suite) -> Iterator[SampleLine | LineError]:
    """Samples in file order; a malformed line yields a LineError that names file, line and field.

    A line holds `task_id` and exactly one of `completion` (follows the prompt), `solution` (a whole program)
    and `reply` (a chat answer, from which the program is extracted). Other fields are left alone.
    """
    known = {problem.id for problem in suite.problems}
    seen: Counter[str] = Counter()
    for number, row in read_objects(path):
        if isinstance(row, LineError):
            yield row
            continue
        fault = fault_of(row, known, suite.name)
        if fault:
            yield LineError(path, number, fault)
            continue
        form = next(form for form in FORMS if row.get(form) is not None)
        yield SampleLine(number, row["task_id"], seen[row["task_id"]], row[form], form)
        seen[row["task_id"]] += 1


def fault_of(row: dict[str, Any], known: set[str], suite: str) -> str | None:
    task = row.get("task_id")
    if not isinstance(task, str):
        return f"field 'task_id' is {'missing' if task is None else f'not a string: {task!r:.80}'}"
    if task not in known:
        return f"field 'task_id': {task!r:.80} is no problem of the suite {suite!r}"
    forms = [form for form in FORMS if row.get(form) is not None]
    if len(forms) != 1:
        found = " and ".join(repr(form) for form in forms) or "none"
        return f"needs exactly one of the fields 'completion', 'solution', 'reply'; found {found}"
    if not isinstance(row[forms[0]], str):
        return f"field {forms[0]!r} is not a string: {row[forms[0]]!r:.80}"
    return None
