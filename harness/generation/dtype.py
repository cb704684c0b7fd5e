"""What weights are loaded as to generate with: as asked for, or as stored where the device can compute in that."""

from __future__ import annotations

from typing import Any

from harness.errors import BadInputError
from trainers.errors import TrainingError
from trainers.precision import bf16_in_hardware, refuse_emulated_bf16

_WORDS = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}


def loading_dtype(wanted: str, stored: str, device: str) -> str:
    """`wanted`, or where that is auto what the weights are `stored` in (auto: the model's configuration does not say).

    auto on a CUDA device without bf16 is fp32 for weights in bf16, and for those that may be: it holds each of their
    values, and fp16 does not. Raises BadInputError for bf16 that is asked for there.
    """
    cuda = device.startswith("cuda")
    if wanted == "bf16" and cuda:
        try:
            refuse_emulated_bf16("dtype")
        except TrainingError as error:
            raise BadInputError(str(error)) from error
    if wanted != "auto":
        return wanted
    return "fp32" if cuda and stored in ("bf16", "auto") and not bf16_in_hardware() else stored


def in_our_words(dtype: Any) -> str:
    """A dtype of torch, or its name in a config.json, as fp32, bf16 or fp16; auto for none and any other."""
    return _WORDS.get(str(dtype).removeprefix("torch."), "auto")
