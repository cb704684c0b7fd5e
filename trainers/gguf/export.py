"""Model folder to GGUF file: written beside its final place, loaded once to prove it whole, then renamed."""

from __future__ import annotations

import os
from pathlib import Path

from trainers.artifact import Artifact, ArtifactKind, describe
from trainers.errors import ArtifactError, ExportError, MissingExtraError
from trainers.gguf.native import NativeContext, NativeModel, llama_cpp
from trainers.gguf.write import PLAIN_TYPES, write_gguf

# K-quants and their kin, by llama.cpp's own quantizer: name here -> LLAMA_FTYPE_MOSTLY_*.
_QUANTIZED = {
    name: name.upper()
    for name in (
        *("q6_k", "q5_k_m", "q5_k_s", "q5_0", "q5_1", "q4_k_m", "q4_k_s", "q4_0", "q4_1"),
        *("q3_k_l", "q3_k_m", "q3_k_s", "q2_k", "q2_k_s"),
    )
}
QUANTIZATIONS = (*PLAIN_TYPES, *_QUANTIZED)


def export_gguf(model: Artifact, out_file: Path, quantize: str = "f16", *, threads: int = 1) -> Artifact:
    """Write `model` (base or merged) to `out_file`, its weights as `quantize`; one of QUANTIZATIONS.

    f32, f16, bf16 and q8_0 are written by us; the others by llama.cpp from an f32 intermediate, so that nothing is
    rounded twice. The file is loaded and evaluated once before it gets its name. Raises ExportError and
    MissingExtraError.
    """
    kind = quantize.lower()
    if kind not in QUANTIZATIONS:
        raise ExportError(f"unknown GGUF quantisation {quantize!r}; known: {', '.join(QUANTIZATIONS)}")
    if model.kind not in (ArtifactKind.BASE, ArtifactKind.TUNED, ArtifactKind.MERGED):
        what = "merge it first" if model.kind is ArtifactKind.ADAPTER else "it is GGUF already"
        raise ExportError(f"{model.path} is of kind {model.kind}: {what}")
    out_file.parent.mkdir(parents=True, exist_ok=True)
    part, plain = (out_file.with_name(f"{out_file.name}.{end}") for end in ("part", "f32.part"))
    try:
        if kind in PLAIN_TYPES:
            write_gguf(model.path, part, kind, out_file.stem)
            how = f"gguf package, weights {kind.upper()}, norms and biases F32"
        else:
            write_gguf(model.path, plain, "f32", out_file.stem)
            _quantize(plain, part, kind, threads)
            how = f"gguf package to F32, llama.cpp quantizer to {kind.upper()}"
        _prove_loads(part)
        os.replace(part, out_file)
    except ImportError as e:
        raise MissingExtraError(e.name or "gguf", "gguf") from e
    finally:
        part.unlink(missing_ok=True)
        plain.unlink(missing_ok=True)
    return describe(ArtifactKind.GGUF, out_file, model, how)


def _quantize(source: Path, target: Path, kind: str, threads: int) -> None:
    lib = llama_cpp()
    params = lib.llama_model_quantize_default_params()
    params.ftype = getattr(lib, f"LLAMA_FTYPE_MOSTLY_{_QUANTIZED[kind]}")
    params.nthread = threads
    status = lib.llama_model_quantize(os.fsencode(source), os.fsencode(target), params)
    if status != 0:
        raise ExportError(f"llama.cpp could not quantise {source} to {kind} (status {status})")


def _prove_loads(path: Path) -> None:
    """Load the file and evaluate one token; ExportError unless the logits are finite."""
    import numpy as np

    try:
        model = NativeModel(path)
    except ArtifactError as e:
        raise ExportError(f"what was written does not load: {e}") from e
    with model:
        context = NativeContext(model, rows=1, tokens_per_row=32, batch_tokens=32, threads=1)
        try:
            if not np.isfinite(context.decode([0], [0], [0], [True])).all():
                raise ExportError(f"{path.name}: logits are not finite; the weights exceed the type's range")
        finally:
            context.close()
