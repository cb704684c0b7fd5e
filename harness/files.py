"""JSON files and JSON Lines of the harness; what is written whole goes through `assay.trainers.files`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from assay.harness.errors import BadInputError
from assay.trainers.files import append_to, open_below, read_bytes, write_text

__all__ = ["append_lines", "read_json", "recover_lines", "write_json", "write_text"]


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, whole or not at all; a number that is not finite raises ValueError."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, root: Path | None = None) -> Any:
    """Return the value that a JSON file holds, one that the user named or `path` below `root`.

    Raises BadInputError for what is no JSON, UnsafePathError for what is no file, without waiting on it, and OSError.
    """
    content = read_bytes(path, root)
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        where = path if root is None else root / path
        raise BadInputError(f"{where} is not a JSON file: {reason}; remove it, or fetch it again") from None


def append_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """Append JSON Lines and force them to the disk: what was paid for in compute survives a power cut."""
    with os.fdopen(append_to(path), "a", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
        file.flush()
        os.fsync(file.fileno())


def recover_lines(path: Path) -> list[dict[str, Any]]:
    """Return the complete lines of a file that a killed process was appending to, and cut a torn one off the file."""
    try:
        descriptor = open_below(path.parent, path.name, os.O_RDWR)
    except FileNotFoundError:
        return []
    rows, good = [], 0
    with os.fdopen(descriptor, "r+b") as file:
        for raw in file:
            if not raw.endswith(b"\n"):
                break
            try:
                row = json.loads(raw)
            except (ValueError, RecursionError):
                break
            if not isinstance(row, dict):
                break
            rows.append(row)
            good += len(raw)
        if good != os.fstat(file.fileno()).st_size:
            file.truncate(good)
    return rows
