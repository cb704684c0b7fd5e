"""A user's own suite: one JSON object a line.

| field | type | meaning |
|---|---|---|
| `id` | string, unique | what samples call `task_id` |
| `prompt` | string | code that a completion continues: imports, signature, docstring |
| `entry_point` | string | the function under test |
| `checks` | list of strings, at least one | Python sources run in order after the program; a raise is a failed check |
| `canonical_solution` | string, optional | continues `prompt` to a correct program |
| `instruction` | string, optional | the chat form of the problem; the prompt itself where absent |
| `family` | string, optional | a label for the breakdown |

An unknown field is an error, so that a misspelt one is not silently ignored.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from assay.suites import SUITES
from assay.suites.jsonlines import LineError, read_objects
from assay.suites.model import Problem, Suite, SuiteError


class Row(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    id: str = Field(min_length=1)
    prompt: str
    entry_point: str = Field(pattern=r"^[^\W\d]\w*$")
    checks: list[str] = Field(min_length=1)
    canonical_solution: str = ""
    instruction: str = ""
    family: str = ""


def describe(error: ValidationError) -> str:
    """The first problem of a row: the field, what is wrong with it and the value found."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    return f"field {field!r}: {first['msg']} (got {first['input']!r:.80})"


@SUITES.register("jsonl")
def load(*, path: Path | None, split: str | None) -> Suite:
    if path is None:
        raise SuiteError("the suite 'jsonl' reads a file: give its path (--suite-path FILE)")
    if split is not None:
        raise SuiteError(f"the suite 'jsonl' has no splits, got split {split!r}: use one file a split")
    if not path.is_file():
        raise SuiteError(f"no such file: {path}")
    problems: dict[str, Problem] = {}
    for number, row in read_objects(path):
        if isinstance(row, LineError):
            raise SuiteError(str(row))
        try:
            parsed = Row.model_validate(row)
        except ValidationError as error:
            raise SuiteError(f"{path}, line {number}: {describe(error)}") from None
        if parsed.id in problems:
            raise SuiteError(f"{path}, line {number}: field 'id': {parsed.id!r} was used before")
        problems[parsed.id] = Problem(**(parsed.model_dump() | {"checks": tuple(parsed.checks)}))
    if not problems:
        raise SuiteError(f"{path} holds no problems")
    return Suite(path.stem, hashlib.sha256(path.read_bytes()).hexdigest(), tuple(problems.values()))
