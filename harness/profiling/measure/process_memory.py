"""A process's memory, read from outside it: the kernel's figures for the host, NVML's for the device.

`snapshot` keeps what was held when memory ran out, in enough detail to see what filled it.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.harness.hardware import open_nvml, visible_devices
from assay.harness.profiling.memory.devices import available_bytes

LARGEST = 12  # sizes of blocks that a snapshot names
_FIELDS = {"VmRSS": "rss_bytes", "RssAnon": "anon_bytes", "RssFile": "file_bytes", "VmHWM": "rss_peak_bytes"}


def host_memory(pid: int) -> dict[str, int]:
    """Return the resident bytes of a process: all, anonymous, mapped files, and the most it ever had. {} where it is
    gone.

    Where the kernel tells only the first (outside Linux), only the first is given.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (OSError, ProcessLookupError):
        return {}
    figures = {}
    for line in lines:
        name, _, value = line.partition(":")
        if name in _FIELDS:
            figures[_FIELDS[name]] = int(value.split()[0]) * 1024
    return figures


def reset_peak() -> bool:
    """Make the kernel count this process's peak anew; False where it will not."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


@dataclass(slots=True)
class Device:
    """One CUDA device seen by NVML, and which of its processes is ours.

    In a container NVML tells the ids that processes have outside of it. Those that were there `before` ours began are
    foreign in any case; of those that came later the first is taken for ours where our own id is not among them.
    """

    handle: Any
    nvml: Any
    pid: int
    before: frozenset[int] = frozenset()
    alias: int | None = None

    def sample(self) -> dict[str, Any]:
        """Return the device's figures now.

        They are the bytes of the device in use, those of our process (None where NVML cannot tell), millijoules since
        the driver was loaded (None where the device does not count), and other processes' ids.
        """
        nvml = self.nvml
        used = self._ask(nvml.nvmlDeviceGetMemoryInfo)
        running = {p.pid: p.usedGpuMemory for p in self._ask(nvml.nvmlDeviceGetComputeRunningProcesses) or []}
        mine = self._own(running)
        return {
            "device_bytes": None if used is None else int(used.used),
            "process_bytes": running.get(mine) if mine is not None else None,
            "energy_mj": self._ask(nvml.nvmlDeviceGetTotalEnergyConsumption),
            "foreign_pids": sorted(pid for pid in running if pid not in (mine, os.getpid())),
        }

    def close(self) -> None:
        self.nvml.nvmlShutdown()

    def _own(self, running: Mapping[int, Any]) -> int | None:
        if self.pid in running:
            return self.pid
        new = sorted(pid for pid in running if pid not in self.before and pid != os.getpid())
        if self.alias is None and new:
            self.alias = new[0]
        return self.alias

    def _ask(self, question: Callable[[Any], Any]) -> Any:
        try:
            return question(self.handle)
        except self.nvml.NVMLError:
            return None


def open_device(pid: int) -> Device | None:
    """Return the CUDA device that a process with our environment takes first, or None where there is no NVML, driver or
    device. To be asked before the process `pid` comes to use it."""
    nvml = open_nvml()
    if nvml is None:
        return None
    try:
        handle = next(iter(visible_devices(nvml)), None)
        running = [] if handle is None else nvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except nvml.NVMLError:
        handle = None
    if handle is None:
        nvml.nvmlShutdown()
        return None
    return Device(handle, nvml, pid, frozenset(p.pid for p in running))


def snapshot() -> dict[str, Any]:
    """Return the host's figures, and the CUDA allocator's where this process uses it.

    To be taken before anything is freed.
    """
    figures: dict[str, Any] = {"host": host_memory(os.getpid()), "host_available_bytes": available_bytes()}
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return figures
    free, total = torch.cuda.mem_get_info()
    return figures | {
        "device_free_bytes": free,
        "device_total_bytes": total,
        **digest(torch.cuda.memory_snapshot()),
    }


def digest(segments: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return torch.cuda.memory_snapshot in few figures: what is reserved, allocated, reserved and free in the largest
    piece, and the sizes of allocated blocks that hold most: bytes, how many, together.
    """
    reserved = allocated = largest_free = 0
    sizes: Counter[int] = Counter()
    for segment in segments:
        reserved += segment["total_size"]
        for block in segment["blocks"]:
            if block["state"] == "active_allocated":
                sizes[block["size"]] += 1
                allocated += block["size"]
            elif block["state"] == "inactive":
                largest_free = max(largest_free, block["size"])
    most = sorted(sizes.items(), key=lambda item: -item[0] * item[1])[:LARGEST]
    return {
        "reserved_bytes": reserved,
        "allocated_bytes": allocated,
        "largest_free_block_bytes": largest_free,
        "largest_holders": [{"block_bytes": size, "blocks": n, "bytes": size * n} for size, n in most],
    }
