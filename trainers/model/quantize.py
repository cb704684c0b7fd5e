"""Weights in fewer bits: a quantised base to train on, rounding during training, and models stored quantised.

- QLoRA: bitsandbytes keeps the base's linear layers in 4 or 8 bits under an adapter (`load_quantized`). An adapter
  trained on a rounded base belongs to that rounded base: `base_quantization.json` beside it records which, so that
  generating and merging can use the weights that it was trained on (`load_rounded_base`).
- Quantisation-aware training (`fake_quantise`): products see rounded weights, the optimiser moves the unrounded ones.
- A model stored in fewer bits, as a folder of its own (`compress_model`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from assay.trainers.artifact import MODEL_FOLDERS, Artifact, already_made, describe, identify
from assay.trainers.config import QuantizationTable
from assay.trainers.errors import ArtifactError, TrainingError, needs_extra
from assay.trainers.files import publish, write_text
from assay.trainers.model.precision import refuse_emulated_bf16, torch_dtype
from assay.trainers.run.runtime import let_idle_threads_sleep, quiet_libraries

BASE_QUANTIZATION = "base_quantization.json"
BLOCK = 64  # weights per fp32 scale in NF4 and FP4
GGUF_BLOCK = 32  # weights per fp16 scale in Q4_0 and Q8_0
# The 16 values of NF4, as bitsandbytes has them; a test derives them from the normal distribution's quantiles.
NF4 = (
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
    *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
    *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
    *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
)
Compression = Literal["fp32", "bf16", "fp16", "int8", "nf4", "fp4"]


def load_quantized(
    folder: str, table: QuantizationTable, compute_dtype: str, *, attention: str, keep_fp32: bool
) -> Any:
    """Load the causal model in `folder` with its linear layers quantised (all but the head), ready for an adapter.

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
        trust_remote_code=False,
        use_safetensors=True,
    )
    forbid_repacking(model)
    if not quantized_layers(model):
        raise TrainingError(f"{folder}: bitsandbytes found no linear layer to quantise in this model")
    return model


def bitsandbytes_config(table: QuantizationTable, compute_dtype: str) -> Any:
    """Return transformers' BitsAndBytesConfig for a `[config.quantization]` table."""
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
        raise TrainingError(
            "quantization.double_quant belongs to the 4-bit types nf4 and fp4; with int8 leave it out"
        )


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
    """Return the layers that bitsandbytes quantised: dotted name to module."""
    from bitsandbytes.nn import Linear4bit, Linear8bitLt

    return {n: m for n, m in model.named_modules() if isinstance(m, Linear4bit | Linear8bitLt)}


def prepare_for_training(model: Any, table: QuantizationTable, *, checkpointing: bool) -> Any:
    """Freeze a quantised base, and let gradients through to the embedding where checkpointing needs them.

    PEFT's k-bit preparation, with its fp32 upcast of what is not quantised as a choice.
    """
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
    """Return the bytes that a quantised layer keeps for its weight: codes and scales, without bias and code book."""
    weight = module.weight
    state = getattr(weight, "quant_state", None)
    if state is None:  # LLM.int8: one fp32 scale a row
        return int(weight.nbytes) + 4 * int(module.out_features)
    total = int(weight.nbytes + state.absmax.nbytes)
    if state.nested:
        total += int(state.state2.absmax.nbytes) + 4  # and the fp32 mean that was taken off
    return total


def dequantized(module: Any) -> Any:
    """Return the fp32 weight that a quantised layer represents, shape (outputs, inputs)."""
    import bitsandbytes.functional as functional
    import torch

    weight = module.weight
    state = getattr(weight, "quant_state", None)
    if state is not None:
        expanded = functional.dequantize_4bit(weight.data, state)
        return expanded.float().reshape(module.out_features, module.in_features)
    scales = weight.SCB if getattr(weight, "SCB", None) is not None else module.state.SCB
    return weight.data.float() * scales.float().view(-1, 1) / torch.tensor(127.0)


def save_base_quantization(out: Path, table: QuantizationTable, compute_dtype: str) -> None:
    """Record beside the adapter how its base was rounded; `compute_dtype` is what the table's came to."""
    record = table.model_dump() | {"compute_dtype": compute_dtype}
    write_text(out / BASE_QUANTIZATION, json.dumps(record, indent=2) + "\n")


