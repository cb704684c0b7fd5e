"""Write a model folder as a GGUF file, loaded once to prove it before it gets its name.

Unquantised types and Q8_0 are written by the `gguf` package and numpy alone; the others by llama.cpp's own quantizer
from an F32 file.
"""

from __future__ import annotations

import os
import unicodedata
from contextlib import closing
from pathlib import Path
from typing import Any

from assay.trainers.artifact import MODEL_FOLDERS, Artifact, ArtifactKind, describe, stored_tensors
from assay.trainers.errors import ArtifactError, ExportError, needs_extra
from assay.trainers.files import publish
from assay.trainers.gguf.architectures import (
    Architecture,
    add_hyperparameters,
    read_architecture,
    rope_divisors,
)
from assay.trainers.gguf.native import NativeContext, NativeModel, captured_log, llama_cpp
from assay.trainers.gguf.vocabulary import Vocabulary, effective_tokenizer, read_vocabulary

# name here -> (gguf.LlamaFileType, gguf.GGMLQuantizationType); norms and biases stay F32 in all of them.
PLAIN_TYPES = {
    "f32": ("ALL_F32", "F32"),
    "f16": ("MOSTLY_F16", "F16"),
    "bf16": ("MOSTLY_BF16", "BF16"),
    "q8_0": ("MOSTLY_Q8_0", "Q8_0"),
}
# K-quants and their kin, by llama.cpp's own quantizer: LLAMA_FTYPE_MOSTLY_* in small letters. Types that it makes only
# with an importance matrix (q2_k_s, iq…) are left out.
NATIVE_TYPES = (
    *("q6_k", "q5_k_m", "q5_k_s", "q5_0", "q5_1", "q4_k_m", "q4_k_s", "q4_0", "q4_1"),
    *("q3_k_l", "q3_k_m", "q3_k_s", "q2_k"),
)
QUANTIZATIONS = (*PLAIN_TYPES, *NATIVE_TYPES)
ROPE_DIVISORS = "rope_freqs.weight"
# Texts on which tokenizers part: contractions, digits, runs of blanks, scripts, line ends, emoji.
_PROBES = (
    "def f(xs):\n    return [x**2 for x in xs if x % 10 != 3]\n\n\nprint(f(range(1234567)))\n",
    "it's we'll THEY'RE I'M don't  'tis 3.14 0x1F 1e-9 \t\ttabs  \r\n \r x   ",
    "café naïve Ærø 漢字かな 한국어 ไทย עברית ١٢٣ 👩‍👩‍👧 \u00a0\u2003\u200b!!!???...===>>>{}[]();;",
)


def export_gguf(model: Artifact, out_file: Path, quantize: str = "f16", *, threads: int = 1) -> Artifact:
    """Write `model` (base or merged) to `out_file`, its weights as `quantize`; one of QUANTIZATIONS.

    f32, f16, bf16 and q8_0 are written from Python, the others by llama.cpp from an f32 intermediate, so that nothing
    is rounded twice. The file is loaded and evaluated once before it gets its name. Raises ExportError and
    MissingExtraError.
    """
    kind = quantize.lower()
    if kind not in QUANTIZATIONS:
        raise ExportError(f"unknown GGUF quantisation {quantize!r}; known: {', '.join(QUANTIZATIONS)}")
    if model.kind not in MODEL_FOLDERS:
        what = "merge it first" if model.kind is ArtifactKind.ADAPTER else "it is GGUF already"
        raise ExportError(f"{model.path} is of kind {model.kind}: {what}")
    out_file.parent.mkdir(parents=True, exist_ok=True)
    with needs_extra("gguf", "gguf"), publish(out_file) as part:
        if kind in PLAIN_TYPES:
            write_gguf(model.path, part, kind, out_file.stem)
            how = f"gguf package, weights {kind.upper()}, norms and biases F32"
        else:
            _write_quantized(model.path, part, kind, out_file.stem, threads)
            how = f"gguf package to F32, llama.cpp quantizer to {kind.upper()}"
        _prove_loads(part, model.path)
    return describe(ArtifactKind.GGUF, out_file, model, how)


