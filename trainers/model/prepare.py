"""Prepare a model for training: load it, quantise it where the table asks, and attach the adapter.

`prepare_model` is what every method calls. The rest of the file is what an adapter goes on and how large it is, which
is known before any weight is loaded, and what a run's record says about its weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from assay.trainers.artifact import Artifact, model_folder
from assay.trainers.config import CommonConfig, LoraTable, LowRankTable, NoAdapter, QuantizationTable
from assay.trainers.config.adapter import AdapterTable, LokrTable, Task, peft_arguments
from assay.trainers.errors import TrainingError
from assay.trainers.folder_checks import loading
from assay.trainers.model.precision import arithmetic, base_dtype, compute_dtype, torch_dtype
from assay.trainers.model.quantize import (
    check_supported,
    fake_quantise,
    load_quantized,
    prepare_for_training,
)

# (base, config, resolved dtype, attention) to the model to train: `prepare_model`, or what a caller has in its place
# (a profile of an architecture whose weights are not at hand).
Prepare = Callable[[Artifact, CommonConfig, str, str], Any]
_NO_HEAD = "losses multiply by its weight piece by piece, past an adapter, which would learn nothing"
_NAMES = {"lora": "LoRA", "rslora": "rsLoRA", "dora": "DoRA", "loha": "LoHa", "lokr": "LoKr"}


def prepare_model(base: Artifact, config: CommonConfig, dtype: str, attention: str) -> Any:
    """Return a PeftModel, or with `adapter.type = "none"` the model itself with every parameter trainable.

    `dtype` is the resolved arithmetic. Raises TrainingError for targets that the model lacks and for what bitsandbytes
    cannot do here.
    """
    from transformers import AutoModelForCausalLM

    folder = str(model_folder(base))
    table = config.quantization
    if table is None:
        kept = torch_dtype(base_dtype(config, dtype))
        with loading(folder, "weights"):
            model = AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=kept,
                attn_implementation=attention,
                trust_remote_code=False,
                use_safetensors=True,
            )
    else:
        compute = compute_dtype(config, dtype)
        check_supported(table, compute)
        check_adapter_on(config)
        model = load_quantized(folder, table, compute, attention=attention, keep_fp32=table.upcast_fp32)
    return make_trainable(model, config)


def make_trainable(model: Any, config: CommonConfig) -> Any:
    """Return a loaded base as it is trained: prepared where it is quantised, with its adapter, or every weight."""
    import torch

    if config.quantization is not None:
        again = config.checkpoints(gpu=torch.cuda.is_available())
        model = prepare_for_training(model, config.quantization, checkpointing=again)
    if isinstance(config.adapter, NoAdapter):
        if config.qat is not None:
            fake_quantise(model, config.qat.type)
        return model
    return attach_adapter(model, config.adapter)


def attach_adapter(model: Any, table: LowRankTable, task: Task = "CAUSAL_LM") -> Any:
    """Return `model` as a PeftModel with the adapter on its linear layers; everything else is frozen.

    What is trained is fp32, whatever the base is kept in. Raises TrainingError where a target module fits no linear
    layer.
    """
    from peft import LoHaConfig, LoKrConfig, LoraConfig, get_peft_model

    check_targets(model, table)
    kind = {"loha": LoHaConfig, "lokr": LoKrConfig}.get(table.type, LoraConfig)
    adapted = get_peft_model(model, kind(**peft_arguments(table, task)))
    # PEFT casts its own matrices, but not a head or a bias that is trained along.
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return adapted


def check_adapter_on(config: CommonConfig) -> None:
    """Raise TrainingError for an adapter that PEFT cannot compute on the quantised base."""
    table = config.quantization
    if table is not None and table.type != "int8" and config.adapter.type in ("loha", "lokr"):
        raise TrainingError(
            f"adapter.type = {config.adapter.type!r} on a base in {table.type}: PEFT takes the update's shape from the "
            "weight, and 4-bit weights are stored packed in another one; use lora, rslora or dora, or "
            "quantization.type = 'int8'"
        )


def check_targets(model: Any, table: LowRankTable) -> None:
    """Raise TrainingError where a name in `target_modules` fits no linear layer, or fits the output head.

    PEFT accepts a list in which one name fits and ignores the others.
    """
    linears, head = linear_layers(model), _head_name(model)
    targets = table.target_modules
    if targets == "all-linear":
        return
    if head is not None and any(_fits(head, name) for name in targets):
        tied = model.config.get_text_config().tie_word_embeddings
        reason = "it is tied to the embedding, and a merge would change both" if tied else _NO_HEAD
        raise TrainingError(f"adapter.target_modules: {head} is the output head: {reason}; leave it out")
    unknown = [target for target in targets if not any(_fits(name, target) for name in linears)]
    if unknown:
        names = sorted({name.rpartition(".")[2] for name in linears if name != head})
        raise TrainingError(
            f"adapter.target_modules: this model has no linear layer {', '.join(map(repr, unknown))}; "
            f"it has {', '.join(names)}"
        )


def _fits(name: str, target: str) -> bool:
    """Return whether PEFT takes a module for `target`: its dotted name is the target or ends with it."""
    return name == target or name.endswith(f".{target}")


def _head_name(model: Any) -> str | None:
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    return next((name for name, module in model.named_modules() if head is not None and module is head), None)


def linear_layers(model: Any) -> dict[str, tuple[int, int]]:
    """Return the linear layers, bitsandbytes' included: dotted name to (inputs, outputs)."""
    from torch.nn import Linear

    return {
        name: (module.in_features, module.out_features)
        for name, module in model.named_modules()
        if isinstance(module, Linear)
    }


