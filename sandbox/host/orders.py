"""The order in which one program is asked: drawn from a key that no candidate knows, and confirmed in further turns.

The key is this machine's, so a program has the same order each time here, and nobody can search for a program whose
order is the one that it knows. It never enters a cell; what enters the judge's is the number drawn with it.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from functools import cache, lru_cache
from hashlib import blake2b
from pathlib import Path

from assay.sandbox.cell import wire
from assay.sandbox.cell.wire import QuestionOrder
from assay.sandbox.host import verdicts
from assay.sandbox.host.cells import Trial
from assay.sandbox.host.state import keeps_nothing
from assay.sandbox.model import Limits, Mode, Outcome, Program, Verdict

_KEY_BYTES = 32
# A further turn asks what the first did, and at most all of that once more in between.
_LATER_LIMITS = 2


def key_path() -> Path:
    """The file of this machine's key: in `$ASSAY_CACHE`, else `~/.cache/assay`."""
    named = os.environ.get("ASSAY_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return (Path(named) if named else Path(base) / "assay") / "order.key"


@cache
def machine_key() -> bytes:
    """Return the key, made where there is none; where none can be kept, this process has one of its own."""
    path = key_path()
    for _ in range(2):
        with contextlib.suppress(OSError):
            key = path.read_bytes()
            if len(key) == _KEY_BYTES:
                return key
        with contextlib.suppress(OSError):
            _write(path, os.urandom(_KEY_BYTES))
    return os.urandom(_KEY_BYTES)


def _write(path: Path, key: bytes) -> None:
    """Write it whole or not at all; the first of several processes wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    own = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, key)
        os.fsync(descriptor)
        os.link(own, path)
    finally:
        os.close(descriptor)
        os.unlink(own)


@lru_cache(maxsize=1024)
def _digest(checks: tuple[str, ...], prelude: str) -> bytes:
    digest = blake2b(key=machine_key(), digest_size=16)
    for text in (prelude, *checks):
        digest.update(wire.encode_text(text) + b"\0")
    return digest.digest()


def number_of(program: Program) -> int:
    """Return the number that is drawn for a program, never 0."""
    text = _digest(program.checks, program.prelude) + wire.encode_text(program.candidate)
    return int.from_bytes(blake2b(text, key=machine_key(), digest_size=8).digest(), "little") or 1


class Questioning:
    """One program in the orders in which it is asked, turn by turn. `program` is it with the limits of this turn, and
    `order` what the judge is sent."""

    __slots__ = ("_drawn", "_first", "_program", "order", "program")

    def __init__(self, program: Program, mode: Mode) -> None:
        self._program = self.program = program
        is_drawn = mode == "split" and not program.stateful
        self._drawn = QuestionOrder(number_of(program)) if is_drawn else QuestionOrder()
        self.order = self._drawn.pack()
        self._first: Verdict | None = None

    def verdict(self, trial: Trial) -> Verdict | None:
        """Return the verdict on the program; None when it is to be asked once more, in another order."""
        verdict = trial.verdict
        if not self._drawn.number:
            return self._as_written(verdict)
        first, self._first = self._first, self._first or verdict
        if trial.code == wire.UNCONFIRMED and verdict.passed:
            if keeps_nothing(self._program.candidate):
                return verdict
            calls = self._drawn.calls or trial.detail
            self._turn(QuestionOrder(self._drawn.number, self._drawn.turn + 1, calls))
            return None
        failed = trial.code & wire.IN_DRAWN_ORDER and verdict.outcome in (Outcome.FAIL, Outcome.ERROR)
        if failed and not keeps_nothing(self._program.candidate):
            self._turn(QuestionOrder())  # to say what it hangs on
            return None
        return first if first is not None and verdict.passed else verdict

    def _as_written(self, verdict: Verdict) -> Verdict:
        """What failed in the order that was drawn and passes as it is written hangs on the order."""
        if self._first is None or verdict.outcome is not Outcome.PASS:
            return verdict
        return verdicts.stateful(self._first)

    def _turn(self, drawn: QuestionOrder) -> None:
        self._drawn, self.order = drawn, drawn.pack()
        if drawn.turn == 1:
            self.program = _with_longer_limits(self._program)


def _with_longer_limits(program: Program) -> Program:
    limits: Limits = program.limits
    return replace(
        program,
        limits=replace(limits, cpu_s=limits.cpu_s * _LATER_LIMITS, wall_s=limits.wall_s * _LATER_LIMITS),
        check_cpu_s=tuple(seconds * _LATER_LIMITS for seconds in program.check_cpu_s),
    )
