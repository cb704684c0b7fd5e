"""Several LoRA adapters on one PEFT model into one, or into the weights: PEFT's own strategies, and slerp."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from assay.trainers.errors import ArtifactError
from assay.trainers.merge.recipe import MergeRecipe

if TYPE_CHECKING:
    import torch

COMBINED = "combined"
_NEARLY_PARALLEL = 1e-4  # radians; below it the arc is a line, and its formula divides by zero


def combine(model: Any, names: Sequence[str], recipe: MergeRecipe) -> Any:
    """The plain model with the adapters `names` of the PEFT model folded in, as `recipe` says."""
    import torch

    weights = recipe.weights_of(len(names))
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(recipe.seed)
        if recipe.strategy == "slerp":
            _add_slerp(model, names, weights[1] / sum(weights))
            return model.unload()
        model.add_weighted_adapter(
            list(names),
            list(weights),
            COMBINED,
            combination_type=recipe.strategy,
            density=recipe.density,
            svd_rank=recipe.svd_rank,
            svd_full_matrices=False,  # the columns beyond the rank are thrown away
        )
        for _, layer in lora_layers(model):
            if COMBINED in layer.scaling:
                # Scales are in the combined factors already; PEFT would apply that of the first adapter's kind again,
                # √r times too large where that is rank-stabilised.
                layer.scaling[COMBINED] = 1.0
        model.set_adapter(COMBINED)
        return model.merge_and_unload(safe_merge=True, adapter_names=[COMBINED])


def slerp(first: torch.Tensor, second: torch.Tensor, t: float) -> torch.Tensor:
    """The point at share t of the way from `first` to `second` on the arc between them, of any like shape.

    sin((1−t)Ω)/sin Ω · first + sin(tΩ)/sin Ω · second, Ω the angle between them (Shoemake 1985). Where they are
    parallel, opposite or zero there is no arc, and the straight line is taken.
    """
    import torch

    norms = torch.linalg.vector_norm(first) * torch.linalg.vector_norm(second)
    if float(norms) == 0:
        return (1 - t) * first + t * second
    cosine = float((first * second).sum() / norms)
    angle = math.acos(max(-1.0, min(1.0, cosine)))
    if min(angle, math.pi - angle) < _NEARLY_PARALLEL:
        return (1 - t) * first + t * second
    return (math.sin((1 - t) * angle) * first + math.sin(t * angle) * second) / math.sin(angle)


def lora_layers(model: Any) -> list[tuple[str, Any]]:
    """(name, layer) of every layer that carries LoRA factors."""
    from peft.tuners.lora import LoraLayer

    return [(name, module) for name, module in model.named_modules() if isinstance(module, LoraLayer)]


def check_combinable(configs: Sequence[Any], sources: Sequence[object]) -> None:
    """ArtifactError unless each PEFT configuration is of plain LoRA factors that can be combined."""
    for config, source in zip(configs, sources, strict=True):
        kind = str(getattr(config.peft_type, "value", config.peft_type))
        if kind != "LORA":
            raise ArtifactError(
                f"{source} is a {kind} adapter; only LoRA adapters can be combined with others"
            )
        extras = {
            "DoRA magnitudes": config.use_dora,
            f"trained biases (bias={config.bias!r})": config.bias != "none",
            f"whole modules ({config.modules_to_save})": config.modules_to_save,
        }
        found = [name for name, present in extras.items() if present]
        if found:
            raise ArtifactError(
                f"{source} holds {' and '.join(found)} beside its factors, which no strategy combines; "
                "merge it alone with strategy 'lora'"
            )


def _add_slerp(model: Any, names: Sequence[str], t: float) -> None:
    """Add the interpolated delta to each layer's own weight; an adapter without a layer counts as zero there."""
    import torch

    for _, layer in lora_layers(model):
        weight = layer.get_base_layer().weight
        deltas = [
            layer.get_delta_weight(name)
            if name in layer.lora_A or name in layer.lora_embedding_A
            else torch.zeros_like(weight)
            for name in names
        ]
        weight.data += slerp(deltas[0], deltas[1], t).to(weight.dtype)
