"""Quantised bases: the code books, the bits, what is trained on top, and the trap of CPUs that repack weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assay.trainers import Artifact, Records, SftConfig, TrainingError
from assay.trainers.config import QuantizationTable
from assay.trainers.methods.sft import build_trainer, train_sft
from assay.trainers.model.quantize import (
    BASE_QUANTIZATION,
    NF4,
    bitsandbytes_config,
    dequantized,
    load_quantized,
    load_rounded_base,
    quantized_layers,
    read_base_quantization,
    weight_bytes,
)
from assay.trainers.run.facts import load_facts

pytest.importorskip("bitsandbytes", reason="needs the train extra: pip install 'assay[train]'")
pytestmark = pytest.mark.train
Make = Callable[..., SftConfig]
# FP4 is 1 sign, 2 exponent and 1 mantissa bit, with a subnormal 0.0625/12: bitsandbytes' published values.
FP4 = (0.0, 0.0052083333, 0.6666667, 1.0, 0.3333333, 0.5, 0.1666667, 0.25)


def table(kind: str, **fields: object) -> QuantizationTable:
    return QuantizationTable.model_validate({"type": kind} | fields)


def quantise(weight: Any, kind: str, *, double: bool = False) -> tuple[Any, Any]:
    import bitsandbytes.functional as functional

    return functional.quantize_4bit(weight, quant_type=kind, compress_statistics=double, blocksize=64)


def restored(weight: Any, kind: str, *, double: bool = False) -> Any:
    import bitsandbytes.functional as functional

    return functional.dequantize_4bit(*quantise(weight, kind, double=double)).reshape(weight.shape)


def nf4_by_definition() -> list[float]:
    """QLoRA (arXiv 2305.14314, appendix E): quantiles of N(0, 1), 8 above and 7 below zero, and zero, scaled to 1."""
    from statistics import NormalDist

    offset, normal = 0.9677083, NormalDist()

    def spaced(n: int) -> list[float]:
        return [offset + (0.5 - offset) * i / (n - 1) for i in range(n)][:-1]

    values = [normal.inv_cdf(p) for p in spaced(9)] + [0.0] + [-normal.inv_cdf(p) for p in spaced(8)]
    return sorted(v / max(values) for v in values)


def test_the_16_values_of_nf4_are_the_papers() -> None:
    import torch

    values = restored(torch.tensor(nf4_by_definition()).repeat(4), "nf4")[:16]
    assert values.tolist() == pytest.approx(nf4_by_definition(), abs=2e-7)
    assert pytest.approx(nf4_by_definition(), abs=2e-7) == list(NF4)


def test_the_values_of_fp4_are_the_published_ones() -> None:
    import torch

    both = sorted({*FP4, *(-v for v in FP4)})
    values = restored(torch.tensor([*both, *([0.0] * (64 - len(both)))]), "fp4")[: len(both)]
    assert values.tolist() == pytest.approx(both, abs=2e-3)


def test_nf4_loses_less_of_normal_weights_than_fp4() -> None:
    """Root mean squares on N(0, 1), in blocks of 64; NF4 was made for this distribution."""
    import torch

    weight = torch.randn(1024, 1024, generator=torch.Generator().manual_seed(0))
    rms = {k: float((restored(weight, k) - weight).square().mean().sqrt()) for k in ("nf4", "fp4")}
    assert rms["nf4"] < rms["fp4"]
    assert rms["nf4"] == pytest.approx(0.0920, abs=0.001)
    assert rms["fp4"] == pytest.approx(0.1219, abs=0.001)


@pytest.mark.parametrize(("double", "bits"), [(True, 4.126953125), (False, 4.5)])
def test_bits_a_parameter(double: bool, bits: float) -> None:
    """4 for the code, 32/64 for the scale, or with double quantisation 8/64 + 32/(64·256)."""
    import torch
    from bitsandbytes.nn import Linear4bit

    layer = Linear4bit(1024, 2048, bias=False, compress_statistics=double, quant_type="nf4").to("cpu")
    assert layer.weight.dtype == torch.uint8
    assert 8 * weight_bytes(layer) / (1024 * 2048) == pytest.approx(bits, rel=0.01)


@pytest.mark.parametrize("kind", ["nf4", "fp4", "int8"])
def test_every_linear_layer_but_the_head_is_quantised(tiny: Artifact, kind: str) -> None:
    from safetensors.torch import load_file

    model = load_quantized(str(tiny.path), table(kind), "fp32", attention="eager", keep_fp32=True)
    layers = quantized_layers(model)
    assert len(layers) == 2 * 7
    assert "lm_head" not in layers
    before = load_file(tiny.path / "model.safetensors")
    errors = {
        name: float((dequantized(layer) - before[f"{name}.weight"]).square().mean().sqrt())
        for name, layer in layers.items()
    }
    # the tiny model's weights are N(0, 0.3²): NF4 loses 0.092 of a deviation, FP4 0.122, int8 under 0.01
    low, high = {"nf4": (0.085, 0.105), "fp4": (0.115, 0.14), "int8": (0.003, 0.012)}[kind]
    assert all(low < e / 0.3 < high for e in errors.values()), errors


def test_the_choices_reach_bitsandbytes() -> None:
    import torch

    config = bitsandbytes_config(table("fp4", double_quant=False), "bf16")
    assert (config.load_in_4bit, config.bnb_4bit_quant_type) == (True, "fp4")
    assert (config.bnb_4bit_use_double_quant, config.bnb_4bit_compute_dtype) == (False, torch.bfloat16)
    assert bitsandbytes_config(table("nf4"), "fp32").bnb_4bit_use_double_quant
    assert bitsandbytes_config(table("int8"), "fp32").load_in_8bit


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["nf4", "fp4", "int8"])
def test_an_adapter_learns_on_a_quantised_base(
    tiny: Artifact, chats: Records, small_config: Make, tmp_path: Path, kind: str
) -> None:
    config = small_config(quantization={"type": kind}, adapter={"r": 8, "alpha": 8})
    made = train_sft(tiny, config, chats, tmp_path / "out")
    facts = load_facts(made.path)
    assert facts is not None
    assert facts.total_parameters - facts.trainable_parameters == sum(
        p.numel() for p in _plain(tiny).parameters()
    )
    losses = [float(x.split('"loss": ')[1].split(",")[0]) for x in _log(made)]
    assert losses[-1] < losses[0]
    assert read_base_quantization(made.path) == table(kind, double_quant=True, compute_dtype="fp32")
    assert f"on a base in {kind}" in made.recipe


def test_the_rounding_is_part_of_what_the_adapter_is(
    tiny: Artifact, chats: Records, small_config: Make, tmp_path: Path
) -> None:
    from assay.trainers import identify

    made = train_sft(tiny, small_config(quantization={"type": "nf4"}, max_steps=1), chats, tmp_path / "out")
    (made.path / BASE_QUANTIZATION).write_text('{"type": "fp4"}')
    with pytest.raises(ValueError, match="has changed since it was made"):
        identify(made.path, base=tiny)


def test_the_adapter_stays_in_fp32_and_the_base_frozen(
    tiny: Artifact, chats: Records, small_config: Make, tmp_path: Path
) -> None:
    """TRL casts it to bf16; the run takes it back."""
    import torch

    model = build_trainer(tiny, small_config(quantization={"type": "nf4"}), chats, tmp_path).model
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    assert all(("lora_" in n) == p.requires_grad for n, p in model.named_parameters())


@pytest.mark.parametrize(("upcast", "dtype"), [(True, "float32"), (False, "bfloat16")])
def test_the_upcast_of_what_is_not_quantised_is_a_choice(
    tiny: Artifact, chats: Records, small_config: Make, tmp_path: Path, upcast: bool, dtype: str
) -> None:
    quantization = {"type": "nf4", "upcast_fp32": upcast, "compute_dtype": "bf16"}
    model = build_trainer(tiny, small_config(quantization=quantization), chats, tmp_path).model
    kept = {n: p for n, p in model.named_parameters() if not p.requires_grad and p.element_size() > 1}
    assert any("embed_tokens" in n for n in kept)
    assert any("norm" in n for n in kept)
    assert {str(p.dtype) for p in kept.values()} == {f"torch.{dtype}"}


def test_evaluating_first_does_not_spoil_the_weights(tiny: Artifact, logits_of: Callable[[Any], Any]) -> None:
    """Eval, then train, then read the weights: bitsandbytes would repack them in the first step where the CPU has
    AVX512-BF16, and with its flag forced on it does so here too."""
    import torch

    model = load_quantized(str(tiny.path), table("nf4"), "fp32", attention="eager", keep_fp32=True)
    layers = quantized_layers(model)
    assert all(layer.support_avx512bf16_for_cpu is False for layer in layers.values())
    before = {name: dequantized(layer).clone() for name, layer in layers.items()}
    first = logits_of(model)
    model.train()
    model(input_ids=torch.arange(5, 25)[None], labels=torch.arange(5, 25)[None]).loss.backward()
    assert logits_of(model).equal(first)
    for name, layer in layers.items():
        assert not getattr(layer.weight.quant_state, "packing_format_for_cpu", False)
        assert dequantized(layer).equal(before[name])


def test_the_trap_is_real_where_the_cpu_has_it(tiny: Artifact, logits_of: Callable[[Any], Any]) -> None:
    """Without the guard the weights that are read after an evaluation are not those of the model: they are as far from
    them as unrelated ones, √2 of their norm. With it they are those weights, bit for bit."""
    import torch
    from transformers import AutoModelForCausalLM

    if not torch.cpu.get_capabilities().get("avx512_bf16"):
        pytest.skip("this CPU has no AVX512-BF16: bitsandbytes repacks nothing")
    unguarded = AutoModelForCausalLM.from_pretrained(
        str(tiny.path),
        dtype=torch.bfloat16,
        quantization_config=bitsandbytes_config(table("nf4"), "bf16"),
    )
    guarded = load_quantized(str(tiny.path), table("nf4"), "bf16", attention="sdpa", keep_fp32=False)
    weights = {name: dequantized(layer).clone() for name, layer in quantized_layers(guarded).items()}
    assert [
        n for n, layer in quantized_layers(unguarded).items() if not dequantized(layer).equal(weights[n])
    ] == []
    logits_of(unguarded)
    logits_of(guarded)
    states = [layer.weight.quant_state for layer in quantized_layers(unguarded).values()]
    if not any(getattr(state, "packing_format_for_cpu", False) for state in states):
        pytest.skip("this build of bitsandbytes has no kernel for the repacked layout")
    errors = {
        name: float((dequantized(layer) - weights[name]).norm() / weights[name].norm())
        for name, layer in quantized_layers(unguarded).items()
    }
    assert errors == {name: pytest.approx(2**0.5, abs=0.1) for name in weights}
    for name, layer in quantized_layers(guarded).items():
        assert not getattr(layer.weight.quant_state, "packing_format_for_cpu", False)
        assert dequantized(layer).equal(weights[name])


@pytest.mark.parametrize("kind", ["nf4", "fp4", "int8"])
def test_the_rounded_base_is_the_quantised_one_in_plain_layers(
    tiny: Artifact, kind: str, logits_of: Callable[[Any], Any]
) -> None:
    import torch

    quantised = load_quantized(str(tiny.path), table(kind), "fp32", attention="sdpa", keep_fp32=True)
    rounded = load_rounded_base(str(tiny.path), table(kind))
    assert not quantized_layers(rounded)
    ours, reference, whole = (logits_of(m) for m in (rounded, quantised, _plain(tiny)))
    if kind == "int8":  # LLM.int8 rounds the activations too
        assert (ours - reference).norm() < 0.05 * reference.norm()
    else:
        torch.testing.assert_close(ours, reference, rtol=1e-3, atol=1e-3)
        assert (ours - whole).norm() > 0.05 * whole.norm()


@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_a_base_kept_in_bf16_is_rounded_from_bf16(
    tiny: Artifact, chats: Records, small_config: Make, tmp_path: Path, kind: str
) -> None:
    """What the adapter's record leads back to is, bit for bit, what it was trained on: every weight of it."""
    config = small_config(
        quantization={"type": kind, "upcast_fp32": False, "compute_dtype": "bf16"}, max_steps=1
    )
    made = train_sft(tiny, config, chats, tmp_path / "out")
    told = read_base_quantization(made.path)
    assert told is not None
    assert (told.upcast_fp32, told.compute_dtype) == (False, "bf16")
    trained = load_quantized(str(tiny.path), told, "bf16", attention="sdpa", keep_fp32=False)
    rounded = {f"{name}.weight": dequantized(m) for name, m in quantized_layers(trained).items()}
    wanted = {name: rounded.get(name, p).float() for name, p in trained.named_parameters()}
    found = dict(load_rounded_base(str(tiny.path), told).named_parameters())
    assert set(found) == set(wanted)
    assert [name for name in wanted if not found[name].equal(wanted[name])] == []
    whole = load_rounded_base(str(tiny.path), told.model_copy(update={"upcast_fp32": True}))
    assert any(not found[name].equal(p) for name, p in whole.named_parameters())


