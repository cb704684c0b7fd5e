"""A model at its published architecture, filled with random values: memory and speed do not depend on them.

Every tensor has the dtype it would be loaded with; values are small and finite, so that no arithmetic is slowed by
denormals or cut short by infinities. Nothing is fetched and nothing is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.errors import BadInputError, MissingToolError
from harness.generation.hf import TorchEngine
from trainers.quiet import quiet_libraries

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
_STD = 0.02


@dataclass(frozen=True, slots=True)
class RandomModel:
    """A random model behind the engine that evaluation runs on."""

    engine: TorchEngine
    backend: str
    vocabulary: int


def load_random(config: Mapping[str, Any], *, device: str, dtype: str, seed: int) -> RandomModel:
    """An engine over `random_model`; `dtype` auto is the configuration's own."""
    model = random_model(config, device=device, dtype=dtype, seed=seed)
    engine = TorchEngine(model.eval(), None)
    weights = str(model.dtype).removeprefix("torch.")
    return RandomModel(
        engine, f"transformers, sdpa attention, random {weights} on {model.device}", engine.vocabulary
    )


def random_model(config: Mapping[str, Any], *, device: str, dtype: str, seed: int) -> Any:
    """The transformers model that `config` (a config.json's content) describes, with random weights.

    It is laid out without memory first, then given its memory once, in its own dtype. Raises BadInputError for a
    configuration that transformers does not know, MissingToolError for a device that is not there.
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
    name = DTYPES.get(dtype) or str(config.get("dtype") or config.get("torch_dtype") or "float32")
    with quiet_libraries(), torch.device("meta"):
        model = AutoModelForCausalLM.from_config(
            parsed, dtype=getattr(torch, name), attn_implementation="sdpa"
        )
    model.to_empty(device=device)
    model.tie_weights()
    generator = torch.Generator(device=device).manual_seed(seed)
    with torch.inference_mode():
        for path, parameter in model.named_parameters():
            if path.endswith("norm.weight"):
                parameter.fill_(1.0)
            else:
                parameter.normal_(0.0, _STD, generator=generator)
    _refill_buffers(model, parsed, device)
    return model


def _refill_buffers(model: Any, config: Any, device: str) -> None:
    """Buffers that are computed, not loaded (rotary frequencies), were laid out without content: compute them."""
    rotary = model.base_model.rotary_emb
    fresh = type(rotary)(config=config).to(device)
    for name, value in fresh.named_buffers():
        rotary.register_buffer(name, value, persistent=False)