def read_base_quantization(adapter: Path) -> QuantizationTable | None:
    """Return how the base of the adapter in this folder was rounded in training; None where it was not."""
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
    """Load the base with each quantised layer replaced by a plain one that holds the rounded weight.

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
        folder,
        dtype=torch_dtype(compute),
        attn_implementation=attention,
        trust_remote_code=False,
        use_safetensors=True,
    ).to(torch.float32)
    missing = model.load_state_dict(weights, strict=False)
    assert not missing.unexpected_keys, missing.unexpected_keys
    return model if dtype is None else model.to(dtype)


def fake_quantise(model: Any, kind: str) -> int:
    """Round the weight of every linear layer but the output head in its forward pass; return how many were rounded.

    The head and the embedding stay as they are: 4-bit formats keep the head finer (llama.cpp's Q4_0 files hold it in
    Q6_K, bitsandbytes leaves it alone). Rounding to Q4_0 and Q8_0 follows ggml's `quantize_row_q4_0_ref` and
    `quantize_row_q8_0_ref` step for step, so that the run sees what the export writes; NF4 is QLoRA's (arXiv
    2305.14314, appendix E). The layer's `weight` becomes a parametrization over the trained one, which
    `remove_fake_quantisation` undoes.
    """
    import torch
    from torch.nn.utils import parametrize

    rounding = ROUNDINGS[kind]

    class Straight(torch.autograd.Function):  # type: ignore[misc]  # torch's own hook
        @staticmethod
        def forward(_ctx: Any, weight: Any) -> Any:
            return rounding(weight)

        @staticmethod
        def backward(_ctx: Any, gradient: Any) -> Any:
            return gradient

    class FakeQuantised(torch.nn.Module):  # type: ignore[misc]  # torch's own hook
        def forward(self, weight: Any) -> Any:
            return Straight.apply(weight)

    head = model.get_output_embeddings()
    linears = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not head]
    for module in linears:
        # unsafe: the checks would run the rounding once more, and saved names stay the plain ones below
        parametrize.register_parametrization(module, "weight", FakeQuantised(), unsafe=True)
    return len(linears)


def remove_fake_quantisation(model: Any) -> None:
    """Put every layer's trained, unrounded weight back under its own name."""
    from torch.nn.utils import parametrize

    for module in model.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=False)


def _q4_0(weight: Any) -> Any:
    """Round to 4 bits a weight: x ≈ d·(q − 8), d = m/−8 with m the block's largest value by magnitude, kept as fp16."""
    import torch

    blocks = weight.float().reshape(-1, GGUF_BLOCK)
    largest = blocks.gather(1, blocks.abs().argmax(dim=1, keepdim=True))
    d = largest / -8
    inverse = torch.where(d != 0, 1 / d, torch.zeros_like(d))
    q = torch.clamp(torch.trunc(blocks * inverse + 8.5), 0, 15)
    return ((q - 8) * d.half().float()).reshape(weight.shape).to(weight.dtype)


def _q8_0(weight: Any) -> Any:
    """Round to 8 bits a weight: x ≈ d·q, d = max|x|/127, kept as fp16; halves round away from zero, as C's roundf."""
    import torch

    blocks = weight.float().reshape(-1, GGUF_BLOCK)
    d = blocks.abs().amax(dim=1, keepdim=True) / 127
    inverse = torch.where(d != 0, 1 / d, torch.zeros_like(d))
    scaled = blocks * inverse
    q = torch.sign(scaled) * torch.floor(scaled.abs() + 0.5)
    return (q * d.half().float()).reshape(weight.shape).to(weight.dtype)


def _nf4(weight: Any) -> Any:
    """Round to the nearest of NF4's 16 values times the block's largest magnitude."""
    import torch

    code = torch.tensor(NF4, dtype=torch.float32, device=weight.device)
    blocks = weight.float().reshape(-1, BLOCK)
    scale = blocks.abs().amax(dim=1, keepdim=True)
    inverse = torch.where(scale != 0, 1 / scale, torch.zeros_like(scale))
    middles = (code[1:] + code[:-1]) / 2
    return (code[torch.bucketize(blocks * inverse, middles)] * scale).reshape(weight.shape).to(weight.dtype)


ROUNDINGS: dict[str, Callable[[Any], Any]] = {"q4_0": _q4_0, "q8_0": _q8_0, "nf4": _nf4}


def compress_model(source: Artifact, out: Path, kind: Compression, *, double_quant: bool = True) -> Artifact:
    """Write `source` (base, tuned or merged) to the folder `out` with its weights as `kind`.

    int8 is LLM.int8; nf4 and fp4 keep blocks of 64 in 4 bits, their scales quantised too with `double_quant`;
    embedding, head and norms keep their precision. Quantised weights are expanded to fp32 for a product. The folder
    loads by itself, since its config.json records the quantisation; its size on disk is what it takes to load. It
    appears by one rename. Raises ArtifactError, TrainingError and MissingExtraError.
    """
    if source.kind not in MODEL_FOLDERS:
        raise ArtifactError(
            f"{source.path} is of kind {source.kind}; only base, tuned and merged models can be compressed"
        )
    recipe = f"weights as {kind}" + (" (bitsandbytes)" if kind in ("int8", "nf4", "fp4") else "")
    if kind in ("nf4", "fp4") and double_quant:
        recipe += ", double quantisation"
    if (existing := already_made(out, [source], recipe)) is not None:
        return existing
    let_idle_threads_sleep()
    with needs_extra("train", "bitsandbytes"), publish(out) as part, quiet_libraries():
        _write(source.path, part, kind, double_quant)
        describe(source.kind, part, source, recipe)
    return identify(out)


def _write(folder: Path, out: Path, kind: Compression, double_quant: bool) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if kind in ("fp32", "bf16", "fp16"):
        model = AutoModelForCausalLM.from_pretrained(
            str(folder), dtype=torch_dtype(kind), trust_remote_code=False, use_safetensors=True
        )
    else:
        table = QuantizationTable.model_validate(
            {"type": kind} | ({} if kind == "int8" else {"double_quant": double_quant})
        )
        check_supported(table, "fp32")
        model = load_quantized(str(folder), table, "fp32", attention="sdpa", keep_fp32=True)
    out.mkdir(parents=True)
    model.save_pretrained(str(out))
    AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False).save_pretrained(str(out))
