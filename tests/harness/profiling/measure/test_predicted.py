"""Predicted beside measured: pure arithmetic over a summary."""

from __future__ import annotations

from typing import Any

import pytest

from assay.harness.profiling.measure import Job, with_prediction
from assay.harness.profiling.measure.job import Training
from assay.harness.profiling.measure.predicted import TRANSIENT, Row, judged, setup_of
from assay.harness.profiling.memory import find_tier

TINY = find_tier("tiny").architecture
MIB = 1 << 20


def job(**workload: Any) -> Job:
    return Job(name="tiny", random_config={"model_type": "qwen2"}, **workload)


def trained(objective: str = "sft", method: str = "lora", **workload: Any) -> Job:
    training = Training(objective=objective, method=method)  # type: ignore[arg-type]
    return job(phases=("load", "train"), training=training, **workload)


def summary(memory: dict[str, Any], components: dict[str, int] | None, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "status": "done",
        "machine": {"gpu": "a card"},
        "memory": memory,
        "compute": "bf16",
    }
    return made | ({} if components is None else {"components": components}) | more


def rows(made: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in made["comparison"]}


def test_each_component_stands_beside_what_was_counted() -> None:
    counted = {"linear weights": 357_826_560, "gradients": 35_192_832, "activations": 500 * MIB}
    memory = {
        "kernels": {"allocated_left_bytes": 32 * MIB, "rss_left_bytes": 90 * MIB},
        "load": {"allocated_peak_increase_bytes": 10, "allocated_peak_bytes": 20, "reserved_peak_bytes": 30},
        "train": {
            "allocated_peak_increase_bytes": 3000 * MIB,
            "allocated_peak_bytes": 3032 * MIB,
            "reserved_peak_bytes": 3200 * MIB,
            "process_peak_bytes": 3700 * MIB,
        },
    }
    made = with_prediction(summary(memory, counted), trained(batch_size=2), TINY)
    found = rows(made)
    assert found["linear weights"]["predicted_bytes"] == 2 * TINY.linear_parameters
    assert found["linear weights"]["error"] == pytest.approx(1.0)  # half of it was held
    assert found["gradients"]["error"] == 0
    assert found["backward scratch"]["measured_bytes"] is None
    assert found["backward scratch"]["note"] == TRANSIENT
    beyond = 3000 * MIB / made["predicted"]["peak_bytes"] - 1
    assert made["prediction"] == {"beyond": pytest.approx(beyond), "within": 0.2, "verdict": "held"}
    left_out = {name: row["measured_bytes"] for name, row in found.items() if row["kind"] == "left out"}
    assert left_out == {"kernels": 32 * MIB, "fragmentation": 168 * MIB, "device context": 500 * MIB}
    assert all(found[name]["predicted_bytes"] is None for name in left_out)
    peak = found["peak"]
    assert peak["predicted_bytes"] == made["predicted"]["peak_bytes"]
    assert peak["measured_bytes"] == 3000 * MIB
    assert peak["error"] == pytest.approx(made["predicted"]["peak_bytes"] / (3000 * MIB) - 1)


def test_where_nvml_tells_no_process_the_device_does() -> None:
    at_peak = {
        "allocated_peak_bytes": 3 * MIB,
        "reserved_peak_bytes": 4 * MIB,
        "device_peak_bytes": 900 * MIB,
    }
    given = summary({"train": at_peak}, {}, device_before_bytes=500 * MIB)
    row = rows(with_prediction(given, trained(), TINY))["device context"]
    assert row["measured_bytes"] == 396 * MIB
    assert "in use before" in row["note"]
    given["device_before_bytes"] = None
    row = rows(with_prediction(given, trained(), TINY))["device context"]
    assert (row["measured_bytes"], row["note"]) == (None, "unmeasured: NVML tells no process")


def test_parts_that_one_figure_measures_are_taken_together() -> None:
    """What autograd keeps has many components; a full fine-tune's gradients two."""
    counted = {"gradients": 4 * TINY.parameters, "activations": 1}
    made = with_prediction(summary({}, counted), trained(method="full"), TINY)
    found = rows(made)
    assert found["gradients"]["error"] == 0
    parts = {c["name"]: c["bytes"] for c in made["predicted"]["components"]}
    kept = ("activations", "autocast copies", "last norm", "head copy")
    assert found["activations"]["predicted_bytes"] == sum(parts.get(name, 0) for name in kept)
    assert not found.keys() & {"autocast copies", "last norm", "first block's gradients"}


def test_what_was_not_measured_says_why() -> None:
    made = with_prediction(summary({}, None, status="out of memory"), job(), TINY)
    assert {row["measured_bytes"] for row in made["comparison"]} == {None}
    assert rows(made)["peak"]["note"] == "unmeasured: out of memory"
    assert rows(made)["linear weights"]["note"] == "unmeasured: out of memory"
    assert made["prediction"] == {"beyond": None, "within": 0.2, "verdict": "unmeasured"}
    none = with_prediction(summary({}, None), job(), None)
    assert none["prediction"]["verdict"] == "unmeasured"
    assert (none["predicted"], none["comparison"]) == (None, [])
    assert "does not know" in none["unpredicted"]
    long = with_prediction(summary({}, None), job(prompt_tokens=40_000), TINY)
    assert "do not fit the context" in long["unpredicted"]


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [(120, "held"), (80, "held"), (121, "missed"), (79, "missed"), (None, "unmeasured")],
)
def test_a_prediction_is_held_by_its_own_size(measured: int | None, verdict: str) -> None:
    """What exceeds a plan by a fifth is the most that is let pass, whichever way it is divided."""
    assert judged(Row("peak", "peak", 100, measured), 0.2)["verdict"] == verdict


def test_a_job_in_the_predictions_terms() -> None:
    ppo = setup_of(
        trained("ppo", "qlora", batch_size=2, prompt_tokens=100, new_tokens=28, samples=3),
        TINY,
        gpu=True,
        compute="bf16",
    )
    assert (ppo.objective, ppo.weights, ppo.loss, ppo.value_head) == ("ppo", "nf4", "answers", True)
    assert (ppo.length, ppo.answers, ppo.drawn, ppo.tokens) == (128, 56, 6, 256)
    dpo = setup_of(trained("dpo", batch_size=2, prompt_tokens=64), TINY, gpu=True, compute="bf16")
    assert (dpo.tokens, dpo.weights, dpo.reference, dpo.loss) == (256, "bf16", "shared", "chunked")
    fp32 = job(phases=("load", "train"), training=Training(method="lora", base="fp32"))
    assert setup_of(fp32, TINY, gpu=True, compute="bf16").weights == "fp32"
    drawn = setup_of(job(samples=5, weights="int8"), TINY, gpu=False, compute="bf16")
    assert (drawn.batch, drawn.drawn, drawn.weights, drawn.refilled) == (1, 5, "int8", False)
    assert setup_of(job(samples=5, phases=("decode",)), TINY, gpu=False, compute="fp32").drawn == 1
