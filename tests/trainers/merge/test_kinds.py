"""Adapters of other kinds, and adapters of quantised bases: merged, they answer as they did."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from assay.trainers import Artifact, ArtifactError, ArtifactKind
from assay.trainers.artifact import describe
from assay.trainers.config import QuantizationTable
from assay.trainers.merge import MergeRecipe, merge

pytestmark = pytest.mark.train


def random_adapter(base: Artifact, out: Path, kind: str, noise: float = 0.2) -> Artifact:
    """An adapter of `kind` with nothing at zero, so that it changes every answer."""
    import torch
    from peft import LoHaConfig, LoKrConfig, LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    shared: dict[str, Any] = {
        "task_type": "CAUSAL_LM",
        "target_modules": ["q_proj", "v_proj", "down_proj"],
        "r": 4,
    }
    config = {
        "lora": LoraConfig(**shared, lora_alpha=8),
        "rslora": LoraConfig(**shared, lora_alpha=8, use_rslora=True),
        "dora": LoraConfig(**shared, lora_alpha=8, use_dora=True),
        "bias": LoraConfig(**shared, lora_alpha=8, bias="all"),
        "loha": LoHaConfig(**shared, alpha=8, init_weights=True),
        "lokr": LoKrConfig(**shared, alpha=8, init_weights=True),
    }[kind]
    model = AutoModelForCausalLM.from_pretrained(str(base.path), dtype=torch.float32)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        peft = get_peft_model(model, config)
        for name, parameter in peft.named_parameters():
            if parameter.requires_grad and "magnitude" not in name:
                parameter.data += torch.randn_like(parameter) * noise
        peft.save_pretrained(str(out))
    return describe(ArtifactKind.ADAPTER, out, base, kind)


@pytest.mark.parametrize("kind", ["lora", "rslora", "dora", "bias", "loha", "lokr"])
def test_merged_it_answers_as_the_adapter(
    tiny: Artifact, tmp_path: Path, kind: str, logits_of: Callable[[Any], Any]
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    adapter = random_adapter(tiny, tmp_path / "adapter", kind)
    made = merge([adapter], tmp_path / "out")
    base = AutoModelForCausalLM.from_pretrained(str(tiny.path), dtype=torch.float32)
    before = logits_of(base)
    reference = logits_of(PeftModel.from_pretrained(base, str(adapter.path)))
    merged = logits_of(AutoModelForCausalLM.from_pretrained(str(made.path), dtype=torch.float32))
    assert (merged - reference).abs().max() < 1e-3 < 0.1 < (reference - before).abs().max()


def test_other_kinds_do_not_combine(tiny: Artifact, tmp_path: Path) -> None:
    plain = random_adapter(tiny, tmp_path / "lora", "lora")
    for kind, says in (
        ("loha", "is a LOHA adapter"),
        ("dora", "DoRA magnitudes"),
        ("bias", "trained biases"),
    ):
        other = random_adapter(tiny, tmp_path / kind, kind)
        with pytest.raises(ArtifactError, match=says):
            merge([plain, other], tmp_path / f"out-{kind}", MergeRecipe(strategy="cat"))


@pytest.mark.parametrize("kind", ["nf4", "fp4", "int8"])
def test_an_adapter_of_a_quantised_base_both_ways(
    tiny: Artifact, tmp_path: Path, kind: str, logits_of: Callable[[Any], Any]
) -> None:
    """Onto what the quantisation left of the base, it answers as it did; onto the full base it is another model."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from assay.trainers.artifact import identify
    from assay.trainers.model.quantize import load_quantized, load_rounded_base, save_base_quantization

    adapter = random_adapter(tiny, tmp_path / "adapter", "lora")
    table = QuantizationTable(type=kind)  # type: ignore[arg-type]
    (adapter.path / "artifact.json").unlink()
    save_base_quantization(adapter.path, table, "fp32")
    adapter = identify(adapter.path, base=tiny)
    if kind == "int8":  # LLM.int8 rounds activations too, which no plain weight can repeat
        quantised = load_rounded_base(str(tiny.path), table)
    else:
        quantised = load_quantized(str(tiny.path), table, "fp32", attention="sdpa", keep_fp32=True)
    reference = logits_of(PeftModel.from_pretrained(quantised, str(adapter.path)))
    away = {}
    for onto in ("full", "trained", kind):
        made = merge([adapter], tmp_path / onto, MergeRecipe(onto=onto))  # type: ignore[arg-type]
        merged = AutoModelForCausalLM.from_pretrained(str(made.path), dtype=torch.float32)
        assert not hasattr(merged.config, "quantization_config")
        away[onto] = float((logits_of(merged) - reference).abs().max())
    assert away[kind] == away["trained"] < 1e-3 < 0.05 < away["full"]


def test_the_sum_can_be_stored_in_fewer_bits(tiny: Artifact, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    adapter = random_adapter(tiny, tmp_path / "adapter", "lora")
    made = merge([adapter], tmp_path / "out", MergeRecipe(dtype="bf16"))
    assert {t.dtype for t in load_file(made.path / "model.safetensors").values()} == {torch.bfloat16}
    assert "stored as bf16" in made.recipe
