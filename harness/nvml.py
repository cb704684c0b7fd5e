"""NVIDIA's management library, where there is one: opened in one way for all that ask it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

# CUDA by itself numbers the fastest device 0; NVML, and whoever reads nvidia-smi, counts by bus.
ORDER = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def open_nvml() -> Any | None:
    """pynvml, initialised; whoever opened it shuts it down. None where it is not installed or finds no driver."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


def ask_nvml(question: Callable[[Any], T]) -> T | None:
    """The answer to one question; None also where a device fails while asked (one that fell off the bus)."""
    nvml = open_nvml()
    if nvml is None:
        return None
    try:
        return question(nvml)
    except nvml.NVMLError:
        return None
    finally:
        nvml.nvmlShutdown()


def visible_devices(nvml: Any) -> list[Any]:
    """Handles of the devices that a CUDA process with our environment sees, its first one first. CUDA counts what
    CUDA_VISIBLE_DEVICES names, by number or the beginning of a UUID, up to the first name that is none's; NVML counts
    all, by bus. Who sets CUDA_DEVICE_ORDER=FASTEST_FIRST on a machine of different cards has to name them by UUID."""
    every = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return every
    found = []
    for name in map(str.strip, named.split(",")):
        if (device := _named(nvml, every, name)) is None:
            break
        found.append(device)
    return found


def _named(nvml: Any, every: list[Any], name: str) -> Any | None:
    if name.isdigit():
        return every[int(name)] if int(name) < len(every) else None
    if name.startswith("GPU-"):
        found = [d for d in every if nvml.nvmlDeviceGetUUID(d).startswith(name)]
        return found[0] if len(found) == 1 else None
    if not name.startswith("MIG-"):
        return None
    try:
        return nvml.nvmlDeviceGetHandleByUUID(name)
    except nvml.NVMLError:
        return None
