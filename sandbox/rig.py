"""A rig runs programs to verdicts, one after the other; a worker holds one per mode and keeps it fed."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from sandbox import verdicts
from sandbox.cell import wire
from sandbox.cells import Cell
from sandbox.model import Program, Verdict
from sandbox.needs import Needs

# What a cell may take beyond a sample's wall limit (fork, kill, tidy) before it is given up.
GRACE_S = 10.0
# The judge starts before the candidate and outlasts it, so that the candidate's wall limit is the one that counts.
_JUDGE_LAG_S = 2.0


class Trial(NamedTuple):
    """One verdict, or None when the checks need shared mode after all; whether a loaded machine could have
    decided it; and whether the rig is to be thrown away."""

    verdict: Verdict | None
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
        response = _answer(self._cell, program, sequence)
        verdict = verdicts.verdict_of(program, response, mode="shared")
        retire = bool(response.flags & wire.RETIRE)
        return Trial(verdict, verdicts.needs_quiet(program.limits, response), retire)

    def abort(self) -> None:
        self._cell.abort()

    def close(self) -> None:
        self._cell.close()


class SplitRig:
    """Two cells that share a channel: one judges, the other runs the candidate."""

    def __init__(self, judge: Cell, candidate: Cell, needs_of: Callable[[Program], Needs]) -> None:
        self._judge = judge
        self._candidate = candidate
        self._needs_of = needs_of

    def send(self, program: Program, sequence: int) -> None:
        for_judge, for_candidate = verdicts.split_bodies(program, self._needs_of(program))
        self._judge.send(verdicts.request_for(program, sequence, for_judge, extra_wall_s=_JUDGE_LAG_S))
        self._candidate.send(verdicts.request_for(program, sequence, for_candidate))

    def receive(self, program: Program, sequence: int) -> Trial:
        candidate = _answer(self._candidate, program, sequence)
        judge = _answer(self._judge, program, sequence)
        verdict = verdicts.split_verdict(program, judge, candidate)
        quiet = verdicts.needs_quiet(program.limits, candidate) or verdicts.needs_quiet(program.limits, judge)
        return Trial(verdict, quiet, bool((judge.flags | candidate.flags) & wire.RETIRE))

    def abort(self) -> None:
        self._judge.abort()
        self._candidate.abort()

    def close(self) -> None:
        self._judge.close()
        self._candidate.close()


def _answer(cell: Cell, program: Program, sequence: int) -> wire.Response:
    response = cell.receive(program.limits.wall_s + GRACE_S)
    if response.sequence != sequence:
        raise EOFError(f"the cell answered {response.sequence} where {sequence} was asked")
    return response
