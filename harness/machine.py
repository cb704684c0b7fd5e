"""What machine a figure was taken on."""

from __future__ import annotations

import os
import platform
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from harness.nvml import ask_nvml, visible_devices

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
    """CPU, memory, GPU, operating system and package versions, without importing any of the packages."""
    gpu = gpu_name()
    return {
        "device": gpu or "cpu",
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "ram_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "gpu": gpu,
        "os": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := package_version(name))},
    }


def package_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def gpu_name() -> str | None:
    """The first device that CUDA sees, with its driver; None where there is no NVML, no driver or no such device."""

    def first(nvml: Any) -> str | None:
        devices = visible_devices(nvml)
        if not devices:
            return None
        name = nvml.nvmlDeviceGetName(devices[0])
        return f"{name} (driver {nvml.nvmlSystemGetDriverVersion()})"

    return ask_nvml(first)
