"""Opening a samples file: which format it is in, and its samples, checked."""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from assay.harness.errors import BadInputError
from assay.harness.evaluation.formats.bigcode import read_bigcode
from assay.harness.evaluation.formats.lines import read_codet, read_folder, read_jsonl, read_lm_eval
from assay.harness.evaluation.formats.model import Fault, Found, Sample, SampleReader, Tasks, fault, the_form
from assay.suites import Suite
from assay.suites.extraction.extract import FORMS, Form
from assay.suites.jsonlines import read_objects
from assay.suites.model import completion_prompt
from assay.suites.registry import Registry, UnknownNameError

READERS: Registry[SampleReader] = Registry("format of samples", "assay.samples")
READERS.register("jsonl")(read_jsonl)
READERS.register("evalplus-folder")(read_folder)
READERS.register("bigcode")(read_bigcode)
READERS.register("lm-eval")(read_lm_eval)
READERS.register("codet")(read_codet)

_LOOKED_AT = 100  # lines that may be broken before the first one that tells the format


@dataclass(frozen=True, slots=True)
class SampleFile:
    """A samples file (or folder), the suite its samples answer, and the format it is read in."""

    path: Path
    suite: Suite
    format: str
    detected: bool

    def read(self) -> Iterator[Sample | Fault]:
        """Samples in file order. What cannot be read as a sample is a Fault that names file, place and field."""
        tasks, seen = Tasks(self.suite), Counter[str]()
        for found in READERS.get(self.format)(self.path, self.suite):
            if isinstance(found, Fault):
                yield found
                continue
            task = tasks.find(found.task, found.task_field)
            if isinstance(task, Fault):
                yield fault(self.path, found.place, task.text)
            elif not isinstance(found.text, str):
                problem = f"field {found.field!r} is not a string: {found.text!r:.80}"
                yield fault(self.path, found.place, problem)
            else:
                yield Sample(found.line, task, seen[task], found.text, found.form)
                seen[task] += 1


def open_samples(path: Path, suite: Suite, form: str | None = None) -> SampleFile:
    """The samples at `path`, in the format named `form` or else in the one they look like.

    Raises BadInputError where there is nothing, or where the name is unknown. What a file holds raises nothing.
    """
    if not path.exists():
        raise BadInputError(f"no such file: {path}")
    if form is None:
        return SampleFile(path, suite, detect(path), True)
    try:
        READERS.get(form)
    except UnknownNameError as error:
        raise BadInputError(f"--format: {error}") from None
    if table_in(path).is_dir() != (form == "evalplus-folder"):
        what = "is a folder" if path.is_dir() else "is a file"
        raise BadInputError(f"--format {form}: {path} {what}")
    return SampleFile(path, suite, form, False)


def detect(path: Path) -> str:
    """The format that what lies at `path` looks like. Raises BadInputError for a folder that is no format's."""
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
    """The first bytes of the text; empty where it cannot be read, which its reader will then say."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            return file.read(64)
    except (OSError, EOFError, zlib.error):
        return b""


# Parquet: what a run stores (`samples.parquet`, `verdicts.parquet`), or any table with our column names.

TABLES = ("samples.parquet", "verdicts.parquet")
_BATCH = 1024


def table_in(path: Path) -> Path:
    """The table that `path` means: itself, or the one in a step's folder."""
    if path.is_dir():
        return next((path / name for name in TABLES if (path / name).is_file()), path)
    return path


def read_parquet(path: Path, suite: Suite, /) -> Iterator[Found | Fault]:
    """A row holds `problem_id` (or `task_id`) and `completion`, `solution` or `reply`, or the `program` that a
    verdict was given on.

    In a run's own samples the column `completion` holds what the model said, chat answer or continuation: it was a
    continuation exactly if the row's `prompt`, what the model was given, is what a completing model gets.
    """
    import pyarrow.parquet as pq

    path = table_in(path)
    try:
        file = pq.ParquetFile(path)
    except (OSError, ValueError) as error:
        yield fault(path, "", f"not a Parquet file ({error})")
        return
    with file:
        columns = set(file.schema_arrow.names)
        task_column = "problem_id" if "problem_id" in columns else "task_id"
        used = [c for c in (task_column, *FORMS, "program", "prompt") if c in columns]
        prompts = {problem.id: completion_prompt(problem) for problem in suite.problems}
        number = 0
        try:
            for batch in file.iter_batches(_BATCH, columns=used):
                for row in batch.to_pylist():
                    number += 1
                    yield _found(path, number, row, task_column, prompts)
        except (OSError, ValueError) as error:
            yield fault(path, f"row {number + 1}", f"cannot be read from here on ({error})")


def _found(
    path: Path, number: int, row: dict[str, Any], task_column: str, prompts: dict[str, str]
) -> Found | Fault:
    place = f"row {number}"
    task = row.get(task_column)
    if isinstance(row.get("program"), str):
        return Found(number, place, task, row["program"], "solution", "program", task_column)
    given = the_form(row)
    if given not in FORMS:
        return fault(path, place, given)
    form: Form = given
    if form == "completion" and "prompt" in row and row["prompt"] != prompts.get(task or ""):
        form = "reply"
    return Found(number, place, task, row[given], form, given, task_column)


READERS.register("parquet")(read_parquet)
