"""JSON Lines, plain or gzip, with errors that name file and line."""

from __future__ import annotations

import gzip
import json
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

    Streams: memory does not grow with the file. Gzip is told by the suffix `.gz`.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rb") as file:
        for number, raw in enumerate(file, start=1):
            if not raw.strip():
                continue
            try:
                value = json.loads(raw)
            except (json.JSONDecodeError, UnicodeDecodeError) as error:
                yield number, LineError(path, number, f"not JSON ({error})")
                continue
            if isinstance(value, dict):
                yield number, value
            else:
                yield number, LineError(path, number, f"expected a JSON object, got {type(value).__name__}")
