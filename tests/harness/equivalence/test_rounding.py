"""Each tensor's rounding error, from what is stored, against what quantising it directly loses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from assay.harness.cli import app
from assay.harness.equivalence.states import state_of
from assay.harness.equivalence.weights import Weights, compare_weights
from assay.trainers import Artifact
from assay.trainers.gguf import export_gguf
from assay.trainers.model.quantize import compress_model
from tests.tiny import make_tiny_model

pytestmark = [pytest.mark.train, pytest.mark.gguf]
HF = {
    f"blk.0.{ours}.weight": f"model.layers.0.{original}.weight"
    for ours, original in {
        "attn_q": "self_attn.q_proj",
        "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj",
        "ffn_gate": "mlp.gate_proj",
        "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj",
    }.items()
}


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """One layer of normal weights, wide enough for blocks of 256."""
    return make_tiny_model(tmp_path_factory.mktemp("wide") / "base", ["a b c"], hidden_size=256, layers=1)


def tensors(model: Artifact) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(model.path / "model.safetensors")


def held(a: Artifact, b: Artifact) -> Weights:
    return compare_weights(state_of(a), state_of(b))


def rms(values: Any) -> float:
    return float(values.double().square().mean().sqrt())


def quantised(weight: Any, kind: str) -> Any:
    import bitsandbytes.functional as functional

    packed = functional.quantize_4bit(weight, quant_type=kind, blocksize=64, compress_statistics=True)
    return functional.dequantize_4bit(*packed).reshape(weight.shape)


def test_nf4_loses_less_than_fp4_in_every_tensor(wide: Artifact, tmp_path: Path) -> None:
    """Normal weights are what NF4 was made for (arXiv 2305.14314): 9 % against 12 % of their deviation."""
    before, losses = tensors(wide), {}
    for kind in ("nf4", "fp4"):
        found = held(wide, compress_model(wide, tmp_path / kind, kind))  # type: ignore[arg-type]
        rounded = {t.name: t for t in found.tensors if t.type_b == kind}
        assert set(rounded) == set(HF)
        assert found.rounding is not None
        assert found.rounding.tensors == len(HF)
        for name, t in rounded.items():
            weight = before[HF[name]].float()
            lost = rms(quantised(weight, kind) - weight)
            assert (t.rmse, t.relative) == pytest.approx((lost, lost / rms(weight)), rel=1e-6)
        losses[kind] = {name: t.relative for name, t in rounded.items()}
    assert all(losses["nf4"][name] < losses["fp4"][name] for name in HF)
    assert np.mean(list(losses["nf4"].values())) == pytest.approx(0.092, abs=0.004)
    assert np.mean(list(losses["fp4"].values())) == pytest.approx(0.122, abs=0.006)


def test_int8_is_measured_too(wide: Artifact, tmp_path: Path) -> None:
    """LLM.int8: a row in steps of its largest weight over 127, so that errors are uniform within half a step."""
    before = tensors(wide)
    found = {t.name: t for t in held(wide, compress_model(wide, tmp_path / "int8", "int8")).tensors}
    for name, hf_name in HF.items():
        weight = before[hf_name].float()
        steps = weight.abs().amax(dim=1) / 127
        assert found[name].rmse == pytest.approx(rms(steps) / np.sqrt(12), rel=0.1)


@pytest.mark.parametrize("kind", ["q8_0", "q4_0"])
def test_gguf_types_against_their_reference_quantiser(wide: Artifact, tmp_path: Path, kind: str) -> None:
    import gguf

    before = tensors(wide)
    found = {t.name: t for t in held(wide, export_gguf(wide, tmp_path / f"{kind}.gguf", kind)).tensors}
    qtype = gguf.GGMLQuantizationType[kind.upper()]
    for name, hf_name in HF.items():
        weight = before[hf_name].float().numpy()
        restored = gguf.quants.dequantize(gguf.quants.quantize(weight, qtype), qtype)
        assert found[name].rmse == pytest.approx(np.sqrt(np.square(restored - weight).mean()), rel=1e-3)


def test_export_says_what_rounding_lost(wide: Artifact, tmp_path: Path) -> None:
    def export(kind: str, *flags: str) -> Any:
        out = tmp_path / f"{kind}{len(flags)}.gguf"
        return CliRunner().invoke(
            app, ["export", str(wide.path), "-o", str(out), "--quantize", kind, "-q", *flags]
        )

    said = {
        kind: json.loads(export(kind, "--json").stdout)["weights"]
        for kind in ("f32", "q8_0", "q4_k_m", "q2_k")
    }
    assert said["f32"]["rounding"] is None
    assert {t["rmse"] for t in said["f32"]["tensors"]} == {0.0}
    means = [said[kind]["rounding"]["relative_mean"] for kind in ("q8_0", "q4_k_m", "q2_k")]
    assert means == sorted(means)
    assert 0.002 < means[0] < 0.01
    assert all(w["faults"] == [] and w["unmeasured"] == {} for w in said.values())
    shown = export("q4_0").stdout
    assert "rounding, " in shown
    assert "tensors that differ most, RMSE (of their own RMS): " in shown
    skipped = json.loads(export("q8_0", "--json", "--no-rounding").stdout)
    assert (skipped["weights"], skipped["unmeasured"]) == (None, {"weights": "--no-rounding"})
