"""A cgroup per cell, v1 or v2, for what rlimits cannot hold: memory and number of all processes of a sample together,
and a share of the CPU that does not grow with their number.

The folder is made beneath the host process's own cgroup, so a container's or a service's limits still apply.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from assay.sandbox.cell import oom

_ROOT = "/sys/fs/cgroup"
# Where a container sees the events of its own group.
CONTAINER_EVENTS = (f"{_ROOT}/memory.events", f"{_ROOT}/memory/memory.oom_control")
CONTAINER_USAGE = (f"{_ROOT}/cpu.stat", f"{_ROOT}/cpuacct/cpuacct.usage")
# The fork server's own memory, on top of what a sample may use.
_SERVER_BYTES = 96 << 20
_REMOVE_TRIES = 200
KILLED_FOR_MEMORY = 86  # the exit status of a cell that ended after the kernel had killed in it for memory
_SWAP = ("memory.memsw.limit_in_bytes", "memory.swap.max")


@dataclass(frozen=True, slots=True)
class Group:
    """The folders made for one cell, and what to tell the host about them."""

    folders: tuple[str, ...] = ()
    events: str = ""  # the file that counts kills for memory
    usage: str = ""  # the file that counts CPU time
    report: dict[str, str] = field(default_factory=dict)

    def oom_kills(self) -> int:
        """Return how many processes the kernel has killed in it for memory."""
        try:
            with open(self.events, "rb") as file:
                return oom.kills(file.read())
        except OSError:
            return 0

    def add(self, pid: int) -> None:
        for folder in self.folders:
            _write(f"{folder}/cgroup.procs", str(pid))

    def remove(self) -> None:
        """Remove the folders; the kernel needs a moment after the last process has gone."""
        for folder in self.folders:
            for _ in range(_REMOVE_TRIES):
                try:
                    os.rmdir(folder)
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.01)
                else:
                    break


def none(reason: str) -> Group:
    return Group(report={"missing": reason})


def create(limits: Mapping[str, Any], root: str = _ROOT, membership: str = "/proc/self/cgroup") -> Group:
    """Make a group `limits["name"]` with `limits["memory"]` bytes and `limits["pids"]`, or say why there is none."""
    try:
        with open(membership) as file:
            own = dict(_hierarchies(file.read()))
        if "memory" in own:
            return _create_v1(own, limits, root)
        return _create_v2(own, limits, root)
    except OSError as error:
        return none(f"{error.strerror or error}: {os.path.dirname(error.filename or root)}")


def _hierarchies(text: str) -> list[tuple[str, str]]:
    """Controller to path, from /proc/self/cgroup; version 2 has the empty controller."""
    pairs = []
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        pairs += [(controller, path) for controller in controllers.split(",")]
    return pairs


def _create_v1(own: Mapping[str, str], limits: Mapping[str, Any], root: str) -> Group:
    memory = f"{root}/memory{own['memory']}".rstrip("/") + f"/{limits['name']}"
    amount = _memory(limits)
    settings = {"memory.limit_in_bytes": amount, "memory.memsw.limit_in_bytes": amount}
    folders = {memory: settings}
    if "pids" in own:
        pids = f"{root}/pids{own['pids']}".rstrip("/") + f"/{limits['name']}"
        folders[pids] = {"pids.max": str(limits["pids"])}
    share, counter = (
        f"{root}/{name}{own[name]}".rstrip("/") if name in own else "" for name in ("cpu", "cpuacct")
    )
    if os.access(share, os.W_OK):
        folders[f"{share}/{limits['name']}"] = {}  # as much as any other group has
    usage = f"{counter}/{limits['name']}/cpuacct.usage" if os.access(counter, os.W_OK) else ""
    if usage and not (os.access(share, os.W_OK) and os.path.samefile(share, counter)):
        folders[os.path.dirname(usage)] = {}
    return _make(folders, f"{memory}/memory.oom_control", "1", usage, has_share=os.access(share, os.W_OK))


def _create_v2(own: Mapping[str, str], limits: Mapping[str, Any], root: str) -> Group:
    parent = f"{root}{own.get('', '/')}".rstrip("/")
    with open(f"{parent}/cgroup.controllers") as file:
        available = file.read().split()
    missing = [name for name in ("memory", "pids") if name not in available]
    if missing:
        return none(f"the controllers {' and '.join(missing)} are not delegated to {parent}")
    with open(f"{parent}/cgroup.subtree_control") as file:
        enabled = file.read().split()
    needed = {"memory", "pids", "cpu"} & set(available)
    if not needed <= set(enabled):
        _write(f"{parent}/cgroup.subtree_control", " ".join(f"+{name}" for name in sorted(needed)))
    folder = f"{parent}/{limits['name']}"
    settings = {"memory.max": _memory(limits), "memory.swap.max": "0", "pids.max": str(limits["pids"])}
    return _make(
        {folder: settings}, f"{folder}/memory.events", "2", f"{folder}/cpu.stat", has_share="cpu" in needed
    )


def _memory(limits: Mapping[str, Any]) -> str:
    return str(int(limits["memory"]) + _SERVER_BYTES)


def _make(
    folders: Mapping[str, Mapping[str, str]], events: str, version: str, usage: str, *, has_share: bool
) -> Group:
    """Make folders with their settings, all or none. Files for swap are only there where it is accounted."""
    created: list[str] = []
    try:
        for folder, settings in folders.items():
            os.mkdir(folder)
            created.append(folder)
            for name, value in settings.items():
                with contextlib.suppress(*([FileNotFoundError] if name in _SWAP else [])):
                    _write(f"{folder}/{name}", value)
    except OSError:
        Group(tuple(created)).remove()
        raise
    share = "a CPU share of its own" if has_share else "no CPU share of its own"
    return Group(tuple(created), events, usage, {"version": version, "share": share})


def cpu_s(usage: bytes) -> float:
    """The CPU seconds that a group's cpu.stat (version 2) or cpuacct.usage (version 1) says were used in it."""
    first = usage.split(b"\n", 1)[0]
    name, _, number = first.rpartition(b" ")
    return int(number) / (1e6 if name else 1e9)


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
