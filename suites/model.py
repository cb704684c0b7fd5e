"""Problem and Suite: what a model is asked, and how an answer is checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple


class Checks(NamedTuple):
    """A problem's checks once its reference has answered.

    `base_checks` of them are the base. `mode` carries their data (None leaves it to their form). `left_out` counts the
    inputs that the reference itself has no answer to. `inputs` are the numbers of the inputs that the checks run, None
    for a check that runs none, or several.
    """

    checks: tuple[str, ...]
    base_checks: int
    mode: Literal["split", "shared"] | None
    left_out: int
    inputs: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Oracle:
    """Checks that want the answers of a reference solution first.

    `program` is the whole reference; running it and then `driver(first, end, part)` prints its answers to the inputs
    from `first` up to `end`, as far as they fit into what is shown of an output (suites/evalplus/driver.py says how).
    `make_checks` turns all `n_inputs` answers into the problem's checks. `key` names, by its content, everything that
    decides the answers, so that they can be kept. What runs programs does all this:
    harness/evaluation/expected_values.py.
    """

    key: str
    program: str
    driver: Callable[[int, int, int], str]
    make_checks: Callable[[str], Checks]
    n_inputs: int


@dataclass(frozen=True, slots=True)
class Problem:
    """One programming problem.

    `prompt` is the code a completion continues (signature and docstring); `prompt + canonical_solution` is a
    whole, correct program. `checks` are Python sources run in order after the program, in its namespace; a
    problem passes when none of them raises. `instruction` is the chat form of the problem; when empty, the
    prompt itself is asked for. `lead` is what a model that completes reads before the prompt and what is no part of the
    program, such as a task in words. `family` labels a breakdown and is empty where a suite has none.

    The first `base_checks` checks are a score of their own (HumanEval within HumanEval+), 0 where there is none; such
    checks stop at the first that fails, so that `checks_passed >= base_checks` says whether the base was passed.
    `oracle` is what the checks still have to be made with. `left_out` counts inputs that are not checked because the
    reference needs more memory for them than a program may use.

    What the reference solution shows before any answer is judged (harness/evaluation/ground_truth.py) stands in the
    last five: the `mode` that judges this problem; the CPU seconds for an answer and for its single checks, 0 and
    empty where the caller's limit holds; `stateful`, where the reference's own answers hang on the order of the
    questions; and why nothing can be measured with this problem, which is empty where something can.

    `statement` is the task as its data has it, for finding copies of it, where `lead` and `prompt` also hold what
    belongs to a style: a template's words, other problems as examples.
    """

    id: str
    prompt: str
    entry_point: str
    checks: tuple[str, ...]
    canonical_solution: str = ""
    instruction: str = ""
    family: str = ""
    base_checks: int = 0
    oracle: Oracle | None = None
    left_out: int = 0
    lead: str = ""
    statement: str = ""
    mode: Literal["split", "shared"] | None = None
    cpu_s: float = 0.0
    check_cpu_s: tuple[float, ...] = ()
    stateful: bool = False
    unmeasured: str = ""


@dataclass(frozen=True, slots=True)
class Suite:
    """Problems with their provenance.

    `revision` starts with the sha256 of the data the problems were read from, so two runs can prove they answered the
    same ones; what else decides prompts or verdicts (a style, a profile, a limit) follows it. `source` says where the
    data came from, for people: a path, a package with its version, a hub id with its commit. `stop` are the strings
    that end a bare completion. `packages` are the importable packages the problems need inside the sandbox, beyond
    the standard library.
    """

    name: str
    revision: str
    problems: tuple[Problem, ...]
    stop: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    source: str = ""

    def by_id(self) -> dict[str, Problem]:
        return {p.id: p for p in self.problems}


# What suites raise.


class SuiteError(ValueError):
    """A suite's data is missing or malformed; the message names file, line and field, and what to do."""


# What a model is asked. One builder for every backend; the model's own chat template is applied by its generator.


def chat_messages(problem: Problem) -> list[dict[str, str]]:
    """The problem as one user turn: its instruction, or its prompt where it has none. No system turn is added: a
    template that has a default one, as Qwen2.5's has, adds it itself."""
    return [{"role": "user", "content": problem.instruction or problem.prompt}]


def completion_prompt(problem: Problem) -> str:
    """Return the prompt of a model that completes; its completion follows `problem.prompt` in the program."""
    return problem.lead + problem.prompt
