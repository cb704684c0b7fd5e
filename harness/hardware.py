"""Describe the machine that a figure was taken on, and ask NVIDIA's management library (NVML) about its devices."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

# CUDA by itself numbers the fastest device 0; NVML, and whoever reads nvidia-smi, counts by bus.
ORDER = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
PACKAGES = (
    "assay",
    "torch",
    "transformers",
    "peft",
    "trl",
    "bitsandbytes",
    "gguf",
    "llama-cpp-python",
    "numpy",
)


@lru_cache
def describe_machine() -> dict[str, Any]:
    """Return CPU, memory, GPU, operating system and package versions, without importing any of the packages."""
    gpu = gpu_name()
    return {
        "device": gpu or "cpu",
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "ram_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "gpu": gpu,
        "os": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": {name: installed for name in PACKAGES if (installed := package_version(name))},
    }


def package_version(name: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def cpu_name() -> str:
    """Return the processor's name as Linux gives it, or else as Python does."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def gpu_name() -> str | None:
    """Return the first device that CUDA sees, with its driver; None without NVML, driver or device."""

    def first(nvml: Any) -> str | None:
        devices = visible_devices(nvml)
        if not devices:
            return None
        name = nvml.nvmlDeviceGetName(devices[0])
        return f"{name} (driver {nvml.nvmlSystemGetDriverVersion()})"

    return ask_nvml(first)


def open_nvml() -> Any | None:
    """Return pynvml, initialised, for the caller to shut down; None where it is not installed or finds no driver."""
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
    """Return the answer to one question; None also where a device fails meanwhile (one that fell off the bus)."""
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
    """Return handles of the devices that a CUDA process with this environment sees, its first one first.

    CUDA counts what CUDA_VISIBLE_DEVICES names, by number or the beginning of a UUID, up to the first name that is no
    device's; NVML counts all, by bus. With CUDA_DEVICE_ORDER=FASTEST_FIRST on a machine of different cards they must be
    named by UUID.
    """
    every = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return every
    devices = (_named(nvml, every, name.strip()) for name in named.split(","))
    return list(takewhile(lambda device: device is not None, devices))


def _named(nvml: Any, every: list[Any], name: str) -> Any | None:
    if name.isdigit():
        return every[int(name)] if int(name) < len(every) else None
    if name.startswith("GPU-"):
        matching = [d for d in every if nvml.nvmlDeviceGetUUID(d).startswith(name)]
        return matching[0] if len(matching) == 1 else None
    if not name.startswith("MIG-"):
        return None
    try:
        return nvml.nvmlDeviceGetHandleByUUID(name)
    except nvml.NVMLError:
        return None
