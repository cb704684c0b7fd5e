"""EvalPlus-form suites: inputs, a reference solution that is the oracle, and EvalPlus' own rules of comparison."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from assay.suites import SUITES, load_suite
from assay.suites.evalplus.build import make_oracle
from assay.suites.evalplus.inputs import mbpp_arguments
from assay.suites.evalplus.profile import DEFAULT, PROFILES, Profile
from assay.suites.humaneval import CHAT
from assay.suites.model import Problem, Suite, SuiteError
from assay.suites.sources import Origin, Rows, parse, read_source, unique

# HumanEval+ and MBPP+ (Liu et al. 2023, arXiv 2305.01210) from EvalPlus' release files.
#
# A row holds inputs and a reference solution; the reference's answers are what is expected. The base inputs are the
# original benchmark's, so one evaluation gives both scores: a sample passes where it is right on base and plus inputs,
# and passes the base where it is right on the base inputs.

# The stop strings with which EvalPlus ends completions of base models.
STOP = tuple(
    f"\n{start}"
    for start in ("def ", "class ", "import ", "from ", "assert ", "```", "if __name__", "print(", '"""')
)
RELEASES = "https://github.com/evalplus/{}_release/releases"
MBPP = Origin(
    "mbpp+",
    ("MbppPlus.jsonl.gz", "MbppPlus-v0.2.0.jsonl.gz", "MbppPlus-v0.1.0.jsonl.gz", "MbppPlus.jsonl"),
    RELEASES.format("mbppplus"),
)
HUMANEVAL = Origin(
    "humaneval+",
    tuple(
        f"HumanEvalPlus{version}"
        for version in (".jsonl.gz", "-v0.1.10.jsonl.gz", "-v0.1.9.jsonl.gz", ".jsonl")
    ),
    RELEASES.format("humanevalplus"),
)


class Row(BaseModel):
    """A row of a release file; `contract` and `assertion` are not needed to judge, further fields are left alone."""

    model_config = ConfigDict(strict=True)

    task_id: str = Field(pattern=r"^\w+/\d+$")
    prompt: str
    entry_point: str = Field(pattern=r"^[^\W\d]\w*$")
    canonical_solution: str
    base_input: list[list[Any]] = Field(min_length=1)
    plus_input: list[list[Any]]
    atol: float = Field(ge=0, strict=False)


class EarlyRow(BaseModel):
    """A row of HumanEvalPlusInputs.jsonl (April 2023), which has the added inputs only."""

    model_config = ConfigDict(strict=True, extra="forbid")

    task_id: str = Field(pattern=r"^HumanEval[_/]\d+$")
    inputs: list[list[Any]] = Field(min_length=1)


@SUITES.register("mbpp+")
def load_mbpp(*, path: Path | None, split: str | None, compat: str = DEFAULT) -> Suite:
    """MBPP+; `compat` names the EvalPlus release whose rules decide."""
    return _released("mbpp", MBPP, path, split, compat, mbpp_arguments)


@SUITES.register("humaneval+")
def load_humaneval(*, path: Path | None, split: str | None, compat: str = DEFAULT) -> Suite:
    """HumanEval+, from a release file or from the inputs-only file of April 2023."""
    return _released("humaneval", HUMANEVAL, path, split, compat, lambda task_id, arguments: arguments)


def _released(
    suite: str,
    origin: Origin,
    path: Path | None,
    split: str | None,
    compat: str,
    convert: Callable[[str, list[Any]], list[Any]],
) -> Suite:
    if split not in (None, "test"):
        raise SuiteError(f"{origin.suite} has only the split 'test', not {split!r}")
    if compat not in PROFILES:
        raise SuiteError(f"unknown profile {compat!r}; known: {', '.join(PROFILES)}")
    profile = PROFILES[compat]
    rows = read_source(origin, path)
    if suite == "humaneval" and "inputs" in rows.rows[0][1]:
        problems = _early(rows, profile)
    else:
        problems = []
        seen: set[str] = set()
        for place, values in rows:
            if values.get("plus_input") == {}:  # and not a list, where a problem has no added inputs
                values = values | {"plus_input": []}
            row = parse(Row, values, place)
            unique(seen, row.task_id, place)
            problems.append(_problem(suite, row, profile, convert, place))
    return Suite(origin.suite, f"{rows.revision}:{profile.name}", tuple(problems), STOP, source=rows.source)


def _problem(
    suite: str, row: Row, profile: Profile, convert: Callable[[str, list[Any]], list[Any]], place: str
) -> Problem:
    try:
        base = [convert(row.task_id, arguments) for arguments in row.base_input]
        plus = [convert(row.task_id, arguments) for arguments in row.plus_input]
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise SuiteError(
            f"{place}: inputs of {row.task_id} are not what its function takes: {error}"
        ) from None
    return Problem(
        id=row.task_id,
        prompt=row.prompt,
        entry_point=row.entry_point,
        checks=(),
        canonical_solution=row.canonical_solution,
        instruction=f"{CHAT}\n```python\n{row.prompt.strip()}\n```",
        base_checks=len(base),
        oracle=make_oracle(
            suite=suite,
            program=row.prompt + row.canonical_solution,
            entry_point=row.entry_point,
            base=base,
            plus=plus,
            atol=row.atol,
            profile=profile,
        ),
    )


def _early(rows: Rows, profile: Profile) -> list[Problem]:
    """HumanEval's own check is the base; problems that the file lacks have nothing more."""
    inputs: dict[str, list[list[Any]]] = {}
    original = load_suite("humaneval")
    for place, values in rows:
        row = parse(EarlyRow, values, place)
        task_id = row.task_id.replace("_", "/")
        unique(set(inputs), task_id, place)
        if task_id not in original.by_id():
            raise SuiteError(f"{place}: field 'task_id': {row.task_id!r} is no problem of HumanEval")
        inputs[task_id] = row.inputs
    return [_early_problem(problem, inputs.get(problem.id, []), profile) for problem in original.problems]


def _early_problem(problem: Problem, inputs: list[list[Any]], profile: Profile) -> Problem:
    (first,) = problem.checks
    oracle = make_oracle(
        suite="humaneval",
        program=problem.prompt + problem.canonical_solution,
        entry_point=problem.entry_point,
        base=[],
        plus=inputs,
        # What later releases say of the one problem that has a tolerance: HumanEval/32, whose root is searched.
        atol=1e-4 if problem.entry_point == "find_zero" else 0,
        profile=profile,
        first=first,
        # The file is from before EvalPlus' contracts: some of its inputs are not what the function is for.
        lenient=True,
    )
    return replace(problem, checks=(), base_checks=1, oracle=oracle)
