"""A judge that stays: for checks that provably leave nothing behind, one process judges sample after sample.

Forking a judge costs as much as forking the candidate. Checks that only compare data (no imports but pure modules,
no attribute set, no way to reach the interpreter's state) need no process of their own; all others are run in a
forked judge. Each sample gets a new namespace in either case, and a judge that did anything but report is replaced.

Nothing of a sample stays: its namespace is cleared, and what a failed answer leaves in cycles (an exception, the frames
of its traceback, the answer in them) is collected before the next one comes. A judge that ever needed much memory is
replaced, and what ends at a judge's own limit counts only where that judge was new (`wire.USED_JUDGE`).
"""

from __future__ import annotations

import ast
import functools
import gc
import os
import resource
import socket
import struct
import time
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from assay.sandbox.cell import fork, judge, runner, wire
from assay.sandbox.cell.checks import LONGEST_SHARED, Cache
from assay.sandbox.cell.wire import QuestionOrder

# The sample's limits of address space and of files, the lengths of its order of questions and of its checks.
_COMMAND = struct.Struct("!QQII")
# Code, checks passed, whether this judge is to be replaced, length of the detail that follows.
_REPLY = struct.Struct("!BI?I")
_SAMPLES_PER_JUDGE = 2000
_MOST_GROWTH_KB = 64 << 10  # of a judge's memory, at its largest, since it was forked
_NO_LIMIT_MS, _NO_LIMIT_BYTES = 1 << 31, 1 << 46

# `random` keeps a state, but only the one that `judge.judge` seeds for each sample.
# fmt: off
_PURE_MODULES = frozenset((
    "__future__", "bisect", "cmath", "collections", "copy", "datetime", "decimal", "fractions", "functools", "heapq",
    "itertools", "math", "operator", "random", "statistics", "string", "typing",
))
_IMPURE_NAMES = frozenset((
    "__builtins__", "__import__", "breakpoint", "compile", "delattr", "dir", "eval", "exec", "exit", "getattr",
    "globals", "help", "input", "locals", "memoryview", "open", "quit", "setattr", "vars",
))
# fmt: on
_IMPURE_NODES = (ast.AsyncFunctionDef, ast.Await, ast.ClassDef, ast.Global, ast.Nonlocal)
_IMPURE_ATTRIBUTES = frozenset(("setcontext", "getcontext", "localcontext", "register", "format_map"))


def is_pure(sources: Sequence[bytes]) -> bool:
    """Return whether running these sources in a new namespace provably changes nothing outside of it."""
    try:
        return all(
            _is_pure_source(source) if len(source) <= LONGEST_SHARED else _are_pure_nodes(source)
            for source in sources
        )
    except (SyntaxError, ValueError, RecursionError):
        return False


def _are_pure_nodes(source: bytes) -> bool:
    return all(map(_is_pure_node, ast.walk(ast.parse(wire.decode_text(source)))))


_is_pure_source = functools.lru_cache(maxsize=1024)(_are_pure_nodes)  # for what problems have in common


