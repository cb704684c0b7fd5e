"""A program on its way through the cells: who waits for it, and how it is to be judged the next time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from assay.sandbox.errors import SandboxError
from assay.sandbox.host import verdicts
from assay.sandbox.host.cells import CellPair, Trial
from assay.sandbox.host.orders import Questioning
from assay.sandbox.model import Mode, Program, Verdict


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
