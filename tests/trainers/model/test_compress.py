"""Weights in fewer bits, as folders that load by themselves."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from assay.trainers import Artifact, ArtifactError, ArtifactKind
from assay.trainers.artifact import describe
from assay.trainers.config import QuantizationTable
from assay.trainers.model.quantize import compress_model
from tests.tiny import make_tiny_model

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Wide enough that bits count for more than what stays unquantised."""
    return make_tiny_model(tmp_path_factory.mktemp("wide") / "base", ["a b c"], hidden_size=256, layers=1)


def size(artifact: Artifact) -> int:
    return sum(f.stat().st_size for f in artifact.path.glob("*.safetensors"))


def loaded(artifact: Artifact) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(str(artifact.path), dtype=torch.float32)


def test_fewer_bits_take_less_room(wide: Artifact, tmp_path: Path) -> None:
    made = {kind: compress_model(wide, tmp_path / kind, kind) for kind in ("fp32", "bf16", "int8", "nf4")}  # type: ignore[arg-type]
    assert size(made["fp32"]) > 1.9 * size(made["bf16"]) > size(made["int8"]) > size(made["nf4"])
    assert all(a.kind is ArtifactKind.BASE and a.parent == wide for a in made.values())


@pytest.mark.parametrize("kind", ["nf4", "fp4", "int8"])
def test_the_folder_holds_the_quantisation_that_training_uses(
    wide: Artifact, tmp_path: Path, kind: Any
) -> None:
    """Saved, loaded and dequantised, each weight is the one that a QLoRA run has under its adapter."""
    import torch

    from assay.trainers.model.quantize import dequantized, load_quantized, quantized_layers

    made = compress_model(wide, tmp_path / "made", kind)
    fresh = load_quantized(
        str(wide.path), QuantizationTable(type=kind), "fp32", attention="sdpa", keep_fp32=True
    )
    saved_layers, fresh_layers = quantized_layers(loaded(made)), quantized_layers(fresh)
    assert set(saved_layers) == set(fresh_layers) != set()
    assert all(torch.equal(dequantized(saved_layers[n]), dequantized(fresh_layers[n])) for n in saved_layers)


def test_rounded_to_bf16(wide: Artifact, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    made = compress_model(wide, tmp_path / "made", "bf16")
    before, after = (load_file(a.path / "model.safetensors") for a in (wide, made))
    assert all(torch.equal(after[n], before[n].to(torch.bfloat16)) for n in before)


def test_done_once_and_never_over_something_else(wide: Artifact, tmp_path: Path) -> None:
    made = compress_model(wide, tmp_path / "made", "nf4")
    assert compress_model(wide, tmp_path / "made", "nf4") == made
    with pytest.raises(ArtifactError, match="holds something else"):
        compress_model(wide, tmp_path / "made", "nf4", double_quant=False)


def test_a_tuned_model_is_compressed_and_stays_tuned(wide: Artifact, tmp_path: Path) -> None:
    copied = tmp_path / "tuned"
    shutil.copytree(wide.path, copied)
    tuned = describe(ArtifactKind.TUNED, copied, wide, "every weight trained")
    made = compress_model(tuned, tmp_path / "made", "bf16")
    assert (made.kind, made.parent) == (ArtifactKind.TUNED, tuned)


def test_an_adapter_is_refused(adapter: Artifact, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="is of kind adapter; only base, tuned and merged"):
        compress_model(adapter, tmp_path / "made", "nf4")
