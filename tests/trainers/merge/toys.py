"""Adapters whose factors are written by hand, on a base of eight hidden units."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assay.trainers import Artifact, ArtifactKind
from assay.trainers.artifact import describe

MODULE = "model.layers.0.self_attn.q_proj"


def toy_adapter(
    base: Artifact,
    out: Path,
    a: Sequence[Sequence[float]],
    b: Sequence[Sequence[float]],
    alpha: float = 1,
    **config: Any,
) -> Artifact:
    """A LoRA adapter of the first query projection; `a` [r, ≤8] and `b` [≤8, r] are filled up with zeros."""
    import torch
    from peft import LoraConfig
    from safetensors.torch import save_file

    r = len(a)
    factor_a, factor_b = torch.zeros(r, 8), torch.zeros(8, r)
    factor_a[:, : len(a[0])] = torch.tensor(a)
    factor_b[: len(b)] = torch.tensor(b)
    out.mkdir(parents=True)
    settings = {"r": r, "lora_alpha": alpha, "target_modules": ["q_proj"], "task_type": "CAUSAL_LM"} | config
    LoraConfig(**settings, base_model_name_or_path=str(base.path)).save_pretrained(str(out))
    prefix = f"base_model.model.{MODULE}"
    weights = {f"{prefix}.lora_A.weight": factor_a, f"{prefix}.lora_B.weight": factor_b}
    save_file(weights, out / "adapter_model.safetensors", metadata={"format": "pt"})
    return describe(ArtifactKind.ADAPTER, out, base, "toy")


def change_of(base: Artifact, merged: Artifact) -> Any:
    """What the merge added to the first query projection, [8, 8]."""
    from safetensors.torch import load_file

    name = f"{MODULE}.weight"
    return (
        load_file(merged.path / "model.safetensors")[name] - load_file(base.path / "model.safetensors")[name]
    )
