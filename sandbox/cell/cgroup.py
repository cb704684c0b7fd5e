"""A cgroup per cell, v1 or v2, for what rlimits cannot hold: memory and number of all processes of a sample together.

The folder is made beneath the host process's own cgroup, so a container's or a service's limits still apply.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_ROOT = "/sys/fs/cgroup"
# Where a container sees the events of its own group.
CONTAINER_EVENTS = (f"{_ROOT}/memory.events", f"{_ROOT}/memory/memory.oom_control")
# The fork server's own memory, on top of what a sample may use.
_SERVER_BYTES = 96 << 20
_REMOVE_TRIES = 200
_SWAP = ("memory.memsw.limit_in_bytes", "memory.swap.max")


@dataclass(frozen=True, slots=True)
class Group:
    """The folders made for one cell, and what to tell the host about them."""

    folders: tuple[str, ...] = ()
    events: str = ""  # the file that counts kills for memory
    report: dict[str, str] = field(default_factory=dict)

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
    return _make(folders, f"{memory}/memory.oom_control", "1")


def _create_v2(own: Mapping[str, str], limits: Mapping[str, Any], root: str) -> Group:
    parent = f"{root}{own.get('', '/')}".rstrip("/")
    with open(f"{parent}/cgroup.controllers") as file:
        available = file.read().split()
    missing = [name for name in ("memory", "pids") if name not in available]
    if missing:
        return none(f"the controllers {' and '.join(missing)} are not delegated to {parent}")
    with open(f"{parent}/cgroup.subtree_control") as file:
        enabled = file.read().split()
    if not {"memory", "pids"} <= set(enabled):
        _write(f"{parent}/cgroup.subtree_control", "+memory +pids")
    folder = f"{parent}/{limits['name']}"
    settings = {"memory.max": _memory(limits), "memory.swap.max": "0", "pids.max": str(limits["pids"])}
    return _make({folder: settings}, f"{folder}/memory.events", "2")


def _memory(limits: Mapping[str, Any]) -> str:
    return str(int(limits["memory"]) + _SERVER_BYTES)


def _make(folders: Mapping[str, Mapping[str, str]], events: str, version: str) -> Group:
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
    return Group(tuple(created), events, {"version": version})


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
