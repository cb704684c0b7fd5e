"""A program on its way through the cells: who waits for it, how it is to be judged the next time, and in which order it
is asked.

The order is drawn from a key that no candidate knows, and confirmed in further turns. The key is this machine's, so a
program has the same order each time here, and nobody can search for a program whose order is the one that it knows. It
never enters a cell; what enters the judge's is the number drawn with it. A program that has no place to keep anything
between two calls needs no confirmation: `keeps_nothing`.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

from assay.sandbox.cell import wire
from assay.sandbox.cell.wire import QuestionOrder
from assay.sandbox.errors import SandboxError
from assay.sandbox.host import verdicts
from assay.sandbox.host.cells import CellPair, Trial
from assay.sandbox.model import Limits, Mode, Outcome, Program, Verdict


class Batch(Protocol):
    """The programs of one caller."""

    @property
    def cancelled(self) -> bool: ...

    def settle(self, ticket: Any, program: Program, result: Verdict | SandboxError | None) -> None:
        """Called once for each program, in the scheduler's thread, and raises nothing. A SandboxError says that
        programs cannot be given to cells; None that the batch was cancelled or the sandbox closed."""


@dataclass(slots=True)
class Job:
    """`endings` are of cells that died under it, with what was seen of each. A job in `quiet` is judged with nothing
    else running; one that was `starved` has more wall time then, for what keeps it from the CPU may be none of ours."""

    program: Program
    batch: Batch
    ticket: Any
    mode: Mode
    order: int
    endings: list[tuple[CellPair | None, str]] = field(default_factory=list)
    quiet: bool = False
    near_limit: bool = False
    starved: bool = False
    faults: int = 0  # unexpected errors of this process's while it was prepared
    questioning: Questioning = field(init=False)

    def __post_init__(self) -> None:
        self.questioning = Questioning(self.program, self.mode)

    @property
    def as_sent(self) -> Program:
        """The program with the limits that it has in its cells this time."""
        program = self.questioning.program
        return verdicts.with_patience(program) if self.starved else program

    def needs_quiet(self, trial: Trial) -> bool:
        """Return whether it is to be judged again, in quiet, by a new judge, since load, or what a judge had of
        others, could have decided the trial; once."""
        if self.quiet or self.batch.cancelled or not (trial.near_limit or trial.starved or trial.used_judge):
            return False
        self.quiet, self.near_limit, self.starved = True, trial.near_limit, trial.starved
        return True

    def settle(self, trial: Trial) -> bool:
        """Hand the verdict over; return False where the program is to be asked in another order before."""
        verdict = self.questioning.verdict(trial)
        if verdict is None:
            if not self.batch.cancelled:
                return False
            verdict = trial.verdict
        if self.near_limit or trial.near_limit or trial.starved:
            verdict = replace(verdict, notes=(*verdict.notes, "near_limit"))
        self.batch.settle(self.ticket, self.program, verdict)
        return True


PREPARATIONS = (
    3  # how often a program is prepared for its cells before an unexpected error is taken for its own
)


def mode_of(program: Program, rules: verdicts.Rules) -> Mode | Verdict:
    """Return the mode of a program; its verdict, infra, where its checks cannot be looked at, however often."""
    for left in reversed(range(PREPARATIONS)):
        try:
            return rules.mode_of(program)
        except SandboxError:
            raise
        except Exception as error:
            if not left:
                return verdicts.infra(program, unprepared(error), program.mode or rules.mode)
    raise AssertionError("unreachable")


def unprepared(error: Exception) -> str:
    """Return the reason of a program's infra."""
    return f"the program could not be prepared for a cell: {type(error).__name__}: {error}"


# The order in which a program is asked.

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
        if trial.code == wire.UNCONFIRMED and verdict.outcome is Outcome.PASS:
            if keeps_nothing(self._program.candidate):
                return verdict
            calls = self._drawn.calls or trial.detail
            self._turn(QuestionOrder(self._drawn.number, self._drawn.turn + 1, calls))
            return None
        failed = trial.code & wire.IN_DRAWN_ORDER and verdict.outcome in (Outcome.FAIL, Outcome.ERROR)
        if failed and not keeps_nothing(self._program.candidate):
            self._turn(QuestionOrder())  # to say what it hangs on
            return None
        return first if first is not None and verdict.outcome is Outcome.PASS else verdict

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


