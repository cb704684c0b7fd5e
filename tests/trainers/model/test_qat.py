"""Quantisation-aware training: rounding as the export does it, a gradient that ignores it, weights saved unrounded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.trainers import Artifact, ArtifactKind, Records, SftConfig
from assay.trainers.methods.sft import train_sft
from assay.trainers.model.quantize import ROUNDINGS, fake_quantise, remove_fake_quantisation

pytestmark = pytest.mark.train


def weights(seed: int = 0) -> Any:
    import torch

    return 0.1 * torch.randn(96, 192, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", ["q4_0", "q8_0"])
def test_rounding_is_ggufs(kind: str) -> None:
    gguf = pytest.importorskip("gguf", reason="needs the gguf extra: pip install 'assay[gguf]'")
    import torch

    quantised = getattr(gguf.GGMLQuantizationType, kind.upper())
    special = torch.zeros(96, 192)
    special[0, 3], special[1, 40], special[2, 64:96] = 1.0, -1.0, 0.5
    for weight in (weights(), special):
        packed = gguf.quants.quantize(weight.numpy(), quantised)
        expected = gguf.quants.dequantize(packed, quantised)
        np.testing.assert_array_equal(ROUNDINGS[kind](weight).numpy(), expected)


def test_rounding_to_nf4_is_bitsandbytes() -> None:
    functional = pytest.importorskip(
        "bitsandbytes.functional", reason="needs the train extra: pip install 'assay[train]'"
    )
    import torch

    weight = weights()
    expected = functional.dequantize_4bit(*functional.quantize_4bit(weight, quant_type="nf4", blocksize=64))
    torch.testing.assert_close(ROUNDINGS["nf4"](weight), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", sorted(ROUNDINGS))
def test_the_gradient_passes_straight_through(kind: str) -> None:
    """∂L/∂W is that of the rounded weight, as if rounding were the identity; without it, it would be zero."""
    import torch

    layer = torch.nn.Sequential(torch.nn.Linear(192, 96))
    layer.get_output_embeddings = lambda: None
    with torch.no_grad():
        layer[0].weight.copy_(weights())
    assert fake_quantise(layer, kind) == 1
    x = torch.randn(5, 192, generator=torch.Generator().manual_seed(1))
    rounded = ROUNDINGS[kind](weights()).requires_grad_()
    expected = torch.nn.functional.linear(x, rounded, layer[0].bias)
    out = layer(x)
    torch.testing.assert_close(out, expected)
    out.square().sum().backward()
    expected.square().sum().backward()
    gradient = layer[0].parametrizations.weight.original.grad
    torch.testing.assert_close(gradient, rounded.grad)
    assert gradient.abs().sum() > 0
    remove_fake_quantisation(layer)
    assert layer[0].weight.equal(weights()), "the trained weight is not the rounded one"


def test_head_and_embedding_are_not_rounded(tiny: Artifact, tied: Artifact) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    for base in (tiny, tied):
        model = AutoModelForCausalLM.from_pretrained(str(base.path), dtype=torch.float32)
        assert fake_quantise(model, "q4_0") == 2 * 7
        assert not torch.nn.utils.parametrize.is_parametrized(model.lm_head)


@pytest.mark.slow
def test_a_run_saves_the_weights_it_trained(
    tiny: Artifact,
    chats: Records,
    small_config: Callable[..., SftConfig],
    tmp_path: Path,
    logits_of: Callable[[Any], Any],
) -> None:
    """It loads as a plain model, and is not the model that the same run without rounding gives."""
    import torch
    from transformers import AutoModelForCausalLM

    full = {"adapter": {"type": "none"}, "learning_rate": 1e-3}
    made = train_sft(tiny, small_config(qat={"type": "q4_0"}, **full), chats, tmp_path / "qat")
    plain = train_sft(tiny, small_config(**full), chats, tmp_path / "plain")
    assert made.kind is ArtifactKind.TUNED
    assert "rounded to q4_0" in made.recipe
    loaded = AutoModelForCausalLM.from_pretrained(str(made.path), dtype=torch.float32)
    names = set(loaded.state_dict())
    assert not any("parametrizations" in name for name in names)
    assert made.sha256 != plain.sha256
    assert not logits_of(loaded).equal(
        logits_of(AutoModelForCausalLM.from_pretrained(str(plain.path), dtype=torch.float32))
    )
