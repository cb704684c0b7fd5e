"""Predict the size of a GGUF file of each type from the shapes alone, before hours are spent on writing one."""

from __future__ import annotations

import math
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from assay.trainers.artifact import Artifact, stored_tensors
from assay.trainers.errors import ExportError
from assay.trainers.gguf.architectures import read_architecture, rope_divisors
from assay.trainers.gguf.write import PLAIN_TYPES, QUANTIZATIONS, ROPE_DIVISORS, begin, run_quantizer

_ALIGNMENT = 32
# One line of llama.cpp's quantizer a tensor: "[ 3/51] blk.0.attn_k.weight - [ 256, 128, 1, 1], type = f32, … (q4_K)"
_LINE = re.compile(
    r"\]\s+(?P<name>\S+)\s+- \[(?P<shape>[\d, ]+)\].*?size =[^(\n]*(?:\((?P<kind>\w+)\))?\s*$", re.M
)


@dataclass(frozen=True, slots=True)
class PredictedSize:
    """The predicted `bytes` of a file and `bits_per_weight` over all its tensors; `refusal` is why there is none."""

    quantize: str
    bytes: int | None
    bits_per_weight: float | None
    refusal: str = ""


def predict_sizes(model: Artifact, types: tuple[str, ...] = QUANTIZATIONS) -> list[PredictedSize]:
    """Predict the size of `model`, exported as each of `types`, to within its metadata's few bytes of change.

    Quantised types are predicted by llama.cpp's own rules for which tensor gets how many bits: its quantizer does a
    dry run over a file of the right header and no data, which takes no room on the disk.
    """
    with _skeleton(model) as (path, header_bytes, tensors):
        return [_predict(path, header_bytes, tensors, kind) for kind in types]


def _predict(path: Path, header_bytes: int, tensors: dict[str, tuple[int, ...]], kind: str) -> PredictedSize:
    try:
        named = _plain(tensors, kind) if kind in PLAIN_TYPES else _dry_run(path, tensors, kind)
        sizes = [_bytes_of(name, tensors[name], ggml) for name, ggml in named.items()]
    except ExportError as e:
        return PredictedSize(kind, None, None, str(e))
    weights = sum(map(math.prod, tensors.values()))
    padded = sum(map(_aligned, sizes))
    return PredictedSize(kind, header_bytes + padded, 8 * sum(sizes) / weights)


def _plain(tensors: dict[str, tuple[int, ...]], kind: str) -> dict[str, str]:
    wide = PLAIN_TYPES[kind][1]
    return {name: "F32" if len(shape) == 1 else wide for name, shape in tensors.items()}


def _dry_run(path: Path, tensors: dict[str, tuple[int, ...]], kind: str) -> dict[str, str]:
    log = run_quantizer(path, path.with_suffix(".none"), kind, threads=1, dry_run=True)
    types = {m["name"]: (m["kind"] or "f32").upper() for m in _LINE.finditer(log)}
    if set(types) != set(tensors):
        raise ExportError(f"llama.cpp's quantizer listed {len(types)} tensors, the model has {len(tensors)}")
    return types


def _bytes_of(name: str, shape: tuple[int, ...], ggml: str) -> int:
    import gguf

    block, size = gguf.GGML_QUANT_SIZES[{k.name.upper(): k for k in gguf.GGMLQuantizationType}[ggml]]
    if shape[-1] % block:
        raise ExportError(f"{name} {list(shape)} cannot be {ggml}: {shape[-1]} is not divisible by {block}")
    return math.prod(shape) // int(block) * int(size)


@contextmanager
def _skeleton(model: Artifact) -> Iterator[tuple[Path, int, dict[str, tuple[int, ...]]]]:
    """Give an F32 file of `model` with a hole for the weights: path, bytes before the hole, shapes by name."""
    import numpy as np

    architecture = read_architecture(model.path)
    tensors = {
        name: tuple(opened.get_slice(hf_name).get_shape())
        for hf_name, opened in stored_tensors(model.path)
        if (name := architecture.tensor_name(hf_name)) is not None
    }
    divisors = rope_divisors(architecture)
    if divisors is not None:
        tensors[ROPE_DIVISORS] = (len(divisors),)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "skeleton.gguf"
        with closing(begin(model.path, path, architecture, "f32", model.path.name)) as writer:
            for name, shape in tensors.items():
                writer.add_tensor_info(name, shape, np.dtype(np.float32), 4 * math.prod(shape))
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_ti_data_to_file()
        header = _aligned(path.stat().st_size)
        os.truncate(path, header + sum(_aligned(4 * math.prod(shape)) for shape in tensors.values()))
        yield path, header, tensors


def _aligned(size: int) -> int:
    """Return the bytes that a tensor of `size` bytes takes in the file."""
    return -(-size // _ALIGNMENT) * _ALIGNMENT
