"""JSON files and JSON Lines of the harness; what is written whole goes through `assay.trainers.files`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from assay.trainers.files import write_text

__all__ = ["append_lines", "read_json", "recover_lines", "write_json", "write_text"]


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, whole or not at all; a number that is not finite raises ValueError."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Return the value that a JSON file holds."""
    return json.loads(path.read_text(encoding="utf-8"))


def append_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """Append JSON Lines and force them to the disk: what was paid for in compute survives a power cut."""
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
        file.flush()
        os.fsync(file.fileno())


def recover_lines(path: Path) -> list[dict[str, Any]]:
    """Return the complete lines of a file that a killed process was appending to, and cut a torn one off the file."""
    if not path.exists():
        return []
    rows, good = [], 0
    with path.open("rb") as file:
        for raw in file:
            if not raw.endswith(b"\n"):
                break
            try:
                rows.append(json.loads(raw))
            except (json.JSONDecodeError, UnicodeDecodeError):
                break
            good += len(raw)
    if good != path.stat().st_size:
        os.truncate(path, good)
    return rows
