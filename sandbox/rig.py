"""A rig runs one program at a time to a verdict; a worker holds one per mode and keeps it fed."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from sandbox import verdicts
from sandbox.cells import Cell
from sandbox.model import Program, Verdict

# What a cell may take beyond a sample's wall limit (fork, kill, tidy) before it is given up.
GRACE_S = 10.0


class Trial(NamedTuple):
    """One verdict; whether a loaded machine could have decided it, and whether the rig is to be thrown away."""

    verdict: Verdict
    needs_quiet: bool
    retire: bool


class Rig(Protocol):
    """Programs are answered in the order in which they were sent. EOFError says that the rig is broken."""

    def send(self, program: Program, sequence: int) -> None: ...

    def receive(self, program: Program, sequence: int) -> Trial: ...

    def abort(self) -> None: ...

    def close(self) -> None: ...


class SharedRig:
    """One cell, in which a candidate runs together with its checks."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    def send(self, program: Program, sequence: int) -> None:
        self._cell.send(verdicts.request_for(program, sequence, verdicts.shared_body(program)))

    def receive(self, program: Program, sequence: int) -> Trial:
        response = self._cell.receive(program.limits.wall_s + GRACE_S)
        if response.sequence != sequence:
            raise EOFError(f"the cell answered {response.sequence} where {sequence} was asked")
        oom = self._cell.ran_out_of_memory()
        verdict = verdicts.verdict_of(program, response, oom=oom, mode="shared")
        return Trial(verdict, verdicts.needs_quiet(program.limits, response), bool(response.retire))

    def abort(self) -> None:
        self._cell.abort()

    def close(self) -> None:
        self._cell.close()
