"""The judge's side of split mode: run the checks against proxies of the candidate's functions.

A proxy sends its arguments as data and returns the answer as data, so nothing of the candidate's is ever executed,
compared or printed here. What the candidate can do is answer, or fail to.
"""

from __future__ import annotations

import builtins
import gc
import random
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from assay.sandbox.cell import asking, codec, fork, runner, wire
from assay.sandbox.cell.checks import Checks

MAX_CALLS = 100_000

_EXCEPTIONS: dict[str, type[BaseException]] = {
    name: kind
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and issubclass(kind, (Exception, SystemExit, KeyboardInterrupt))
}


class CandidateGoneError(BaseException):
    """The candidate ended, or broke the protocol; derived from BaseException so that no check takes it for its own."""


class NeedsSharedError(BaseException):
    """A check passes the candidate something that is not data."""


class CandidateError(Exception):
    """An exception of the candidate's that no builtin one stands for."""


class Counterpart:
    """The candidate, as far as the judge is concerned."""

    def __init__(self, channel: int) -> None:
        self._channel = channel
        self._answers = codec.Reader(channel)
        self.gone = ""
        self.needs_shared = ""
        self._calls = 0

    def load(self) -> tuple[int, str]:
        """Wait until the candidate has run as a module; a code and description."""
        try:
            kind, *rest = self._receive()
            if kind == codec.LOADED:
                return wire.PASSED, ""
            code, detail = rest
            return (code if code == wire.OUT_OF_MEMORY else wire.ERROR), str(detail)
        except CandidateGoneError:
            return wire.CANDIDATE_GONE, self.gone
        except (ValueError, TypeError):
            return wire.ERROR, "the candidate's process sent something that is no message"

    def proxy(self, name: str) -> Callable[..., Any]:
        def function(*arguments: Any, **named: Any) -> Any:
            return self._call(name, arguments, named)

        function.__name__ = function.__qualname__ = name
        return function

    def _call(self, name: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if self.gone:
            raise CandidateGoneError(self.gone)
        self._calls += 1
        if self._calls > MAX_CALLS:
            self._is_gone(f"more than {MAX_CALLS} calls were made")
        try:
            forms = [codec.encode(value) for value in arguments]
            named_forms = {key: codec.encode(value) for key, value in named.items()}
        except codec.NotDataError as error:
            self.needs_shared = f"a check passes {error} to {name}"
            raise NeedsSharedError(self.needs_shared) from None
        try:
            codec.send(self._channel, [name, forms, named_forms])
        except OSError:
            self._is_gone("")
        return self._take_reply(name, arguments, named)

    def _take_reply(self, name: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        message = self._receive()
        try:
            kind = message[0]
            if kind == codec.RETURNED:
                _, form, changed = message
                for key, after in changed:
                    _write_back(arguments[key] if type(key) is int else named[key], codec.decode(after))
                return codec.decode(form)
            if kind == codec.NOT_DATA:
                failure: BaseException = TypeError(
                    f"{name} returned {str(message[1])[:200]}, which is not data"
                )
            else:
                _, lineage, text = message
                failure = _exception(lineage, str(text))
        except MemoryError:
            raise
        except Exception as error:
            self._is_gone(f"its answer is not valid: {type(error).__name__}")
        raise failure

    def _receive(self) -> list[Any]:
        try:
            return self._answers.receive()
        except (EOFError, OSError):
            self._is_gone("")
        except (ValueError, RecursionError) as error:
            self._is_gone(f"its answer is not valid: {type(error).__name__}")

    def _is_gone(self, reason: str) -> NoReturn:
        self.gone = reason or "it ended"
        raise CandidateGoneError(self.gone)


def _write_back(target: Any, value: Any) -> None:
    """Make an argument of the check's what the candidate left of its copy."""
    if type(target) is not type(value):
        raise ValueError("an argument changed its type")
    if type(value) in (list, bytearray):
        target[:] = value
    else:
        target.clear()
        target.update(value)


def _exception(lineage: Sequence[Any], text: str) -> BaseException:
    for name in lineage:
        kind = _EXCEPTIONS.get(name) if type(name) is str else None
        if kind is not None:
            try:
                return kind(text) if text else kind()
            except TypeError:
                continue  # UnicodeDecodeError and the like want more than a message
    return CandidateError(text)


def run(checks: Checks, token: bytes, drawn: wire.QuestionOrder) -> None:
    """Judge and report, in a judge forked for one sample."""
    gc.enable()
    code, passed, detail = judge(checks, fork.CHANNEL_FD, drawn)
    runner.flush()
    runner.send_report(fork.REPORT_FD, token, code, passed, detail)


def judge(checks: Checks, channel: int, drawn: wire.QuestionOrder) -> tuple[int, int, str]:
    """Wait until the candidate has run as a module, then run the checks in the order that was drawn; a code, how many
    passed, a description."""
    random.seed(0)
    candidate = Counterpart(channel)
    code, detail = candidate.load()
    passed = 0
    if code == wire.PASSED:
        code, passed, detail = _judge(checks, candidate, drawn)
    if candidate.needs_shared:
        code, detail = wire.NEEDS_SHARED, candidate.needs_shared
    elif candidate.gone:
        code, detail = wire.CANDIDATE_GONE, candidate.gone
    return code, passed, detail


def _judge(checks: Checks, candidate: Counterpart, drawn: wire.QuestionOrder) -> tuple[int, int, str]:
    namespace = runner.new_module().__dict__
    if checks.prelude is not None:
        try:
            exec(checks.prelude, namespace)
        except BaseException as error:
            return wire.NEEDS_SHARED, 0, f"the prelude raises {runner.describe(error, '<prelude>')}"
    for name in checks.names:
        namespace[name] = candidate.proxy(name)
    return asking.ask(checks, namespace, drawn)
