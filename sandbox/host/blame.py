"""Whose fault it is that cells end: the program's that ran in them, or the machine's.

A program that ends its cell, or keeps it from answering, is tried twice more, alone in a new cell each time. When that
ends these too, a control program that is known to pass goes the same way. It passes: the machine is well, and the
program has ended its cells, which is its verdict. It does not: nobody knows, and the program is unmeasured.

Without this a program that ends its cell on purpose would count in no score, and a model that does so whenever it does
not know the answer would be right always.
"""

from __future__ import annotations

from typing import Any

from assay.sandbox.errors import SandboxError
from assay.sandbox.host import verdicts
from assay.sandbox.host.jobs import Job
from assay.sandbox.model import Limits, Outcome, Program, Verdict

ATTEMPTS = 3  # the first of them not alone

_CHECK = "assert double(21) == 42"


def control(name: str, answer: str, limits: Limits) -> Program:
    """Return a program whose verdict is known: it passes where `answer` is "2 * x"."""
    return Program(name, f"def double(x):\n    return {answer}\n", (_CHECK,), "double", limits)


class ControlRun:
    """A batch of one control program, whose end decides on a suspect."""

    def __init__(self, suspect: Job) -> None:
        self._suspect = suspect
        self.program = control("control-after-cells-ended", "2 * x", suspect.program.limits)

    @property
    def cancelled(self) -> bool:
        return bool(self._suspect.batch.cancelled)

    def settle(self, _ticket: Any, _program: Program, result: Verdict | SandboxError | None) -> None:
        """Settle the suspect: by a verdict where the control has one, else as the control was settled."""
        suspect = self._suspect
        if isinstance(result, Verdict):
            result = self._verdict(result)
        suspect.batch.settle(suspect.ticket, suspect.program, result)

    def _verdict(self, of_control: Verdict) -> Verdict:
        suspect = self._suspect
        pairs, reasons = zip(*suspect.endings, strict=True)
        if of_control.outcome is not Outcome.PASS:
            reason = f"the cell died or did not answer in {ATTEMPTS} attempts, and under a control program"
            return verdicts.infra(suspect.program, f"{reason}: {reasons[-1]}", suspect.mode)
        alone = pairs[1:]
        for_memory = any(pair.killed_for_memory for pair in alone if pair is not None)
        return verdicts.ended_cells(
            suspect.program, suspect.mode, len(alone), reasons[-1], for_memory=for_memory
        )
