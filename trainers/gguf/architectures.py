"""Translate a Hugging Face configuration to GGUF's: the known architectures, their metadata and tensor orders."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.trainers.errors import ExportError

# Hugging Face's name -> GGUF's. llama.cpp rotates pairs of neighbours in llama's heads, transformers the two halves.
_ARCHITECTURES = {"Qwen2ForCausalLM": "qwen2", "LlamaForCausalLM": "llama", "MistralForCausalLM": "llama"}
_INTERLEAVED = {"llama"}
_ROPE_KEYS: dict[str, tuple[str, ...]] = {
    "default": (),
    "linear": ("factor",),
    "yarn": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
}


@dataclass(frozen=True, slots=True)
class Architecture:
    """A model folder's configuration, checked to be one that llama.cpp computes as transformers does."""

    name: str
    config: dict[str, Any]

    @property
    def layers(self) -> int:
        return int(self.config["num_hidden_layers"])

    @property
    def heads(self) -> int:
        return int(self.config["num_attention_heads"])

    @property
    def kv_heads(self) -> int:
        return int(self.config.get("num_key_value_heads") or self.heads)

    @property
    def head_dim(self) -> int:
        return int(self.config.get("head_dim") or self.config["hidden_size"] // self.heads)

    @property
    def tied(self) -> bool:
        return bool(self.config.get("tie_word_embeddings"))

    @property
    def rope(self) -> dict[str, Any]:
        """transformers 5 writes `rope_parameters`, earlier ones `rope_theta` and `rope_scaling`."""
        old = dict(self.config.get("rope_scaling") or {})
        rope = dict(self.config.get("rope_parameters") or {"rope_theta": self.config["rope_theta"], **old})
        rope["rope_type"] = rope.get("rope_type", rope.get("type", "default"))
        return rope

    def tensor_name(self, hf_name: str) -> str | None:
        """Return GGUF's name of a tensor; None for a tied head, which GGUF leaves out. Raises ExportError."""
        import gguf

        if hf_name == "lm_head.weight" and self.tied:
            return None
        kind = {name: arch for arch, name in gguf.MODEL_ARCH_NAMES.items()}[self.name]
        name = gguf.get_tensor_name_map(kind, self.layers).get_name(
            hf_name, try_suffixes=(".weight", ".bias")
        )
        if name is None:
            raise ExportError(f"tensor {hf_name} has no place in GGUF's {self.name}")
        return str(name)

    def turn(self, hf_name: str, rows: Any) -> Any:
        """Return the array with its first axis in GGUF's order: an interleaved rope permutes queries and keys."""
        if self.name not in _INTERLEAVED or not (".q_proj." in hf_name or ".k_proj." in hf_name):
            return rows
        heads = self.heads if ".q_proj." in hf_name else self.kv_heads
        shape = rows.shape
        per_head = rows.reshape(heads, 2, shape[0] // heads // 2, *shape[1:])
        return per_head.swapaxes(1, 2).reshape(shape)


def read_architecture(folder: Path) -> Architecture:
    """Return the folder's architecture. Raises ExportError that names what llama.cpp would compute differently."""
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    declared = (config.get("architectures") or ["(none named)"])[0]
    if declared not in _ARCHITECTURES:
        raise ExportError(
            f"{folder}: architecture {declared} cannot be exported to GGUF here; known: {', '.join(_ARCHITECTURES)}"
        )
    name = _ARCHITECTURES[declared]
    if config.get("use_sliding_window") or (name == "llama" and config.get("sliding_window")):
        raise ExportError(
            f"{folder}: a sliding attention window is set, which llama.cpp's {name} does not do"
        )
    if config.get("hidden_act", "silu") != "silu":
        raise ExportError(f"{folder}: activation {config['hidden_act']!r}; llama.cpp's {name} computes silu")
    architecture = Architecture(name, config)
    kind = architecture.rope["rope_type"]
    if kind not in _ROPE_KEYS:
        raise ExportError(f"{folder}: rope scaling {kind!r} is not exported; known: {', '.join(_ROPE_KEYS)}")
    for key in _ROPE_KEYS[kind]:
        if architecture.rope.get(key) is None:
            raise ExportError(f"{folder}: rope {kind!r} has no {key!r} in config.json")
    if architecture.rope.get("partial_rotary_factor", 1.0) != 1.0:
        raise ExportError(f"{folder}: a rope over part of each head is not exported")
    return architecture


def add_hyperparameters(writer: Any, architecture: Architecture, name: str) -> None:
    """Add the architecture's metadata to a gguf.GGUFWriter."""
    config = architecture.config
    writer.add_name(name)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(architecture.layers)
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(architecture.heads)
    writer.add_head_count_kv(architecture.kv_heads)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(architecture.head_dim)
    if config.get("head_dim"):
        writer.add_key_length(architecture.head_dim)
        writer.add_value_length(architecture.head_dim)
    _add_rope(writer, architecture)


def _add_rope(writer: Any, architecture: Architecture) -> None:
    import gguf

    rope = architecture.rope
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    elif rope["rope_type"] == "yarn":
        given = {key for key, value in rope.items() if value is not None}
        if fixed := given & {"attention_factor", "mscale", "mscale_all_dim"}:
            raise ExportError(
                f"yarn with {', '.join(sorted(fixed))} set is not exported; only its defaults are"
            )
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        original = rope.get("original_max_position_embeddings")
        writer.add_rope_scaling_orig_ctx_len(original or architecture.config["max_position_embeddings"])
        for key in sorted(given & {"beta_fast", "beta_slow"}):
            getattr(writer, f"add_rope_scaling_yarn_{key}")(rope[key])


def rope_divisors(architecture: Architecture) -> list[float] | None:
    """Return the divisors of the rope frequencies, [head_dim/2], for a model with llama3's scaling; else None.

    Wavelengths up to original/high_freq_factor stay, those from original/low_freq_factor on are stretched by
    `factor`, between the two it goes smoothly (Llama 3.1's reference code; transformers' `llama3` rope).
    """
    rope = architecture.rope
    if rope["rope_type"] != "llama3":
        return None
    factor, low, high = (float(rope[k]) for k in ("factor", "low_freq_factor", "high_freq_factor"))
    original = float(rope["original_max_position_embeddings"])
    divisors = []
    for i in range(0, architecture.head_dim, 2):
        wavelength = 2 * math.pi * float(rope["rope_theta"]) ** (i / architecture.head_dim)
        if wavelength < original / high:
            divisors.append(1.0)
        elif wavelength > original / low:
            divisors.append(factor)
        else:
            smooth = (original / wavelength - low) / (high - low)
            divisors.append(1 / ((1 - smooth) / factor + smooth))
    return divisors
