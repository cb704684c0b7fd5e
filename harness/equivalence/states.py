"""Read what a model computes with from any storage: weights as fp32 arrays under GGUF's names, and other figures.

A tensor is read whenever it is used and not kept, so that two models can be compared tensor by tensor. The other
figures (rope, heads, norms, context, token types) stand in the file beside the weights, and decide answers as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
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
    """A tensor is stored in a type that no reader here knows; the message names it."""


class OnDemand(Mapping[str, Array]):
    """Tensors by name, each read anew at every access."""

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
    """The weights of a model: `tensors` by name, and the storage type of each, `kept` for those not in `types`."""

    tensors: Mapping[str, Array]
    types: dict[str, str] = field(default_factory=dict)
    kept: str = "F32"

    def type_of(self, name: str) -> str:
        """Return a tensor's storage type; a tied head has its embedding's."""
        return self.types.get(name, self.types.get(EMBEDDING, self.kept) if name == HEAD else self.kept)


def state_of(artifact: Artifact) -> State:
    """Return the effective weights: an adapter folded into its base, a GGUF file dequantised.

    Raises ExportError for an architecture that has no names in GGUF, and for a GGUF file that is no model.
    """
    if artifact.kind is ArtifactKind.GGUF:
        return _gguf_state(artifact)
    if artifact.kind is ArtifactKind.ADAPTER:
        return _adapter_state(artifact)
    return _folder_state(artifact)


def base_state_of(artifact: Artifact) -> State | None:
    """Return the weights under an adapter, or under the one adapter that a merged model was made of.

    None for other models, and where the base is no longer on this machine.
    """
    adapter = artifact if artifact.kind is ArtifactKind.ADAPTER else artifact.parent
    if adapter is None or adapter.kind is not ArtifactKind.ADAPTER or artifact.others:
        return None
    if adapter.parent is None or not adapter.parent.path.exists():
        return None
    return _folder_state(adapter.parent)


def structure_of(artifact: Artifact) -> dict[str, Any]:
    """Return the figures a runtime takes from the file, under one set of names."""
    return _gguf_structure(artifact) if artifact.kind is ArtifactKind.GGUF else _folder_structure(artifact)


def token_types_of(artifact: Artifact) -> list[int]:
    """Return GGUF's type of every token id.

    llama.cpp mends some wrong ones as it loads (ends of text that are not marked as control tokens); other runtimes do
    not.
    """
    if artifact.kind is ArtifactKind.GGUF:
        import gguf

        types = gguf.GGUFReader(str(artifact.path)).fields["tokenizer.ggml.token_type"].contents()
    else:
        from assay.trainers.gguf.architectures import read_architecture
        from assay.trainers.gguf.vocabulary import read_vocabulary

        folder = model_folder(artifact)
        types = read_vocabulary(folder, read_architecture(folder).config["vocab_size"]).types
    return [int(t) for t in types]


def _folder_state(artifact: Artifact) -> State:
    from safetensors import safe_open

    from assay.trainers.gguf.architectures import read_architecture

    folder = model_folder(artifact)
    architecture = read_architecture(folder)
    if architecture.config.get("quantization_config"):
        return _quantised_state(folder, architecture)
    files: dict[str, Path] = {}
    types: dict[str, str] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(str(file), "pt") as opened:
            for hf_name in opened.keys():  # noqa: SIM118  # not a dict
                files[hf_name] = file
                if (name := architecture.tensor_name(hf_name)) is not None:
                    stored = str(opened.get_slice(hf_name).get_dtype())
                    types[name] = stored if stored in ("BF16", "F16") else "F32"

    def read(hf_name: str) -> Any:
        with safe_open(str(files[hf_name]), "pt") as opened:
            return opened.get_tensor(hf_name)

    return State(OnDemand(_named(architecture, files, read) | _rope_divisors(architecture)), types)


def _rope_divisors(architecture: Architecture) -> dict[str, Callable[[], Array]]:
    """Return the tensor that GGUF keeps where a folder has the figures in its configuration."""
    from assay.trainers.gguf.architectures import rope_divisors
    from assay.trainers.gguf.write import ROPE_DIVISORS

    divisors = rope_divisors(architecture)
    return {} if divisors is None else {ROPE_DIVISORS: partial(np.array, divisors, dtype=np.float32)}


def _named(
    architecture: Architecture, hf_names: Iterable[str], read: Callable[[str], Any]
) -> dict[str, Callable[[], Array]]:
    """Return readers, under GGUF's names and in its layout, of the torch tensors that `read` gives."""

    def reader(hf_name: str) -> Array:
        values = read(hf_name).detach().float().numpy()
        return np.asarray(architecture.turn(hf_name, values), dtype=np.float32)

    names = {hf_name: architecture.tensor_name(hf_name) for hf_name in hf_names}
    return {name: partial(reader, hf_name) for hf_name, name in names.items() if name is not None}


