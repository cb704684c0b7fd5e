"""JSON Lines, plain or gzip, with errors that name file and line."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class LineError(ValueError):
    """One line is not a JSON object. The message names file and line."""

    def __init__(self, path: Path, number: int, problem: str) -> None:
        super().__init__(f"{path}, line {number}: {problem}")
        self.path, self.number, self.problem = path, number, problem


def read_objects(path: Path) -> Iterator[tuple[int, dict[str, Any] | LineError]]:
    """(line number from 1, object) for every non-blank line; a malformed line yields its LineError instead.

    Streams: memory does not grow with the file. The suffix `.gz` means gzip.
    """
    for number, raw in _lines(path):
        if isinstance(raw, LineError):
            yield number, raw
        elif raw.strip():
            try:
                value = json.loads(raw)
            except (ValueError, RecursionError) as error:  # integers of 5,000 digits, deep nesting
                yield number, LineError(path, number, f"not JSON ({error})")
                continue
            if isinstance(value, dict):
                yield number, value
            else:
                yield number, LineError(path, number, f"expected a JSON object, got {type(value).__name__}")


def _lines(path: Path) -> Iterator[tuple[int, bytes | LineError]]:
    """The file's lines from 1; where it cannot be read any further, a LineError and the end."""
    number = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                yield number, raw
    except (OSError, EOFError, zlib.error) as error:
        yield number + 1, LineError(path, number + 1, f"cannot be read from here on ({error})")
