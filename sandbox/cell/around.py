"""What checks do around a call, carried to the candidate: streams, `input`, environment, files, seeds, warnings, logs.

A check may give sys.stdin a text, capture sys.stdout, set a variable of the environment or write a file, and then call
the candidate, which runs in another process. So each call takes along what changed on the judge's side, and brings
back what changed on the candidate's. Which surroundings a problem needs is found in its checks (`host/needs.py`).
"""

from __future__ import annotations

import builtins
import contextlib
import io
import os
import stat
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from assay.sandbox.cell import codec

_FILES_BYTES = 4 << 20
_STREAMS = ("stdout", "stderr")
_FUNCTIONS = ("input", "print")
_CHANGED_BY_CALLS = frozenset(("environ", "files"))  # what a call changes is to be seen by the check


class Judge:
    """The judge's side: what goes with a request, and what comes back."""

    def __init__(self, asking: Any, carried: frozenset[str]) -> None:
        self._asking, self._carried = asking, carried
        self._originals: dict[str, Any] = {name: getattr(sys, name) for name in ("stdin", *_STREAMS)}
        self._originals |= {name: getattr(builtins, name) for name in _FUNCTIONS}
        self._state = _State(carried)

    def before(self) -> dict[str, Any] | None:
        around: dict[str, Any] = self._state.changes()
        if "streams" in self._carried:
            captured = [name for name in _STREAMS if getattr(sys, name) is not self._originals[name]]
            if captured:
                around["captured"] = captured
            if sys.stdin is not self._originals["stdin"]:
                around["stdin"] = _rest_of(sys.stdin)
            for name in _FUNCTIONS:
                if getattr(builtins, name) is not self._originals[name]:
                    around[name] = self._asking.foreign(_caller(name))
        recorded = self._carried & {"warnings", "logging"}
        if recorded:
            around["recorded"] = sorted(recorded)
        return around if around or self._carried & _CHANGED_BY_CALLS else None

    def after(self, around: dict[str, Any]) -> None:
        if around.pop("random", None) is not None:
            # What checks draw is not the candidate's to choose, but its draws do change the state.
            import random

            random.seed(random.getrandbits(64))
            self._state.expect_other_draws()
        around.pop("recursion", None)
        self._state.take(around)
        for name in _STREAMS:
            if name in around and getattr(sys, name) is not self._originals[name]:
                getattr(sys, name).write(str(around[name]))
        if "stdin" in around and sys.stdin is not self._originals["stdin"]:
            _advance(sys.stdin, int(around["stdin"]))
        for names, text, line in around.get("warnings", ()):
            _warn(names, text, line)
        for name, level, text in around.get("logging", ()):
            _log(name, level, text)


def _caller(name: str) -> Callable[..., Any]:
    """The function that stands under this name among the builtins when it is called."""

    def call(*arguments: Any) -> Any:
        return getattr(builtins, name)(*arguments)

    call.__name__ = name
    return call


def _rest_of(stream: Any) -> str:
    """What is still to be read of a stream, which is left where it was."""
    try:
        place = stream.tell()
        text = stream.read()
        stream.seek(place)
    except (OSError, ValueError, AttributeError, io.UnsupportedOperation):
        text = stream.read() if hasattr(stream, "read") else ""
    return text if isinstance(text, str) else str(text)


def _advance(stream: Any, characters: int) -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        stream.read(characters)


def _warn(names: list[str], text: str, line: int) -> None:
    import warnings

    kinds = (getattr(builtins, name, None) for name in names)
    category = next((k for k in kinds if isinstance(k, type) and issubclass(k, Warning)), UserWarning)
    warnings.warn_explicit(str(text), category, "<candidate>", int(line), registry={})


def _log(name: str, level: int, text: str) -> None:
    import logging

    logger = logging.getLogger(str(name))
    if logger.isEnabledFor(level):
        logger.handle(logging.LogRecord(str(name), int(level), "<candidate>", 0, str(text), None, None))


