"""The verdict cache: verdicts on disk, each under one hash of everything that decides it.

One SQLite file in write-ahead mode: commits are atomic, so a kill loses at most the last batch and never leaves half
a verdict; readers and writers of several processes do not block each other; it is in the standard library, and one
file is easily thrown away. (Append-only shards would need their own index, locking and repair to give as much.)

A verdict that somebody else wrote would count as one of ours. Each row is sealed by a key of this user's that lies in
no cache folder; a row whose seal does not fit is executed again. A file or folder that is another user's, that anybody
may write, or that is a link, is not used.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import hmac
import json
import os
import platform
import sqlite3
import stat
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from assay.sandbox.host.isolation import Isolation
from assay.sandbox.model import Outcome, Program, Verdict

FORMAT = 3  # raised when what is stored, or which verdicts are, changes
WRITE_EVERY = 256
WRITE_EVERY_S = 1.0
MAX_BYTES = 1 << 30
# A program that ended by itself past this share of a time limit could have met the limit on a slower hour.
NEAR = 0.5
BUSY_S = 30.0  # what another process may take to finish with the file
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)

# Named after the format: a file may hold the table of another one beside it.
_TABLE = """CREATE TABLE IF NOT EXISTS verdict_3 (
    key BLOB PRIMARY KEY, outcome TEXT NOT NULL, detail TEXT NOT NULL, passed INTEGER NOT NULL,
    total INTEGER NOT NULL, cpu_s REAL NOT NULL, wall_s REAL NOT NULL, peak INTEGER NOT NULL, mode TEXT NOT NULL,
    output BLOB NOT NULL, notes TEXT NOT NULL, seal BLOB NOT NULL)"""

# This user's key, by which results say who wrote them.

_KEY_BYTES = 32


def seal_path() -> Path:
    """Return the place of this user's key: below $XDG_STATE_HOME or ~/.local/state, apart from caches and results."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "assay" / "seal.key"


def seal(*parts: str | bytes) -> bytes:
    """Return 32 bytes that only this user's processes can make of `parts`."""
    message = bytearray()
    for part in parts:
        content = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        message += len(content).to_bytes(8) + content
    key = _user_key(os.environ.get("XDG_STATE_HOME"), os.environ.get("HOME"))
    return hmac.digest(key, message, "sha256")


def is_sealed(value: object, *parts: str | bytes) -> bool:
    """Return whether `value`, bytes or their hexadecimal digits, is the seal of `parts`."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = bytes.fromhex(value)
    return isinstance(value, bytes) and hmac.compare_digest(value, seal(*parts))


@cache
def _user_key(*_: str | None) -> bytes:
    """Return the key, made where there is none; the arguments are what decides its place.

    Where none can be kept, or the one there is may be somebody else's too, this process has one of its own: nothing on
    disk is then taken for this user's.
    """
    path = seal_path()
    for _attempt in range(2):
        with contextlib.suppress(OSError):
            if key := _private_key(path):
                return key
        with contextlib.suppress(OSError):
            _write_key(path)
    return os.urandom(_KEY_BYTES)


def _private_key(path: Path) -> bytes | None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        private = stat.S_ISREG(about.st_mode) and about.st_uid == os.geteuid() and not about.st_mode & 0o077
        key = file.read(_KEY_BYTES + 1) if private else b""
    return key if len(key) == _KEY_BYTES else None


def _write_key(path: Path) -> None:
    """Write it whole or not at all; the first of several processes wins."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    own = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, os.urandom(_KEY_BYTES))
        os.fsync(descriptor)
        os.link(own, path)
    finally:
        os.close(descriptor)
        os.unlink(own)


def not_private(path: Path) -> str:
    """Return why what lies at `path` may be another user's word; empty where it is this user's, or nothing is there.

    Root, by sudo, takes what belongs to the user who called it.
    """
    try:
        about = path.lstat()
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"{path} cannot be looked at ({error.strerror})"
    caller = os.environ.get("SUDO_UID", "") if os.geteuid() == 0 else ""
    owners = {os.geteuid(), int(caller) if caller.isdecimal() else os.geteuid()}
    if stat.S_ISLNK(about.st_mode) and not path.is_dir():
        return f"{path} is a link"
    about = path.stat()
    if not (stat.S_ISREG(about.st_mode) or stat.S_ISDIR(about.st_mode)):
        return f"{path} is no file"
    if about.st_uid not in owners:
        return f"{path} belongs to another user (uid {about.st_uid})"
    if about.st_mode & stat.S_IWOTH:
        return f"{path} can be written by anybody (chmod o-w would change that)"
    return ""


