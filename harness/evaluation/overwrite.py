"""Refusing to write over what is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.errors import BadInputError


def refuse_overwrite(read: Mapping[str, Path], written: Mapping[str, Path]) -> None:
    """Raise BadInputError where a file to write is one that is read, also by a link, or where two files to write are
    the same. Keys say what a path is, for the message."""
    done: dict[str, Path] = {}
    for what, path in written.items():
        taken = next((name for name, other in read.items() if _same(path, other)), None)
        taken = taken or next((name for name, other in done.items() if _same(path, other)), None)
        if taken is not None:
            raise BadInputError(f"{what} {path} would overwrite {taken}: name another file")
        done[what] = path


def _same(a: Path, b: Path) -> bool:
    if a.exists() and b.exists():
        return a.samefile(b)
    return a.resolve() == b.resolve()
