"""The sandbox's nouns: what goes in (Program, Limits) and what comes out (Verdict, Outcome)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

Mode = Literal["split", "shared"]


class Outcome(StrEnum):
    """The end of a program. A closed set; only PASS counts as passed, and INFRA never counts at all."""

    PASS = "pass"
    FAIL = "fail"  # a check's assertion did not hold
    ERROR = "error"  # the candidate raised, did not compile, or ended by itself (exit, signal)
    TIMEOUT = "timeout"  # CPU or wall limit; `detail` says which
    MEMORY = "memory"
    OUTPUT = "output"  # wrote more than the output limit
    INFRA = "infra"  # our fault or the machine's: never a verdict on the program


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one program. CPU time decides; wall time is the backstop, so that load flips no verdict."""

    cpu_s: float = 5.0
    wall_s: float = 20.0
    memory_bytes: int = 1 << 30
    output_bytes: int = 1 << 20
    processes: int = 32
    file_bytes: int = 16 << 20


@dataclass(frozen=True, slots=True)
class Program:
    """One candidate with its checks.

    `candidate` is the whole program under test; `checks` are sources run after it, in order, in its namespace.
    Each check that raises is a failed check; all are run, so that a partial score exists.

    `prelude` is trusted source that the checks may use the names of, such as the problem's own prompt: split mode
    runs it in the judge. `mode` says how this program has to be judged; None leaves it to what its checks need.

    `check_cpu_s` limits the CPU seconds of single checks, one for each of `checks`; empty leaves them to
    `limits.cpu_s`, the limit of all of them together. What they leave of that limit is the time to load the candidate.

    In split mode, checks that are only questions are asked in an order that is drawn for each program, and where that
    leaves much to chance a pass is confirmed in a fresh candidate. `stateful` turns both off: it says that a right
    program's answers may hang on the order in which it is asked. That is so where the problem's reference solution
    ends otherwise than with `stateful=True`, as `fail` with the note "stateful" mostly. The first `base_checks` are
    asked before the others.
    """

    id: str
    candidate: str
    checks: tuple[str, ...]
    entry_point: str = ""
    limits: Limits = field(default_factory=Limits)
    prelude: str = ""
    mode: Mode | None = None
    check_cpu_s: tuple[float, ...] = ()
    stateful: bool = False
    base_checks: int = 0


Note = Literal["near_limit", "not_data", "stateful"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one Program. Times in seconds, memory in bytes; `output` is stdout and stderr, capped.

    `notes` say what a reader of the outcome should know: "near_limit" that it ended within 20 % of a limit of time and
    was judged again with nothing else running; "not_data" that its checks met something that cannot cross between judge
    and candidate; "stateful" that its answers depended on the order of the questions.
    """

    id: str
    outcome: Outcome
    detail: str = ""
    checks_passed: int = 0
    checks_total: int = 0
    cpu_s: float = 0.0
    wall_s: float = 0.0
    peak_bytes: int = 0
    mode: Mode = "shared"
    output: str = ""
    notes: tuple[Note, ...] = ()

    @property
    def passed(self) -> bool:
        return self.outcome is Outcome.PASS