# Whether a program has a place to keep anything between two calls, as far as its text shows. What is not plainly
# harmless counts as a place. No tree is built: this is asked of many samples, and only a few characters of most have to
# be looked at.

_MODULES = (
    "bisect|cmath|collections|copy|fractions|heapq|itertools|math|re|statistics|string|typing|__future__"
)
_TEXT = re.compile(
    r'"""(?:[^\\]|\\.)*?"""|\'\'\'(?:[^\\]|\\.)*?\'\'\'|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|#[^\n]*',
    re.DOTALL,
)
_FORMATTED = re.compile(r"[fF](?<![a-qs-zA-QS-Z\d_].)[rR]?['\"]")
_IMPORT = re.compile(
    rf"^[ \t]*(?:from +(?:{_MODULES}) +import +|from +functools +import +(?=reduce *$|cmp_to_key *$)"
    rf"|(?=import +(?:{_MODULES})(?: *, *(?:{_MODULES}))* *$))"
    r"(?:import +(?P<modules>[\w, ]+)|(?P<names>[\w, ]+)) *$",
    re.MULTILINE,
)
_HEADER = re.compile(r"^[ \t]*def +(\w+) *\(([^()]*)\) *(?:->[^:\n()]*)?:", re.MULTILINE)
# Texts have become the number 0 by then.
_MUTABLE_DEFAULT = re.compile(r"=(?! *(?:None|True|False|-?[\d.]+) *(?:,|$))", re.MULTILINE)
_TOP_LEVEL = re.compile(r"^(?!0[0 ]*$)[^ \t\n)]", re.MULTILINE)
_PLACE = re.compile(
    r"\b(?:global|nonlocal|class|import|exec|eval|compile|globals|locals|vars|getattr|setattr|delattr|open|input|id|"
    r"breakpoint|help|exit|quit|copyright|credits|license|async|await)\b|__|@|\.\s*_|;|\\|['\"]|[^\n\t -~]"
)
_NOT_CALLED = re.compile(r"(?<![.\w])([A-Za-z]\w*)(?!\w| *[(\[])")
_NOT_A_PART = re.compile(
    r"(?<![.\w])([A-Za-z]\w*)(?!\w|\.\w+ *\(|\.(?:pi|e|inf|nan|ascii_letters|ascii_lowercase|ascii_uppercase|digits"
    r"|punctuation)\b *(?:[)\]\n]|[-+*/<>%](?![=/*])))"
)


def keeps_nothing(source: str) -> bool:
    """Return whether the text shows that no call can leave anything for a later one."""
    if _FORMATTED.search(source):
        return False
    code = _TEXT.sub("0", source)
    functions = _HEADER.findall(code)
    if len(functions) != code.count("def ") or "def\t" in code or "def\\" in code:
        return False
    if any(_MUTABLE_DEFAULT.search(parameters.replace("\n", " ")) for _, parameters in functions):
        return False
    imports = _IMPORT.findall(code)
    code = _IMPORT.sub("", _HEADER.sub("", code))
    if _PLACE.search(code) or _TOP_LEVEL.search(code):
        return False
    called = {name for name, _ in functions}
    called.update(_last_words(names for _, names in imports))
    modules = _last_words(names for names, _ in imports)
    return not _used_as_object(code, called, modules)


def _last_words(lists: object) -> set[str]:
    return {words.split()[-1] for names in lists for words in names.split(",") if words.strip()}  # type: ignore[attr-defined]


def _used_as_object(code: str, called: set[str], modules: set[str]) -> bool:
    """Return whether a function is used other than by calling it, or a module other than by its functions and
    constants: they stay from call to call, and whoever has them as objects can leave something there."""
    if not called.isdisjoint(_NOT_CALLED.findall(code)):
        return True
    return bool(modules) and not modules.isdisjoint(_NOT_A_PART.findall(code))
