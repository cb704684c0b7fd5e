"""Running sources: what a forked sample does in shared mode, and the pieces that split mode has in common with it."""

from __future__ import annotations

import builtins
import os
import sys
import types
from builtins import (  # noqa: UP029
    AssertionError,
    BaseException,
    MemoryError,
    SyntaxError,
    bytes,
    compile,
    enumerate,
    exec,
    getattr,
    isinstance,
    len,
    str,
    type,
)
from collections.abc import Iterable
from typing import Any

from assay.sandbox.cell import progress, seeding, wire

MODULE = "candidate"
NOT_RUN = "not run"  # how the message of a check begins that was not run, since another one had failed

# Bound before any candidate runs, like the builtins above: replacing them later changes nothing here.
_write, _exit = os.write, os._exit
_type_name = type.__dict__["__name__"].__get__


def new_module() -> types.ModuleType:
    """The module a candidate runs as, and what `import __main__` gives it; `__name__` is not "__main__"."""
    module = types.ModuleType(MODULE)
    sys.modules[MODULE] = sys.modules["__main__"] = module
    return module


def forget_module() -> None:
    """Let go of all that the module last made holds, cycles through its namespace included."""
    module = sys.modules.pop(MODULE, None)
    sys.modules.pop("__main__", None)
    if module is not None:
        module.__dict__.clear()


def compile_source(source: bytes, filename: str) -> types.CodeType:
    return compile(wire.decode_text(source), filename, "exec", dont_inherit=True)


def run_source(source: bytes | types.CodeType, filename: str, namespace: dict[str, Any]) -> None:
    exec(compile_source(source, filename) if isinstance(source, bytes) else source, namespace)


def describe(error: BaseException, filename: str) -> str:
    """Type, message and line of an exception, whatever its class does when it is asked."""
    try:
        name = _type_name(type(error))
        is_syntax = isinstance(error, SyntaxError)
        message = str(getattr(error, "msg", "") if is_syntax else error)[:300]
        line = getattr(error, "lineno", None) if is_syntax else None
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == filename:
                line = trace.tb_lineno
            trace = trace.tb_next
        where = f" (line {line})" if line else ""
        return f"{name}: {message}{where}" if message else f"{name}{where}"
    except BaseException:
        return "an exception that cannot be described"


def code_of(error: BaseException, *, in_check: bool) -> int:
    if isinstance(error, MemoryError):
        return wire.OUT_OF_MEMORY
    if in_check and isinstance(error, AssertionError):
        return wire.FAILED
    return wire.ERROR


def run_checks(
    steps: Iterable[tuple[int, bytes | types.CodeType]], namespace: dict[str, Any], total: int
) -> tuple[int, int, str]:
    """Run every check, of which each step has the number and a part. Returns the code and description of the first that
    did not pass, and how many of `total` passed. The first is the one with the lowest number, unless it says that it
    was not run."""
    code, detail, first = wire.PASSED, "", 0
    failed = set()
    for number, check in steps:
        filename = f"<check {number}>"
        progress.begin(number)
        try:
            run_source(check, filename, namespace)
        except BaseException as error:
            failed.add(number)
            if not first or (number < first and not _was_not_run(error)):
                code, first = code_of(error, in_check=True), number
                which = f"check {number} of {total}: " if total > 1 else ""
                detail = which + describe(error, filename)
    progress.begin(0)
    return code, total - len(failed), detail


def _was_not_run(error: BaseException) -> bool:
    """Return whether a check only says that it was not run, since another had failed."""
    return type(error) is AssertionError and error.args[:1] != () and str(error.args[0]).startswith(NOT_RUN)


def flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:
            continue


def send_report(descriptor: int, token: bytes, code: int, passed: int, detail: str) -> None:
    text = detail.encode("utf-8", "backslashreplace")[: wire.DETAIL_BYTES]
    _write(descriptor, token + wire.REPORT.pack(code, passed, len(text)) + text)
    _exit(0)


def run_shared(body: bytes | memoryview, token: bytes, descriptor: int) -> None:
    """A sample in one interpreter with its checks. The token makes forging the report hard, not impossible."""
    candidate, *checks = wire.split(body)
    del body
    namespace = new_module().__dict__
    seeding.prepare()
    filename = f"<{MODULE}>"
    try:
        run_source(candidate, filename, namespace)
    except BaseException as error:
        code, passed, detail = code_of(error, in_check=False), 0, describe(error, filename)
    else:
        code, passed, detail = run_checks(enumerate(checks, 1), namespace, len(checks))
    flush()
    send_report(descriptor, token, code, passed, detail)


_WARM_UP = b'''
import math, re
class Thing:
    def __init__(self): self.items = [i * 2 for i in range(50)]
    def pairs(self, *args, **kwargs): return {k: v for k, v in zip(self.items, self.items)}
def double(x: int, y=None, *rest) -> int:
    """A docstring."""
    for i in range(x):
        if i % 2 == 0 and y: yield i
def check(f):
    assert f(1) == 2
    assert sorted([3, 1, 2]) == [1, 2, 3], "message"
check(lambda x: x + 1)
Thing().pairs(list(double(3, 1)))
try:
    assert "".join(sorted("cab")) == "x" and round(1.5)
except AssertionError as error:
    text = f"{error!r}".split()
'''


def warm_up_sample() -> None:
    """Do what a sample does, but for its report: run in a forked child to see which pages that writes to."""
    body = wire.join([_WARM_UP, b"assert double(2) and Thing().items", b"x = 1"])
    candidate, *checks = wire.split(body)
    namespace = new_module().__dict__
    seeding.prepare()
    run_source(candidate, f"<{MODULE}>", namespace)
    _, passed, detail = run_checks(enumerate(checks, 1), namespace, len(checks))
    flush()
    bytes(16) + wire.REPORT.pack(wire.PASSED, passed, len(detail))


def warm_up() -> None:
    """Run a small program a few times in the server, so that samples inherit warm caches and memory pools."""
    for _ in range(3):
        namespace: dict[str, Any] = {"__builtins__": builtins}
        run_source(_WARM_UP, "<warm-up>", namespace)
