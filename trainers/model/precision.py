"""Which arithmetic a device can do: asked for, or chosen."""

from __future__ import annotations

from typing import Any

from assay.trainers.config import CommonConfig
from assay.trainers.errors import TrainingError


def arithmetic(config: CommonConfig) -> str:
    """`resolve_dtype` of a training's table."""
    return resolve_dtype(config.dtype, scaler=config.has_loss_scaler)


def resolve_dtype(wanted: str, *, scaler: bool = True) -> str:
    """fp32, bf16 or fp16: what `dtype` comes to on this machine. Raises TrainingError for what it cannot do.

    auto takes bf16 only where it is in hardware: emulated, it is several times slower than fp32. A CUDA device without
    it (a T4) gets fp16 where there is a loss scaler; all else is fp32.
    """
    import torch

    cuda = torch.cuda.is_available()
    if wanted == "auto":
        return "bf16" if bf16_in_hardware() else "fp16" if cuda and scaler else "fp32"
    if wanted == "fp16" and not cuda:
        raise TrainingError(
            "dtype = 'fp16' needs a CUDA device: its loss scaler and its products exist only there; "
            "use bf16 or fp32 on this machine"
        )
    if wanted == "bf16" and cuda:
        refuse_emulated_bf16("dtype")
    return wanted


def refuse_emulated_bf16(setting: str) -> None:
    """Raise TrainingError where the CUDA device has no bf16 in hardware; `setting` is what asked for it."""
    import torch

    if bf16_in_hardware():
        return
    name, capability = (
        torch.cuda.get_device_name(),
        ".".join(map(str, torch.cuda.get_device_capability())),
    )
    raise TrainingError(
        f"{setting} = 'bf16' is unsupported by {name} (compute capability {capability}; bf16 needs 8.0): "
        "use fp16, which this device has in hardware, or fp32"
    )


def bf16_in_hardware() -> bool:
    import torch

    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu.get_capabilities().get("avx512_bf16"))


def torch_dtype(name: str) -> Any:
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]
