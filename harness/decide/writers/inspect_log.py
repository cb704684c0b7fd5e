"""Results as a log of inspect_ai, which `inspect view` opens."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

from assay.harness.decide.writers.measured import MeasuredModel, SampleVerdict
from assay.harness.decide.writers.write import WRITERS, Written, storable, when
from assay.harness.errors import BadInputError
from assay.trainers.files import publish

SCORER = "assay"
_VERSION = 2  # of a log
_STOPS = {"stop": "stop", "length": "max_tokens"}


@WRITERS.register("inspect")
def write_inspect(measured: MeasuredModel, path: Path, /) -> Written:
    """A `.eval` log: a sample is an epoch of its problem, scored C or I; one without a verdict ends in an error.

    The score's answer is the program that was judged. Tokens of the prompt were not counted, so that no usage is
    written; what was measured of a sample stands in its metadata.
    """
    if path.suffix != ".eval":
        raise BadInputError(f"--output {path}: inspect knows a log by its name, which ends in .eval")
    time, dated = when(measured)
    samples = [_sample(measured, sample) for sample in measured.samples]
    names = [f"samples/{sample['id']}_epoch_{sample['epoch']}.json" for sample in samples]
    if len(set(names)) < len(names):
        raise BadInputError(f"{measured.model}: a sample is there twice, which a log cannot hold")
    header = _header(measured, time.strftime("%Y-%m-%dT%H:%M:%S+00:00"))
    entries: dict[str, Any] = {
        "_journal/start.json": {name: header[name] for name in ("version", "eval", "plan")},
        **dict(zip(names, samples, strict=True)),
        "summaries.json": [_summary(sample) for sample in samples],
        "header.json": header,
    }
    with publish(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in entries.items():
            archive.writestr(name, json.dumps(storable(value), allow_nan=False))
    notes: tuple[str, ...] = ()
    if not dated:
        notes += ("when it was measured is not known: the log has the time of this writing",)
    if not all(sample.prompt for sample in measured.samples):
        notes += ("prompts are not known here: the input of such samples is empty",)
    return Written(len(samples), path, notes)


def _header(measured: MeasuredModel, created: str) -> dict[str, Any]:
    ids = list(measured.by_problem())
    sampling = measured.board.sampling if measured.board else {}
    names = {"temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "max_new_tokens": "max_tokens"}
    drawn = {name: sampling[own] for own, name in names.items() if sampling.get(own) is not None}
    metrics = {
        f"pass@{k}": {"name": f"pass@{k}", "value": estimate.value, "params": {}}
        | {"metadata": {"low": estimate.low, "high": estimate.high, "method": estimate.method}}
        for k, estimate in measured.estimates().items()
    }
    judged = sum(sample.passed is not None for sample in measured.samples)
    score = {"name": SCORER, "scorer": SCORER, "reducer": "mean", "params": {}, "metrics": metrics}
    return {
        "version": _VERSION,
        "status": "success",
        "eval": {
            "created": created,
            "task": measured.suite,
            "task_version": measured.revision or 0,
            "dataset": {"name": measured.suite, "samples": len(ids), "sample_ids": ids},
            "model": measured.model,
            "model_generate_config": drawn,
            "config": {"epochs": max(sample.index for sample in measured.samples) + 1},
            "packages": {"assay": measured.measured_by} if measured.measured_by else {},
            "metadata": {"assay": measured.provenance()},
        },
        "plan": {"name": "plan", "steps": [], "config": drawn},
        "results": {
            "total_samples": len(measured.samples),
            "completed_samples": judged,
            "scores": [
                score | {"scored_samples": judged, "unscored_samples": len(measured.samples) - judged}
            ],
        },
        "stats": {},
    }


def _sample(measured: MeasuredModel, sample: SampleVerdict) -> dict[str, Any]:
    """Return a sample as a log holds it."""
    parts = PurePosixPath(sample.problem).parts
    if ".." in parts or sample.problem.startswith("/") or sample.index < 0:
        raise BadInputError(
            f"{sample.problem!r:.80}, sample {sample.index}: a log names its samples by their ids, and this "
            "is no name of an archive's entry"
        )
    value: dict[str, Any] = {
        "id": sample.problem,
        "epoch": sample.index + 1,
        "input": sample.prompt,
        "target": "",
        "metadata": {"outcome": sample.outcome, **sample.more, **_seed(sample)},
    }
    if sample.text is not None:
        message = {"role": "assistant", "content": sample.text, "source": "generate"}
        stop = _STOPS.get(str(sample.more.get("finish_reason")), "unknown")
        choices = [{"message": message, "stop_reason": stop}]
        value["messages"] = [{"role": "user", "content": sample.prompt, "source": "input"}, message]
        value["output"] = {"model": measured.model, "choices": choices, "completion": sample.text}
    if sample.passed is None:
        message_of = sample.detail or "no verdict"
        value["error"] = {"message": message_of, "traceback": "", "traceback_ansi": ""}
    else:
        known = sample.program is not None or sample.text is not None
        answer = {"answer": measured.program(sample)} if known else {}
        figures = {"value": "C" if sample.passed else "I", "explanation": sample.detail}
        more: dict[str, Any] = {"outcome": sample.outcome}
        if sample.base_passed is not None:
            more |= {"base_passed": sample.base_passed}
        value["scores"] = {SCORER: figures | answer | {"metadata": more}}
    return value


def _seed(sample: SampleVerdict) -> dict[str, str]:
    """Return a sample's seed as text: it has 64 bits, of which a viewer's numbers keep 53."""
    return {"seed": str(sample.more["seed"])} if "seed" in sample.more else {}


def _summary(sample: dict[str, Any]) -> dict[str, Any]:
    """Return what a log's list of samples shows of one."""
    names = ("id", "epoch", "input", "target", "metadata", "scores")
    summary = {name: sample[name] for name in names if name in sample}
    failure = {"error": sample["error"]["message"]} if "error" in sample else {}
    return summary | failure | {"completed": True, "message_count": len(sample.get("messages", ()))}
