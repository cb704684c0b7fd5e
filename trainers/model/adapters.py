"""Adapters over PEFT: attached where the model has linear layers, and counted before any weight is loaded."""

from __future__ import annotations

import math
from typing import Any

from assay.trainers.config import LoraTable, LowRankTable, NoAdapter, QuantizationTable, Task, peft_arguments
from assay.trainers.config.adapter import AdapterTable
from assay.trainers.errors import TrainingError

_NO_HEAD = "losses multiply by its weight piece by piece, past an adapter, which would learn nothing"


def attach_adapter(model: Any, table: LowRankTable, task: Task = "CAUSAL_LM") -> Any:
    """`model` with the adapter on its linear layers, as a PeftModel; everything else is frozen. What is trained is
    fp32, whatever the base is kept in.

    Raises TrainingError where a target module fits no linear layer.
    """
    from peft import LoHaConfig, LoKrConfig, LoraConfig, get_peft_model

    check_targets(model, table)
    kind = {"loha": LoHaConfig, "lokr": LoKrConfig}.get(table.type, LoraConfig)
    adapted = get_peft_model(model, kind(**peft_arguments(table, task)))
    for (
        parameter
    ) in adapted.parameters():  # PEFT sees to its own, not to a head or a bias that is trained along
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return adapted


def check_targets(model: Any, table: LowRankTable) -> None:
    """PEFT takes a list of which one name fits and says nothing of the others; here each must fit."""
    linears, head = linear_layers(model), _head_name(model)
    names = sorted({name.rpartition(".")[2] for name in linears if name != head})
    wanted = table.target_modules
    if wanted == "all-linear":
        return
    if head is not None and any(_fits(head, w) for w in wanted):
        tied = model.config.get_text_config().tie_word_embeddings
        why = "it is tied to the embedding, and a merge would change both" if tied else _NO_HEAD
        raise TrainingError(f"adapter.target_modules: {head} is the output head: {why}; leave it out")
    unknown = [w for w in wanted if not any(_fits(name, w) for name in linears)]
    if unknown:
        raise TrainingError(
            f"adapter.target_modules: this model has no linear layer {', '.join(map(repr, unknown))}; "
            f"it has {', '.join(names)}"
        )


def _fits(name: str, wanted: str) -> bool:
    """PEFT's rule: a name fits a module whose dotted name is it or ends with it."""
    return name == wanted or name.endswith(f".{wanted}")


def _head_name(model: Any) -> str | None:
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    return next((name for name, module in model.named_modules() if head is not None and module is head), None)


def linear_layers(model: Any) -> dict[str, tuple[int, int]]:
    """The model's linear layers: dotted name to (inputs, outputs). bitsandbytes' layers are of this kind too."""
    from torch.nn import Linear

    return {
        name: (module.in_features, module.out_features)
        for name, module in model.named_modules()
        if isinstance(module, Linear)
    }


def targeted_layers(model: Any, table: LowRankTable) -> dict[str, tuple[int, int]]:
    """The linear layers that the adapter goes on: with `all-linear`, all but the output projection."""
    wanted = table.target_modules
    linears = linear_layers(model)
    if wanted == "all-linear":
        skip = {_head_name(model), "score"}
        return {name: shape for name, shape in linears.items() if name not in skip}
    return {name: shape for name, shape in linears.items() if any(_fits(name, w) for w in wanted)}


def adapter_parameters(model: Any, table: LowRankTable) -> int:
    """How many parameters the adapter has, by its definition: no weight is needed, a meta-device model will do.

    LoRA on an n×m layer: r·(n+m); DoRA adds the n outputs' lengths; LoHa is twice LoRA's. With `bias` other than
    none the biases that become trainable are counted too.
    """
    layers = targeted_layers(model, table)
    total = sum(_count(table, inputs, outputs) for inputs, outputs in layers.values())
    if isinstance(table, LoraTable) and table.bias != "none":
        biases = {name: p.numel() for name, p in model.named_parameters() if name.endswith("bias")}
        on_layers = {f"{name}.bias" for name in layers}
        total += sum(n for name, n in biases.items() if table.bias == "all" or name in on_layers)
    return total


def _count(table: LowRankTable, inputs: int, outputs: int) -> int:
    r = table.r
    match table.type:
        case "lora" | "rslora":
            return r * (inputs + outputs)
        case "dora":
            return r * (inputs + outputs) + outputs
        case "loha":
            return 2 * r * (inputs + outputs)
        case "lokr":
            (a_out, b_out), (a_in, b_in) = (factorise(n, table.factor) for n in (outputs, inputs))
            whole_a = not (table.decompose_both and r < max(a_out, a_in) / 2)
            whole_b = not r < max(b_out, b_in) / 2
            return (a_out * a_in if whole_a else r * (a_out + a_in)) + (
                b_out * b_in if whole_b else r * (b_out + b_in)
            )


def factorise(size: int, factor: int) -> tuple[int, int]:
    """(m, n) with m·n = size: m = `factor` where that divides, else the largest divisor below both it and √size;
    -1 asks for the largest divisor up to √size. PEFT's rule."""
    if factor > 0 and size % factor == 0:
        return factor, size // factor
    limit = math.isqrt(size) if factor == -1 else min(factor, math.isqrt(size))
    m = max(d for d in range(1, limit + 1) if size % d == 0)
    return m, size // m


def empty_model(folder: str, *, classifier: bool = False) -> Any:
    """The model that a folder's config.json describes, on the meta device: shapes without weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

    config = AutoConfig.from_pretrained(folder)
    kind = AutoModelForSequenceClassification if classifier else AutoModelForCausalLM
    with torch.device("meta"):
        return kind.from_config(config)


def alpha_warning(table: AdapterTable, quantization: QuantizationTable | None) -> str | None:
    """Rules of thumb for alpha: 2r for LoRA on full weights, at most r on quantised ones; None where it keeps them.

    They are guidance, not law: rsLoRA scales by √r and LoHa and LoKr multiply otherwise, so none is given there.
    """
    if isinstance(table, NoAdapter) or table.type not in ("lora", "dora"):
        return None
    if quantization is not None:
        if table.alpha <= table.r:
            return None
        return (
            f"adapter.alpha = {table.alpha:g} is above r = {table.r}: on a quantised base (QLoRA) alpha is commonly "
            "kept at r or below, so that the adapter does not amplify the rounding"
        )
    if table.alpha == 2 * table.r:
        return None
    return f"adapter.alpha = {table.alpha:g} is not 2r = {2 * table.r}, the common choice for LoRA"