def test_a_bf16_base_of_an_unknown_type_is_refused(tiny: Artifact) -> None:
    with pytest.raises(TrainingError, match="does not say which type the weights had"):
        load_rounded_base(str(tiny.path), table("nf4", upcast_fp32=False))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"optimizer": "paged_adamw_8bit"}, "no CUDA device"),
        ({"optimizer": "paged_adamw_32bit"}, "no CUDA device"),
        ({"quantization": {"type": "nf4", "compute_dtype": "fp16"}}, "needs a CUDA device"),
        ({"quantization": {"type": "nf4"}, "adapter": {"type": "loha"}}, "use lora, rslora or dora"),
        ({"quantization": {"type": "int8", "double_quant": True}}, "belongs to the 4-bit types"),
        ({"dtype": "fp16"}, "needs a CUDA device"),
    ],
)
def test_what_this_machine_cannot_do_is_refused_with_its_reason(
    tiny: Artifact, chats: Records, small_config: Make, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device and can do it")
    with pytest.raises(TrainingError, match=said):
        train_sft(tiny, small_config(**changes), chats, tmp_path / "out")


def test_bf16_is_refused_on_a_device_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A T4 (compute capability 7.5) has fp16 only."""
    import torch

    from assay.trainers.model.precision import resolve_dtype

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    with pytest.raises(TrainingError, match=r"'bf16' is unsupported by Tesla T4 \(compute capability 7\.5"):
        resolve_dtype("bf16")
    assert resolve_dtype("auto") == resolve_dtype("fp16") == "fp16"


@pytest.mark.gpu
def test_fp16_has_a_loss_scaler(tiny: Artifact, chats: Records, small_config: Make, tmp_path: Path) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("fp16 training needs a CUDA device; none here")
    trainer = build_trainer(tiny, small_config(dtype="fp16"), chats, tmp_path)
    assert trainer.accelerator.scaler is not None
    assert trainer.accelerator.scaler.is_enabled()


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["paged_adamw_8bit", "paged_adamw_32bit"])
def test_paged_optimisers_page(
    tiny: Artifact, chats: Records, small_config: Make, tmp_path: Path, name: str
) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("paged optimisers need a CUDA device; none here")
    trainer = build_trainer(tiny, small_config(optimizer=name, max_steps=1), chats, tmp_path)
    trainer.train()
    assert trainer.optimizer.optimizer.is_paged


def _plain(base: Artifact) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(str(base.path), dtype=torch.float32)


def _log(made: Artifact) -> list[str]:
    return (made.path / "train_log.jsonl").read_text().splitlines()
