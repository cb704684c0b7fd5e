"""Results in the schema of Every Eval Ever: a record of the scores, and its samples, at the paths of its datastore."""

from __future__ import annotations

import hashlib
import json
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from assay.harness.decide.writers.hub import hub_name
from assay.harness.decide.writers.measured import MeasuredModel, SampleVerdict
from assay.harness.decide.writers.write import WRITERS, Written, dump_lines, storable, when, with_verdict
from assay.harness.hardware import package_version
from assay.harness.models.hub.card import BENCHMARKS
from assay.harness.stats.pass_at_k import Estimate
from assay.trainers.files import publish

SCHEMA = "0.3.0"
UNKNOWN = "unknown"
CONFIDENCE = 0.95


@WRITERS.register("every-eval-ever")
def write_every_eval_ever(measured: MeasuredModel, path: Path, /) -> Written:
    """A folder with `data/SUITE/OWNER/MODEL/UUID.json` and `UUID_samples.jsonl`, the paths of the project's datastore.

    Who evaluated, and whether the weights are open, is not known here and stands as unknown. UUID is made from the
    verdicts, so that the same ones have the same name.
    """
    samples, notes = with_verdict(measured)
    owner, name = hub_name(measured.model).split("/")
    collection = re.sub(r"[^\w.-]", "_", measured.suite.replace("+", "_plus"))
    folder = Path("data") / collection / owner / name
    facts = json.dumps([measured.model, measured.suite, measured.provenance()], sort_keys=True)
    stem = str(uuid.UUID(bytes=hashlib.sha256(facts.encode()).digest()[:16], version=4))
    retrieved = str(int(time.time()))
    record = _record(measured, f"{collection}/{measured.model}/{retrieved}", retrieved)
    with publish(path) as part:
        (part / folder).mkdir(parents=True)
        file = part / folder / f"{stem}_samples.jsonl"
        total = dump_lines(file, _samples(measured, samples, record["evaluation_id"]))
        record["detailed_evaluation_results"] = {
            "format": "jsonl",
            "file_path": (folder / file.name).as_posix(),
            "hash_algorithm": "sha256",
            "checksum": hashlib.sha256(file.read_bytes()).hexdigest(),
            "total_rows": total,
        }
        text = json.dumps(storable(record), indent=2, allow_nan=False)
        (part / folder / f"{stem}.json").write_text(text + "\n", encoding="ascii")
    if measured.suite != measured.base_suite:
        notes += (f"a sample has one verdict there: it is that of all checks of {measured.suite}",)
    notes += (
        "the organization that evaluated and whether the weights are open are not known here: they stand as unknown",
    )
    return Written(len(samples), path, notes)


def _record(measured: MeasuredModel, evaluation: str, retrieved: str) -> dict[str, Any]:
    measured_at, dated = when(measured)
    origin = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in measured.provenance().items()
    }
    deployed = measured.row is not None and measured.row.kind != "endpoint"
    details = {
        "deployment_type": "self_deployed" if deployed else UNKNOWN,
        "model_availability": UNKNOWN,
        **({"sha256": measured.artifact_sha256} if measured.artifact_sha256 else {}),
        **({"kind": measured.row.kind, "variant": measured.row.variant} if measured.row else {}),
    }
    return {
        "schema_version": SCHEMA,
        "evaluation_id": evaluation,
        **({"evaluation_timestamp": str(int(measured_at.timestamp()))} if dated else {}),
        "retrieved_timestamp": retrieved,
        "source_metadata": {
            "source_name": "Assay",
            "source_type": "evaluation_run",
            "source_organization_name": UNKNOWN,
            "evaluator_relationship": "other",
            "additional_details": {"converted_by": f"assay {package_version('assay')}"},
        },
        "eval_library": {
            "name": "assay",
            "version": measured.measured_by or UNKNOWN,
            "additional_details": origin,
        },
        "model_info": {"name": measured.model, "id": measured.model, "additional_details": details},
        "evaluation_results": [_result(measured, k, e) for k, e in measured.estimates().items()],
    }


