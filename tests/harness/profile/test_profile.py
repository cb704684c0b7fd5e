"""Profiles of real models in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.cli.profile import _predicted
from harness.errors import BadInputError
from harness.memory import parse_architecture
from harness.models import POCKET_FOLDER
from harness.profile import Job, profile, summarise
from harness.profile.job import Source, Training
from harness.profile.random_weights import random_model
from trainers.artifact import Artifact, ArtifactKind, identify

pytestmark = pytest.mark.train
SMALL = {
    "model_type": "qwen2",
    "vocab_size": 4096,
    "hidden_size": 512,
    "intermediate_size": 1024,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "tie_word_embeddings": False,
    "dtype": "float32",
}
QUICK: dict[str, Any] = {
    "prompt_tokens": 16,
    "new_tokens": 4,
    "repeats": 2,
    "device": "cpu",
    "threads": 1,
}


def test_a_model_is_measured_whole(tmp_path: Path) -> None:
    job = Job(name="pocket", source=Source.of(identify(POCKET_FOLDER)), batch_size=3, samples=2, **QUICK)
    record = profile(job, tmp_path / "raw.jsonl")
    made = summarise(record)
    assert (made["status"], made["unmeasured"]) == ("done", {})
    assert list(made["speed"]) == ["load", "prefill", "decode", "generate"]
    (first, *_) = record.of("time", "generate")
    assert first["new_tokens"] == 3 * 2 * 4
    assert first["prompt_tokens"] == 3 * 16  # a prompt is read once, whatever its samples
    assert all(len(e["steps_s"]) == 3 for e in record.of("time", "decode"))
    assert len([s for s in record.of("memory") if s["rss_bytes"] > 0]) > 10
    with pytest.raises(BadInputError, match="never written over"):
        profile(job, tmp_path / "raw.jsonl")


def test_the_memory_of_random_weights_is_the_models_size(tmp_path: Path) -> None:
    size = 4 * parse_architecture(SMALL, name="small").parameters
    made = summarise(
        profile(Job(name="small", random_config=SMALL, phases=("load",), **QUICK), tmp_path / "raw.jsonl")
    )
    assert made["memory"]["load"]["rss_increase_bytes"] == pytest.approx(size, rel=0.1)
    assert made["random_weights"] is True


@pytest.mark.parametrize("method", ["lora", "full", "qlora"])
def test_training_holds_what_is_predicted(tmp_path: Path, method: str) -> None:
    """Within 10 % on the CPU, fragmentation of the heap kept out: weights, adapter, gradients, AdamW, activations."""
    training = Training(method=method, rank=8)  # type: ignore[arg-type]
    size = SMALL | {"hidden_size": 1024, "intermediate_size": 2816}
    job = Job(
        name=method,
        random_config=size,
        phases=("load", "train"),
        training=training,
        exact_memory=True,
        **QUICK | {"prompt_tokens": 256, "batch_size": 2},
    )
    made = summarise(profile(job, tmp_path / "raw.jsonl"))
    predicted = _predicted(job, parse_architecture(size, name=method))
    assert made["status"] == "done", made["detail"]
    assert predicted is not None
    assert made["memory"]["train"]["rss_peak_increase_bytes"] == pytest.approx(
        predicted["peak_bytes"], rel=0.1
    )


def test_a_process_that_is_killed_is_out_of_memory_and_not_a_zero(tmp_path: Path) -> None:
    """As the kernel kills it: SIGKILL, from outside, in the middle of a phase."""
    job = Job(name="small", random_config=SMALL, **QUICK | {"repeats": 1000})

    def kill(event: dict[str, Any]) -> None:
        if event["event"] == "time" and event["phase"] == "prefill":
            children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
            for child in map(int, children):
                if b"harness.profile.worker" in Path(f"/proc/{child}/cmdline").read_bytes():
                    os.kill(child, signal.SIGKILL)

    made = summarise(profile(job, tmp_path / "raw.jsonl", kill))
    assert made["status"] == "out of memory"
    assert list(made["speed"]) == ["load"]
    assert set(made["unmeasured"]) == {"prefill", "decode", "generate"}


def test_a_failure_names_its_reason(tmp_path: Path) -> None:
    gone = Source.of(Artifact(ArtifactKind.BASE, tmp_path / "gone", "0" * 64))
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone" / "config.json").write_text(json.dumps({"model_type": "qwen2"}))
    made = summarise(profile(Job(name="gone", source=gone, **QUICK), tmp_path / "raw.jsonl"))
    assert made["status"] == "failed"
    assert str(tmp_path / "gone") in made["detail"] or "gone" in made["detail"]


def test_random_values_are_finite_and_of_the_right_type() -> None:
    import torch

    model = random_model(SMALL | {"tie_word_embeddings": True}, device="cpu", dtype="bf16", seed=0)
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    logits = model(torch.arange(8)[None]).logits
    assert torch.isfinite(logits).all()
    again = random_model(SMALL | {"tie_word_embeddings": True}, device="cpu", dtype="bf16", seed=0)
    assert torch.equal(logits, again(torch.arange(8)[None]).logits)


def test_the_command_prints_and_keeps_the_raw_record(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-c", "from harness.cli import main; main()", "profile", "pocket"),
            *("--prompt-tokens", "8", "--new-tokens", "2", "--repeats", "1", "--phases", "load,prefill"),
            *("--threads", "1", "-o", str(tmp_path), "--json", "-q"),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    printed = json.loads(done.stdout)
    (raw,) = tmp_path.glob("*.jsonl")
    assert json.loads(raw.with_suffix(".json").read_text()) == printed
    assert list(printed["speed"]) == ["load", "prefill"]
    assert printed["predicted"]["peak_bytes"] > 7_000_000