@cache
def sources_sha256(*names: str) -> str:
    """Return the hash of the Python sources of modules, and of packages with all that is below them."""
    digest = hashlib.sha256()
    for name in names:
        for place, path in _sources(name):
            digest.update(f"{place}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _sources(name: str) -> Iterator[tuple[Path, Path]]:
    """(the file as its module's name places it, the file)"""
    spec = find_spec(name)
    assert spec is not None, name
    if not spec.submodule_search_locations:
        assert spec.origin is not None, name
        yield Path(name), Path(spec.origin)
        return
    root = Path(next(iter(spec.submodule_search_locations)))
    for path in sorted(root.rglob("*.py")):
        yield name / path.relative_to(root), path


def sandbox_version() -> str:
    """The hash of the sandbox's own sources: verdicts of an older sandbox are never taken for this one's."""
    return sources_sha256("assay.sandbox")


@dataclasses.dataclass(frozen=True, slots=True)
class Keys:
    """Keys of the programs that one sandbox runs: `setting` is what decides beside the program itself."""

    setting: bytes

    @classmethod
    def of(cls, isolation: Isolation, mode: str) -> Keys:
        """`mode` is the one the sandbox was opened in. The interpreter and the packages are those in its cells."""
        setting = {
            "format": FORMAT,
            "sandbox": sandbox_version(),
            "backend": isolation.backend,
            "level": isolation.level,
            "label": isolation.label,
            "python": isolation.python,
            "packages": isolation.packages,
            "machine": platform.machine(),
            "mode": mode,
        }
        return cls(hashlib.sha256(json.dumps(setting, sort_keys=True).encode()).digest())

    def key(self, program: Program) -> bytes:
        """32 bytes of everything in `program` but its id: candidate, checks, prelude, entry point, limits, mode."""
        parts = {f.name: getattr(program, f.name) for f in dataclasses.fields(program)}
        del parts["id"]
        candidate = parts.pop("candidate")
        rest = _rest(tuple(parts.items()))
        return hashlib.sha256(self.setting + rest + candidate.encode("utf-8", "surrogatepass")).digest()


@lru_cache(maxsize=4096)
def _rest(parts: tuple[tuple[str, Any], ...]) -> bytes:
    """The hash of what the samples of one problem have in common."""
    text = json.dumps(dict(parts), default=dataclasses.asdict)
    return hashlib.sha256(text.encode()).digest()


def storable(verdict: Verdict, program: Program) -> bool:
    """Return whether the verdict would be the same on another day.

    `infra` is no verdict. A program that ended by itself with more than half of its CPU or wall time gone is
    executed anew each time, since load could have moved it over the limit, and so is one that was near a limit and
    judged again (`verdicts` has the rule). One that a limit stopped for good is stored: it had all of its time, and a
    quarter more.
    """
    if verdict.outcome is Outcome.INFRA or "near_limit" in verdict.notes:
        return False
    if verdict.outcome is Outcome.TIMEOUT:
        return True
    limits = program.limits
    return verdict.cpu_s < NEAR * limits.cpu_s and verdict.wall_s < NEAR * limits.wall_s


def _print(text: str) -> None:
    print(f"assay: {text}", file=sys.stderr)


class VerdictCache:
    """Verdicts by key; safe to use from several threads and processes.

    A cache that cannot be opened, read or written reports that once and then holds the verdicts of this process only,
    in a temporary file; evaluation goes on. `path` None is such a file from the start."""

    def __init__(self, path: Path | None, *, report: Callable[[str], None] = _print) -> None:
        self.path, self._on_fault = path, report
        self._lock = threading.Lock()
        self._unwritten: dict[bytes, Verdict] = {}
        # Verdicts that are not stored, for the rest of this command: few, as each took half of its time.
        self._near: dict[bytes, Verdict] = {}
        self._last = time.monotonic()
        self._db = self._open()

    def _open(self) -> sqlite3.Connection:
        if self.path is not None:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                if (reason := self._strange()) is None:
                    return _connect(str(self.path))
                self._report(reason)
            except (OSError, sqlite3.Error) as error:
                self._report(error)
        return _connect("")  # SQLite's own temporary file, gone when it is closed

    def _strange(self) -> str | None:
        """Return why the verdicts in the file may be somebody else's; None where they are this user's."""
        assert self.path is not None
        files = (
            self.path,
            *(self.path.with_name(self.path.name + end) for end in ("-wal", "-shm", "-journal")),
        )
        return next((reason for one in (self.path.parent, *files) if (reason := not_private(one))), None)

    def _report(self, error: Exception | str) -> None:
        self._on_fault(
            f"the verdict cache {self.path} cannot be used ({error}): verdicts are kept for this command only. "
            "Remove the file, or set ASSAY_CACHE to a folder that can be written"
        )
        self.path = None

    def get(self, key: bytes, program_id: str) -> Verdict | None:
        """Return the verdict kept under `key`, for the program with that id; its times are those of the execution that
        gave it."""
        with self._lock:
            kept = self._unwritten.get(key) or self._near.get(key)
            if kept is not None:
                return replace(kept, id=program_id)
            try:
                row = self._db.execute("SELECT * FROM verdict_3 WHERE key = ?", (key,)).fetchone()
                if row is None or is_sealed(row[-1], *_sealed_parts(row)):
                    return None if row is None else _verdict(row, program_id)
                self._forget(key)  # written by somebody else, or changed since
                return None
            except sqlite3.Error as error:
                self._start_anew(error)
            except (zlib.error, ValueError, TypeError):  # a damaged page: executed again, and written anew
                self._forget(key)
        return None

    def _forget(self, key: bytes) -> None:
        try:
            with self._db:
                self._db.execute("DELETE FROM verdict_3 WHERE key = ?", (key,))
        except sqlite3.Error as error:
            self._start_anew(error)

    def keep(self, key: bytes, program: Program, verdict: Verdict) -> None:
        """Keep the verdict on a program: on disk where it would be the same on another day, else until the cache is
        closed; `infra` not at all."""
        if storable(verdict, program):
            self.put(key, verdict)
        elif verdict.outcome is not Outcome.INFRA:
            with self._lock:
                self._near[key] = verdict

    def put(self, key: bytes, verdict: Verdict) -> None:
        """Store a verdict; written in batches, and at the latest a second later or on closing."""
        with self._lock:
            self._unwritten[key] = verdict
            if len(self._unwritten) >= WRITE_EVERY or time.monotonic() - self._last >= WRITE_EVERY_S:
                self._write()

    def _write(self) -> None:
        rows = [_row(key, verdict) for key, verdict in self._unwritten.items()]
        try:
            with self._db:
                self._db.executemany("INSERT OR IGNORE INTO verdict_3 VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", rows)
        except sqlite3.Error as error:
            self._start_anew(error)
            return  # they wait on, for the temporary file
        self._unwritten.clear()
        self._last = time.monotonic()

    def _start_anew(self, error: Exception) -> None:
        if self.path is None:
            raise error  # not even a temporary file can be written
        self._report(error)
        self._db.close()
        self._db = _connect("")

    def close(self) -> None:
        with self._lock:
            if self._unwritten:
                self._write()
            if self._unwritten and self.path is None:
                self._unwritten.clear()
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _connect(path: str) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=BUSY_S, check_same_thread=False)
    try:
        _write_ahead(db)
        db.execute("PRAGMA synchronous = NORMAL")
        with db:
            db.execute(_TABLE)
        _limit_size(db)
    except BaseException:
        db.close()
        raise
    return db


