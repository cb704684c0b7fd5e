"""A cell as the host sees it: a process, a channel, and frames."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from typing import Any, Literal, Self

from sandbox.cell import wire
from sandbox.errors import CellError
from sandbox.layout import BOOT, PRELOAD, Layout

_START_TIMEOUT_S = 30.0
_END_TIMEOUT_S = 5.0
_SCRATCH_BYTES = 64 << 20
_RECEIVE_BYTES = 1 << 16
_names = itertools.count()

# Everything a cell's environment holds; the hash seed is fixed so that a verdict can be had again.
_ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "MALLOC_ARENA_MAX": "2",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONUTF8": "1",
}


class StepFailedError(CellError):
    """The kernel refused an isolation step; `step` names it and `why` is the kernel's answer."""

    def __init__(self, step: str, why: str) -> None:
        super().__init__(f"the cell could not be isolated: {step}: {why}")
        self.step = step
        self.why = why


@dataclass(frozen=True, slots=True)
class CellOptions:
    """What a cell is started with. `memory_bytes` and `processes` bound the cell as a whole, where cgroups can."""

    layout: Layout
    packages: tuple[str, ...] = ()
    role: Literal["shared", "judge", "candidate"] = "shared"
    namespaces: bool = True
    cgroup: bool = True
    memory_bytes: int = 1 << 30
    processes: int = 64


class Cell:
    """One fork server. Not thread-safe but for `abort`, which ends it from any thread."""

    def __init__(self, options: CellOptions, peer: socket.socket | None = None) -> None:
        """Start the process without waiting for it: `wait_ready` does. `peer` is its end of a pair's channel."""
        self._folder = None if options.namespaces else tempfile.mkdtemp(prefix="assay-cell-")
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = _spawn(options, theirs.fileno(), peer.fileno() if peer else -1, self._folder)
        self._channel = ours
        self._received = bytearray()
        self._oom_kills = 0
        self.report: dict[str, Any] = {}

    def wait_ready(self) -> Self:
        """Wait for the cell's report on its isolation. CellError, with the cell ended, when it has none."""
        try:
            self.report = self._handshake()
        except BaseException:
            self.close()
            raise
        self._oom_kills = self._count_oom_kills()
        return self

    def _handshake(self) -> dict[str, Any]:
        deadline = time.monotonic() + _START_TIMEOUT_S
        try:
            (size,) = wire.LENGTH.unpack(self._read(wire.LENGTH.size, deadline))
            report: dict[str, Any] = json.loads(self._read(size, deadline))
        except (EOFError, OSError, TimeoutError) as error:
            raise CellError(f"the cell ended during its start ({type(error).__name__}: {error})") from error
        if "failed" in report:
            raise StepFailedError(report["failed"], report["why"])
        return report

    def send(self, request: wire.Request) -> None:
        """EOFError when the cell is gone."""
        self._channel.settimeout(_START_TIMEOUT_S)
        try:
            self._channel.sendall(request.pack())
        except OSError as error:
            raise EOFError(f"the cell is gone: {error}") from error

    def receive(self, timeout_s: float) -> wire.Response:
        """The next answer. EOFError when the cell is gone or does not answer in time."""
        deadline = time.monotonic() + timeout_s
        try:
            return wire.read_response(lambda size: self._read(size, deadline))
        except OSError as error:
            raise EOFError(f"no answer from the cell: {error}") from error

    def _read(self, size: int, deadline: float) -> bytes:
        while len(self._received) < size:
            self._channel.settimeout(max(0.001, deadline - time.monotonic()))
            data = self._channel.recv(_RECEIVE_BYTES)
            if not data:
                raise EOFError("the cell closed its channel")
            self._received += data
        data = bytes(self._received[:size])
        del self._received[:size]
        return data

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel killed a process of this cell for memory since this was last asked."""
        before, self._oom_kills = self._oom_kills, self._count_oom_kills()
        return self._oom_kills > before

    def _count_oom_kills(self) -> int:
        events = self.report["cgroup"].get("events")
        if not events:
            return 0
        try:
            with open(events) as file:
                counts = dict(line.split() for line in file)
        except OSError:
            return 0
        return int(counts.get("oom_kill", 0))

    def abort(self) -> None:
        """End the cell from any thread; a waiting `receive` raises EOFError."""
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End the cell and wait until it is gone."""
        self.abort()
        self._channel.close()
        try:
            self._process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)


def _spawn(options: CellOptions, channel: int, peer: int, folder: str | None) -> subprocess.Popen[bytes]:
    layout = options.layout
    spec = {
        "role": options.role,
        "control": channel,
        "peer": peer,
        "namespaces": options.namespaces,
        "binds": layout.binds,
        "links": layout.links,
        "hidden": layout.hidden,
        "readable": sorted(layout.binds.values()),
        "scratch": _SCRATCH_BYTES,
        "scratch_folder": folder,
        "packages": options.packages,
        "preload": PRELOAD,
        # Ids that belong to nobody; two cells get different ones.
        "id_base": (1 << 30) + 2 * secrets.randbelow(1 << 29),
        "cgroup": {
            "name": f"assay-{os.getpid()}-{next(_names)}",
            "memory": options.memory_bytes,
            "pids": options.processes,
        }
        if options.cgroup
        else None,
    }
    return subprocess.Popen(
        [layout.interpreter, "-S", "-s", "-P", str(BOOT), json.dumps(spec)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(channel,) if peer < 0 else (channel, peer),
        cwd="/",
        env=_ENVIRONMENT,
        start_new_session=True,
    )
