"""A base whose linear layers bitsandbytes keeps in 4 or 8 bits, loaded to be trained under an adapter.

An adapter learnt on a rounded base belongs to that rounded base: `base_quantization.json` beside it says which, so
that whoever generates with it, or merges it, can use the weights it was trained on (`load_rounded_base`).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from assay.trainers.artifact import Artifact, ArtifactKind, describe, identify, record_path
from assay.trainers.config import QuantizationTable
from assay.trainers.errors import ArtifactError, MissingExtraError, TrainersError, TrainingError
from assay.trainers.model.precision import refuse_emulated_bf16, torch_dtype
from assay.trainers.run.runtime import let_idle_threads_sleep, quiet_libraries

BASE_QUANTIZATION = "base_quantization.json"
BLOCK = 64  # weights per fp32 scale in NF4 and FP4
NESTED_BLOCK = 256  # scales per fp32 scale of scales, in double quantisation


def load_quantized(
    folder: str, table: QuantizationTable, compute_dtype: str, *, attention: str, keep_fp32: bool
) -> Any:
    """The causal model in `folder` with its linear layers quantised (all but the head), ready for an adapter.

    Non-quantised weights are fp32 with `keep_fp32`, else of the compute type. Raises TrainingError where
    bitsandbytes cannot do it on this machine.
    """
    from transformers import AutoModelForCausalLM

    rest = torch_dtype("fp32" if keep_fp32 else compute_dtype)
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=rest,
        attn_implementation=attention,
        quantization_config=bitsandbytes_config(table, compute_dtype),
    )
    forbid_repacking(model)
    if not quantized_layers(model):
        raise TrainingError(f"{folder}: bitsandbytes found no linear layer to quantise in this model")
    return model


def bitsandbytes_config(table: QuantizationTable, compute_dtype: str) -> Any:
    """transformers' BitsAndBytesConfig of a `[config.quantization]` table."""
    from transformers import BitsAndBytesConfig

    if table.type == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=table.type,
        bnb_4bit_use_double_quant=table.double_quant,
        bnb_4bit_compute_dtype=torch_dtype(compute_dtype),
    )


def check_supported(table: QuantizationTable, compute_dtype: str) -> None:
    """Raise TrainingError for what bitsandbytes or this machine cannot do."""
    import torch

    try:
        import bitsandbytes  # noqa: F401
    except ImportError as e:
        raise TrainingError(
            f"[config.quantization] type = {table.type!r} needs bitsandbytes, which is not installed: "
            "pip install 'assay[train]'"
        ) from e
    if compute_dtype == "fp16" and not torch.cuda.is_available():
        raise TrainingError(
            "quantization.compute_dtype = 'fp16' needs a CUDA device; on CPU use fp32 or bf16"
        )
    if compute_dtype == "bf16" and torch.cuda.is_available():
        refuse_emulated_bf16("quantization.compute_dtype")
    if table.type == "int8" and table.double_quant and "double_quant" in table.model_fields_set:
        raise TrainingError("quantization.double_quant is of 4-bit types; with int8 leave it out")


def forbid_repacking(model: Any) -> None:
    """Keep 4-bit weights in the layout that training and merging read.

    On CPUs with AVX512-BF16, bitsandbytes 0.50 repacks a layer's weights for a faster product at the first forward
    pass in eval mode, in place; training then raises, and dequantising gives garbage (measured: relative logit error
    1.42 instead of 0.22).
    """
    from bitsandbytes.nn import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def quantized_layers(model: Any) -> dict[str, Any]:
    """The layers that bitsandbytes holds: dotted name to module."""
    from bitsandbytes.nn import Linear4bit, Linear8bitLt

    return {n: m for n, m in model.named_modules() if isinstance(m, Linear4bit | Linear8bitLt)}


