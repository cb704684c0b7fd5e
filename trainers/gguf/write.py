"""Write a model folder as an unquantised (or Q8_0) GGUF file, with only the `gguf` package and numpy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from assay.trainers.errors import ExportError
from assay.trainers.gguf.architectures import (
    Architecture,
    add_hyperparameters,
    read_architecture,
    rope_divisors,
)
from assay.trainers.gguf.vocabulary import Vocabulary, read_vocabulary

# name here -> (gguf.LlamaFileType, gguf.GGMLQuantizationType); norms and biases stay F32 in all of them.
PLAIN_TYPES = {
    "f32": ("ALL_F32", "F32"),
    "f16": ("MOSTLY_F16", "F16"),
    "bf16": ("MOSTLY_BF16", "BF16"),
    "q8_0": ("MOSTLY_Q8_0", "Q8_0"),
}
ROPE_DIVISORS = "rope_freqs.weight"


def write_gguf(folder: Path, out: Path, type_name: str, name: str) -> None:
    """Write `folder`'s weights, configuration and tokenizer to `out`. ExportError where it cannot be done."""
    import gguf
    import numpy as np

    architecture = read_architecture(folder)
    tensor_type = gguf.GGMLQuantizationType[PLAIN_TYPES[type_name][1]]
    writer = begin(folder, out, architecture, type_name, name)
    try:
        divisors = rope_divisors(architecture)
        if divisors is not None:
            writer.add_tensor(ROPE_DIVISORS, np.array(divisors, dtype=np.float32))
        for hf_name, tensor in _weights(folder):
            gguf_name = architecture.tensor_name(hf_name)
            if gguf_name is not None:  # None: llama.cpp uses the embedding where there is no output tensor
                _add_tensor(writer, hf_name, gguf_name, architecture.turn(hf_name, tensor), tensor_type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def begin(folder: Path, out: Path, architecture: Architecture, type_name: str, name: str) -> Any:
    """A gguf.GGUFWriter that holds everything of `folder` but its tensors."""
    import gguf

    if architecture.config.get("quantization_config"):
        raise ExportError(f"{folder}: the weights are quantised already; export what they were made from")
    writer = gguf.GGUFWriter(str(out), architecture.name)
    try:
        add_hyperparameters(writer, architecture, name)
        writer.add_file_type(gguf.LlamaFileType[PLAIN_TYPES[type_name][0]])
        _add_vocabulary(writer, read_vocabulary(folder, architecture.config["vocab_size"]))
    except BaseException:
        writer.close()
        raise
    return writer


def _add_vocabulary(writer: Any, vocabulary: Vocabulary) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(list(vocabulary.tokens))
    writer.add_token_types([int(t) for t in vocabulary.types])
    writer.add_token_merges(list(vocabulary.merges))
    writer.add_eos_token_id(vocabulary.eos_id)
    writer.add_pad_token_id(vocabulary.pad_id)
    # llama.cpp falls back on its own id where none is given; `add_bos` false keeps it from being used.
    writer.add_bos_token_id(vocabulary.pad_id if vocabulary.bos_id is None else vocabulary.bos_id)
    writer.add_add_bos_token(vocabulary.add_bos)
    if vocabulary.chat_template is not None:
        writer.add_chat_template(vocabulary.chat_template)


def _add_tensor(writer: Any, hf_name: str, name: str, tensor: Any, kind: Any) -> None:
    import gguf
    import numpy as np

    plain = {gguf.GGMLQuantizationType.F32: np.float32, gguf.GGMLQuantizationType.F16: np.float16}
    if tensor.ndim == 1:
        writer.add_tensor(name, tensor)
    elif kind in plain:
        if kind == gguf.GGMLQuantizationType.F16 and np.abs(tensor).max() > np.finfo(np.float16).max:
            raise ExportError(f"{hf_name} exceeds the range of f16; export bf16 or f32")
        writer.add_tensor(name, np.ascontiguousarray(tensor.astype(plain[kind])))
    else:
        try:
            packed = gguf.quants.quantize(np.ascontiguousarray(tensor), kind)
        except gguf.quants.QuantError as e:
            raise ExportError(f"{hf_name} {tensor.shape} cannot be {kind.name}: {e}") from e
        writer.add_tensor(name, packed, raw_dtype=kind)


def _weights(folder: Path) -> Iterator[tuple[str, Any]]:
    """Every tensor as (name, fp32 array), file by file: one tensor is in memory twice at a time."""
    import torch
    from safetensors import safe_open

    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(str(file), "pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118  # not a dict
                yield name, tensors.get_tensor(name).to(torch.float32).numpy()


def shapes(folder: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """(name, shape) of every tensor, from the files' headers alone."""
    from safetensors import safe_open

    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(str(file), "pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118  # not a dict
                yield name, tuple(tensors.get_slice(name).get_shape())
