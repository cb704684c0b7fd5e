"""The arithmetic that this machine's CPU has in hardware, by torch: no test waits for one that is emulated."""

from __future__ import annotations


def bf16_in_hardware() -> bool:
    """Whether the CPU multiplies matrices in bf16; without such units a product takes some ten times as long."""
    import torch

    units = torch.cpu.get_capabilities()
    return bool(units.get("avx512_bf16") or units.get("amx_bf16"))


def quick_dtype() -> str:
    """Return bf16 where the CPU has it in hardware, and fp32 elsewhere."""
    return "bf16" if bf16_in_hardware() else "fp32"
