"""A result file that is read: its text or JSON, read once, and errors that name file and place."""

from __future__ import annotations

import gzip
import json
import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from assay.harness.decide.results import Collector, Results
from assay.harness.errors import BadInputError
from assay.trainers.files import open_file

_ENDINGS = (".gz", ".json", ".jsonl", ".csv", ".parquet", ".eval")
_GENERIC = (
    "eval",
    "eval_results",
    "output",
    "results",
    "samples",
    "verdicts",
    "per_instance_details",
    "report",
)
_SUFFIXES = re.compile(
    r"(_results|[._-]eval_results|_eval_all|_eval|[._-]generated|[._-]verdicts|[._-]samples|\.jsonl)$"
)


@dataclass(frozen=True)
class Source:
    """A file or folder to read results from; `answers` asks for the answers with the verdicts."""

    path: Path
    answers: bool = False

    @contextmanager
    def open(self) -> Iterator[Any]:
        """Open the file to read its bytes, without what gzip did to it; a pipe or a device is an error, no wait."""
        with os.fdopen(open_file(self.path), "rb") as plain:
            if self.path.suffix == ".gz":
                with gzip.GzipFile(fileobj=plain) as file:
                    yield file
            else:
                yield plain

    @cached_property
    def json(self) -> Any:
        """The whole file as JSON."""
        try:
            with self.open() as file:
                return json.load(file)
        except (EOFError, ValueError, RecursionError, zlib.error, gzip.BadGzipFile) as error:
            raise BadInputError(f"{self.path}: not JSON ({error})") from error

    @cached_property
    def start(self) -> bytes:
        """The first bytes of the text, after any blanks."""
        try:
            with self.open() as file:
                return bytes(file.read(4096)).lstrip()
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise BadInputError(f"{self.path}: cannot be read ({error})") from error

    @property
    def stem(self) -> str:
        """What a model is called where its file is silent: the file's name without what says that it holds results,
        or its folder's, where nothing is left or the name is what an evaluator calls all of its files."""
        path = self.path.resolve()
        name = path.name
        while (inner := Path(name)).suffix in _ENDINGS and inner.stem:
            name = inner.stem
        while (shorter := _SUFFIXES.sub("", name)) != name and shorter:
            name = shorter
        return path.parent.name if name in _GENERIC or name.startswith("Scenario.") else name

    def collector(self, form: str) -> Collector:
        return Collector(self.path, form, answers=self.answers)

    def error(self, place: str, problem: str) -> BadInputError:
        """Return the error of a place that cannot be read as a verdict."""
        where = f"{self.path}, {place}" if place else str(self.path)
        return BadInputError(f"{where}: {problem}")


class ResultReader(Protocol):
    """A reader of one format. It returns results for each model and suite in the file, and raises BadInputError for a
    place that it cannot read: a verdict that is left out in silence would move the score."""

    def __call__(self, source: Source, /) -> list[Results]: ...
