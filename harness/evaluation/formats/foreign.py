"""Readers of other formats: lm-eval's log, CodeT's lists, bigcode's generations, EvalPlus' folders, and Parquet."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from assay.harness.evaluation.formats.read import (
    READERS,
    MalformedRow,
    RawSample,
    form_of_row,
    malformed,
    table_in,
)
from assay.suites import Suite
from assay.suites.extraction.extract import FORMS, Form
from assay.suites.jsonlines import LineError, read_objects
from assay.suites.model import completion_prompt

_BATCH = 1024  # rows of a Parquet file


@READERS.register("lm-eval")
def read_lm_eval(path: Path, _suite: Suite, /) -> Iterator[RawSample | MalformedRow]:
    """lm-evaluation-harness' `samples_*.jsonl` (`--log_samples`).

    `filtered_resps` is what lm-eval itself executed, so it is taken for a whole program; where it is missing or a
    plain copy of `resps` that does not begin with the document's prompt, it follows that prompt. A file that was
    scored through several filters holds every answer once for each: the first filter's are read.
    """
    first: Any = None
    for number, row in read_objects(path):
        place = f"line {number}"
        if isinstance(row, LineError):
            yield MalformedRow(str(row))
            continue
        doc = row.get("doc")
        if not isinstance(doc, dict):
            yield malformed(path, place, f"field 'doc' is not an object: {doc!r:.80}")
            continue
        first = row.get("filter") if first is None else first
        if row.get("filter") != first:
            yield malformed(
                path,
                place,
                f"field 'filter': {row.get('filter')!r:.80} is a second one; answers are read through {first!r:.80}",
            )
            continue
        field, texts = _responses(row)
        if not texts:
            yield malformed(path, place, "fields 'filtered_resps' and 'resps' hold no answer")
        for text in texts:
            follows = _follows_prompt(doc.get("prompt"), text, _flat(row.get("resps")))
            form = FORMS[0] if follows else FORMS[1]
            yield RawSample(number, place, doc.get("task_id"), text, form, field, "doc.task_id")


def _responses(row: dict[str, Any]) -> tuple[str, list[Any]]:
    for field in ("filtered_resps", "resps"):
        texts = _flat(row.get(field))
        if texts:
            return field, texts
    return "resps", []


def _flat(value: Any) -> list[Any]:
    """lm-eval nests answers by request and by repeat, as far as its filters left them nested."""
    if not isinstance(value, list):
        return [] if value is None else [value]
    return [inner for item in value for inner in (_flat(item) if isinstance(item, list) else [item])]


def _follows_prompt(prompt: Any, text: Any, raw: list[Any]) -> bool:
    """Return whether `text` is an answer as the model gave it, to a prompt that it has to be put after."""
    if not isinstance(prompt, str) or not isinstance(text, str) or not prompt:
        return False
    return text in raw and not text.startswith(prompt)


@READERS.register("codet")
def read_codet(path: Path, _suite: Suite, /) -> Iterator[RawSample | MalformedRow]:
    """microsoft/CodeT's published samples: a line holds `task_id`, a `prompt` of its own, and a list `samples` of
    what follows that prompt."""
    for number, row in read_objects(path):
        if isinstance(row, LineError):
            yield MalformedRow(str(row))
            continue
        prompt, samples = row.get("prompt"), row.get("samples")
        if not isinstance(prompt, str) or not isinstance(samples, list):
            field, value = ("samples", samples) if isinstance(prompt, str) else ("prompt", prompt)
            kind = "a list" if field == "samples" else "a string"
            yield malformed(path, f"line {number}", f"field {field!r} is not {kind}: {value!r:.80}")
            continue
        for place, text in enumerate(samples):
            program = prompt + text if isinstance(text, str) else text
            at = f"line {number}, sample {place}"
            yield RawSample(number, at, row.get("task_id"), program, "solution", f"samples.{place}")


@READERS.register("bigcode")
def read_bigcode(path: Path, suite: Suite, /) -> Iterator[RawSample | MalformedRow]:
    """bigcode-evaluation-harness' generations: one JSON list with a list of whole programs for each problem, in order.

    Row i of the list belongs to problem i of the suite. A row or sample of another type is a MalformedRow, and so are
    rows that no problem is left for. The file is held in memory, as bigcode holds it."""
    ids = [problem.id for problem in suite.problems]
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            rows = json.load(file)
    except (OSError, EOFError, ValueError, RecursionError, zlib.error) as error:
        yield malformed(path, "", f"not JSON ({error})")
        return
    if not isinstance(rows, list):
        yield malformed(path, "", f"expected a list of lists of programs, got {type(rows).__name__}")
        return
    for number, row in enumerate(rows, start=1):
        place = f"row {number}"
        if not isinstance(row, list):
            yield malformed(path, place, f"expected a list of programs, got {type(row).__name__}")
        elif number > len(ids):
            yield malformed(path, place, f"the suite {suite.name!r} has only {len(ids)} problems")
        else:
            for index, text in enumerate(row):
                at = f"{place}, sample {index}"
                yield RawSample(number, at, ids[number - 1], text, "solution", "program")


def _in_order(name: str) -> tuple[int, str]:
    """The sort key that puts 2.py before 10.py."""
    stem = name.removesuffix(".py")
    return (int(stem) if stem.isascii() and stem.isdigit() else 1 << 60, name)


@READERS.register("evalplus-folder")
def read_folder(path: Path, suite: Suite, /) -> Iterator[RawSample | MalformedRow]:
    """EvalPlus' folder form: `HumanEval_0/0.py`, `HumanEval_0/1.py`, …, each a whole program.

    Problems come in the suite's order, their files by number. A folder that is no problem's, and a file that is not
    text, is a MalformedRow; other files are left alone."""
    tasks = {problem.id.replace("/", "_"): problem.id for problem in suite.problems}
    present = {entry.name for entry in path.iterdir() if entry.is_dir()}
    for name in sorted(present - set(tasks)):
        if any(entry.endswith(".py") for entry in os.listdir(path / name)):
            yield malformed(path, f"folder {name}", f"is no problem of the suite {suite.name!r}")
    number = 0
    for name, task in tasks.items():
        files = os.listdir(path / name) if name in present else []
        for file in sorted((f for f in files if f.endswith(".py")), key=_in_order):
            number += 1
            try:
                text = (path / name / file).read_bytes().decode("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                yield malformed(path / name / file, "", f"cannot be read ({error})")
                continue
            yield RawSample(number, f"{name}/{file}", task, text, "solution", "file")


@READERS.register("parquet")
def read_parquet(path: Path, suite: Suite, /) -> Iterator[RawSample | MalformedRow]:
    """Read a run's `samples.parquet` or `verdicts.parquet`, or any table with our column names.

    A row holds `problem_id` (or `task_id`) and `completion`, `solution` or `reply`, or the `program` that a
    verdict was given on.

    In a run's own samples the column `completion` holds the model's text, chat answer or continuation: it was a
    continuation exactly if the row's `prompt`, the text that the model was given, is the prompt of a completing model.
    """
    import pyarrow.parquet as pq

    path = table_in(path)
    try:
        file = pq.ParquetFile(path)
    except (OSError, ValueError) as error:
        yield malformed(path, "", f"not a Parquet file ({error})")
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
                    yield _raw_sample(path, number, row, task_column, prompts)
        except (OSError, ValueError) as error:
            yield malformed(path, f"row {number + 1}", f"cannot be read from here on ({error})")


def _raw_sample(
    path: Path, number: int, row: dict[str, Any], task_column: str, prompts: dict[str, str]
) -> RawSample | MalformedRow:
    place = f"row {number}"
    task = row.get(task_column)
    if isinstance(row.get("program"), str):
        return RawSample(number, place, task, row["program"], "solution", "program", task_column)
    stated = form_of_row(row)
    if stated not in FORMS:
        return malformed(path, place, stated)
    form: Form = stated
    if form == "completion" and "prompt" in row and row["prompt"] != prompts.get(task or ""):
        form = "reply"
    return RawSample(number, place, task, row[stated], form, stated, task_column)
