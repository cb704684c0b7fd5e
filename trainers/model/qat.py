"""Quantisation-aware training: products see rounded weights, the optimiser moves the unrounded ones.

Rounding to GGUF's Q4_0 and Q8_0 follows ggml's `quantize_row_q4_0_ref` and `quantize_row_q8_0_ref` step for step,
so that what the run saw is what the export writes; NF4 is QLoRA's (arXiv 2305.14314, appendix E).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

GGUF_BLOCK = 32
NF4_BLOCK = 64
# The 16 values of NF4, as bitsandbytes has them; a test derives them from the normal distribution's quantiles.
NF4 = (
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
    *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
    *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
    *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
)


def fake_quantise(model: Any, kind: str) -> int:
    """Round the weight of every linear layer but the output head in its forward pass; how many.

    The head and the embedding stay as they are: 4-bit formats keep the head finer (llama.cpp's Q4_0 files hold it in
    Q6_K, bitsandbytes leaves it alone).
    The layer's `weight` becomes a parametrization over the trained one: `remove_fake_quantisation` undoes it.
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
    """Give every layer its trained, unrounded weight back, under its own name."""
    from torch.nn.utils import parametrize

    for module in model.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=False)


def _q4_0(weight: Any) -> Any:
    """4 bits a weight: x ≈ d·(q − 8), d = m/−8 with m the block's largest value by magnitude, kept as fp16."""
    import torch

    blocks = weight.float().reshape(-1, GGUF_BLOCK)
    largest = blocks.gather(1, blocks.abs().argmax(dim=1, keepdim=True))
    d = largest / -8
    inverse = torch.where(d != 0, 1 / d, torch.zeros_like(d))
    q = torch.clamp(torch.trunc(blocks * inverse + 8.5), 0, 15)
    return ((q - 8) * d.half().float()).reshape(weight.shape).to(weight.dtype)


def _q8_0(weight: Any) -> Any:
    """8 bits a weight: x ≈ d·q, d = max|x|/127, kept as fp16; halves round away from zero, as C's roundf."""
    import torch

    blocks = weight.float().reshape(-1, GGUF_BLOCK)
    d = blocks.abs().amax(dim=1, keepdim=True) / 127
    inverse = torch.where(d != 0, 1 / d, torch.zeros_like(d))
    scaled = blocks * inverse
    q = torch.sign(scaled) * torch.floor(scaled.abs() + 0.5)
    return (q * d.half().float()).reshape(weight.shape).to(weight.dtype)


def _nf4(weight: Any) -> Any:
    """The nearest of NF4's 16 values times the block's largest magnitude."""
    import torch

    code = torch.tensor(NF4, dtype=torch.float32, device=weight.device)
    blocks = weight.float().reshape(-1, NF4_BLOCK)
    scale = blocks.abs().amax(dim=1, keepdim=True)
    inverse = torch.where(scale != 0, 1 / scale, torch.zeros_like(scale))
    middles = (code[1:] + code[:-1]) / 2
    return (code[torch.bucketize(blocks * inverse, middles)] * scale).reshape(weight.shape).to(weight.dtype)


ROUNDINGS: dict[str, Callable[[Any], Any]] = {"q4_0": _q4_0, "q8_0": _q8_0, "nf4": _nf4}
