"""The optimiser of a full fine-tune: parameters in groups, each with its own learning rate and weight decay.

An adapter's run leaves this to transformers, which knows no rates by layer; both keep biases and norms undecayed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from assay.trainers.config import CommonConfig
from assay.trainers.errors import TrainingError

# A block of the stack as architectures name it: Llama's and Qwen's `layers`, GPT-2's and BigCode's `h`, MPT's `blocks`.
_LAYER = re.compile(r"(?:^|\.)(?:layers?|h|blocks?)\.(\d+)\.")
_UNDECAYED = re.compile(r"(^|[._])(bias|norm|layernorm|rmsnorm|ln_)|norm\d*\.")  # GPT-2: ln_1, ln_f


@dataclass(frozen=True, slots=True)
class Group:
    """Parameters that share a rate: their names in the model's order. `part` is the part of the model for people."""

    part: str
    learning_rate: float
    weight_decay: float
    names: tuple[str, ...]


def parameter_groups(model: Any, config: CommonConfig) -> list[Group]:
    """Group the trainable parameters: each is in one group, tied weights once (as the embedding), frozen ones in none.

    With `layerwise`, a parameter k places below the top has learning_rate·decay^k: head and final norm 0, the last
    layer 1, …, the embedding layers + 1. Raises TrainingError where nothing is trainable, and where rates by layer are
    asked for of a model whose layers are not recognised.
    """
    names = [name for name, p in model.named_parameters() if p.requires_grad]  # each tensor once
    if not names:
        raise TrainingError("every parameter of this model is frozen: nothing would be trained")
    n_layers = _count_layers(model, config)
    embedding = _embedding_names(model)
    grouped: dict[tuple[int, bool], list[str]] = {}
    for name in names:
        depth = _depth(name, n_layers, embedding)
        grouped.setdefault((depth, _UNDECAYED.search(name) is not None), []).append(name)
    return [
        Group(
            _part(depth, n_layers),
            _rate(depth, n_layers, config),
            0.0 if undecayed else config.weight_decay,
            tuple(members),
        )
        for (depth, undecayed), members in sorted(grouped.items())
    ]


def make_optimizer(model: Any, config: CommonConfig, args: Any) -> Any | None:
    """Return the optimiser over `parameter_groups`, of the class that `args` (TrainingArguments) names; None for an
    adapter's run. Raises TrainingError."""
    check_optimizer(config)
    if not config.full:
        return None
    from transformers import Trainer

    kind, options = Trainer.get_optimizer_cls_and_kwargs(args, model)
    parameters = dict(model.named_parameters())
    groups = [
        {"params": [parameters[n] for n in g.names], "lr": g.learning_rate, "weight_decay": g.weight_decay}
        for g in parameter_groups(model, config)
    ]
    _keep_embeddings_in_32_bits(model, config)
    return kind(groups, **options)


def check_optimizer(config: CommonConfig) -> None:
    """Raise TrainingError for an optimiser that does not do on this machine what its name promises."""
    import torch

    if config.optimizer.startswith("paged_") and not torch.cuda.is_available():
        raise TrainingError(
            f"optimizer = {config.optimizer!r} pages its state between the memories of a CUDA device and the host; "
            "this machine has no CUDA device, and bitsandbytes would silently not page: use adamw_torch, or "
            "adamw_8bit for the small state"
        )


def _keep_embeddings_in_32_bits(model: Any, config: CommonConfig) -> None:
    """Keep the optimiser's state of embeddings in 32 bits: 8 bits are unstable there, as transformers finds too."""
    if "8bit" not in config.optimizer:
        return
    import bitsandbytes
    import torch

    manager = bitsandbytes.optim.GlobalOptimManager.get_instance()
    for module in model.modules():
        if isinstance(module, torch.nn.Embedding):
            manager.register_module_override(module, "weight", {"optim_bits": 32})


def _count_layers(model: Any, config: CommonConfig) -> int:
    """Count the layers of the stack, frozen ones too: a layer's place does not depend on what is trained."""
    numbers = [int(m[1]) for name, _ in model.named_parameters() if (m := _LAYER.search(name))]
    by_layer = [key for key in ("layerwise", "groups") if getattr(config, key) is not None]
    if by_layer and not numbers:
        raise TrainingError(
            f"[config.{by_layer[0]}] sets rates by layer, and no parameter of {type(model).__name__} is named as of a "
            f"layer (.layers.N., .h.N. or .blocks.N.): leave {by_layer[0]} out"
        )
    return 1 + max(numbers, default=-1)


def _embedding_names(model: Any) -> set[str]:
    """Return the names of the token embedding, and of the position embedding where it is learnt (GPT-2's wpe)."""
    import torch

    embeddings = [m.weight for m in model.modules() if isinstance(m, torch.nn.Embedding)]
    weights = {id(weight) for weight in (model.get_input_embeddings().weight, *embeddings)}
    return {name for name, p in model.named_parameters() if id(p) in weights}


def _depth(name: str, n_layers: int, embedding: set[str]) -> int:
    """Return 0 for the embedding, 1… for the layers, n_layers + 1 for what follows them."""
    if name in embedding:
        return 0
    layer = _LAYER.search(name)
    return n_layers + 1 if layer is None else int(layer[1]) + 1


def _part(depth: int, n_layers: int) -> str:
    if depth == 0:
        return "embedding"
    return "head" if depth > n_layers else f"layer {depth - 1}"


def _rate(depth: int, n_layers: int, config: CommonConfig) -> float:
    if config.layerwise is not None:
        return float(config.learning_rate * config.layerwise.decay ** (n_layers + 1 - depth))
    if config.groups is None:
        return config.learning_rate
    table = config.groups
    chosen = table.embedding if depth == 0 else table.head if depth > n_layers else table.backbone
    return config.learning_rate if chosen is None else chosen