def _write_ahead(db: sqlite3.Connection) -> None:
    """Switch the file to write-ahead mode. SQLite's own timeout does not cover this: while another process switches a
    new file, or writes to one that is not switched yet, it fails at once with SQLITE_BUSY."""
    end = time.monotonic() + BUSY_S
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in _BUSY or time.monotonic() > end:
                raise
        time.sleep(0.01)


def _limit_size(db: sqlite3.Connection) -> None:
    """Drop the oldest half once the file has grown past MAX_BYTES; its pages are used again."""
    used = [
        db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    ]
    if (used[0] - used[1]) * used[2] <= MAX_BYTES:
        return
    with db:
        half = "(SELECT (MIN(rowid) + MAX(rowid)) / 2 FROM verdict_3)"
        db.execute(f"DELETE FROM verdict_3 WHERE rowid < {half}")


def _row(key: bytes, v: Verdict) -> tuple[object, ...]:
    output = zlib.compress(_bytes(v.output), 1) if v.output else b""
    detail = _bytes(v.detail).decode("utf-8", "replace")
    row = (
        key, v.outcome.value, detail, v.checks_passed, v.checks_total, float(v.cpu_s), float(v.wall_s), v.peak_bytes,
        v.mode, output, " ".join(v.notes),
    )  # fmt: skip
    return (*row, seal(*_sealed_parts(row)))


def _sealed_parts(row: tuple[Any, ...]) -> tuple[bytes, str]:
    """Return what a row's seal is of: its key, and all that it says."""
    return bytes(row[0]), repr(row[1:11])


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _verdict(row: tuple[Any, ...], program_id: str) -> Verdict:
    _, outcome, detail, passed, total, cpu_s, wall_s, peak, mode, output, notes, _ = row
    text = zlib.decompress(output).decode() if output else ""
    notes = tuple(notes.split())
    return Verdict(
        program_id, Outcome(outcome), detail, passed, total, cpu_s, wall_s, peak, mode, text, notes
    )
