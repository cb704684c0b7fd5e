"""Adapters against their definitions: counts, deltas, what is saved, and which layers they may go on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from assay.trainers import Artifact, Records, SftConfig, TrainingError
from assay.trainers.config import LowRankTable, QuantizationTable
from assay.trainers.config.adapter import scaling
from assay.trainers.methods.sft import train_sft
from assay.trainers.model.prepare import (
    adapter_parameters,
    alpha_warning,
    attach_adapter,
    empty_model,
    factorise,
)

pytestmark = pytest.mark.train
KINDS = ("lora", "rslora", "dora", "loha", "lokr")
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]


def table(kind: str = "lora", **fields: object) -> Any:
    return TypeAdapter(LowRankTable).validate_python({"type": kind, "r": 4, "alpha": 8} | fields)


def load(base: Artifact) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(
        str(base.path), dtype=torch.float32, attn_implementation="eager"
    )


def stir(model: Any, seed: int = 0) -> Any:
    """Give every adapter parameter a small random value, as training would."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    for p in model.parameters():
        if p.requires_grad:
            p.data += 0.05 * torch.randn(p.shape, generator=generator)
    return model


@pytest.fixture(scope="module")
def qwen_1_5b(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Qwen2.5-Coder-1.5B's published shape, without weights."""
    from transformers import Qwen2Config

    folder = tmp_path_factory.mktemp("qwen")
    Qwen2Config(
        vocab_size=151936,
        hidden_size=1536,
        intermediate_size=8960,
        num_hidden_layers=28,
        num_attention_heads=12,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        architectures=["Qwen2ForCausalLM"],
    ).save_pretrained(folder)
    return folder


def test_the_published_counts_of_a_model_of_1_5_billion(qwen_1_5b: Path) -> None:
    model = empty_model(str(qwen_1_5b))
    assert sum(p.numel() for p in model.parameters()) == 1_543_714_304
    assert {p.device.type for p in model.parameters()} == {"meta"}
    counts = {r: adapter_parameters(model, table(r=r)) for r in (8, 16, 32, 64)}
    assert counts == {8: 9_232_384, 16: 18_464_768, 32: 36_929_536, 64: 73_859_072}
    assert adapter_parameters(model, table(r=8, target_modules=ATTENTION)) == 2_179_072


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fields", [{}, {"r": 16}, {"r": 64}, {"target_modules": ["q_proj", "down_proj"]}])
def test_counts_are_pefts_own(tiny: Artifact, kind: str, fields: dict[str, object]) -> None:
    wanted = table(kind, **fields)
    model = attach_adapter(load(tiny), wanted)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == adapter_parameters(
        empty_model(str(tiny.path)), wanted
    )


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("lora", {"bias": "all"}),
        ("lora", {"bias": "lora_only", "target_modules": ["q_proj", "up_proj"]}),
        ("lokr", {"factor": 8}),
        ("lokr", {"factor": 7}),
        ("lokr", {"factor": 4, "decompose_both": True, "r": 1}),
    ],
)
def test_counts_with_every_option_are_pefts_own(tiny: Artifact, kind: str, fields: dict[str, object]) -> None:
    test_counts_are_pefts_own(tiny, kind, fields)


def test_factors_are_pefts_own() -> None:
    from peft.tuners.lokr.layer import factorization

    for size in (1, 2, 7, 64, 96, 127, 192, 256, 768, 1536, 8960):
        for factor in (-1, 2, 4, 7, 8, 16, 300):
            assert factorise(size, factor) == factorization(size, factor), (size, factor)


def delta(layer: Any, kind: str, wanted: Any) -> Any:
    """The update's own formula, from the stored matrices."""
    import torch

    def of(name: str) -> Any:
        found = getattr(layer, name)["default"]
        return getattr(found, "weight", found).detach()

    if kind in ("lora", "rslora"):
        return scaling(wanted) * of("lora_B") @ of("lora_A")
    if kind == "loha":
        return scaling(wanted) * (of("hada_w1_a") @ of("hada_w1_b")) * (of("hada_w2_a") @ of("hada_w2_b"))
    right = of("lokr_w2") if "default" in layer.lokr_w2 else of("lokr_w2_a") @ of("lokr_w2_b")
    return scaling(wanted) * torch.kron(of("lokr_w1"), right)


@pytest.mark.parametrize("kind", ["lora", "rslora", "loha", "lokr"])
def test_the_forward_pass_is_w_plus_the_definitions_delta(tiny: Artifact, kind: str) -> None:
    import torch

    wanted = table(kind, alpha=6)
    model = stir(attach_adapter(load(tiny), wanted))
    for path in ("layers.0.mlp.up_proj", "layers.1.self_attn.k_proj"):
        layer = model.base_model.model.model.get_submodule(path)
        change = delta(layer, kind, wanted)
        assert change.abs().max() > 1e-4
        base = layer.base_layer
        x = torch.randn(5, base.in_features, generator=torch.Generator().manual_seed(0))
        expected = x @ (base.weight + change).T + (0 if base.bias is None else base.bias)
        torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)


