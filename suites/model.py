"""Problem and Suite: what a model is asked, and how an answer is checked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One programming problem.

    `prompt` is the code a completion continues (signature and docstring); `prompt + canonical_solution` is a
    whole, correct program. `checks` are Python sources run in order after the program, in its namespace; a
    problem passes when none of them raises. `instruction` is the chat form of the problem; when empty, the
    prompt itself is asked for. `family` labels a breakdown and is empty where a suite has none.
    """

    id: str
    prompt: str
    entry_point: str
    checks: tuple[str, ...]
    canonical_solution: str = ""
    instruction: str = ""
    family: str = ""


@dataclass(frozen=True, slots=True)
class Suite:
    """Problems with their provenance.

    `revision` is the sha256 of the data the problems were read from, so two runs can prove they answered the
    same ones. `stop` are the strings that end a bare completion. `packages` are the importable packages the
    problems need inside the sandbox, beyond the standard library.
    """

    name: str
    revision: str
    problems: tuple[Problem, ...]
    stop: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()

    def by_id(self) -> dict[str, Problem]:
        return {p.id: p for p in self.problems}
