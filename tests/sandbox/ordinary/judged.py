"""The ordinary problems judged: each with the verdicts of its programs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from assay.sandbox import Sandbox, Verdict
from tests.sandbox.ordinary.problems import Problem, Role


@dataclass(frozen=True, slots=True)
class Judged:
    """A problem, and its programs' verdicts in the programs' order."""

    problem: Problem
    verdicts: tuple[tuple[Role, Verdict], ...]

    @property
    def right(self) -> Verdict:
        """The verdict on the right program: the first that does not pass, where there are several."""
        rights = [verdict for role, verdict in self.verdicts if role == "right"]
        return next((verdict for verdict in rights if not verdict.passed), rights[0])

    @property
    def right_passes(self) -> bool:
        return self.right.passed

    @property
    def wrong_passes(self) -> list[Verdict]:
        return [verdict for role, verdict in self.verdicts if role != "right" and verdict.passed]

    @property
    def mode(self) -> str:
        return self.right.mode


def judge_all(sandbox: Sandbox, problems: Iterable[Problem]) -> list[Judged]:
    problems = list(problems)
    programs = [problem.programs() for problem in problems]
    verdicts = {v.id: v for v in sandbox.run(program for own in programs for _, program in own)}
    return [
        Judged(problem, tuple((role, verdicts[program.id]) for role, program in own))
        for problem, own in zip(problems, programs, strict=True)
    ]
