"""The devices that a run is held against: this machine's GPU, its RAM, a known card, or a size in GiB."""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from assay.harness.errors import BadInputError, MissingToolError
from assay.harness.hardware import ask_nvml, visible_devices
from assay.harness.profiling.memory.architecture import Attention, Dtype
from assay.harness.profiling.memory.optimizers import PAGED
from assay.trainers.config import TrainConfig
from assay.trainers.config.common import Optimizer

BF16_SINCE = (8, 0)  # NVIDIA's Ampere; FlashAttention 2 needs it as well
_SIZE = re.compile(r"^(\d+(?:\.\d+)?)\s*(GiB|GB|MiB|MB)?$", re.IGNORECASE)
_UNITS = {"gib": 1 << 30, "gb": 10**9, "mib": 1 << 20, "mb": 10**6}


@dataclass(frozen=True, slots=True)
class Device:
    """`room_bytes` is what a run may use: free memory where the device is here, all of it where it is not.

    `capability` is a GPU's compute capability, None for the CPU and for a size without a card. `source` says where
    the figures come from.
    """

    name: str
    room_bytes: int
    total_bytes: int
    gpu: bool
    capability: tuple[int, int] | None
    source: str

    @property
    def bf16(self) -> bool:
        """Whether it computes in bf16: a GPU of unknown kind is taken to; on a CPU training is fp32 by default."""
        return self.gpu and (self.capability is None or self.capability >= BF16_SINCE)

    @property
    def default_compute(self) -> Dtype:
        if not self.gpu:
            return "fp32"
        return "bf16" if self.bf16 else "fp16"

    def arithmetic(self, config: TrainConfig) -> Dtype:
        """Return the type that a training computes in here: its own `dtype`, or what this device has for auto."""
        if config.dtype != "auto":
            return config.dtype
        compute = self.default_compute
        return "fp32" if compute == "fp16" and not config.has_loss_scaler else compute

    def check(self, compute: Dtype, attention: Attention, optimizer: Optimizer | None = None) -> None:
        """Raise BadInputError for a type, a kernel or a training's optimizer that this device does not have."""
        if not self.gpu and optimizer is not None:
            if optimizer in PAGED:
                raise BadInputError(
                    f"optimizer {optimizer} pages between a GPU's memory and the host's: use adamw_8bit on a CPU"
                )
            if compute == "fp16":
                raise BadInputError(
                    "training in fp16 needs a GPU, where its loss scaler is: use bf16 or fp32 on a CPU"
                )
        if not self.gpu and attention == "flash":
            raise BadInputError("flash attention runs on a GPU only; on the CPU use sdpa or eager")
        if self.capability is None or self.capability >= BF16_SINCE:
            return
        sm = "sm" + "".join(map(str, self.capability))
        if compute == "bf16":
            raise BadInputError(
                f"{self.name} ({sm}) has no bf16 arithmetic, which came with sm80; use fp16: --dtype fp16"
            )
        if attention == "flash":
            raise BadInputError(
                f"{self.name} ({sm}) has no FlashAttention 2, which needs sm80; use sdpa or eager"
            )


def unsized_device(*, gpu: bool) -> Device:
    """Return a device whose memory is not looked at: what a training's table comes to on a GPU or a CPU."""
    return Device("a GPU" if gpu else "CPU", 0, 0, gpu, None, "not looked at")


def find_device(name: str | None) -> Device:
    """Return the device called `name`: `auto` or None (the GPU, without one the CPU), `gpu`, `cpu`, a known card such
    as t4, or a size such as 8GiB. Raises BadInputError that lists the known ones."""
    if name is None or name == "auto":
        return nvml_device() or cpu_device()
    if name == "gpu":
        device = nvml_device()
        if device is None:
            raise MissingToolError(
                "no GPU: NVML finds no device here; name a card or a size instead, such as --device t4"
            )
        return device
    if name == "cpu":
        return cpu_device()
    rows = _cards()
    if name.lower() in rows:
        row = rows[name.lower()]
        room = int(row["memory_mib"]) << 20
        major, minor = row["capability"]
        return Device(
            row["name"], room, room, True, (major, minor), "the card's published memory, all of it free"
        )
    match = _SIZE.match(name)
    if match is None:
        raise BadInputError(
            f"unknown device {name!r}; give auto, gpu, cpu, a size such as 8GiB, or one of: {', '.join(rows)}"
        )
    room = round(float(match[1]) * _UNITS[(match[2] or "GiB").lower()])
    if room <= 0:
        raise BadInputError(f"a device needs memory, got {name!r}")
    return Device(f"a GPU of {name}", room, room, True, None, "as given; taken to compute in bf16")


def nvml_device() -> Device | None:
    """Return the GPU with the most free memory (NVML) among those that CUDA sees; None where there is none."""

    def emptiest(nvml: Any) -> Device | None:
        devices = (_nvml(nvml, handle) for handle in visible_devices(nvml))
        return max(devices, key=lambda device: device.room_bytes, default=None)

    return ask_nvml(emptiest)


def _nvml(nvml: Any, handle: Any) -> Device:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    name = nvml.nvmlDeviceGetName(handle)
    name = name.decode() if isinstance(name, bytes) else str(name)
    return Device(name, int(memory.free), int(memory.total), True, (major, minor), "NVML, free memory")


def cpu_device() -> Device:
    """Return this machine's memory: what is available, within the control group's limit where one is set."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    room, source = total, "all memory"
    available = available_bytes()
    if available is not None:
        room, source = available, "available memory"
    left = _left_in_cgroup()
    if left is not None and left < room:
        room, source = left, "what the control group's limit leaves"
    return Device("CPU", room, total, False, None, source)


def available_bytes() -> int | None:
    """Return the bytes of the host's memory that can be had without swapping; None where the kernel does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    sizes = (int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    return next(sizes, None)


def _left_in_cgroup() -> int | None:
    """Return the bytes left below the control group's limit, version 2 or 1; None where there is no limit."""
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            return max(0, int(Path(limit).read_text()) - int(Path(used).read_text()))
        except (OSError, ValueError):  # no such version, or "max"
            continue
    return None


@lru_cache
def _cards() -> dict[str, dict[str, Any]]:
    return tomllib.loads((files(__package__) / "devices.toml").read_text(encoding="utf-8"))
