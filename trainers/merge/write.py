"""From adapters to a folder of merged weights, whole or absent."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.trainers.artifact import (
    Artifact,
    ArtifactKind,
    describe,
    identify,
    is_reward_model,
    model_folder,
    record_path,
)
from assay.trainers.config import QuantizationTable
from assay.trainers.errors import ArtifactError, MissingExtraError
from assay.trainers.merge.recipe import MergeRecipe
from assay.trainers.run.runtime import let_idle_threads_sleep, quiet_libraries
from assay.trainers.templates import load_tokenizer

if TYPE_CHECKING:
    import torch

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

    The folder appears by one rename when it is whole. One that holds this very merge already is returned as it is;
    one that holds anything else is refused. Raises ArtifactError and MissingExtraError.
    """
    recipe = recipe or MergeRecipe()
    base = _common_base(adapters)
    words = recipe.words(len(adapters))
    done = _done(out, adapters, words)
    if done is not None:
        return done
    let_idle_threads_sleep()
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # of a killed run: a merge is quick and begun again
    try:
        with quiet_libraries():
            merged = _merged(base, adapters, recipe, on_stage)
            on_stage("saving")
            _save(merged, adapters[0], part, recipe)
            on_stage("measuring the change")
            save_change(part, weight_change(model_folder(base), part))
    except ImportError as e:
        raise MissingExtraError(e.name or "peft", "train") from e
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    describe(ArtifactKind.MERGED, part, adapters[0], words, tuple(adapters[1:]))
    if out.exists():
        out.rmdir()  # empty, or `_done` would have refused it
    part.rename(out)
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
    first = adapters[0].parent
    assert first is not None
    for adapter in adapters[1:]:
        if adapter.parent is not None and adapter.parent.sha256 != first.sha256:
            raise ArtifactError(
                f"these adapters have different bases: {adapters[0].path} was trained on {first.path} "
                f"({first.sha256[:12]}), {adapter.path} on {adapter.parent.path} ({adapter.parent.sha256[:12]})"
            )
    return first


def _done(out: Path, adapters: Sequence[Artifact], words: str) -> Artifact | None:
    """The merge that `out` holds already; None where there is nothing yet."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    if out.is_dir() and record_path(out).is_file():
        found = identify(out)
        same = [a.sha256 for a in found.parents] == [a.sha256 for a in adapters]
        if same and found.recipe == words:
            return found
    raise ArtifactError(
        f"{out} is there already and holds something else; remove it or choose another folder"
    )


def _merged(base: Artifact, adapters: Sequence[Artifact], recipe: MergeRecipe, on_stage: OnStage) -> Any:
    from peft import PeftConfig, PeftModel

    from assay.trainers.merge.combine import check_combinable, combine

    configs = [PeftConfig.from_pretrained(str(a.path)) for a in adapters]
    fault = recipe.fault([int(getattr(c, "r", 0) or 0) for c in configs])
    if fault:
        raise ArtifactError(fault)
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
        from assay.trainers.merge.combine import lora_layers

        layers = lora_layers(peft)
        if not layers:
            raise ArtifactError(
                f"weight {weight:g} scales LoRA factors, and this adapter has none; leave it at 1"
            )
        for _, layer in layers:
            layer.scale_layer(weight)
    return peft.merge_and_unload(safe_merge=True)


def _load_base(base: Artifact, recipe: MergeRecipe, adapters: Sequence[Artifact]) -> Any:
    """The base in fp32: as it is stored, or as the quantisation that `recipe.onto` names has left it."""
    import torch
    from transformers import AutoModelForCausalLM

    from assay.trainers.model.quantize import load_rounded_base

    folder = str(model_folder(base))
    table = _rounding(recipe, adapters)
    if table is None:
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return load_rounded_base(folder, table, dtype=torch.float32)


def _rounding(recipe: MergeRecipe, adapters: Sequence[Artifact]) -> QuantizationTable | None:
    from assay.trainers.model.quantize import read_base_quantization

    match recipe.onto:
        case "full":
            return None
        case "trained":
            found = {str(a.path): read_base_quantization(a.path) for a in adapters}
            first, *rest = found.values()
            if any(table != first for table in rest):
                said = "; ".join(f"{p}: {t.model_dump() if t else 'none'}" for p, t in found.items())
                raise ArtifactError(
                    f"these adapters were trained on bases quantised in different ways: {said}"
                )
            return first
        case kind:
            return QuantizationTable(type=kind)


def _save(model: Any, adapter: Artifact, part: Path, recipe: MergeRecipe) -> None:
    import torch

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[recipe.dtype]
    model = model.to(dtype)
    part.mkdir(parents=True)
    model.save_pretrained(str(part))
    load_tokenizer(adapter).save_pretrained(str(part))


# How far a merge moved the base: norms of weights and of their change, tensor by tensor.

FILE = "merge.json"


def weight_change(base: Path, merged: Path) -> dict[str, Any]:
    """‖W' − W‖, ‖W‖ and their ratio (Frobenius) over the tensors that changed, and how many did."""
    old = dict(_files_of(base))
    moved, before, changed, total = 0.0, 0.0, 0, 0
    for name, tensor in tensors(merged):
        if name not in old:
            continue
        total += 1
        was = _read(old[name], name)
        difference = float((tensor - was).double().pow(2).sum())
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


def save_change(folder: Path, values: dict[str, Any]) -> None:
    (folder / FILE).write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def load_change(folder: Path) -> dict[str, Any] | None:
    """What `save_change` wrote; None for a folder that no merge of ours made."""
    file = folder / FILE
    if not file.is_file():
        return None
    values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return values


def tensors(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor of a model folder as (name, fp32), one in memory at a time."""
    for name, file in _files_of(folder):
        yield name, _read(file, name)


def _files_of(folder: Path) -> Iterator[tuple[str, Path]]:
    from safetensors import safe_open

    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(str(file), "pt") as opened:
            for name in opened.keys():  # noqa: SIM118  # not a dict
                yield name, file


def _read(file: Path, name: str) -> torch.Tensor:
    import torch
    from safetensors import safe_open

    with safe_open(str(file), "pt") as opened:
        tensor: torch.Tensor = opened.get_tensor(name)
    return tensor.to(torch.float32)
