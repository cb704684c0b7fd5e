"""Opening a samples file: the format it is in, and its samples, checked against a suite.

A reader yields RawSamples, unchecked, and `SampleFile.read` makes Samples of them. A place that cannot be read as a
sample is a MalformedRow that names file, place and field. The readers of other tools' formats are in `foreign`.
"""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from assay.harness.errors import BadInputError
from assay.suites import Suite
from assay.suites.extraction.extract import FORMS, Form
from assay.suites.jsonlines import LineError, read_objects
from assay.suites.registry import Registry, UnknownNameError

_LOOKED_AT = 100  # lines that may be broken before the first one that tells the format
TABLES = ("samples.parquet", "verdicts.parquet")


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
class MalformedRow:
    """A place that could not be read as a sample; the text names file, place and field."""

    text: str

    def __str__(self) -> str:
        return self.text


class RawSample(NamedTuple):
    """A sample as its reader gives it, unchecked: `task` and `text` are whatever the file holds; `place` is for a
    person."""

    line: int
    place: str
    task: Any
    text: Any
    form: Form
    field: str
    task_field: str = "task_id"


class SampleReader(Protocol):
    """A reader of one format. It yields in file order and never raises for what the file holds: a place that cannot
    be read is a MalformedRow. (bigcode's file apart, memory does not grow with the file.)"""

    def __call__(self, path: Path, suite: Suite, /) -> Iterator[RawSample | MalformedRow]: ...


def malformed(path: Path, place: str, problem: str) -> MalformedRow:
    return MalformedRow(f"{path}, {place}: {problem}" if place else f"{path}: {problem}")


def form_of_row(row: dict[str, Any]) -> Form | str:
    """Return the one form that a row holds its sample in, or what is wrong with the row."""
    forms = [form for form in FORMS if row.get(form) is not None]
    if len(forms) == 1:
        return forms[0]
    present = " and ".join(repr(form) for form in forms) or "none"
    return f"needs exactly one of the fields 'completion', 'solution', 'reply'; found {present}"


_FOREIGN = "assay.harness.evaluation.formats.foreign"
READERS: Registry[SampleReader] = Registry(
    "format of samples",
    "assay.samples",
    dict.fromkeys(("evalplus-folder", "bigcode", "lm-eval", "codet", "parquet"), _FOREIGN),
)


@READERS.register("jsonl")
def read_jsonl(path: Path, _suite: Suite, /) -> Iterator[RawSample | MalformedRow]:
    """A line holds `task_id` and exactly one of `completion` (openai/human-eval, EvalPlus: follows the prompt),
    `solution` (EvalPlus: a whole program) and `reply` (a chat answer). Other fields are left alone."""
    for number, row in read_objects(path):
        if isinstance(row, LineError):
            yield MalformedRow(str(row))
            continue
        form = form_of_row(row)
        task = row.get("task_id")
        if form in FORMS:
            yield RawSample(number, f"line {number}", task, row[form], form, form)
        elif isinstance(task, str):
            yield malformed(path, f"line {number}", form)
        else:
            problem = "is missing" if task is None else f"is not a string: {task!r:.80}"
            yield malformed(path, f"line {number}", f"field 'task_id' {problem}")


class Tasks:
    """Find a suite's problem by what samples call it.

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

    def find(self, task: Any, field: str) -> str | MalformedRow:
        """Return the problem's id, or what is wrong with `task`, which stood in `field`."""
        if isinstance(task, int) and not isinstance(task, bool):
            named = self._numbered.get(task, [])
            if len(named) == 1:
                return named[0]
            problem = f": no one problem of the suite {self.suite.name!r} is numbered {task}"
        elif not isinstance(task, str):
            problem = " is missing" if task is None else f" is not a string: {task!r:.80}"
        elif task not in self.known:
            problem = f": {task!r:.80} is no problem of the suite {self.suite.name!r}"
        else:
            return task
        return MalformedRow(f"field {field!r}{problem}")


@dataclass(frozen=True, slots=True)
class SampleFile:
    """A samples file (or folder), the suite its samples answer, and the format it is read in."""

    path: Path
    suite: Suite
    format: str
    reader: SampleReader
    detected: bool

    def read(self) -> Iterator[Sample | MalformedRow]:
        """Samples in file order. What cannot be read as a sample is a MalformedRow that names file, place and field."""
        tasks, seen = Tasks(self.suite), Counter[str]()
        for row in self.reader(self.path, self.suite):
            if isinstance(row, MalformedRow):
                yield row
                continue
            task = tasks.find(row.task, row.task_field)
            if isinstance(task, MalformedRow):
                yield malformed(self.path, row.place, task.text)
            elif not isinstance(row.text, str):
                yield malformed(
                    self.path, row.place, f"field {row.field!r} is not a string: {row.text!r:.80}"
                )
            else:
                yield Sample(row.line, task, seen[task], row.text, row.form)
                seen[task] += 1


def open_samples(path: Path, suite: Suite, form: str | None = None) -> SampleFile:
    """Return the samples at `path`, in the format named `form` or else in the one they look like.

    Raises BadInputError where there is nothing, or where the name is unknown. What a file holds raises nothing.
    """
    if not path.exists():
        raise BadInputError(f"no such file: {path}")
    if form is None:
        form = detect(path)
        return SampleFile(path, suite, form, READERS.get(form), True)
    try:
        reader = READERS.get(form)
    except UnknownNameError as error:
        raise BadInputError(f"--format: {error}") from None
    if table_in(path).is_dir() != (form == "evalplus-folder"):
        what = "is a folder" if path.is_dir() else "is a file"
        raise BadInputError(f"--format {form}: {path} {what}")
    return SampleFile(path, suite, form, reader, False)


def detect(path: Path) -> str:
    """Detect the samples format of `path`. Raises BadInputError for a folder that is no format's."""
    table = table_in(path)
    if table.is_dir():
        if any(entry.is_dir() for entry in table.iterdir()):
            return "evalplus-folder"
        raise BadInputError(
            f"{path} holds neither a run's samples.parquet nor EvalPlus' folders (HumanEval_0/0.py): "
            "give a samples file"
        )
    start = _start(table)
    if start.startswith(b"PAR1") or table.suffix == ".parquet":
        return "parquet"
    if start.lstrip().startswith(b"["):
        return "bigcode"
    for _, row in islice(read_objects(path), _LOOKED_AT):
        if isinstance(row, dict):
            if "doc" in row and ("resps" in row or "filtered_resps" in row):
                return "lm-eval"
            if isinstance(row.get("samples"), list) and "prompt" in row:
                return "codet"
            break
    return "jsonl"


def _start(path: Path) -> bytes:
    """Return the first bytes of the text; none where it cannot be read, which its reader then reports."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            return file.read(64)
    except (OSError, EOFError, zlib.error):
        return b""


def table_in(path: Path) -> Path:
    """Return the table that `path` means: itself, or the one in a step's folder."""
    if path.is_dir():
        return next((path / name for name in TABLES if (path / name).is_file()), path)
    return path