# The candidate's side.


def enter(around: dict[str, Any], asking: Any) -> Callable[[], dict[str, Any]]:
    """Take over the surroundings of a call; what is returned puts things back, and gives what goes to the judge."""
    state = _states.get(0)
    if state is None:
        state = _states[0] = _State(frozenset(("environ", "files", "random", "recursion")))
    state.take(around)
    stack = contextlib.ExitStack()
    leaving: list[Callable[[dict[str, Any]], None]] = []
    for name in around.get("captured", ()):
        stream: Any = io.StringIO()
        _replace(stack, sys, name, stream)
        leaving.append(partial(_give_text, name, stream))
    if "stdin" in around:
        text = around["stdin"]
        given = _Stdin(text)
        _replace(stack, sys, "stdin", given)
        leaving.append(lambda back: back.update(stdin=given.used()))
    for name in _FUNCTIONS:
        if name in around:
            _replace(stack, builtins, name, asking.native("j", around[name]["j"]))
    for name in around.get("recorded", ()):
        record = {"warnings": _record_warnings, "logging": _record_logs}[name]
        leaving.append(record(stack))

    def leave() -> dict[str, Any]:
        back: dict[str, Any] = {}
        for step in leaving:
            step(back)
        stack.close()
        back |= state.changes()
        return back

    return leave


def _give_text(name: str, stream: io.StringIO, back: dict[str, Any]) -> None:
    back[name] = stream.getvalue()


_states: dict[int, _State] = {}


def _replace(stack: contextlib.ExitStack, owner: Any, name: str, value: Any) -> None:
    stack.callback(setattr, owner, name, getattr(owner, name))
    setattr(owner, name, value)


