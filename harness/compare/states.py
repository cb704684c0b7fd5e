"""The weights a model computes with, as fp32 arrays under GGUF's names, whatever it is stored as."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainers.artifact import Artifact, ArtifactKind, model_folder
from trainers.errors import ExportError

if TYPE_CHECKING:
    from trainers.gguf.architectures import Architecture

Array = NDArray[np.float32]
HEAD, EMBEDDING = "output.weight", "token_embd.weight"


@dataclass(frozen=True)
class State:
    """`tensors` by name and the storage type of each, `kept` where all have one."""

    tensors: dict[str, Array]
    types: dict[str, str] = field(default_factory=dict)
    kept: str = "F32"

    def type_of(self, name: str) -> str:
        return self.types.get(name, self.types.get(EMBEDDING, self.kept) if name == HEAD else self.kept)


def state_of(artifact: Artifact) -> State:
    """The effective weights: of an adapter, its base with it folded in; of a GGUF file, dequantised.

    Raises ExportError for an architecture that has no names in GGUF.
    """
    if artifact.kind is ArtifactKind.GGUF:
        return _gguf_state(artifact)
    if artifact.kind is ArtifactKind.ADAPTER:
        return _adapter_state(artifact)
    return _folder_state(artifact)


def base_state_of(artifact: Artifact) -> State | None:
    """The weights under an adapter, or under the one adapter that a merged model was made of; None for other models
    and where they are no longer to be found."""
    adapter = artifact if artifact.kind is ArtifactKind.ADAPTER else artifact.parent
    if adapter is None or adapter.kind is not ArtifactKind.ADAPTER or artifact.others:
        return None
    if adapter.parent is None or not adapter.parent.path.exists():
        return None
    return _folder_state(adapter.parent)


def _folder_state(artifact: Artifact) -> State:
    from safetensors import safe_open

    from trainers.gguf.architectures import read_architecture, rope_divisors
    from trainers.gguf.write import ROPE_DIVISORS

    folder = model_folder(artifact)
    architecture = read_architecture(folder)
    if architecture.config.get("quantization_config"):
        return _quantised_state(folder, architecture)
    tensors: dict[str, Array] = {}
    types: dict[str, str] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(str(file), "pt") as opened:
            for hf_name in opened.keys():  # noqa: SIM118  # not a dict
                name = architecture.tensor_name(hf_name)
                if name is not None:
                    stored = opened.get_tensor(hf_name)
                    types[name] = _TORCH_TYPES.get(str(stored.dtype), "F32")
                    tensors[name] = architecture.turn(hf_name, stored.float().numpy())
    divisors = rope_divisors(architecture)
    if divisors is not None:
        tensors[ROPE_DIVISORS] = np.array(divisors, dtype=np.float32)
    return State(tensors, types)


def _quantised_state(folder: Path, architecture: Architecture) -> State:
    """A folder that bitsandbytes quantised, dequantised again layer by layer."""
    import torch
    from transformers import AutoModelForCausalLM

    from trainers.quantize import dequantized, forbid_repacking, quantized_layers
    from trainers.quiet import quiet_libraries

    said = architecture.config["quantization_config"]
    kind = "int8" if said.get("load_in_8bit") else str(said.get("bnb_4bit_quant_type"))
    with quiet_libraries():
        model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
    forbid_repacking(model)
    layers = {f"{name}.weight": dequantized(module) for name, module in quantized_layers(model).items()}
    tensors: dict[str, Array] = {}
    types: dict[str, str] = {}
    for hf_name, value in (dict(model.named_parameters()) | layers).items():
        name = architecture.tensor_name(hf_name)
        if name is not None:
            tensors[name] = architecture.turn(hf_name, value.detach().float().numpy())
            types[name] = kind if hf_name in layers else "F32"
    return State(tensors, types)


_TORCH_TYPES = {"torch.float32": "F32", "torch.bfloat16": "BF16", "torch.float16": "F16"}


def _adapter_state(adapter: Artifact) -> State:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from trainers.gguf.architectures import read_architecture, rope_divisors
    from trainers.gguf.write import ROPE_DIVISORS
    from trainers.quantize import load_rounded_base, read_base_quantization
    from trainers.quiet import quiet_libraries

    folder = model_folder(adapter)
    architecture = read_architecture(folder)
    table = read_base_quantization(adapter.path)
    with quiet_libraries():
        if table is None:
            model: Any = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
        else:
            model = load_rounded_base(str(folder), table, dtype=torch.float32)
        merged = PeftModel.from_pretrained(model, str(adapter.path)).merge_and_unload(safe_merge=True)
    tensors = {}
    for hf_name, value in merged.state_dict().items():
        name = architecture.tensor_name(hf_name)
        if name is not None:
            tensors[name] = architecture.turn(hf_name, value.detach().float().numpy())
    divisors = rope_divisors(architecture)
    if divisors is not None:
        tensors[ROPE_DIVISORS] = np.array(divisors, dtype=np.float32)
    # A rounded base is what was trained on; a copy that is merged onto the whole base differs by what rounding lost.
    linear = (
        {}
        if table is None
        else {n: str(table.type) for n in tensors if n.startswith("blk.") and "norm" not in n}
    )
    return State(tensors, linear)


def _gguf_state(artifact: Artifact) -> State:
    import gguf

    reader = gguf.GGUFReader(str(artifact.path))
    kind = reader.fields.get("general.type")
    if kind is not None and kind.contents() == "adapter":
        raise ExportError(
            f"{artifact.path} is a GGUF LoRA file, not a model; lay it over its base to compare it"
        )
    tensors, types = {}, {}
    for tensor in reader.tensors:
        shape = tuple(int(n) for n in reversed(tensor.shape))
        whole = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        tensors[tensor.name] = np.asarray(whole, dtype=np.float32).reshape(shape)
        types[tensor.name] = tensor.tensor_type.name
    return State(tensors, types)
