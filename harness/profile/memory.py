"""Reading a process's memory from outside it: the kernel's figures for the host, NVML's for the device."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.nvml import open_nvml

_FIELDS = {"VmRSS": "rss_bytes", "RssAnon": "anon_bytes", "RssFile": "file_bytes", "VmHWM": "rss_peak_bytes"}


def host_memory(pid: int) -> dict[str, int]:
    """Resident bytes of a process: all, anonymous, mapped files, and the most it ever had. {} where it is gone.

    Where the kernel tells only the first (outside Linux), only the first is given.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (OSError, ProcessLookupError):
        return {}
    found = {}
    for line in lines:
        name, _, value = line.partition(":")
        if name in _FIELDS:
            found[_FIELDS[name]] = int(value.split()[0]) * 1024
    return found


def reset_peak() -> bool:
    """Make the kernel count this process's peak anew; False where it will not."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


@dataclass(slots=True)
class Device:
    """One CUDA device seen by NVML."""

    handle: Any
    nvml: Any
    pid: int

    def sample(self) -> dict[str, Any]:
        """Bytes of the device in use, bytes of our process (None where NVML cannot tell, as inside some containers),
        millijoules since the driver was loaded (None where the device does not count), and other processes' ids."""
        nvml = self.nvml
        used = self._ask(nvml.nvmlDeviceGetMemoryInfo)
        running = self._ask(nvml.nvmlDeviceGetComputeRunningProcesses) or []
        mine = [p.usedGpuMemory for p in running if p.pid == self.pid]
        return {
            "device_bytes": None if used is None else int(used.used),
            "process_bytes": mine[0] if mine else None,
            "energy_mj": self._ask(nvml.nvmlDeviceGetTotalEnergyConsumption),
            "foreign_pids": sorted(p.pid for p in running if p.pid not in (self.pid, os.getpid())),
        }

    def _ask(self, question: Callable[[Any], Any]) -> Any:
        try:
            return question(self.handle)
        except self.nvml.NVMLError:
            return None


def open_device(pid: int, index: int = 0) -> Device | None:
    """The CUDA device `index`, or None where there is no NVML, driver or device."""
    nvml = open_nvml()
    if nvml is None:
        return None
    try:
        return Device(nvml.nvmlDeviceGetHandleByIndex(index), nvml, pid)
    except nvml.NVMLError:
        nvml.nvmlShutdown()
        return None
