"""Parquet: what a run stores (`samples.parquet`, `verdicts.parquet`), or any table with our column names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.samples.model import Fault, Found, fault, the_form
from suites import Suite
from suites.extract import FORMS, Form
from suites.prompts import completion_prompt

TABLES = ("samples.parquet", "verdicts.parquet")
_BATCH = 1024


def table_in(path: Path) -> Path:
    """The table that `path` means: itself, or the one in a step's folder."""
    if path.is_dir():
        return next((path / name for name in TABLES if (path / name).is_file()), path)
    return path


def read_parquet(path: Path, suite: Suite, /) -> Iterator[Found | Fault]:
    """A row holds `problem_id` (or `task_id`) and `completion`, `solution` or `reply`, or the `program` that a
    verdict was given on.

    In a run's own samples the column `completion` holds what the model said, chat answer or continuation: it was a
    continuation exactly if the row's `prompt`, what the model was given, is what a completing model gets.
    """
    import pyarrow.parquet as pq

    path = table_in(path)
    try:
        file = pq.ParquetFile(path)
    except (OSError, ValueError) as error:
        yield fault(path, "", f"not a Parquet file ({error})")
        return
    with file:
        columns = set(file.schema_arrow.names)
        task_column = "problem_id" if "problem_id" in columns else "task_id"
        used = [c for c in (task_column, *FORMS, "program", "prompt") if c in columns]
        prompts = {problem.id: completion_prompt(problem) for problem in suite.problems}
        number = 0
        try:
            for batch in file.iter_batches(_BATCH, columns=used):
                for row in batch.to_pylist():
                    number += 1
                    yield _found(path, number, row, task_column, prompts)
        except (OSError, ValueError) as error:
            yield fault(path, f"row {number + 1}", f"cannot be read from here on ({error})")


def _found(
    path: Path, number: int, row: dict[str, Any], task_column: str, prompts: dict[str, str]
) -> Found | Fault:
    place = f"row {number}"
    task = row.get(task_column)
    if isinstance(row.get("program"), str):
        return Found(number, place, task, row["program"], "solution", "program", task_column)
    given = the_form(row)
    if given not in FORMS:
        return fault(path, place, given)
    form: Form = given
    if form == "completion" and "prompt" in row and row["prompt"] != prompts.get(task or ""):
        form = "reply"
    return Found(number, place, task, row[given], form, given, task_column)
