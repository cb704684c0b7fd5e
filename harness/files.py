from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_text(path: Path, text: str) -> None:
    """Write so that a reader, or a kill, sees the old file or the new one and never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def append_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """Append JSON Lines and force them to the disk: what was paid for in compute survives a power cut."""
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
        file.flush()
        os.fsync(file.fileno())


def recover_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file that a killed process was appending to; a torn last line is cut from the file."""
    if not path.exists():
        return []
    rows, good = [], 0
    with path.open("rb") as file:
        for raw in file:
            try:
                rows.append(json.loads(raw))
            except (json.JSONDecodeError, UnicodeDecodeError):
                break
            if not raw.endswith(b"\n"):
                rows.pop()
                break
            good += len(raw)
    if good != path.stat().st_size:
        os.truncate(path, good)
    return rows
