"""Results of EvalPlus, BigCodeBench and LiveCodeBench."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from assay.harness.decide.naming import suite_of_id
from assay.harness.decide.readers.read import READERS
from assay.harness.decide.readers.source import Source
from assay.harness.decide.results import UNNAMED, Answer, Results

PASSED = ("pass", "success")  # EvalPlus 0.1 wrote "success"
LIVECODEBENCH = "livecodebench"


def _rows(source: Source) -> Iterator[tuple[str, Any]]:
    """Yield (problem, its rows) of a file whose `eval` has them by problem."""
    value = source.json
    evaluated = value.get("eval") if isinstance(value, dict) else None
    if not isinstance(evaluated, dict):
        raise source.error("", f"field 'eval' is not an object: {evaluated!r:.80}")
    yield from evaluated.items()


@READERS.register("evalplus")
def read_evalplus(source: Source, /) -> list[Results]:
    """EvalPlus' `*_eval_results.json`: a sample passes the + suite if it passed the suite's own checks as well.

    Of the first versions' form a problem holds `base` and `plus`, lists of [status, details].
    """
    collector = source.collector("evalplus")
    for problem, rows in _rows(source):
        base = suite_of_id(problem) or UNNAMED
        plus = f"{base}+"
        collector.versions[base] = collector.versions[plus] = str(source.json.get("hash") or "")
        for number, (row, statuses) in enumerate(_statuses(source, problem, rows)):
            if not isinstance(statuses[0], str):
                raise source.error(f"{problem}, sample {number}", f"no status: {statuses[0]!r:.80}")
            passed = statuses[0] in PASSED
            collector.add(problem, passed, suite=base, answer=partial(_answer, row, statuses[0]))
            if statuses[1] is not None:
                both = passed and statuses[1] in PASSED
                status = statuses[0] if not passed else statuses[1]
                collector.add(problem, both, suite=plus, answer=partial(_answer, row, status))
    return collector.results()


def _statuses(source: Source, problem: str, rows: Any) -> Iterator[tuple[Any, tuple[Any, Any]]]:
    """Yield (row, (status of the base checks, status of the + checks or None)) of each sample."""
    if isinstance(rows, dict) and isinstance(rows.get("base"), list):
        plus = rows.get("plus") or [None] * len(rows["base"])
        if len(plus) != len(rows["base"]) or not all(isinstance(one, list) and one for one in rows["base"]):
            raise source.error(problem, "'base' and 'plus' are not [status, details] of each sample")
        for one, other in zip(rows["base"], plus, strict=True):
            yield {}, (one[0], None if other is None else other[0])
    elif isinstance(rows, list):
        for row in rows:
            if not isinstance(row, dict):
                raise source.error(problem, f"a sample is not an object: {row!r:.80}")
            yield row, (row.get("base_status"), row.get("plus_status"))
    else:
        raise source.error(problem, f"expected a list of samples, got {type(rows).__name__}")


def _answer(row: Mapping[str, Any], outcome: str, detail: str = "") -> Answer:
    return Answer(str(row.get("solution") or row.get("completion") or ""), outcome, detail)


@READERS.register("bigcodebench")
def read_bigcodebench(source: Source, /) -> list[Results]:
    """BigCodeBench's `*_eval_results.json`: a sample has a `status` and `details` of the tests that failed."""
    collector = source.collector("bigcodebench")
    hard = "hard" in source.path.name.lower()
    for problem, rows in _rows(source):
        if not isinstance(rows, list):
            raise source.error(problem, f"expected a list of samples, got {type(rows).__name__}")
        suite = suite_of_id(problem)
        suite = "bigcodebench-hard" if hard and suite == "bigcodebench" else suite
        for number, row in enumerate(rows):
            status = row.get("status") if isinstance(row, dict) else None
            if not isinstance(status, str):
                raise source.error(f"{problem}, sample {number}", f"no status: {row!r:.80}")
            details = row.get("details")
            failed = details.items() if isinstance(details, dict) else ()
            detail = "; ".join(f"{test}: {message}" for test, message in failed)
            collector.add(
                problem,
                status in PASSED,
                suite=suite,
                answer=partial(_answer, row, status, detail),
            )
    return collector.results()


@READERS.register("livecodebench")
def read_livecodebench(source: Source, /) -> list[Results]:
    """LiveCodeBench's `*_eval_all.json` (questions with a `graded_list`), or its `*_eval.json`, which numbers them."""
    collector = source.collector("livecodebench")
    value = source.json
    if not isinstance(value, list) or not value:
        raise source.error("", "expected a list of questions")
    if isinstance(value[0], dict) and "graded_list" not in value[0]:
        return _numbered(source, value)
    for number, row in enumerate(value):
        problem, graded = (
            (row.get("question_id"), row.get("graded_list")) if isinstance(row, dict) else (None, None)
        )
        if not isinstance(problem, str | int) or not isinstance(graded, list):
            raise source.error(
                f"question {number}", f"needs 'question_id' and a list 'graded_list': {row!r:.80}"
            )
        codes = row.get("code_list") or [""] * len(graded)
        if any(not isinstance(passed, bool) for passed in graded) or len(codes) != len(graded):
            raise source.error(
                f"question {problem}", f"'graded_list' is not a verdict of each answer: {graded!r:.80}"
            )
        for code, passed in zip(codes, graded, strict=True):
            collector.add(
                str(problem),
                passed,
                suite=LIVECODEBENCH,
                prompt=str(row.get("question_content") or ""),
                answer=partial(Answer, str(code or ""), "pass" if passed else "fail"),
            )
    return collector.results()


def _numbered(source: Source, value: list[Any]) -> list[Results]:
    """Return the results of an `*_eval.json`: [figures, {question: [a list of each sample's checks]}, metadata]."""
    collector = source.collector("livecodebench")
    if len(value) < 2 or not isinstance(value[1], dict):
        raise source.error("", "expected [figures, results by question, metadata]")
    for problem, samples in value[1].items():
        for number, checks in enumerate(samples if isinstance(samples, list) else [None]):
            if not isinstance(checks, list):
                raise source.error(
                    f"question {problem}, sample {number}", f"no list of checks: {checks!r:.80}"
                )
            passed = bool(checks) and all(c is True or (not isinstance(c, bool) and c > 0) for c in checks)
            collector.add(str(problem), passed, suite=LIVECODEBENCH)
    collector.notes.append("questions are known by their places: give *_eval_all.json, which names them")
    return collector.results()
