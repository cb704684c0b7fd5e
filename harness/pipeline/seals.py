"""Who wrote a step: hashes of its tables in its record, and seals that only this user's Assay can make.

A results folder may come from anywhere, and whoever wrote it could have written passes. A record holds the sha256 of
the step's files, checked when they are used, and is sealed by this user's key; what carries no seal of ours, as a
folder of version 0.1 or of another machine, is used and named in the report. Lines of an unfinished step are sealed one
by one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from assay.harness.errors import BadInputError
from assay.sandbox.host.cache import is_sealed, seal
from assay.trainers.files import open_below, walk

SEAL = "seal"
FILES = "files"
_WEIGHTS = (".safetensors", ".gguf", ".bin", ".pt", ".pth")  # the artifact's own sha256 covers them
UNSEALED = "it carries no seal: an earlier version made it, or it was made elsewhere"
BROKEN = "its record was written by somebody else, or changed since"


def sealed(row: Mapping[str, Any], *place: str) -> dict[str, Any]:
    """Return a row or a record with its seal; `place` is what it belongs to, so that it counts nowhere else."""
    return {**row, SEAL: seal(*place, _canonical(row)).hex()}


def is_own(row: Mapping[str, Any], *place: str) -> bool:
    """Return whether a row or a record was written by this user, as it is, for that place."""
    return is_sealed(row.get(SEAL), *place, _canonical(row))


def own_rows(rows: list[dict[str, Any]], *place: str) -> list[dict[str, Any]]:
    """Return the rows that this user wrote for that place, without their seals."""
    return [{key: row[key] for key in row if key != SEAL} for row in rows if is_own(row, *place)]


def _canonical(row: Mapping[str, Any]) -> str:
    return json.dumps({key: row[key] for key in row if key != SEAL}, sort_keys=True)


def hashes_of(folder: Path, leave_out: Collection[str] = ()) -> dict[str, str]:
    """Return the sha256 of the files of a step by their paths in its folder; weights and `leave_out` are left out."""
    names = (
        path.relative_to(folder) for path, _ in walk(folder) if path.is_file() and path.suffix not in _WEIGHTS
    )
    return {str(name): sha256_of(folder, str(name)) for name in names if str(name) not in leave_out}


def sha256_of(folder: Path, name: str) -> str:
    with os.fdopen(open_below(folder, name), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_files(folder: Path, record: Mapping[str, Any]) -> None:
    """Raise BadInputError where a file of a finished step is not the one that its record holds the hash of."""
    expected = record.get(FILES, {})
    if not isinstance(expected, dict):
        raise BadInputError(f"{folder}: its record lists no files; remove the folder to do the step again")
    for name, sha256 in expected.items():
        try:
            actual = sha256_of(folder, name)
        except FileNotFoundError:
            actual = "none: it is missing"
        if actual != sha256:
            raise BadInputError(
                f"{folder / name} is not what the step wrote: its sha256 is {actual[:20]}, and {str(sha256)[:12]} "
                "stands in step.json; put the file back, or remove the folder to do the step again"
            )


def strangeness(folder: Path, record: Mapping[str, Any]) -> str:
    """Return why a finished step is not this user's own work as it is; empty where it is."""
    owner = folder.lstat().st_uid
    if owner != os.geteuid():
        return f"it belongs to another user (uid {owner})"
    if not is_own(record, "step"):
        return BROKEN if SEAL in record else UNSEALED
    return str(record.get("taken_over", ""))