def test_doras_forward_pass_is_length_times_direction(tiny: Artifact) -> None:
    """m · (W + sBA)/‖W + sBA‖, the norm of each output's row (arXiv 2402.09353, equation 5)."""
    import torch

    wanted = table("dora")
    layer = stir(attach_adapter(load(tiny), wanted)).base_model.model.model.layers[0].mlp.up_proj
    whole = layer.base_layer.weight + scaling(wanted) * (
        layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    )
    length = layer.lora_magnitude_vector["default"].weight
    x = torch.randn(5, whole.shape[1], generator=torch.Generator().manual_seed(0))
    expected = x @ (length[:, None] * whole / whole.norm(dim=1, keepdim=True)).T
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fresh_adapter_changes_nothing(tiny: Artifact, kind: str, logits_of: Callable[[Any], Any]) -> None:
    import torch

    fresh = logits_of(attach_adapter(load(tiny), table(kind)))
    base = logits_of(load(tiny))
    if kind == "dora":  # it divides by the norm it multiplies with
        torch.testing.assert_close(fresh, base, rtol=1e-4, atol=1e-4)
    else:
        assert fresh.equal(base)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_trained_is_saved_and_merged_as_it_was(
    tiny: Artifact,
    chats: Records,
    small_config: Callable[..., SftConfig],
    tmp_path: Path,
    kind: str,
    logits_of: Callable[[Any], Any],
) -> None:
    """Loaded by plain PEFT, and merged and loaded without it: the same logits."""
    import torch
    from peft import PeftModel

    from assay.trainers.merge import merge_adapter

    config = small_config(adapter={"type": kind, "r": 4, "alpha": 8}, max_steps=3)
    made = train_sft(tiny, config, chats, tmp_path / "adapter")
    adapted = logits_of(PeftModel.from_pretrained(load(tiny), str(made.path)))
    assert (adapted - logits_of(load(tiny))).abs().max() > 1e-3
    merged = merge_adapter(made, tmp_path / "merged")
    torch.testing.assert_close(logits_of(load(merged)), adapted, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_classifier_is_adapted_saved_and_merged(
    tiny: Artifact, tmp_path: Path, kind: str, logits_of: Callable[[Any], Any]
) -> None:
    """SEQ_CLS: the new head is trained whole and saved with the adapter."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification

    def classifier() -> Any:
        torch.manual_seed(0)
        return AutoModelForSequenceClassification.from_pretrained(
            str(tiny.path), num_labels=3, dtype=torch.float32, attn_implementation="eager"
        )

    model = attach_adapter(classifier(), table(kind), task="SEQ_CLS")
    trainable = {n for n, p in model.named_parameters() if p.requires_grad}
    assert any("score" in name for name in trainable)
    assert sum(p.numel() for n, p in model.named_parameters() if n in trainable) == (
        adapter_parameters(classifier(), table(kind)) + 3 * 64
    )
    ids = torch.randint(3, 300, (6, 12), generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(6):
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    trained = logits_of(model)
    model.save_pretrained(str(tmp_path))
    loaded = PeftModel.from_pretrained(classifier(), str(tmp_path))
    torch.testing.assert_close(logits_of(loaded), trained, rtol=0, atol=0)
    torch.testing.assert_close(logits_of(loaded.merge_and_unload()), trained, rtol=1e-3, atol=1e-3)


def test_a_name_that_fits_no_linear_layer_is_an_error(tiny: Artifact) -> None:
    with pytest.raises(TrainingError, match=r"'w_proj'; it has down_proj, gate_proj"):
        attach_adapter(load(tiny), table(target_modules=["q_proj", "w_proj"]))
    attach_adapter(load(tiny), table(target_modules=["layers.0.mlp.up_proj"]))  # PEFT's longer form fits


@pytest.mark.parametrize(
    ("fields", "quantised", "said"),
    [
        ({"r": 8, "alpha": 16}, False, None),
        ({"r": 8, "alpha": 8}, False, "not 2r = 16"),
        ({"r": 64, "alpha": 16}, True, None),
        ({"r": 16, "alpha": 16}, True, None),
        ({"r": 16, "alpha": 32}, True, "above r = 16"),
        ({"type": "rslora", "r": 8, "alpha": 8}, False, None),
        ({"type": "lokr", "r": 8, "alpha": 99}, False, None),
    ],
)
def test_unusual_alphas_are_noted(fields: dict[str, Any], quantised: bool, said: str | None) -> None:
    found = alpha_warning(
        table(**({"kind": fields.pop("type", "lora")} | fields)), QuantizationTable() if quantised else None
    )
    assert (found is None) == (said is None)
    assert said is None or said in str(found)


def test_dropout_is_off_when_the_adapter_is_evaluated(
    tiny: Artifact, logits_of: Callable[[Any], Any]
) -> None:
    model = stir(attach_adapter(load(tiny), table(dropout=0.5)))
    assert logits_of(model).equal(logits_of(model))
    layer = model.base_model.model.model.layers[0].mlp.up_proj
    assert layer.lora_dropout["default"].p == 0.5
