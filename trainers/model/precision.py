"""The arithmetic of a training on this device, and the types that its weights are kept in."""

from __future__ import annotations

from typing import Any

from assay.trainers.config import CommonConfig, LoraTable
from assay.trainers.errors import TrainingError


def arithmetic(config: CommonConfig) -> str:
    """Return the type of the forward pass (fp32, bf16, fp16) that `config.dtype` comes to on this machine."""
    return resolve_dtype(config.dtype, scaler=config.has_loss_scaler)


def resolve_dtype(dtype: str, *, scaler: bool = True) -> str:
    """Return fp32, bf16 or fp16 for `dtype`, which may be auto. Raises TrainingError for what the machine cannot do.

    auto takes bf16 only where it is in hardware: emulated, it is several times slower than fp32. A CUDA device without
    it (a T4) gets fp16 where there is a loss scaler; all else is fp32.
    """
    import torch

    cuda = torch.cuda.is_available()
    if dtype == "auto":
        return "bf16" if bf16_in_hardware() else "fp16" if cuda and scaler else "fp32"
    if dtype == "fp16" and not cuda:
        raise TrainingError(
            "dtype = 'fp16' needs a CUDA device: its loss scaler and its products exist only there; "
            "use bf16 or fp32 on this machine"
        )
    if dtype == "bf16" and cuda:
        refuse_emulated_bf16("dtype")
    return dtype


def refuse_emulated_bf16(setting: str) -> None:
    """Raise TrainingError where the CUDA device has no bf16 in hardware; `setting` is the option that asks for it."""
    import torch

    if bf16_in_hardware():
        return
    capability = ".".join(map(str, torch.cuda.get_device_capability()))
    raise TrainingError(
        f"{setting} = 'bf16' is unsupported by {torch.cuda.get_device_name()} (compute capability {capability}; bf16 "
        "needs 8.0): use fp16, which this device has in hardware, or fp32"
    )


def bf16_in_hardware() -> bool:
    """Return whether the device that a training would use computes bf16 products itself."""
    import torch

    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu.get_capabilities().get("avx512_bf16"))


def torch_dtype(name: str) -> Any:
    """Return the torch.dtype of fp32, bf16 or fp16."""
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]


def base_dtype(config: CommonConfig, dtype: str) -> str:
    """Return the type that the weights of an unquantised base are kept in; `dtype` is the resolved arithmetic.

    In fp16, auto is fp32: a residual stream that was trained in bf16 may overflow there. Raises TrainingError where
    base and arithmetic do not go together.
    """
    biases = isinstance(config.adapter, LoraTable) and config.adapter.bias != "none"
    if config.base_dtype == "auto":
        return "fp32" if config.full or biases or dtype == "fp16" else dtype
    if config.base_dtype not in ("fp32", dtype):
        raise TrainingError(
            f"base_dtype = {config.base_dtype!r}: the arithmetic came to {dtype} on this machine; set dtype = "
            f"{config.base_dtype!r} too, or base_dtype = 'fp32'"
        )
    return config.base_dtype


def compute_dtype(config: CommonConfig, dtype: str) -> str:
    """Return the type that quantised weights are expanded to: the table's, or for auto the run's own arithmetic."""
    assert config.quantization is not None
    table = config.quantization.compute_dtype
    return dtype if table == "auto" else table
