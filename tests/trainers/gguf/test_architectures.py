"""Every architecture, rope and tokenizer that is exported computes what transformers computes; others are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from assay.trainers import Artifact, ExportError, identify
from assay.trainers.gguf import export_gguf
from assay.trainers.gguf.native import NativeModel
from assay.trainers.gguf.vocabulary import read_vocabulary
from tests.tiny import make_tiny_model
from tests.trainers.gguf.models import make_llama
from tests.trainers.gguf.test_gguf import IDS, NASTY, hf_logits, native_logits

pytestmark = [pytest.mark.train, pytest.mark.gguf]

LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 128}
LINEAR = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}


def agree(model: Artifact, file: Path) -> float:
    """The largest logit difference between transformers and llama.cpp, over the logits' spread."""
    import numpy as np

    reference = hf_logits(model, IDS)
    return float(np.abs(native_logits(file, IDS) - reference).max() / reference.std())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tie_word_embeddings": True},
        {"attention_bias": True},
        {"head_dim": 32},
        {"num_key_value_heads": 4},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}},
        {"rope_parameters": LLAMA3_ROPE},
        {"rope_parameters": LINEAR},
        {"mistral": True},
    ],
    ids=["plain", "tied", "biases", "wide heads", "no GQA", "theta", "llama3 rope", "linear rope", "mistral"],
)
def test_llama_gives_the_logits_of_transformers(tmp_path: Path, changes: dict[str, Any]) -> None:
    model = make_llama(tmp_path / "llama", **changes)
    made = export_gguf(model, tmp_path / "m.gguf", "f32")
    assert agree(model, made.path) < 0.02


@pytest.mark.parametrize("rope", [YARN, LINEAR, {"rope_type": "default", "rope_theta": 1e6}], ids=str)
def test_qwen2_with_another_rope(tiny: Artifact, tmp_path: Path, rope: dict[str, Any]) -> None:
    model = with_config(tiny, tmp_path / "model", rope_parameters=rope)
    made = export_gguf(model, tmp_path / "m.gguf", "f32")
    assert agree(model, made.path) < 0.02
    assert agree(tiny, made.path) > 0.05  # the rope matters on these ids


def test_the_older_spelling_of_a_rope_is_read(tiny: Artifact, tmp_path: Path) -> None:
    old = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}
    model = with_config(tiny, tmp_path / "model", rope_parameters=None, rope_theta=10000.0, rope_scaling=old)
    made = export_gguf(model, tmp_path / "m.gguf", "f32")
    assert agree(model, made.path) < 0.02


def with_config(model: Artifact, out: Path, **changes: Any) -> Artifact:
    import shutil

    shutil.copytree(model.path, out)
    (out / "artifact.json").unlink(missing_ok=True)
    config = json.loads((out / "config.json").read_text()) | changes
    (out / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
    return identify(out)


@pytest.mark.parametrize("kind", ["llama-bpe", "gpt-2", "starcoder"])
def test_each_way_of_cutting_gives_transformers_tokens(tmp_path: Path, kind: str) -> None:
    from transformers import AutoTokenizer

    model = make_llama(tmp_path / "llama", kind=kind)
    made = export_gguf(model, tmp_path / "m.gguf", "f16")
    tokenizer = AutoTokenizer.from_pretrained(str(model.path))
    with NativeModel(made.path) as native:
        assert native.metadata("tokenizer.ggml.pre") == kind
        assert native.metadata("tokenizer.ggml.add_bos_token") == ("true" if kind == "llama-bpe" else "false")
        for text in NASTY:
            if "\x00" in text:
                continue  # a C string ends there
            assert native.tokenize(text) == tokenizer(text, add_special_tokens=False)["input_ids"], text


def test_an_unknown_way_of_cutting_is_refused(tmp_path: Path) -> None:
    model = make_llama(tmp_path / "llama", kind="odd")
    with pytest.raises(
        ExportError, match=r"no known name in llama.cpp; known are the ways of qwen2, llama-bpe"
    ):
        export_gguf(model, tmp_path / "m.gguf", "f16")


def test_tokens_that_differ_are_found_before_the_file_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cutting of the right name over the wrong merges: the file loads, and is refused all the same."""
    model = make_llama(tmp_path / "llama")
    good = read_vocabulary(model.path, 400)
    import dataclasses

    monkeypatch.setattr(
        "assay.trainers.gguf.write.read_vocabulary",
        lambda *_: dataclasses.replace(good, merges=good.merges[40:]),
    )
    with pytest.raises(ExportError, match="into other tokens than transformers does"):
        export_gguf(model, tmp_path / "m.gguf", "f16")
    assert not (tmp_path / "m.gguf").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}},
            "'dynamic' is not exported",
        ),
        ({"rope_parameters": YARN | {"attention_factor": 1.5}}, "yarn with attention_factor set"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "quantised already"),
        (
            {"architectures": ["GPTBigCodeForCausalLM"]},
            "architecture GPTBigCodeForCausalLM cannot be exported",
        ),
    ],
)
def test_what_llama_cpp_would_compute_differently_is_refused(
    tiny: Artifact, tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    model = with_config(tiny, tmp_path / "odd", **changes)
    with pytest.raises(ExportError, match=says):
        export_gguf(model, tmp_path / "m.gguf", "f16")


def test_sentencepiece_is_refused_by_name(tmp_path: Path) -> None:
    model = make_llama(tmp_path / "llama")
    file = model.path / "tokenizer.json"
    spec = json.loads(file.read_text())
    spec["model"]["byte_fallback"] = True
    file.write_text(json.dumps(spec))
    (model.path / "artifact.json").unlink()
    with pytest.raises(ExportError, match="SentencePiece's"):
        export_gguf(identify(model.path), tmp_path / "m.gguf", "f16")


@pytest.mark.parametrize("hidden", [256, 64])
def test_predicted_sizes_are_the_files_sizes(tmp_path: Path, hidden: int) -> None:
    """Hidden 64 divides by no K-quant's block of 256, so that llama.cpp falls back on other types."""
    from assay.trainers.gguf.sizes import predict_sizes

    model = make_tiny_model(tmp_path / "base", ["a b c"], hidden_size=hidden, layers=2)
    types = ("f32", "f16", "q8_0", "q6_k", "q4_k_m", "q2_k")
    for predicted in predict_sizes(model, types):
        assert predicted.bytes is not None, predicted.refusal
        made = export_gguf(model, tmp_path / "m.gguf", predicted.quantize)
        assert abs(made.path.stat().st_size - predicted.bytes) <= 64


def test_a_type_that_cannot_be_made_is_said_to_be(tmp_path: Path) -> None:
    from assay.trainers.gguf.sizes import predict_sizes

    model = make_tiny_model(tmp_path / "base", ["a b c"], hidden_size=48, layers=1)
    (found,) = predict_sizes(model, ("q8_0",))
    assert found.bytes is None
    assert "not divisible by 32" in found.refusal
