"""Publish files and folders whole: whoever reads, and whatever is killed, sees the old content or the new.

Everything that Assay leaves on a disk goes through `publish`. The content is written to a path beside the target, named
after the process, forced to the disk (fsync), and then takes the target's name in one step (rename(2) is atomic within
a file system). An exception or a kill leaves the target as it was.
"""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def publish(target: Path) -> Iterator[Path]:
    """Give the path to write to; it becomes `target` when the block ends, and is removed when the block raises.

    The caller makes a file there or a folder, and closes what it opened. A file takes an older file's place; a folder
    may only take the place of nothing or of an empty folder. Raises OSError, as the disk reports it.
    """
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    _remove(part)
    _remove_abandoned(target)
    try:
        yield part
        _force_to_disk(part)
        os.replace(part, target)
        _sync(target.parent)
    finally:
        _remove(part)


def write_text(target: Path, text: str) -> None:
    """Write a text file whole (UTF-8)."""
    with publish(target) as part:
        part.write_text(text, encoding="utf-8")


def write_bytes(target: Path, content: bytes) -> None:
    """Write a binary file whole."""
    with publish(target) as part:
        part.write_bytes(content)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _remove_abandoned(target: Path) -> None:
    """Remove what killed processes left of earlier attempts, which may be as large as a model."""
    for path in target.parent.glob(f".{glob.escape(target.name)}.*.part*"):
        pid = path.name.removeprefix(f".{target.name}.").partition(".")[0]
        if pid.isdigit() and not _runs(int(pid)):
            _remove(path)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it runs, as another user
        return True
    return True


def _force_to_disk(path: Path) -> None:
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    for file in files:
        _sync(file)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
