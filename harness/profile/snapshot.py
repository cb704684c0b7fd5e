"""What was held when memory ran out: enough to see what filled it."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from harness.profile.memory import available_bytes, host_memory

LARGEST = 12  # sizes of blocks that are told


def snapshot() -> dict[str, Any]:
    """The host's figures, and the CUDA allocator's where this process uses it. To be taken before anything is freed."""
    found: dict[str, Any] = {"host": host_memory(os.getpid()), "host_available_bytes": available_bytes()}
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return found
    free, total = torch.cuda.mem_get_info()
    return found | {
        "device_free_bytes": free,
        "device_total_bytes": total,
        **digest(torch.cuda.memory_snapshot()),
    }


def digest(segments: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """torch.cuda.memory_snapshot in few figures: what is reserved, allocated, reserved and free in the largest piece,
    and the sizes of allocated blocks that hold most: bytes, how many, together."""
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