def prepare_for_training(model: Any, table: QuantizationTable, *, checkpointing: bool) -> Any:
    """PEFT's k-bit preparation with the fp32 upcast of what is not quantised as a choice: freezes the base, and lets
    gradients through to the embedding where checkpointing needs them."""
    from peft import prepare_model_for_kbit_training

    if table.upcast_fp32:
        return prepare_model_for_kbit_training(model, use_gradient_checkpointing=checkpointing)
    for parameter in model.parameters():
        parameter.requires_grad = False
    if checkpointing:
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable()
    return model


def weight_bytes(module: Any) -> int:
    """Bytes that a quantised layer keeps for its weight: codes and scales, bias and code book left out."""
    weight = module.weight
    total = int(weight.numel() * weight.element_size())
    state = getattr(weight, "quant_state", None)
    if state is None:  # LLM.int8: one fp32 scale a row
        return total + 4 * int(module.out_features)
    total += int(state.absmax.numel() * state.absmax.element_size())
    if state.nested:
        inner = state.state2.absmax
        total += int(inner.numel() * inner.element_size()) + 4  # and the fp32 mean that was taken off
    return total


def dequantized(module: Any) -> Any:
    """The fp32 weight that a quantised layer stands for, shape (outputs, inputs)."""
    import bitsandbytes.functional as functional
    import torch

    weight = module.weight
    state = getattr(weight, "quant_state", None)
    if state is not None:
        whole = functional.dequantize_4bit(weight.data, state)
        return whole.float().reshape(module.out_features, module.in_features)
    scales = weight.SCB if getattr(weight, "SCB", None) is not None else module.state.SCB
    return weight.data.float() * scales.float().view(-1, 1) / torch.tensor(127.0)


def save_base_quantization(out: Path, table: QuantizationTable, compute_dtype: str) -> None:
    """Write beside the adapter which rounding its base had; `compute_dtype` is what the table's came to."""
    said = table.model_dump() | {"compute_dtype": compute_dtype}
    (out / BASE_QUANTIZATION).write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")


def read_base_quantization(adapter: Path) -> QuantizationTable | None:
    """Which rounding the base of the adapter in this folder had while it was trained; None: none."""
    path = adapter / BASE_QUANTIZATION
    if not path.is_file():
        return None
    try:
        return QuantizationTable.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as e:
        raise ArtifactError(f"{path}: {e.errors()[0]['msg']}") from e


def load_rounded_base(
    folder: str, table: QuantizationTable, *, attention: str = "sdpa", dtype: Any = None
) -> Any:
    """The base with each quantised layer replaced by a plain one that holds the rounded weight.

    Same function as the quantised model in fp32 arithmetic (int8 apart from the rounding of activations), without
    bitsandbytes' layers: faster on CPU, and merging is plain arithmetic. It has the size of the original. Without
    `upcast_fp32`, the weights are those of the base cast to the compute type, the rounded ones being rounded from it.
    """
    import torch
    from transformers import AutoModelForCausalLM

    if not table.upcast_fp32 and table.compute_dtype == "auto":
        raise TrainingError(
            "quantization.upcast_fp32 = false with compute_dtype = 'auto' does not say which type the weights had: "
            "name it"
        )
    compute = "fp32" if table.upcast_fp32 else table.compute_dtype
    rounded = load_quantized(folder, table, compute, attention=attention, keep_fp32=table.upcast_fp32)
    weights = {f"{name}.weight": dequantized(m).cpu() for name, m in quantized_layers(rounded).items()}
    del rounded
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch_dtype(compute), attn_implementation=attention
    ).to(torch.float32)
    missing = model.load_state_dict(weights, strict=False)
    assert not missing.unexpected_keys, missing.unexpected_keys
    return model if dtype is None else model.to(dtype)


# A model's weights in fewer bits, as a folder of its own: rounded to bf16 or fp16, or quantised by bitsandbytes.
#
# The folder loads by itself, its config.json saying how its weights are kept; its size on disk is what it
# takes to load.

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
