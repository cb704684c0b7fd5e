"""Opening a samples file: which format it is in, and its samples, checked."""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from harness.errors import BadInputError
from harness.samples.bigcode import read_bigcode
from harness.samples.folder import read_folder
from harness.samples.lines import read_codet, read_jsonl, read_lm_eval
from harness.samples.model import Fault, Sample, SampleReader, Tasks, fault
from harness.samples.parquet import read_parquet, table_in
from suites import Suite
from suites.lines import read_objects
from suites.registry import Registry, UnknownNameError

READERS: Registry[SampleReader] = Registry("format of samples", "assay.samples")
READERS.register("jsonl")(read_jsonl)
READERS.register("evalplus-folder")(read_folder)
READERS.register("bigcode")(read_bigcode)
READERS.register("lm-eval")(read_lm_eval)
READERS.register("codet")(read_codet)
READERS.register("parquet")(read_parquet)

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