def _result(measured: MeasuredModel, k: int, estimate: Estimate) -> dict[str, Any]:
    sampling = measured.board.sampling if measured.board else {}
    names = {"temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "max_new_tokens": "max_tokens"}
    drawn = {name: sampling[own] for own, name in names.items() if sampling.get(own) is not None}
    more = {own: str(value) for own, value in sampling.items() if own not in names and value is not None}
    uncertainty: dict[str, Any] = {
        "confidence_interval": {
            "lower": estimate.low,
            "upper": estimate.high,
            "confidence_level": CONFIDENCE,
            "method": estimate.method,
        },
        "num_samples": estimate.n,
    }
    if estimate.se is not None:
        uncertainty["standard_error"] = {"value": estimate.se, "method": "over problems"}
    return {
        "evaluation_result_id": _result_id(measured, k),
        "evaluation_name": measured.suite,
        "source_data": _source_data(measured),
        "metric_config": {
            "evaluation_description": f"pass@{k}: programs of {measured.suite}, run against its checks",
            "metric_id": "pass_at_k",
            "metric_name": f"pass@{k}",
            "metric_kind": "pass_rate",
            "metric_unit": "proportion",
            "metric_parameters": {"k": k},
            "lower_is_better": False,
            "score_type": "continuous",
            "min_score": 0,
            "max_score": 1,
        },
        "score_details": {"score": estimate.value, "uncertainty": uncertainty},
        **({"generation_config": {"generation_args": drawn, "additional_details": more}} if sampling else {}),
    }


def _result_id(measured: MeasuredModel, k: int) -> str:
    return f"{measured.suite}/pass@{k}"


def _source_data(measured: MeasuredModel) -> dict[str, Any]:
    """Return where the problems are from: a data set of the hub where the suite is known to be that one."""
    facts = measured.board.suite if measured.board else None
    revision = {"suite_revision": measured.revision} if measured.revision else {}
    source: dict[str, Any] = {"dataset_name": measured.suite, "additional_details": revision}
    if facts is None or facts.registered not in BENCHMARKS:
        return source | {"source_type": "other"}
    split = {"hf_split": facts.split} if facts.split else {}
    count = {"samples_number": facts.n_problems} if facts.n_problems else {}
    repository = BENCHMARKS[facts.registered][0]
    return source | {"source_type": "hf_dataset", "hf_repo": repository} | split | count


def _samples(
    measured: MeasuredModel, samples: list[SampleVerdict], evaluation: str
) -> Iterator[dict[str, Any]]:
    for sample in samples:
        problem, program = measured.problem(sample), measured.program(sample)
        formatted = {"formatted": sample.prompt} if sample.prompt else {}
        # Reference solutions of a suite that is not public stay where they are.
        public = measured.suite in BENCHMARKS and bool(problem.canonical_solution)
        reference = [problem.canonical_solution] if public else []
        row = {
            "schema_version": SCHEMA,
            "evaluation_id": evaluation,
            "model_id": measured.model,
            "evaluation_name": measured.suite,
            "evaluation_result_id": _result_id(measured, 1),
            "sample_id": sample.problem,
            "interaction_type": "single_turn",
            "input": {"raw": problem.instruction or problem.prompt, "reference": reference} | formatted,
            "output": {"raw": [program if sample.text is None else sample.text]},
            "answer_attribution": [
                {
                    "turn_idx": 0,
                    "source": "output.raw",
                    "extracted_value": program,
                    "extraction_method": f"assay: {sample.form}",
                    "is_terminal": True,
                }
            ],
            "evaluation": {"score": float(bool(sample.passed)), "is_correct": bool(sample.passed)},
            "metadata": {"sample": str(sample.index), "outcome": sample.outcome, "detail": sample.detail}
            | {name: str(value) for name, value in sample.more.items()},
        }
        yield storable(row)