def _write_quantized(folder: Path, out: Path, kind: str, name: str, threads: int) -> None:
    """Write `out` by llama.cpp's quantizer from an F32 file beside it, which is removed."""
    plain = out.with_name(f"{out.name}.f32")
    try:
        write_gguf(folder, plain, "f32", name)
        run_quantizer(plain, out, kind, threads)
    finally:
        plain.unlink(missing_ok=True)


def run_quantizer(source: Path, target: Path, kind: str, threads: int, *, dry_run: bool = False) -> str:
    """Write the F32 file `source` as `kind` by llama.cpp's quantizer; return its log. A dry run writes nothing."""
    lib = llama_cpp()
    params = lib.llama_model_quantize_default_params()
    params.ftype = getattr(lib, f"LLAMA_FTYPE_MOSTLY_{kind.upper()}")
    params.nthread, params.dry_run = threads, dry_run
    with captured_log() as pieces:
        status = lib.llama_model_quantize(os.fsencode(source), os.fsencode(target), params)
    log = "".join(pieces)
    if status != 0:
        message = " ".join(log.split("\n")[-2:]).strip()
        raise ExportError(f"llama.cpp could not quantise to {kind} (status {status}): {message:.300}")
    return log


def _prove_loads(path: Path, folder: Path) -> None:
    """Load the file, tokenise some texts and evaluate one token.

    Raises ExportError unless the token ids are those of the folder's tokenizer and the logits are finite.
    """
    import numpy as np

    try:
        model = NativeModel(path)
    except ArtifactError as e:
        raise ExportError(f"what was written does not load: {e}") from e
    with model:
        _prove_tokens(model, folder)
        with closing(NativeContext(model, rows=1, tokens_per_row=32, batch_tokens=32, threads=1)) as context:
            if not np.isfinite(context.decode([0], [0], [0], [True])).all():
                raise ExportError(f"{path.name}: logits are not finite; the weights exceed the type's range")


def _prove_tokens(model: NativeModel, folder: Path) -> None:
    tokenizer = effective_tokenizer(folder)
    specials = "".join(str(t) for t in tokenizer.all_special_tokens)
    for probe in (*_PROBES, f"{specials}x{specials}"):
        text = unicodedata.normalize("NFC", probe)  # as some tokenizers do, and llama.cpp never does
        expected = tokenizer(text, add_special_tokens=False)["input_ids"]
        native = model.tokenize(text)
        if native != expected:
            at = next(
                i for i, (a, b) in enumerate(zip([*native, -1], [*expected, -2], strict=False)) if a != b
            )
            raise ExportError(
                f"{folder}: llama.cpp cuts {text!r:.60} into other tokens than transformers does, from token {at} on "
                f"({native[at : at + 4]}, expected {expected[at : at + 4]}); this tokenizer cannot be exported"
            )


def write_gguf(folder: Path, out: Path, type_name: str, name: str) -> None:
    """Write `folder`'s weights, configuration and tokenizer to `out`. Raises ExportError where it cannot be done."""
    import gguf
    import numpy as np

    architecture = read_architecture(folder)
    tensor_type = gguf.GGMLQuantizationType[PLAIN_TYPES[type_name][1]]
    with closing(begin(folder, out, architecture, type_name, name)) as writer:
        divisors = rope_divisors(architecture)
        if divisors is not None:
            writer.add_tensor(ROPE_DIVISORS, np.array(divisors, dtype=np.float32))
        for hf_name, opened in stored_tensors(folder):
            gguf_name = architecture.tensor_name(hf_name)
            if gguf_name is not None:  # None: llama.cpp uses the embedding where there is no output tensor
                tensor = opened.get_tensor(hf_name).float().numpy()
                _add_tensor(writer, hf_name, gguf_name, architecture.turn(hf_name, tensor), tensor_type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()


def begin(folder: Path, out: Path, architecture: Architecture, type_name: str, name: str) -> Any:
    """Return a gguf.GGUFWriter that holds everything of `folder` but its tensors."""
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