class _Stdin(io.StringIO):
    """A text as standard input, with its bytes as `buffer`."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._size = len(text)
        self.buffer: Any = io.BytesIO(text.encode("utf-8", "surrogateescape"))

    def used(self) -> int:
        return self._size if self.buffer.tell() else self.tell()


def _record_warnings(stack: contextlib.ExitStack) -> Callable[[dict[str, Any]], None]:
    import warnings

    caught: Any = stack.enter_context(warnings.catch_warnings(record=True))
    warnings.simplefilter("always")

    def leave(back: dict[str, Any]) -> None:
        back["warnings"] = [
            [[kind.__name__ for kind in one.category.__mro__], str(one.message)[:2000], one.lineno]
            for one in caught
        ]

    return leave


def _record_logs(stack: contextlib.ExitStack) -> Callable[[dict[str, Any]], None]:
    import logging

    records: list[list[Any]] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append([record.name, record.levelno, record.getMessage()[:2000]])

    root, handler = logging.getLogger(), Handler(1)
    level = root.level
    root.addHandler(handler)
    root.setLevel(1)
    stack.callback(root.setLevel, level)
    stack.callback(root.removeHandler, handler)
    return lambda back: back.update(logging=records)


# What both sides keep alike: each sends what changed on its side.


def prepare(extra: Any) -> None:
    """What has to be taken over before the arguments of a request can be read: they may be nested deeply."""
    if extra and "recursion" in extra.get("around", ()):
        sys.setrecursionlimit(int(extra["around"]["recursion"]))


class _State:
    def __init__(self, carried: frozenset[str]) -> None:
        self._carried = carried
        self._environ = dict(os.environ)
        self._random: Any = None
        self._recursion = sys.getrecursionlimit()
        self._folder = os.getcwd()
        self._root = self._folder
        self._files: dict[str, Any] = {}
        if "random" in carried:
            import random

            self._random = random.getstate()

    def expect_other_draws(self) -> None:
        """The other side's random numbers went on: any state of this side's is news to it."""
        self._random = None

    def changes(self) -> dict[str, Any]:
        changed: dict[str, Any] = {}
        if "environ" in self._carried and os.environ != self._environ:
            self._environ = changed["environ"] = dict(os.environ)
        if "recursion" in self._carried and sys.getrecursionlimit() != self._recursion:
            self._recursion = changed["recursion"] = sys.getrecursionlimit()
        if "random" in self._carried:
            import random

            state = random.getstate()
            if state != self._random:
                self._random = state
                changed["random"] = [state[0], list(state[1]), state[2]]
        if "files" in self._carried:
            files = self._changed_files()
            if files:
                changed["files"] = files
            if os.getcwd() != self._folder:
                self._folder = changed["folder"] = os.getcwd()
        return changed

    def take(self, changed: dict[str, Any]) -> None:
        if "environ" in changed:
            os.environ.clear()
            os.environ.update(changed["environ"])
            self._environ = dict(os.environ)
        if "recursion" in changed:
            sys.setrecursionlimit(int(changed["recursion"]))
            self._recursion = sys.getrecursionlimit()
        if "random" in changed:
            import random

            version, numbers, spare = changed["random"]
            random.setstate((version, tuple(numbers), spare))
            self._random = random.getstate()
        for name, *content in changed.get("files", ()):
            self._put(name, *content)
        if "files" in changed:
            self._files = _listing(self._root)
        if "folder" in changed:
            os.chdir(changed["folder"])
            self._folder = os.getcwd()

    def _changed_files(self) -> list[list[Any]]:
        """[name, bytes as hex, time of the last change, permissions], [name, True] for a folder, [name, None] for what
        is gone; folders before their files."""
        now, before = _listing(self._root), self._files
        self._files = now
        changed: list[list[Any]] = [
            [name, None]
            for name in sorted(before, reverse=True)
            if name not in now or (now[name] is True) != (before[name] is True)
        ]
        total = 0
        for name in sorted(now):
            if now[name] == before.get(name):
                continue
            if now[name] is True:
                changed.append([name, True])
                continue
            try:
                with open(os.path.join(self._root, name), "rb") as file:
                    data = file.read(_FILES_BYTES + 1)
            except OSError:  # one that may not be read, or that is gone by now
                continue
            total += len(data)
            if total > _FILES_BYTES:
                raise codec.NotDataError(f"files of more than {_FILES_BYTES} bytes")
            time_ns, mode = now[name][:2]
            changed.append([name, data.hex(), time_ns, mode])
        return changed

    def _put(self, name: Any, content: Any, time_ns: int = 0, mode: int = 0) -> None:
        parts = str(name).split("/")
        if any(part in ("", ".", "..") for part in parts):
            raise ValueError("a file's name that leads elsewhere")
        path = os.path.join(self._root, *parts)
        if content is None:
            with contextlib.suppress(OSError):
                (os.rmdir if os.path.isdir(path) and not os.path.islink(path) else os.unlink)(path)
        elif content is True:
            os.makedirs(path, exist_ok=True)
        else:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
            try:  # whoever has it open sees the change
                descriptor = os.open(path, flags, 0o644)
            except PermissionError:
                os.unlink(path)
                descriptor = os.open(path, flags, 0o644)
            with open(descriptor, "wb") as file:
                file.write(bytes.fromhex(content))
                file.flush()
                os.fchmod(descriptor, mode & 0o777)
                os.utime(descriptor, ns=(time_ns, time_ns))


def _listing(root: str) -> dict[str, Any]:
    """Names below a folder: True for a folder, else (modification time, permissions, size, inode)."""
    seen: dict[str, Any] = {}
    folders = [""]
    while folders:
        folder = folders.pop()
        with contextlib.suppress(OSError), os.scandir(os.path.join(root, folder)) as entries:
            for entry in entries:
                name = f"{folder}/{entry.name}" if folder else entry.name
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    seen[name] = True
                    folders.append(name)
                elif stat.S_ISREG(status.st_mode):
                    permissions = stat.S_IMODE(status.st_mode)
                    seen[name] = (status.st_mtime_ns, permissions, status.st_size, status.st_ino)
    return seen
