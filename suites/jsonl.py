"""The suite `jsonl`: a user's own problems, one JSON object a line (docs/reference.md has the table of fields).

An unknown field is an error, so that a misspelt one is not silently ignored; fields of one's own stand in `metadata`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from assay.suites import SUITES
from assay.suites.model import Problem, Suite, SuiteError
from assay.suites.sources import read_lines
from assay.suites.validation import Words, explain, field


class ProblemRow(BaseModel):
    """One line of a problems file."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)

    id: str = Field(min_length=1)
    """The problem's name, unique in the file; samples call it `task_id`."""
    prompt: str
    """The code that a completion continues: imports, signature, docstring."""
    entry_point: Annotated[str, Field(pattern=r"^[^\W\d]\w*$"), Words("a Python identifier")]
    """The name of the function under test."""
    checks: list[str] = Field(min_length=1)
    """Python sources that are run in order after the program; an exception is a failed check."""
    canonical_solution: str = ""
    """Code that continues `prompt` to a correct program."""
    instruction: str = ""
    """The problem as a chat message; left out, the prompt itself."""
    family: str = ""
    """A label by which results are broken down."""
    metadata: dict[str, Any] = Field(default_factory=dict)
    """Fields of your own, of any shape; Assay reads none of them."""


@SUITES.register("jsonl")
def load(*, path: Path | None, split: str | None) -> Suite:
    """Return the problems of a JSON Lines file. Raises SuiteError that names file, line, field and value."""
    if path is None:
        raise SuiteError("the suite 'jsonl' reads a file: give its path (--suite-path FILE)")
    if split is not None:
        raise SuiteError(f"the suite 'jsonl' has no splits, got split {split!r}: use one file a split")
    if not path.is_file():
        raise SuiteError(f"no such file: {path}")
    problems: dict[str, Problem] = {}
    for where, row in read_lines(path):
        try:
            parsed = ProblemRow.model_validate(row)
        except ValidationError as error:
            unknown = any(item["type"] == "extra_forbidden" for item in error.errors())
            advice = "; fields of your own go under 'metadata'" if unknown else ""
            raise SuiteError(f"{where}: {explain(error, ProblemRow, field)}{advice}") from None
        if parsed.id in problems:
            raise SuiteError(f"{where}: field 'id': {parsed.id!r} was used before: give each problem its own")
        fields = parsed.model_dump(exclude={"metadata"}) | {"checks": tuple(parsed.checks)}
        problems[parsed.id] = Problem(**fields)
    if not problems:
        raise SuiteError(f"{path} holds no problems: write one JSON object a line")
    return Suite(path.stem, hashlib.sha256(path.read_bytes()).hexdigest(), tuple(problems.values()))
