"""A model at its published architecture, filled with random values: memory and speed do not depend on them.

Every tensor has the dtype it would be loaded with; values are small and finite, so that no arithmetic is slowed by
denormals or cut short by infinities. Nothing is fetched and nothing is written.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.errors import BadInputError, MissingToolError
from harness.generation.hf import TorchEngine
from trainers.config import QuantizationTable
from trainers.quantize import bitsandbytes_config, forbid_repacking
from trainers.quiet import quiet_libraries

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
_STD = 0.02


@dataclass(frozen=True, slots=True)
class EngineOf:
    """A model behind the engine that evaluation runs on, taking and giving token ids only."""

    engine: TorchEngine
    backend: str
    vocabulary: int


def load_random(
    config: Mapping[str, Any],
    *,
    device: str,
    dtype: str,
    seed: int,
    quantization: QuantizationTable | None = None,
    layers: int | None = None,
) -> EngineOf:
    """An engine over `random_model`; `dtype` auto is the configuration's own."""
    model = random_model(
        config, device=device, dtype=dtype, seed=seed, quantization=quantization, layers=layers
    )
    return engine_of(model, "random ", quantization)


def load_rounded(folder: str, *, device: str, dtype: str, quantization: QuantizationTable) -> EngineOf:
    """An engine over a model's folder, its linear layers quantised as it is loaded. `dtype` is the compute type."""
    from trainers.quantize import check_supported, load_quantized

    check_supported(quantization, dtype)
    with quiet_libraries():
        model = load_quantized(folder, quantization, dtype, attention="sdpa", keep_fp32=False)
        _check_place(model, device)
    return engine_of(model, "", quantization)


def _check_place(model: Any, device: str) -> None:
    """bitsandbytes loads onto the GPU where there is one; a quantised model is measured where it lies."""
    if device not in ("auto", model.device.type):
        raise BadInputError(
            f"device {device!r} was asked for, and bitsandbytes put the quantised model on {model.device.type!r}; "
            "leave --device out"
        )


def engine_of(model: Any, origin: str, quantization: QuantizationTable | None) -> EngineOf:
    if quantization is not None:  # bitsandbytes says at every product that it casts
        logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    engine = TorchEngine(model.eval(), None)
    weights = str(model.dtype).removeprefix("torch.")
    if quantization is not None:
        weights = f"{quantization.type} over {weights}"
    return EngineOf(
        engine, f"transformers, sdpa attention, {origin}{weights} on {model.device}", engine.vocabulary
    )


def random_model(
    config: Mapping[str, Any],
    *,
    device: str,
    dtype: str,
    seed: int,
    quantization: QuantizationTable | None = None,
    attention: str = "sdpa",
    layers: int | None = None,
) -> Any:
    """The transformers model that `config` (a config.json's content) describes, with random weights.

    It is laid out without memory first, then every tensor is given its memory once, in its own dtype; quantised
    layers one after another, so that no unquantised copy of the model ever exists. `dtype` auto is the configuration's
    own; `layers` makes a model of fewer blocks. Raises BadInputError for a configuration that transformers does not
    know, MissingToolError for a device that is not there.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise MissingToolError("device 'cuda' was asked for, but torch sees no CUDA device here")
    given = dict(config)
    try:
        parsed = AutoConfig.for_model(given.pop("model_type"), **given)
    except (KeyError, ValueError, TypeError) as error:
        raise BadInputError(
            f"this configuration describes no model that transformers knows: {error}"
        ) from error
    if layers is not None:
        parsed.num_hidden_layers = layers
        if getattr(parsed, "layer_types", None) is not None:
            parsed.layer_types = parsed.layer_types[:layers]
    own = str(config.get("dtype") or config.get("torch_dtype") or "float32")
    compute = getattr(torch, DTYPES.get(dtype, own))
    rest = torch.float32 if quantization is not None and quantization.upcast_fp32 else compute
    with quiet_libraries(), torch.device("meta"):
        model = AutoModelForCausalLM.from_config(parsed, dtype=rest, attn_implementation=attention)
        if quantization is not None:
            _make_quantised(model, quantization, compute)
    generator = torch.Generator(device=device).manual_seed(seed)
    made: dict[int, Any] = {}
    with torch.no_grad():
        for path, module in list(model.named_modules()):
            _fill(module, path, device, generator, rest, made)
    model.tie_weights()
    _refill_buffers(model, parsed, device)
    if quantization is not None:
        forbid_repacking(model)
    return model


def _make_quantised(model: Any, table: QuantizationTable, compute: Any) -> None:
    """bitsandbytes' layers in place of all linear layers but the head, as loading with that table does it."""
    from transformers.integrations.bitsandbytes import replace_with_bnb_linear
    from transformers.quantizers import AutoHfQuantizer

    name = {v: k for k, v in DTYPES.items()}[str(compute).removeprefix("torch.")]
    settings = bitsandbytes_config(table, name)
    replace_with_bnb_linear(model, modules_to_not_convert=["lm_head"], quantization_config=settings)
    # What loading leaves on a model, and what transformers' Trainer and PEFT ask it for.
    model.is_loaded_in_4bit, model.is_loaded_in_8bit = table.type != "int8", table.type == "int8"
    model.hf_quantizer = AutoHfQuantizer.from_config(settings, pre_quantized=False)
    model.quantization_method, model.is_quantized = settings.quant_method, True


def _fill(module: Any, path: str, device: str, generator: Any, rest: Any, made: dict[int, Any]) -> None:
    """Memory and values for the parameters that the module itself owns; `made` keeps those that are tied together."""
    import torch

    for name, parameter in list(module.named_parameters(recurse=False)):
        if id(parameter) in made:
            setattr(module, name, made[id(parameter)][1])
            continue
        value = torch.empty(parameter.shape, dtype=rest, device=device)
        if path.endswith("norm"):
            value.fill_(1.0)
        else:
            value.normal_(0.0, _STD, generator=generator)
        if type(parameter) is torch.nn.Parameter:
            new = torch.nn.Parameter(value, requires_grad=parameter.requires_grad)
        elif hasattr(parameter, "SCB"):
            new = _int8(type(parameter), value)
        else:  # Params4bit quantises when it is put on its device
            fields = {k: v for k, v in parameter.__dict__.items() if k != "quant_state"}
            new = type(parameter)(value, requires_grad=False, **fields).to(device)
        made[id(parameter)] = (parameter, new)  # the old one too, so that its id is not used again
        setattr(module, name, new)


def _int8(kind: Any, value: Any) -> Any:
    """Int8Params of a matrix. They quantise by themselves only what comes from the host; a matrix that was made on the
    device would stay as it is."""
    import torch
    from bitsandbytes.functional import int8_vectorwise_quant

    codes, scales, _ = int8_vectorwise_quant(value.to(torch.float16))
    return kind(codes, requires_grad=False, has_fp16_weights=False, CB=codes, SCB=scales)


def _refill_buffers(model: Any, config: Any, device: str) -> None:
    """Buffers that are computed, not loaded (rotary frequencies), were laid out without content: compute them."""
    rotary = model.base_model.rotary_emb
    fresh = type(rotary)(config=config).to(device)
    for name, value in fresh.named_buffers():
        rotary.register_buffer(name, value, persistent=False)
