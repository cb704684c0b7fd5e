"""A base as its quantisation left it, in fp32 again: what an adapter trained on the quantised base was added to."""

from __future__ import annotations

from typing import Any

from trainers.errors import MissingExtraError


def load_dequantised(folder: str, kind: str) -> Any:
    """The model in `folder`, quantised by bitsandbytes to `kind` (nf4, fp4: with double quantisation; int8) and
    dequantised to fp32.

    Dequantised straight after loading: on CPUs with AVX512-BF16 the first forward pass of bitsandbytes 0.50 repacks
    4-bit weights in place, and what is dequantised after that is noise.
    """
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    try:
        import bitsandbytes  # noqa: F401  # transformers' own complaint does not say what to install
    except ImportError as e:
        raise MissingExtraError("bitsandbytes", "train") from e
    config = (
        BitsAndBytesConfig(load_in_8bit=True)
        if kind == "int8"
        else BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=kind,
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.float32,
        )
    )
    model = AutoModelForCausalLM.from_pretrained(folder, quantization_config=config, dtype=torch.float32)
    return model.dequantize().to(torch.float32)
