"""Results of lm-evaluation-harness: the samples that `--log_samples` writes, and the results file beside them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from assay.harness.decide.naming import suite_name
from assay.harness.decide.readers.read import READERS
from assay.harness.decide.readers.source import Source
from assay.harness.decide.results import Answer, Collector, Results
from assay.suites.jsonlines import LineError, read_objects

_SAMPLES = re.compile(r"samples_(?P<task>.+?)_(?P<time>\d{4}-\d\d-\d\dT[\d.:-]+)\.jsonl(\.gz)?")
_METRICS = ("pass@1", "pass_at_1", "pass@1,create_test", "exact_match", "acc", "acc_norm")
_MEANS = ("pass@1", "pass_at_1", "pass@1,create_test")  # over a problem's answers
_TASK_FIELDS = ("task_id", "problem_id", "question_id", "id")


@READERS.register("lm-eval")
def read_lm_eval(source: Source, /) -> list[Results]:
    """lm-evaluation-harness' `samples_TASK_TIME.jsonl`, or its `results_TIME.json` with such files beside it.

    The metric is the first that a row names; of several filters the first one's rows are read.
    """
    if _SAMPLES.fullmatch(source.path.name) or not source.path.name.removesuffix(".gz").endswith(".json"):
        return _read_samples(source)
    if not isinstance(source.json, dict):
        raise source.error("", "expected the object of results_TIME.json")
    time = source.path.name.removeprefix("results_").removesuffix(".json")
    siblings = sorted(
        p for p in source.path.parent.glob("samples_*.jsonl") if p.name.endswith(f"_{time}.jsonl")
    )
    if not siblings:
        raise source.error(
            "",
            "holds scores and no problem's verdict: run lm_eval with --log_samples and give samples_*.jsonl",
        )
    return [results for path in siblings for results in _read_samples(Source(path, source.answers))]


def _read_samples(source: Source) -> list[Results]:
    collector = source.collector("lm-eval")
    match = _SAMPLES.fullmatch(source.path.name)
    task, time = (match["task"], match["time"]) if match else (source.stem, "")
    config = _config(source.path.with_name(f"results_{time}.json")) if time else {}
    model = str(config.get("model_name") or (source.path.resolve().parent.name if match else source.stem))
    suite = suite_name(task)
    collector.versions[suite] = str((config.get("versions") or {}).get(task, ""))
    filters: dict[Any, int] = {}
    for number, row in read_objects(source.path):
        if isinstance(row, LineError):
            raise source.error("", str(row))
        filters[row.get("filter")] = filters.get(row.get("filter"), 0) + 1
        if row.get("filter") == next(iter(filters)):
            _add(source, collector, number, row, model, suite)
    if len(filters) > 1:
        first, *others = (repr(name) for name in filters)
        collector.notes.append(f"read through the filter {first}; left out: {', '.join(others)}")
    return collector.results()


def _config(path: Path) -> dict[str, Any]:
    """Return the results file of the same run, or nothing."""
    value = Source(path).json if path.is_file() else {}
    return value if isinstance(value, dict) else {}


def _add(
    source: Source, collector: Collector, number: int, row: dict[str, Any], model: str, suite: str
) -> None:
    value = row.get("doc")
    doc: dict[str, Any] = value if isinstance(value, dict) else {}
    problem = next((doc[f] for f in _TASK_FIELDS if isinstance(doc.get(f), str | int)), row.get("doc_id"))
    if not isinstance(problem, str | int):
        raise source.error(f"line {number}", "has neither a doc.task_id nor a doc_id")
    listed = row.get("metrics")
    names = [n for n in (listed if isinstance(listed, list) else []) if isinstance(n, str)] + list(_METRICS)
    metric = next((name for name in names if name in row), None)
    if metric is None:
        raise source.error(f"line {number}", f"holds no metric; looked for {', '.join(dict.fromkeys(names))}")
    samples, passes = _count(source, number, metric, row)
    texts = _flat(row.get("filtered_resps")) or _flat(row.get("resps"))
    collector.add(
        str(problem),
        passes == samples,
        model=model,
        suite=suite,
        prompt=str(row.get("prompt_hash") or ""),
        answer=lambda: Answer(str(texts[0]) if texts else "", "pass" if passes == samples else "fail"),
        samples=samples,
        passes=passes,
    )


def _count(source: Source, number: int, metric: str, row: dict[str, Any]) -> tuple[int, int]:
    """Return (samples, passing samples) of a row: one answer, or the mean over repeats of the same request."""
    value = row[metric]
    answers = len(_flat(row.get("filtered_resps"))) if metric in _MEANS else 1
    if value in (0, 1) and answers > 1:
        return answers, int(value) * answers
    if isinstance(value, bool) or value in (0, 1):
        return 1, int(value)
    repeats = len(_flat(row.get("resps")))
    if isinstance(value, int | float) and 0 < value < 1 and repeats > 1:
        passes = round(value * repeats)
        if abs(passes - value * repeats) < 1e-6:
            return repeats, passes
    raise source.error(f"line {number}", f"metric {metric!r} is no verdict, which is 0 or 1: {value!r:.80}")


def _flat(value: Any) -> list[Any]:
    if not isinstance(value, list):
        return [] if value is None else [value]
    return [inner for item in value for inner in _flat(item)]
