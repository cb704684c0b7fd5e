"""Model folder to GGUF file: written beside its final place, loaded once to prove it whole, then renamed."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

from assay.trainers.artifact import Artifact, ArtifactKind, describe
from assay.trainers.errors import ArtifactError, ExportError, MissingExtraError
from assay.trainers.gguf.native import NativeContext, NativeModel, captured_log, llama_cpp
from assay.trainers.gguf.sizes import QUANTIZATIONS, native_type
from assay.trainers.gguf.vocabulary import effective_tokenizer
from assay.trainers.gguf.write import PLAIN_TYPES, write_gguf

# Texts on which tokenizers part: contractions, digits, runs of blanks, scripts, line ends, emoji.
_PROBES = (
    "def f(xs):\n    return [x**2 for x in xs if x % 10 != 3]\n\n\nprint(f(range(1234567)))\n",
    "it's we'll THEY'RE I'M don't  'tis 3.14 0x1F 1e-9 \t\ttabs  \r\n \r x   ",
    "café naïve Ærø 漢字かな 한국어 ไทย עברית ١٢٣ 👩‍👩‍👧 \u00a0\u2003\u200b!!!???...===>>>{}[]();;",
)


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
        _prove_loads(part, model.path)
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
    params.ftype = native_type(kind)
    params.nthread = threads
    with captured_log() as log:
        status = lib.llama_model_quantize(os.fsencode(source), os.fsencode(target), params)
    if status != 0:
        said = " ".join("".join(log).split("\n")[-2:]).strip()
        raise ExportError(f"llama.cpp could not quantise to {kind} (status {status}): {said:.300}")


def _prove_loads(path: Path, folder: Path) -> None:
    """Load the file, cut some texts and evaluate one token; ExportError unless the token ids are those of the folder's
    tokenizer and the logits are finite."""
    import numpy as np

    try:
        model = NativeModel(path)
    except ArtifactError as e:
        raise ExportError(f"what was written does not load: {e}") from e
    with model:
        _prove_tokens(model, folder)
        context = NativeContext(model, rows=1, tokens_per_row=32, batch_tokens=32, threads=1)
        try:
            if not np.isfinite(context.decode([0], [0], [0], [True])).all():
                raise ExportError(f"{path.name}: logits are not finite; the weights exceed the type's range")
        finally:
            context.close()


def _prove_tokens(model: NativeModel, folder: Path) -> None:
    tokenizer = effective_tokenizer(folder)
    specials = "".join(str(t) for t in tokenizer.all_special_tokens)
    for probe in (*_PROBES, f"{specials}x{specials}"):
        text = unicodedata.normalize(
            "NFC", probe
        )  # which some tokenizers do themselves, and llama.cpp never does
        expected = tokenizer(text, add_special_tokens=False)["input_ids"]
        found = model.tokenize(text)
        if found != expected:
            at = next(
                i for i, (a, b) in enumerate(zip([*found, -1], [*expected, -2], strict=False)) if a != b
            )
            raise ExportError(
                f"{folder}: llama.cpp cuts {text!r:.60} into other tokens than transformers does, from token {at} on "
                f"({found[at : at + 4]}, expected {expected[at : at + 4]}); this tokenizer cannot be exported"
            )
