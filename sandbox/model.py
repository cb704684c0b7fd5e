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
    """

    id: str
    candidate: str
    checks: tuple[str, ...]
    entry_point: str = ""
    limits: Limits = field(default_factory=Limits)
    prelude: str = ""
    mode: Mode | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one Program. Times in seconds, memory in bytes; `output` is stdout and stderr, capped."""

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

    @property
    def passed(self) -> bool:
        return self.outcome is Outcome.PASS
