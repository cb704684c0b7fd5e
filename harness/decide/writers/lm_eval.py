"""Results as lm-evaluation-harness leaves them: a results file, and the samples of `--log_samples` beside it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from assay.harness.decide.writers.measured import MeasuredModel, SampleVerdict
from assay.harness.decide.writers.write import WRITERS, Written, dump_lines, when, with_verdict
from assay.trainers.files import publish

FILTER = "none"
METRIC = "pass@1"


@WRITERS.register("lm-eval")
def write_lm_eval(measured: MeasuredModel, path: Path, /) -> Written:
    """A folder with `results_TIME.json` and `samples_TASK_TIME.jsonl`.

    A document is known by its `task_id`; its request is the prompt that the model got, `resps` are its answers and
    `filtered_resps` the programs that were judged. The metric is pass@1, the mean over a problem's samples.
    """
    samples, notes = with_verdict(measured)
    task, (time, dated) = task_name(measured.suite), when(measured)
    grouped: dict[str, list[SampleVerdict]] = {}
    for sample in samples:
        grouped.setdefault(sample.problem, []).append(sample)
    rows = list(_rows(measured, grouped))
    stamp = time.strftime("%Y-%m-%dT%H-%M-%S")
    results = _results(measured, task, time if dated else None, rows)
    with publish(path) as part:
        part.mkdir()
        (part / f"results_{stamp}.json").write_text(
            json.dumps(results, indent=2, allow_nan=False), encoding="ascii"
        )
        dump_lines(part / f"samples_{task}_{stamp}.jsonl", rows)
    if not dated:
        notes += ("when it was measured is not known: the files' names have the time of this writing",)
    if measured.suite.endswith("+"):
        notes += (f"lm-eval has one verdict a sample: it is that of all checks of {measured.suite}",)
    notes += ("lm-eval's few-shot count, targets and model arguments are not known here: they are left out",)
    return Written(len(samples), path, notes)


def task_name(suite: str) -> str:
    """Return lm-eval's name of a suite, which is part of a file's name."""
    return re.sub(r"[^\w.-]", "_", suite.removesuffix("+") + "_plus" if suite.endswith("+") else suite)


def _rows(measured: MeasuredModel, grouped: dict[str, list[SampleVerdict]]) -> Iterator[dict[str, Any]]:
    for number, (problem, samples) in enumerate(grouped.items()):
        programs = [measured.program(sample) for sample in samples]
        texts = [p if s.text is None else s.text for s, p in zip(samples, programs, strict=True)]
        doc, prompt = {"task_id": problem}, samples[0].prompt
        passes = sum(bool(sample.passed) for sample in samples)
        hashes = {"doc_hash": _hash(json.dumps(doc, indent=2, ensure_ascii=False)), "target_hash": _hash("")}
        yield {
            "doc_id": number,
            "doc": doc,
            "target": "",
            "arguments": {"gen_args_0": {"arg_0": prompt, "arg_1": _drawn(measured)}},
            "resps": [texts],
            "filtered_resps": [programs],
            "filter": FILTER,
            "metrics": [METRIC],
            METRIC: passes / len(samples),
            **hashes,
            **({"prompt_hash": _hash(prompt)} if prompt else {}),
            "outcomes": [sample.outcome for sample in samples],
        }


def _results(
    measured: MeasuredModel, task: str, time: datetime | None, rows: list[dict[str, Any]]
) -> dict[str, Any]:
    scores = {f"{METRIC},{FILTER}": (estimate := measured.estimates()[1]).value}
    if estimate.se is not None:
        scores[f"{METRIC}_stderr,{FILTER}"] = estimate.se
    facts = measured.board.suite if measured.board else None
    total = facts.n_problems if facts else None
    config = {"task": task, "output_type": "generate_until", "generation_kwargs": _drawn(measured)}
    counts = {"effective": len(rows)} | ({"original": total} if total else {})
    return {
        "results": {task: {"alias": task} | scores},
        "group_subtasks": {task: []},
        "configs": {task: config | {"repeats": max(len(row["outcomes"]) for row in rows)}},
        "versions": {task: measured.revision} if measured.revision else {},
        "n-shot": {},
        "higher_is_better": {task: {METRIC: True}},
        "n-samples": {task: counts},
        "config": {},
        **({"date": time.replace(tzinfo=UTC).timestamp()} if time else {}),
        "model_name": measured.model,
        "model_name_sanitized": re.sub(r"[\"<>:/\|\\?\*\[\]]+", "__", measured.model),
        "assay": measured.provenance(),
    }


def _drawn(measured: MeasuredModel) -> dict[str, Any]:
    """Return how answers were drawn, by lm-eval's names."""
    sampling = measured.board.sampling if measured.board else {}
    names = {
        "temperature": "temperature",
        "top_p": "top_p",
        "top_k": "top_k",
        "max_new_tokens": "max_gen_toks",
    }
    drawn = {other: sampling[ours] for ours, other in names.items() if sampling.get(ours) is not None}
    if "temperature" in drawn:
        drawn["do_sample"] = drawn["temperature"] > 0
    return drawn


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()