def _quantised_state(folder: Path, architecture: Architecture) -> State:
    """Return the weights of a folder that bitsandbytes quantised, dequantised again layer by layer."""
    import torch
    from transformers import AutoModelForCausalLM

    from assay.trainers.model.quantize import dequantized, forbid_repacking, quantized_layers
    from assay.trainers.run.runtime import quiet_libraries

    quantization = architecture.config["quantization_config"]
    kind = "int8" if quantization.get("load_in_8bit") else str(quantization.get("bnb_4bit_quant_type"))
    with quiet_libraries():
        model = AutoModelForCausalLM.from_pretrained(
            str(folder), dtype=torch.float32, trust_remote_code=False, use_safetensors=True
        )
    forbid_repacking(model)
    layers = {f"{name}.weight": module for name, module in quantized_layers(model).items()}
    plain = dict(model.named_parameters())

    def read(hf_name: str) -> Any:
        return dequantized(layers[hf_name]) if hf_name in layers else plain[hf_name]

    types = {name: kind for hf_name in layers if (name := architecture.tensor_name(hf_name)) is not None}
    return State(OnDemand(_named(architecture, plain | layers, read)), types)


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
            model: Any = AutoModelForCausalLM.from_pretrained(
                str(folder), dtype=torch.float32, trust_remote_code=False, use_safetensors=True
            )
        else:
            model = load_rounded_base(str(folder), table, dtype=torch.float32)
        merged = PeftModel.from_pretrained(model, str(adapter.path)).merge_and_unload(safe_merge=True)
    weights = merged.state_dict()
    readers = _named(architecture, weights, weights.__getitem__) | _rope_divisors(architecture)
    # A rounded base was trained on; a copy that is merged onto the unrounded base differs by the loss of rounding.
    rounded = [n for n in readers if n.startswith("blk.") and "norm" not in n] if table is not None else []
    return State(OnDemand(readers), {} if table is None else dict.fromkeys(rounded, str(table.type)))


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
            values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        except NotImplementedError as error:
            raise UnreadableError(f"the gguf package cannot read {tensor.tensor_type.name}") from error
        return np.asarray(values, dtype=np.float32).reshape(tuple(int(n) for n in reversed(tensor.shape)))

    return State(
        OnDemand({name: partial(read, name) for name in stored}),
        {name: tensor.tensor_type.name for name, tensor in stored.items()},
    )


def _folder_structure(artifact: Artifact) -> dict[str, Any]:
    from assay.trainers.gguf.architectures import read_architecture

    architecture = read_architecture(model_folder(artifact))
    rope, config = architecture.rope, architecture.config
    structure = {
        "architecture": architecture.name,
        "layers": architecture.layers,
        "heads": architecture.heads,
        "key/value heads": architecture.kv_heads,
        "head width": architecture.head_dim,
        "norm epsilon": config["rms_norm_eps"],
        "context": config["max_position_embeddings"],
        "rope base": rope["rope_theta"],
        # llama3's scaling is a tensor of its own, which is compared with the others
        "rope scaling": "default" if rope["rope_type"] == "llama3" else rope["rope_type"],
    }
    if rope["rope_type"] in ("linear", "yarn"):
        structure["rope scaling factor"] = rope["factor"]
    if rope["rope_type"] == "yarn":
        structure["rope original context"] = (
            rope.get("original_max_position_embeddings") or structure["context"]
        )
    return structure


def _gguf_structure(artifact: Artifact) -> dict[str, Any]:
    import gguf

    fields = gguf.GGUFReader(str(artifact.path)).fields

    def value(key: str, default: Any = None) -> Any:
        return fields[key].contents() if key in fields else default

    name = value("general.architecture")
    heads = value(f"{name}.attention.head_count")
    scaling = value(f"{name}.rope.scaling.type", "default")
    structure = {
        "architecture": name,
        "layers": value(f"{name}.block_count"),
        "heads": heads,
        "key/value heads": value(f"{name}.attention.head_count_kv", heads),
        "head width": value(
            f"{name}.attention.key_length", value(f"{name}.embedding_length", 0) // (heads or 1)
        ),
        "norm epsilon": value(f"{name}.attention.layer_norm_rms_epsilon"),
        "context": value(f"{name}.context_length"),
        "rope base": value(f"{name}.rope.freq_base", 10000.0),  # llama.cpp's own default
        "rope scaling": "default" if scaling == "none" else scaling,
    }
    if scaling in ("linear", "yarn"):
        structure["rope scaling factor"] = value(f"{name}.rope.scaling.factor")
    if scaling == "yarn":
        structure["rope original context"] = value(
            f"{name}.rope.scaling.original_context_length", structure["context"]
        )
    return structure