def _is_pure_node(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute):
        is_read = isinstance(node.ctx, ast.Load)
        return is_read and not node.attr.startswith("_") and node.attr not in _IMPURE_ATTRIBUTES
    if isinstance(node, ast.Name):
        return node.id not in _IMPURE_NAMES
    if isinstance(node, ast.Import):
        return all(alias.name in _PURE_MODULES for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        names = {alias.name for alias in node.names}
        return node.level == 0 and node.module in _PURE_MODULES and not names & _IMPURE_ATTRIBUTES
    return not isinstance(node, _IMPURE_NODES)


class Outcome(NamedTuple):
    """The resident judge's report on one sample, and what it used. `reason` is one of wire's; `code` NO_REPORT
    with a reason of ENDED means that it died. `judge_was_used` says that it had judged other samples before."""

    reason: int
    code: int
    passed: int
    detail: bytes
    cpu_us: int
    judge_was_used: bool

    @property
    def at_limit(self) -> bool:
        """Return whether a limit of the judge's own, not the candidate's, may have decided this."""
        return self.reason != wire.ENDED or self.code in (wire.NO_REPORT, wire.OUT_OF_MEMORY)


class Resident:
    """The server's handle on its resident judge, which is forked when it is first needed."""

    def __init__(self, desk: fork.Desk, checks: Cache) -> None:
        """`checks` are the server's compiled ones: a judge that replaces another starts with them."""
        self._desk = desk
        self._checks = checks
        self._pid = 0
        self._commands: socket.socket | None = None
        self._judged = 0

    def judge(self, request: wire.Request, channel: int) -> Outcome:
        """Have a sample judged; `channel` leads to the candidate and stays the caller's."""
        if self._judged >= _SAMPLES_PER_JUDGE:
            self.stop()
        commands = self._commands or self._hire(request)
        was_used = self._judged > 0
        self._judged += 1
        before = fork.cpu_s_of(self._pid)
        started = time.monotonic()
        reason = wire.ENDED
        try:
            limits = self._desk.address_space_for(request), request.file
            message = _COMMAND.pack(*limits, len(request.order), len(request.body))
            message += request.order + request.body
            sent = socket.send_fds(commands, [message], [channel])
            if sent < len(message):
                commands.sendall(message[sent:])
            reason = self._desk.wait_for_reply(commands.fileno(), self._pid, request, started, before)
            if reason == wire.ENDED:
                reply = wire.read_exactly(commands.recv, _REPLY.size)
                code, passed, is_worn, size = _REPLY.unpack(reply)
                detail = wire.read_exactly(commands.recv, size)
                used = fork.cpu_s_of(self._pid) - before
                if is_worn:
                    self.stop()
                return Outcome(reason, code, passed, detail, round(used * 1e6), was_used)
        except (EOFError, OSError):
            pass
        used = fork.cpu_s_of(self._pid) - before
        self.stop()
        return Outcome(reason, wire.NO_REPORT, 0, b"", round(used * 1e6), was_used)

    def stop(self) -> None:
        """End the resident judge, if there is one."""
        if self._commands is not None:
            self._commands.close()
            self._desk.reap(self._pid)
            self._commands, self._pid, self._judged = None, 0, 0

    def _hire(self, request: wire.Request) -> socket.socket:
        ours, other = socket.socketpair()
        pid = self._desk.fork()
        if pid == 0:
            try:
                # Limits come with each sample; of what only grows there is none that holds for all.
                limits = request._replace(cpu_ms=_NO_LIMIT_MS, memory=_NO_LIMIT_BYTES, file=_NO_LIMIT_BYTES)
                self._desk.apply_limits(limits, -1, other.fileno())
                _stay(socket.socket(fileno=fork.CHANNEL_FD), self._checks)
            finally:
                os._exit(1)
        other.close()
        self._pid, self._commands = pid, ours
        return ours


def _stay(commands: socket.socket, cache: Cache) -> NoReturn:
    """Judge one sample after the other, in the resident judge, until the server goes or ends it."""
    gc.collect()
    gc.freeze()
    gc.enable()
    limits = {kind: resource.getrlimit(kind)[1] for kind in (resource.RLIMIT_AS, resource.RLIMIT_FSIZE)}
    largest_kb = _peak_kb() + _MOST_GROWTH_KB
    while True:
        header, descriptors, _, _ = socket.recv_fds(commands, _COMMAND.size, 1)
        if len(header) < _COMMAND.size:
            os._exit(0)
        *for_sample, order_size, size = _COMMAND.unpack(header)
        for (kind, hard), soft in zip(limits.items(), for_sample, strict=True):
            resource.setrlimit(kind, (soft, hard))
        body = wire.read_exactly(commands.recv, order_size + size)
        drawn = QuestionOrder.unpack(body[:order_size])
        code, passed, detail = judge.judge(cache.get(body[order_size:]), descriptors[0], drawn)
        os.close(descriptors[0])
        runner.forget_module()
        gc.collect()
        gc.freeze()  # the checks just compiled, so that the next collection need not look at them
        runner.flush()
        text = detail.encode("utf-8", "backslashreplace")[: wire.DETAIL_BYTES]
        is_worn = _peak_kb() > largest_kb
        commands.sendall(_REPLY.pack(code, passed, is_worn, len(text)) + text)


def _peak_kb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
