"""A model's weights in fewer bits, as a folder of its own: rounded to bf16 or fp16, or quantised by bitsandbytes.

The folder loads by itself, its config.json saying how its weights are kept; its size on disk is what it takes to load.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

from trainers.artifact import Artifact, ArtifactKind, describe, identify, record_path
from trainers.config import QuantizationTable
from trainers.errors import ArtifactError, MissingExtraError, TrainersError
from trainers.quiet import quiet_libraries
from trainers.threads import let_idle_threads_sleep

Compression = Literal["fp32", "bf16", "fp16", "int8", "nf4", "fp4"]


def compress_model(source: Artifact, out: Path, kind: Compression, *, double_quant: bool = True) -> Artifact:
    """Write `source` (base, tuned or merged) to the folder `out` with its weights as `kind`.

    int8 is LLM.int8; nf4 and fp4 keep blocks of 64 in 4 bits, with double quantisation of their scales unless told
    otherwise; embedding, head and norms keep their precision. Quantised weights are expanded to fp32 for a product.
    The folder appears by one rename. Raises ArtifactError and MissingExtraError.
    """
    if source.kind not in (ArtifactKind.BASE, ArtifactKind.TUNED, ArtifactKind.MERGED):
        raise ArtifactError(
            f"{source.path} is of kind {source.kind}; only base, tuned and merged models can be compressed"
        )
    recipe = f"weights as {kind}" + (" (bitsandbytes)" if kind in ("int8", "nf4", "fp4") else "")
    if kind in ("nf4", "fp4") and double_quant:
        recipe += ", double quantisation"
    if record_path(out).is_file():
        found = identify(out)
        if found.parent is not None and found.parent.sha256 == source.sha256 and found.recipe == recipe:
            return found
    if out.exists():
        raise ArtifactError(
            f"{out} is there already and holds something else; remove it or choose another folder"
        )
    let_idle_threads_sleep()
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        with quiet_libraries():
            _write(source.path, part, kind, double_quant)
    except ImportError as e:
        raise MissingExtraError(e.name or "bitsandbytes", "train") from e
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    describe(source.kind, part, source, recipe)
    part.rename(out)
    return identify(out)


def _write(folder: Path, out: Path, kind: Compression, double_quant: bool) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from trainers.quantize import check_supported, load_quantized

    if kind in ("fp32", "bf16", "fp16"):
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[kind]
        model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=dtype)
    else:
        table = QuantizationTable.model_validate(
            {"type": kind} | ({} if kind == "int8" else {"double_quant": double_quant})
        )
        try:
            check_supported(table, "fp32")
        except TrainersError as e:
            raise ArtifactError(str(e)) from e
        model = load_quantized(str(folder), table, "fp32", attention="sdpa", keep_fp32=True)
    out.mkdir(parents=True)
    model.save_pretrained(str(out))
    AutoTokenizer.from_pretrained(str(folder)).save_pretrained(str(out))
