"""Write a Qwen2 model folder as an unquantised (or Q8_0) GGUF file, with only the `gguf` package and numpy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainers.errors import ExportError
from trainers.gguf.vocabulary import Vocabulary, read_vocabulary

# name here -> (gguf.LlamaFileType, gguf.GGMLQuantizationType); norms and biases stay F32 in all of them.
PLAIN_TYPES = {
    "f32": ("ALL_F32", "F32"),
    "f16": ("MOSTLY_F16", "F16"),
    "bf16": ("MOSTLY_BF16", "BF16"),
    "q8_0": ("MOSTLY_Q8_0", "Q8_0"),
}
_ARCHITECTURES = {"Qwen2ForCausalLM": "qwen2"}


def write_gguf(folder: Path, out: Path, type_name: str, name: str) -> None:
    """Write `folder`'s weights, configuration and tokenizer to `out`. ExportError where it cannot be done."""
    import gguf

    config = _config(folder)
    architecture = _ARCHITECTURES[config["architectures"][0]]
    file_type, tensor_type = PLAIN_TYPES[type_name]
    writer = gguf.GGUFWriter(str(out), architecture)
    try:
        _add_hyperparameters(writer, config, name)
        writer.add_file_type(gguf.LlamaFileType[file_type])
        _add_vocabulary(writer, read_vocabulary(folder, config["vocab_size"]))
        _add_tensors(writer, folder, config, gguf.GGMLQuantizationType[tensor_type])
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def _config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    found = config.get("architectures") or ["(none named)"]
    if found[0] not in _ARCHITECTURES:
        raise ExportError(
            f"{folder}: architecture {found[0]} cannot be exported to GGUF here; known: {', '.join(_ARCHITECTURES)}"
        )
    if config.get("use_sliding_window"):
        raise ExportError(f"{folder}: use_sliding_window is set, which llama.cpp's qwen2 does not do")
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if rope.get("rope_type", rope.get("type", "default")) != "default":
        raise ExportError(f"{folder}: rope scaling {rope!r} is not exported; only the default rope is")
    if config.get("hidden_act", "silu") != "silu":
        raise ExportError(f"{folder}: activation {config['hidden_act']!r}; llama.cpp's qwen2 computes silu")
    return config


def _add_hyperparameters(writer: Any, config: dict[str, Any], name: str) -> None:
    rope = config.get("rope_parameters") or config
    writer.add_name(name)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(rope["rope_theta"])
    if head_dim := config.get("head_dim"):
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
        writer.add_rope_dimension_count(head_dim)


def _add_vocabulary(writer: Any, vocabulary: Vocabulary) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(list(vocabulary.tokens))
    writer.add_token_types([int(t) for t in vocabulary.types])
    writer.add_token_merges(list(vocabulary.merges))
    writer.add_eos_token_id(vocabulary.eos_id)
    writer.add_pad_token_id(vocabulary.pad_id)
    # llama.cpp falls back on its own id where none is given; `add_bos` false keeps it from being used.
    writer.add_bos_token_id(vocabulary.pad_id if vocabulary.bos_id is None else vocabulary.bos_id)
    writer.add_add_bos_token(False)
    if vocabulary.chat_template is not None:
        writer.add_chat_template(vocabulary.chat_template)


def _add_tensors(writer: Any, folder: Path, config: dict[str, Any], kind: Any) -> None:
    import gguf
    import numpy as np

    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN2, config["num_hidden_layers"])
    plain = {gguf.GGMLQuantizationType.F32: np.float32, gguf.GGMLQuantizationType.F16: np.float16}
    for hf_name, tensor in _weights(folder):
        if hf_name == "lm_head.weight" and config.get("tie_word_embeddings"):
            continue  # llama.cpp uses the embedding where there is no output tensor
        name = names.get_name(hf_name, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise ExportError(f"{folder}: tensor {hf_name} has no place in GGUF's qwen2")
        if tensor.ndim == 1:
            writer.add_tensor(name, tensor)
        elif kind in plain:
            if kind == gguf.GGMLQuantizationType.F16 and np.abs(tensor).max() > np.finfo(np.float16).max:
                raise ExportError(f"{folder}: {hf_name} exceeds the range of f16; export bf16 or f32")
            writer.add_tensor(name, tensor.astype(plain[kind]))
        else:
            try:
                packed = gguf.quants.quantize(tensor, kind)
            except gguf.quants.QuantError as e:
                raise ExportError(f"{folder}: {hf_name} {tensor.shape} cannot be {kind.name}: {e}") from e
            writer.add_tensor(name, packed, raw_dtype=kind)


def _weights(folder: Path) -> Iterator[tuple[str, Any]]:
    """Every tensor as (name, fp32 array), file by file: one tensor is in memory twice at a time."""
    import torch
    from safetensors import safe_open

    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(str(file), "pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118  # not a dict
                yield name, tensors.get_tensor(name).to(torch.float32).numpy()
