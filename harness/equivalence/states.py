"""The weights a model computes with, as fp32 arrays under GGUF's names, whatever it is stored as.

Tensors are read when they are asked for and not kept: two models can be held against each other tensor by tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from assay.trainers.artifact import Artifact, ArtifactKind, model_folder
from assay.trainers.errors import ExportError

if TYPE_CHECKING:
    from assay.trainers.gguf.architectures import Architecture

Array = NDArray[np.float32]
HEAD, EMBEDDING = "output.weight", "token_embd.weight"


class UnreadableError(Exception):
    """A tensor is stored in a type that nothing here can read; the message says which."""


class OnDemand(Mapping[str, Array]):
    """Tensors by name, each read anew whenever it is asked for."""

    def __init__(self, readers: Mapping[str, Callable[[], Array]]) -> None:
        self._readers = readers

    def __getitem__(self, name: str) -> Array:
        return self._readers[name]()

    def __contains__(self, name: object) -> bool:
        return name in self._readers  # Mapping's own would read the tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)


@dataclass(frozen=True)
class State:
    """`tensors` by name and the storage type of each, `kept` where all have one."""

    tensors: Mapping[str, Array]
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

    from assay.trainers.gguf.architectures import read_architecture

    folder = model_folder(artifact)
    architecture = read_architecture(folder)
    if architecture.config.get("quantization_config"):
        return _quantised_state(folder, architecture)
    readers: dict[str, Callable[[], Array]] = {}
    types: dict[str, str] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(str(file), "pt") as opened:
            for hf_name in opened.keys():  # noqa: SIM118  # not a dict
                name = architecture.tensor_name(hf_name)
                if name is not None:
                    stored = str(opened.get_slice(hf_name).get_dtype())
                    types[name] = stored if stored in ("BF16", "F16") else "F32"
                    readers[name] = partial(_stored, file, hf_name, architecture)
    _add_rope_divisors(readers, architecture)
    return State(OnDemand(readers), types)


def _stored(file: Path, hf_name: str, architecture: Architecture) -> Array:
    from safetensors import safe_open

    with safe_open(str(file), "pt") as opened:
        return _turned(architecture, hf_name, opened.get_tensor(hf_name))


def _turned(architecture: Architecture, hf_name: str, value: Any) -> Array:
    """A torch tensor as GGUF lays it out."""
    return np.asarray(architecture.turn(hf_name, value.detach().float().numpy()), dtype=np.float32)


def _add_rope_divisors(readers: dict[str, Callable[[], Array]], architecture: Architecture) -> None:
    """What GGUF keeps as a tensor and a folder computes from its configuration."""
    from assay.trainers.gguf.architectures import rope_divisors
    from assay.trainers.gguf.write import ROPE_DIVISORS

    divisors = rope_divisors(architecture)
    if divisors is not None:
        readers[ROPE_DIVISORS] = partial(np.array, divisors, dtype=np.float32)


def _quantised_state(folder: Path, architecture: Architecture) -> State:
    """A folder that bitsandbytes quantised, dequantised again layer by layer."""
    import torch
    from transformers import AutoModelForCausalLM

    from assay.trainers.model.quantize import dequantized, forbid_repacking, quantized_layers
    from assay.trainers.run.runtime import quiet_libraries

    said = architecture.config["quantization_config"]
    kind = "int8" if said.get("load_in_8bit") else str(said.get("bnb_4bit_quant_type"))
    with quiet_libraries():
        model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
    forbid_repacking(model)
    layers = {f"{name}.weight": module for name, module in quantized_layers(model).items()}
    plain = dict(model.named_parameters())
    readers: dict[str, Callable[[], Array]] = {}
    types: dict[str, str] = {}

    def read(hf_name: str) -> Array:
        value = dequantized(layers[hf_name]) if hf_name in layers else plain[hf_name]
        return _turned(architecture, hf_name, value)

    for hf_name in plain | layers:
        name = architecture.tensor_name(hf_name)
        if name is not None:
            readers[name] = partial(read, hf_name)
            types[name] = kind if hf_name in layers else "F32"
    return State(OnDemand(readers), types)


def _adapter_state(adapter: Artifact) -> State:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from assay.trainers.gguf.architectures import read_architecture
    from assay.trainers.model.quantize import load_rounded_base, read_base_quantization
    from assay.trainers.run.runtime import quiet_libraries

    folder = model_folder(adapter)
    architecture = read_architecture(folder)
    table = read_base_quantization(adapter.path)
    with quiet_libraries():
        if table is None:
            model: Any = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
        else:
            model = load_rounded_base(str(folder), table, dtype=torch.float32)
        merged = PeftModel.from_pretrained(model, str(adapter.path)).merge_and_unload(safe_merge=True)
    weights = merged.state_dict()
    readers: dict[str, Callable[[], Array]] = {}

    def read(hf_name: str) -> Array:
        return _turned(architecture, hf_name, weights[hf_name])

    for hf_name in weights:
        name = architecture.tensor_name(hf_name)
        if name is not None:
            readers[name] = partial(read, hf_name)
    _add_rope_divisors(readers, architecture)
    # A rounded base is what was trained on; a copy that is merged onto the whole base differs by what rounding lost.
    linear = (
        {}
        if table is None
        else {n: str(table.type) for n in readers if n.startswith("blk.") and "norm" not in n}
    )
    return State(OnDemand(readers), linear)


def _gguf_state(artifact: Artifact) -> State:
    import gguf

    reader = gguf.GGUFReader(str(artifact.path))
    kind = reader.fields.get("general.type")
    if kind is not None and kind.contents() == "adapter":
        raise ExportError(
            f"{artifact.path} is a GGUF LoRA file, not a model; lay it over its base to compare it"
        )
    stored = {tensor.name: tensor for tensor in reader.tensors}

    def read(name: str) -> Array:
        tensor = stored[name]
        try:
            whole = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        except NotImplementedError as error:
            raise UnreadableError(f"the gguf package cannot read {tensor.tensor_type.name}") from error
        return np.asarray(whole, dtype=np.float32).reshape(tuple(int(n) for n in reversed(tensor.shape)))

    return State(
        OnDemand({name: partial(read, name) for name in stored}),
        {name: tensor.tensor_type.name for name, tensor in stored.items()},
    )
