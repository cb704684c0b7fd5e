"""Write a LoRA adapter as a GGUF adapter file, which llama.cpp applies to the base's GGUF file while it runs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from assay.trainers.artifact import Artifact, ArtifactKind, describe, model_folder
from assay.trainers.errors import ArtifactError, ExportError, needs_extra
from assay.trainers.files import publish
from assay.trainers.gguf.architectures import Architecture, read_architecture
from assay.trainers.gguf.native import NativeAdapter, NativeModel
from assay.trainers.gguf.write import write_gguf

_PREFIX = "base_model.model."


def export_adapter(adapter: Artifact, out_file: Path, *, over: Path | None = None) -> Artifact:
    """Write a PEFT LoRA folder as a llama.cpp LoRA file (`general.type` adapter), its factors in F32.

    The file is applied to the base once before it gets its name: `over`, a GGUF file of the base of any type, or
    where None one made for the purpose. Raises ExportError for what the format has no place for (DoRA, biases,
    embeddings, other kinds) and MissingExtraError.
    """
    if adapter.kind is not ArtifactKind.ADAPTER:
        raise ExportError(f"{adapter.path} is of kind {adapter.kind}, not an adapter")
    out_file.parent.mkdir(parents=True, exist_ok=True)
    with needs_extra("gguf", "gguf"), publish(out_file) as part:
        _write(adapter, part, out_file.stem)
        _prove_fits(adapter, part, over)
    return describe(ArtifactKind.GGUF, out_file, adapter, "LoRA factors F32, GGUF adapter file")


def _write(adapter: Artifact, out: Path, name: str) -> None:
    import gguf

    architecture = read_architecture(model_folder(adapter))
    config = _config(adapter.path)
    with closing(gguf.GGUFWriter(str(out), architecture.name)) as writer:
        writer.add_type("adapter")
        writer.add_name(name)
        writer.add_string("adapter.type", "lora")
        # llama.cpp multiplies B·A by alpha/rank. Where scales differ from layer to layer, or grow with √r, B holds what
        # is left over.
        writer.add_float32("adapter.lora.alpha", float(config.lora_alpha))
        for gguf_name, a, b in _factors(adapter.path, architecture, config):
            writer.add_tensor(f"{gguf_name}.lora_a", a)
            writer.add_tensor(f"{gguf_name}.lora_b", b)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()


def _config(folder: Path) -> Any:
    from peft import PeftConfig

    config = PeftConfig.from_pretrained(str(folder))
    kind = str(getattr(config.peft_type, "value", config.peft_type))
    if kind != "LORA":
        raise ExportError(
            f"{folder} is a {kind} adapter; GGUF adapter files hold LoRA only: merge it and export that"
        )
    extras = {
        "DoRA magnitudes": config.use_dora,
        "trained biases": config.bias != "none",
        "whole modules": config.modules_to_save,
    }
    if present := [what for what, is_there in extras.items() if is_there]:
        raise ExportError(
            f"{folder} holds {' and '.join(present)}, for which a GGUF adapter file has no place: merge it first"
        )
    return config


def _factors(folder: Path, architecture: Architecture, config: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield (GGUF name of the weight, A [r, in], B [out, r]), B permuted and scaled for llama.cpp."""
    import numpy as np
    from safetensors.numpy import load_file

    weights = load_file(folder / "adapter_model.safetensors")
    strays = [n for n in weights if not n.endswith((".lora_A.weight", ".lora_B.weight"))]
    if strays:
        raise ExportError(
            f"{folder}: {strays[0]} has no place in a GGUF adapter file: merge it and export that"
        )
    for name in sorted(n for n in weights if n.endswith(".lora_A.weight")):
        stem = name.removesuffix(".lora_A.weight")
        module = stem.removeprefix(_PREFIX)
        gguf_name = architecture.tensor_name(f"{module}.weight")
        if gguf_name is None:
            raise ExportError(
                f"{folder}: {module} is tied to the embedding, and GGUF has no tensor of its own for it"
            )
        a = np.asarray(weights[name], dtype=np.float32)
        b = architecture.turn(
            f"{module}.weight", np.asarray(weights[f"{stem}.lora_B.weight"], dtype=np.float32)
        )
        left = scale_of(config, module, len(a)) / (config.lora_alpha / len(a))
        yield gguf_name, a, np.ascontiguousarray(b * np.float32(left))


def scale_of(config: Any, module: str, r: int) -> float:
    """Return the factor of B·A in a layer: alpha/r, or alpha/√r where rank-stabilised, with the layer's own alpha."""
    from peft.utils.other import get_pattern_key

    alphas = config.alpha_pattern or {}
    alpha = float(alphas.get(get_pattern_key(alphas.keys(), module), config.lora_alpha))
    return alpha / r**0.5 if config.use_rslora else alpha / r


def _prove_fits(adapter: Artifact, part: Path, over: Path | None) -> None:
    """Apply the file to the base's GGUF file. Raises ExportError where llama.cpp refuses it."""
    with tempfile.TemporaryDirectory(dir=part.parent) as folder:
        base = over
        if base is None:
            base = Path(folder) / "base.gguf"
            write_gguf(model_folder(adapter), base, "f16", "base")
        try:
            with NativeModel(base) as model:
                NativeAdapter(model, part).close()
        except ArtifactError as e:
            raise ExportError(f"llama.cpp refuses the adapter file over {base.name}: {e}") from e
