"""Merge adapters into their base: a folder of weights that loads without peft, complete or absent.

Several LoRA adapters are combined by PEFT's own strategies, or by slerp; `MergeRecipe` chooses. `merge.json` in the
folder records how far the merge moved the base.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.trainers.artifact import (
    Artifact,
    ArtifactKind,
    already_made,
    describe,
    identify,
    is_reward_model,
    model_folder,
    stored_tensors,
)
from assay.trainers.config import QuantizationTable
from assay.trainers.errors import ArtifactError, needs_extra
from assay.trainers.files import publish
from assay.trainers.merge.recipe import MergeRecipe
from assay.trainers.model.precision import torch_dtype
from assay.trainers.model.quantize import load_rounded_base, read_base_quantization
from assay.trainers.run.runtime import let_idle_threads_sleep, quiet_libraries
from assay.trainers.templates import load_tokenizer

if TYPE_CHECKING:
    import torch

FILE = "merge.json"
COMBINED = "combined"
_NEARLY_PARALLEL = 1e-4  # radians; below it the arc is a line, and its formula divides by zero

OnStage = Callable[[str], None]


def merge_adapter(adapter: Artifact, out: Path) -> Artifact:
    """Write W + (alpha/r)·B·A in `out`: `merge` of one adapter as it stands."""
    return merge([adapter], out)


def merge(
    adapters: Sequence[Artifact],
    out: Path,
    recipe: MergeRecipe | None = None,
    on_stage: OnStage = lambda stage: None,
) -> Artifact:
    """Fold `adapters` of one base into it as `recipe` says; `out` becomes a model folder with its tokenizer.

    The sum is made and, unless the recipe says otherwise, kept in fp32 even where the base is stored in bf16:
    rounding the sum to bf16's eight bits loses small deltas, and then what is measured on the merged model would be
    the rounding, not the merge. The export decides how many bits to keep.

    The folder appears by one rename when it is complete. One that holds this very merge already is returned as it is;
    one that holds anything else is refused. Raises ArtifactError and MissingExtraError.
    """
    recipe = recipe or MergeRecipe()
    base = _common_base(adapters)
    text = recipe.describe(len(adapters))
    if (existing := already_made(out, adapters, text)) is not None:
        return existing
    let_idle_threads_sleep()
    with needs_extra("train", "peft"), publish(out) as part, quiet_libraries():
        merged = _merged(base, adapters, recipe, on_stage)
        on_stage("saving")
        part.mkdir(parents=True)
        merged.to(torch_dtype(recipe.dtype)).save_pretrained(str(part))
        load_tokenizer(adapters[0]).save_pretrained(str(part))
        on_stage("measuring the change")
        change = weight_change(model_folder(base), part)
        (part / FILE).write_text(json.dumps(change, indent=1) + "\n", encoding="utf-8")
        describe(ArtifactKind.MERGED, part, adapters[0], text, tuple(adapters[1:]))
    return identify(out)


def _common_base(adapters: Sequence[Artifact]) -> Artifact:
    if not adapters:
        raise ArtifactError("no adapter was given to merge")
    for adapter in adapters:
        if adapter.kind is not ArtifactKind.ADAPTER:
            raise ArtifactError(f"only an adapter can be merged; {adapter.path} is of kind {adapter.kind}")
        if is_reward_model(adapter):
            raise ArtifactError(
                f"{adapter.path} is a reward model: it scores answers, and a merge would lose its score head"
            )
        if adapter.parent is None:
            raise ArtifactError(f"adapter {adapter.path} has no base model recorded")
    first, *others = [adapter.parent for adapter in adapters if adapter.parent is not None]
    for adapter, base in zip(adapters[1:], others, strict=True):
        if base.sha256 != first.sha256:
            raise ArtifactError(
                f"these adapters have different bases: {adapters[0].path} was trained on {first.path} "
                f"({first.sha256[:12]}), {adapter.path} on {base.path} ({base.sha256[:12]})"
            )
    return first


def _merged(base: Artifact, adapters: Sequence[Artifact], recipe: MergeRecipe, on_stage: OnStage) -> Any:
    from peft import PeftConfig, PeftModel

    configs = [PeftConfig.from_pretrained(str(a.path)) for a in adapters]
    if problem := recipe.fault([int(getattr(c, "r", 0) or 0) for c in configs]):
        raise ArtifactError(problem)
    if len(adapters) > 1:
        check_combinable(configs, [a.path for a in adapters])
    on_stage("loading the base")
    model = _load_base(base, recipe, adapters)
    names = [f"a{i}" for i in range(len(adapters))]
    peft = PeftModel.from_pretrained(model, str(adapters[0].path), adapter_name=names[0])
    for name, adapter in zip(names[1:], adapters[1:], strict=True):
        peft.load_adapter(str(adapter.path), adapter_name=name)
    on_stage("merging")
    try:
        if len(adapters) > 1:
            return combine(peft.base_model, names, recipe)
        return _alone(peft, recipe)
    except (ValueError, RuntimeError, NotImplementedError, TypeError) as e:
        raise ArtifactError(f"PEFT cannot merge {', '.join(str(a.path) for a in adapters)}: {e}") from e


def _alone(peft: Any, recipe: MergeRecipe) -> Any:
    weight = recipe.weights_of(1)[0]
    if weight != 1:
        layers = lora_layers(peft)
        if not layers:
            raise ArtifactError(
                f"weight {weight:g} scales LoRA factors, and this adapter has none; leave it at 1"
            )
        for _, layer in layers:
            layer.scale_layer(weight)
    return peft.merge_and_unload(safe_merge=True)


def _load_base(base: Artifact, recipe: MergeRecipe, adapters: Sequence[Artifact]) -> Any:
    """Load the base in fp32: as it is stored, or quantised and dequantised as `recipe.onto` asks."""
    import torch
    from transformers import AutoModelForCausalLM

    folder = str(model_folder(base))
    if (table := _rounding(recipe, adapters)) is None:
        return AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, trust_remote_code=False, use_safetensors=True
        )
    return load_rounded_base(folder, table, dtype=torch.float32)


def _rounding(recipe: MergeRecipe, adapters: Sequence[Artifact]) -> QuantizationTable | None:
    match recipe.onto:
        case "full":
            return None
        case "trained":
            tables = {str(a.path): read_base_quantization(a.path) for a in adapters}
            first, *rest = tables.values()
            if any(table != first for table in rest):
                ways = "; ".join(f"{p}: {t.model_dump() if t else 'none'}" for p, t in tables.items())
                raise ArtifactError(
                    f"these adapters were trained on bases quantised in different ways: {ways}; merge them apart, or "
                    "onto the full base"
                )
            return first
        case kind:
            return QuantizationTable(type=kind)


def combine(model: Any, names: Sequence[str], recipe: MergeRecipe) -> Any:
    """Return the plain model with the adapters `names` of the PEFT model merged by `recipe`."""
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
    """Return the point at share t of the way from `first` to `second` on the arc between them, of any like shape.

    sin((1−t)Ω)/sin Ω · first + sin(tΩ)/sin Ω · second, Ω the angle between them (Shoemake 1985). Where they are
    parallel, opposite or zero there is no arc, and the straight line is taken.
    """
    import torch

    norms = torch.linalg.vector_norm(first) * torch.linalg.vector_norm(second)
    cosine = float((first * second).sum() / norms) if norms else 1.0
    angle = math.acos(max(-1.0, min(1.0, cosine)))
    if min(angle, math.pi - angle) < _NEARLY_PARALLEL:
        return (1 - t) * first + t * second
    return (math.sin((1 - t) * angle) * first + math.sin(t * angle) * second) / math.sin(angle)


def lora_layers(model: Any) -> list[tuple[str, Any]]:
    """Return (name, layer) of every layer with LoRA factors."""
    from peft.tuners.lora import LoraLayer

    return [(name, module) for name, module in model.named_modules() if isinstance(module, LoraLayer)]


def check_combinable(configs: Sequence[Any], sources: Sequence[object]) -> None:
    """Raise ArtifactError unless each PEFT configuration has plain LoRA factors, which can be combined."""
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
        if present := [name for name, is_there in extras.items() if is_there]:
            raise ArtifactError(
                f"{source} holds {' and '.join(present)} beside its factors, which no strategy combines; "
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


def weight_change(base: Path, merged: Path) -> dict[str, Any]:
    """Return ‖W' − W‖, ‖W‖ and their ratio (Frobenius) over the tensors that changed, and how many did."""
    old = dict(stored_tensors(base))
    moved, before, changed, total = 0.0, 0.0, 0, 0
    for name, file in stored_tensors(merged):
        if name not in old:
            continue
        total += 1
        was, now = (opened.get_tensor(name).float() for opened in (old[name], file))
        difference = float((now - was).double().pow(2).sum())
        if difference > 0:
            changed += 1
            moved += difference
            before += float(was.double().pow(2).sum())
    return {
        "tensors": total,
        "tensors_changed": changed,
        "change_norm": math.sqrt(moved),
        "base_norm": math.sqrt(before),
        "relative_change": math.sqrt(moved / before) if before else 0.0,
    }


def load_change(folder: Path) -> dict[str, Any] | None:
    """Return the folder's `merge.json`; None where it has none."""
    file = folder / FILE
    if not file.is_file():
        return None
    values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return values
