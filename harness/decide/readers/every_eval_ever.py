"""Results of Every Eval Ever: the samples beside a record, `UUID_samples.jsonl`."""

from __future__ import annotations

from functools import partial
from typing import Any

from assay.harness.decide.naming import suite_name
from assay.harness.decide.readers.read import READERS
from assay.harness.decide.readers.source import Source
from assay.harness.decide.results import Answer, Results
from assay.suites.jsonlines import LineError, read_objects


@READERS.register("every-eval-ever")
def read_every_eval_ever(source: Source, /) -> list[Results]:
    """Every Eval Ever's samples: `evaluation.is_correct` is the verdict.

    A sample stands there once for each score that it counts in; those of the first are read.
    """
    collector = source.collector("every-eval-ever")
    scores: dict[str, dict[Any, None]] = {}
    for number, row in read_objects(source.path):
        if isinstance(row, LineError):
            raise source.error("", str(row))
        evaluation, problem = row.get("evaluation"), row.get("sample_id")
        passed = evaluation.get("is_correct") if isinstance(evaluation, dict) else None
        if not isinstance(passed, bool) or not isinstance(problem, str):
            raise source.error(
                f"line {number}", "needs a text 'sample_id' and a truth value 'evaluation.is_correct'"
            )
        name = str(row.get("evaluation_name") or "")
        results = scores.setdefault(name, {})
        results.setdefault(str(row.get("evaluation_result_id")))
        if str(row.get("evaluation_result_id")) != next(iter(results)):
            continue
        given = row.get("input")
        collector.add(
            problem,
            passed,
            model=str(row.get("model_id") or ""),
            suite=suite_name(name),
            prompt=str(given.get("raw") or "") if isinstance(given, dict) else "",
            answer=partial(_answer, row, passed),
        )
    for first, *others in scores.values():
        if others:
            collector.notes.append(f"read for the score {first!r}; left out: {', '.join(others)}")
    return collector.results()


def _answer(row: dict[str, Any], passed: bool) -> Answer:
    """Return the value that was taken from the reply, or the reply."""
    taken, output = row.get("answer_attribution"), row.get("output")
    last = taken[-1] if isinstance(taken, list) and taken else None
    text = last.get("extracted_value") if isinstance(last, dict) else None
    if text is None and isinstance(output, dict):
        raw = output.get("raw")
        text = raw[0] if isinstance(raw, list) and raw else None
    return Answer(str(text or ""), "pass" if passed else "fail", str(row.get("error") or ""))
