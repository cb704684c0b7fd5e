"""`assay plan EXP.toml`: the memory of each step that holds a model, or why it is not predicted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from assay.harness.cli import app
from assay.harness.experiment import load_experiment
from assay.harness.pipeline.plan import Plan, make_plan
from assay.harness.pipeline.step_memory import StepMemory, predict_steps
from assay.harness.training.dry_run import plan_training
from assay.harness.training.file import Job

pytestmark = pytest.mark.train
pytest.importorskip("torch", reason="needs the train extra: pip install 'assay[train]'")

FILE = """
name = "memory"
seeds = [0, 1]
[suite]
name = "pocket"
split = "dev"
limit = 3
[sampling]
samples = 2
temperature = 0.8
max_new_tokens = 32
[engine]
device = "cpu"
batch_size = 4
[[variant]]
name = "base"
model = "pocket"
[[variant]]
name = "sft"
train = "base"
config = { method = "sft", max_length = 256, batch_size = 4 }
data = { suite = "pocket", n = 8 }
[[pairs]]
name = "own"
model = "sft"
suite = { name = "pocket", limit = 5 }
[[variant]]
name = "dpo"
train = "sft"
config = { method = "dpo", max_length = 200, batch_size = 4 }
data = { pairs = "own" }
[[variant]]
name = "ppo"
train = "sft"
config = { method = "ppo", batch_size = 32, rollout = { prompts = 8, samples = 4, max_new_tokens = 32 } }
data = { suite = "pocket", n = 8, only = "own" }
[[variant]]
name = "whole"
merge = "sft"
[[variant]]
name = "small"
compress = "whole"
quantization = "nf4"
[[variant]]
name = "file"
export = "whole"
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("memory") / "e.toml"
    path.write_text(FILE)
    return path


@pytest.fixture(scope="module")
def plan(file: Path) -> Plan:
    return make_plan(load_experiment(file))


@pytest.fixture(scope="module")
def found(plan: Plan) -> dict[str, StepMemory]:
    return predict_steps(plan)


def peak(one: StepMemory) -> int:
    assert one.prediction is not None, one.note
    return one.prediction.peak_bytes


def test_each_step_that_holds_a_model_has_a_figure_or_a_reason(
    plan: Plan, found: dict[str, StepMemory]
) -> None:
    assert set(found) == {s.name for s in plan.steps if s.kind in ("train", "sample", "generate")}
    without = {name: one.note for name, one in found.items() if one.prediction is None}
    assert without == {
        f"generate-file.s{seed}": "unknown: memory of GGUF models is not predicted" for seed in (0, 1)
    }
    assert found["train-sft.s0"] is found["train-sft.s1"]


def test_a_training_needs_what_its_dry_run_says(plan: Plan, found: dict[str, StepMemory]) -> None:
    training = plan.trainings["sft.s0"]
    assert training.records is not None
    base = plan.models["base"]
    job = Job(base, "pocket", training.config, training.data, training.records, None, {}, {})
    told = plan_training(job).memory
    assert told is not None
    assert peak(found["train-sft.s0"]) == told.peak_bytes
    assert found["train-sft.s0"].note == ""


def test_what_is_not_known_yet_is_said(found: dict[str, StepMemory]) -> None:
    assert found["train-dpo.s0"].note.startswith("at most: pairs as long as max_length")
    assert found["train-dpo.s0"].prediction.setup.length == 200  # type: ignore[union-attr]
    assert "longest prompt of all problems" in found["train-ppo.s0"].note
    assert peak(found["train-ppo.s0"]) > peak(found["generate-ppo.s0"])


def test_a_compressed_model_is_smaller_and_more_rows_are_larger(found: dict[str, StepMemory]) -> None:
    def weights(name: str) -> int:
        one = found[name].prediction
        assert one is not None
        return sum(c.bytes for c in one.components if c.name == "linear weights")

    assert 0 < weights("generate-small.s0") < weights("generate-whole.s0") / 3  # of bf16
    assert peak(found["sample-own.s0"]) != peak(found["generate-sft.s0"])  # other rows, other lengths


def test_an_adapter_of_a_quantised_base_is_generated_from_whole(tmp_path: Path) -> None:
    """It is loaded onto the rounded weights in plain layers, which are fp32 unless `[engine]` says otherwise."""
    path = tmp_path / "e.toml"
    quantised = FILE.replace("max_length = 256,", "max_length = 256, quantization = {},", 1)
    path.write_text(quantised)
    setup = predict_steps(make_plan(load_experiment(path)))["generate-sft.s0"].prediction.setup  # type: ignore[union-attr]
    assert (setup.weights, setup.compute) == ("fp32", "fp32")
    path.write_text(quantised.replace('device = "cpu"', 'device = "cpu"\ndtype = "bf16"'))
    setup = predict_steps(make_plan(load_experiment(path)))["generate-sft.s0"].prediction.setup  # type: ignore[union-attr]
    assert (setup.weights, setup.compute) == ("bf16", "bf16")


def test_the_command_prints_it_and_can_leave_it_out(file: Path, tmp_path: Path) -> None:
    def told(*more: str) -> Any:
        done = CliRunner().invoke(
            app, ["plan", str(file), "--results", str(tmp_path), *more], catch_exceptions=False
        )
        assert done.exit_code == 0, done.output
        return done.stdout

    memory = json.loads(told("--json"))["memory"]
    assert memory["train-sft.s0"]["predicted_peak_bytes"] > 0
    assert memory["generate-file.s0"]["predicted_peak_bytes"] is None
    shown = told()
    assert "predicted peak" in shown
    assert "preferences of sft's answers to 5 problems of pocket (train) x 8 samples" in " ".join(
        shown.split()
    )
    assert "predicted peak" not in told("--no-memory")
    assert json.loads(told("--json", "--no-memory"))["memory"] == {}
