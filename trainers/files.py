"""Publish files and folders whole: whoever reads, and whatever is killed, sees the old content or the new.

Everything that Assay leaves on a disk goes through `publish`. The content is written to a path beside the target, named
after the process, forced to the disk (fsync), and then takes the target's name in one step (rename(2) is atomic within
a file system). An exception or a kill leaves the target as it was.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from assay.trainers.errors import UnsafePathError

# A file of somebody else's may be a pipe, on which an open waits for ever, or a link to a file of the user's.
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK


def open_file(path: Path, flags: int = _READ) -> int:
    """Return a descriptor of the file at a path that the user named, or that was checked: its links are followed.

    Raises UnsafePathError for what is no file, without waiting on it, and OSError.
    """
    return _checked(os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK, 0o666), path)


def open_below(root: Path, name: str | Path, flags: int = _READ) -> int:
    """Return a descriptor of the file `name` below a folder that the user named, following no link below it.

    A file that is written to must have no other name: a second one may lie anywhere. It is emptied (O_TRUNC) only when
    that is known. Raises UnsafePathError and OSError.
    """
    parts = Path(name).parts
    if not parts or any(part in ("/", "..") for part in parts):
        raise UnsafePathError(f"{str(name)!r} is no path within {root}")
    at = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    path = root
    try:
        for part in parts[:-1]:
            path = path / part
            at, before = _open_at(at, part, os.O_RDONLY | os.O_DIRECTORY, path), at
            os.close(before)
        path = path / parts[-1]
        descriptor = _open_at(at, parts[-1], flags & ~os.O_TRUNC, path)
        _checked(descriptor, path, alone=bool(flags & (os.O_WRONLY | os.O_RDWR)))
        if flags & os.O_TRUNC:
            os.ftruncate(descriptor, 0)
        return descriptor
    finally:
        os.close(at)


def _open_at(folder: int, name: str, flags: int, path: Path) -> int:
    try:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o666, dir_fd=folder)
    except OSError as error:
        mode = _mode_at(folder, name)
        if stat.S_ISLNK(mode):
            raise UnsafePathError(
                f"{path} is a link, which is not followed here; put the file itself there"
            ) from None
        if mode and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise UnsafePathError(_no_file(path)) from None
        raise OSError(error.errno, error.strerror, str(path)) from None


def _mode_at(folder: int, name: str) -> int:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except OSError:
        return 0


def _no_file(path: Path) -> str:
    return f"{path} is no file: a folder, a pipe or a device stands there; remove it"


def _checked(descriptor: int, path: Path, *, alone: bool = False) -> int:
    """Return the descriptor of a plain file, which blocks from here on as files do; closed where it is none."""
    about = os.fstat(descriptor)
    if stat.S_ISREG(about.st_mode) and not (alone and about.st_nlink > 1):
        os.set_blocking(descriptor, True)
        return descriptor
    os.close(descriptor)
    if stat.S_ISREG(about.st_mode):
        raise UnsafePathError(
            f"{path} has a second name elsewhere (a hard link), and is not written to; copy it"
        )
    raise UnsafePathError(_no_file(path))


def append_to(path: Path) -> int:
    """Return a descriptor that appends to a file, which is made where there is none; its own name is no link."""
    return open_below(path.parent, path.name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def walk(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield everything below a folder with what lstat says of it, itself first; no link is followed."""
    yield root, root.lstat()
    with os.scandir(root) as entries:
        for entry in sorted(entries, key=lambda one: one.name):
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                yield from walk(path)
            else:
                yield path, entry.stat(follow_symlinks=False)


def check_tree(root: Path, is_own_link: Callable[[Path], bool] = lambda path: False) -> set[int]:
    """Return the ids of the users that own what is below a folder, which holds nothing but files and folders.

    Whatever is opened there afterwards, by us or by a library, is the folder's own. `is_own_link` admits links that we
    made. Raises UnsafePathError for any other link, a pipe, a socket or a device.
    """
    owners = set()
    for path, about in walk(root):
        owners.add(about.st_uid)
        mode = about.st_mode
        if stat.S_ISLNK(mode) and path != root and not is_own_link(path):
            raise UnsafePathError(
                f"{path} is a link, and no link is followed in a folder of results: remove it, or name the folder that "
                "it leads to"
            )
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
            raise UnsafePathError(_no_file(path))
    return owners


def read_bytes(path: Path, root: Path | None = None) -> bytes:
    """Return what a file holds: one that the user named, or `path` below `root`. Raises as the opening does."""
    descriptor = open_file(path) if root is None else open_below(root, path)
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def read_object(path: Path, root: Path | None = None) -> dict[str, Any]:
    """Return the object of a JSON file. Raises ValueError that names the file for anything else, and OSError."""
    try:
        value = json.loads(read_bytes(path, root))
    except (ValueError, RecursionError) as error:
        if isinstance(error, UnsafePathError):
            raise
        raise ValueError(f"{path}: not readable as JSON: {_first(error)}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value


def _first(error: BaseException) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)


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