def targeted_layers(model: Any, table: LowRankTable) -> dict[str, tuple[int, int]]:
    """Return the linear layers that the adapter goes on: with `all-linear`, all but the output projection."""
    targets = table.target_modules
    linears = linear_layers(model)
    if targets == "all-linear":
        skip = {_head_name(model), "score"}
        return {name: shape for name, shape in linears.items() if name not in skip}
    return {name: shape for name, shape in linears.items() if any(_fits(name, target) for target in targets)}


def adapter_parameters(model: Any, table: LowRankTable) -> int:
    """Count the adapter's parameters by its definition; a model on the meta device is enough, no weight is needed.

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
    """Return (m, n) with m·n = size: m = `factor` where that divides, else the largest divisor below both it and √size;
    -1 asks for the largest divisor up to √size. PEFT's rule."""
    if factor > 0 and size % factor == 0:
        return factor, size // factor
    limit = math.isqrt(size) if factor == -1 else min(factor, math.isqrt(size))
    m = max(d for d in range(1, limit + 1) if size % d == 0)
    return m, size // m


def empty_model(folder: str, *, classifier: bool = False) -> Any:
    """Return the model that a folder's config.json describes on the meta device: shapes without weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

    kind = AutoModelForSequenceClassification if classifier else AutoModelForCausalLM
    with loading(folder, "configuration"), torch.device("meta"):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        return kind.from_config(config, trust_remote_code=False)


def alpha_warning(table: AdapterTable, quantization: QuantizationTable | None) -> str | None:
    """Return advice on an alpha that breaks the rules of thumb: 2r for LoRA on full weights, at most r on quantised.

    None where alpha keeps to them; there is none for rsLoRA, which scales by √r, nor for LoHa and LoKr.
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


def trainable_copies(model: Any) -> dict[str, Any]:
    """Return fp32 copies of the trainable parameters, by name."""
    return {n: p.data.detach().clone().float() for n, p in model.named_parameters() if p.requires_grad}


def restore(model: Any, copies: dict[str, Any]) -> None:
    """Put the copies back in fp32.

    TRL casts the adapter of a quantised model to bf16, whose eight bits lose the small steps of a small learning rate.
    """
    parameters = dict(model.named_parameters())
    for name, value in copies.items():
        parameters[name].data = value.to(parameters[name].device)


def count_parameters(model: Any) -> tuple[int, int]:
    """Return (trainable, all) parameters: a tied weight counts once, a 4-bit weight for all that it packs."""
    trainable = total = 0
    for p in model.parameters():
        state = getattr(p, "quant_state", None)
        n = int(p.numel()) if state is None else int(state.shape.numel())
        total += n
        trainable += n if p.requires_grad else 0
    return trainable, total


def parameter_bytes(model: Any, *, trainable: bool = False) -> int:
    """Return the bytes of a model's parameters, or of the trainable ones."""
    return sum(p.nbytes for p in model.parameters() if p.requires_grad or not trainable)


def describe_weights(config: CommonConfig) -> str:
    """Return which weights learn, and how the others are kept, for the recipe of an artifact."""
    parts = [_describe_adapter(config)]
    if (table := config.quantization) is not None:
        double = " with double quantisation" if table.double_quant and table.type != "int8" else ""
        parts[0] += f" on a base in {table.type}{double}"
    elif (kept := base_dtype(config, arithmetic(config))) != "fp32":
        parts[0] += f" on a base in {kept}"
    if config.qat is not None:
        parts.append(f"weights rounded to {config.qat.type} in the forward pass")
    if config.layerwise is not None:
        parts.append(f"rates decayed by {config.layerwise.decay:g} a layer")
    if config.groups is not None:
        rates = config.groups.model_dump(exclude_none=True)
        parts += [f"{part} lr {rate:g}" for part, rate in rates.items()]
    return ", ".join(parts)


def _describe_adapter(config: CommonConfig) -> str:
    table = config.adapter
    if isinstance(table, NoAdapter):
        return "every weight"
    text = f"{_NAMES[table.type]} r={table.r} alpha={table.alpha:g} on {table.target_modules}"
    if isinstance(table, LoraTable) and table.bias != "none":
        text += f", bias {table.bias}"
    if isinstance(table, LokrTable) and table.factor != -1:
        text += f", factor {table.factor}"
    return text
