"""The embedded backend: cells that are processes of this machine, isolated by themselves."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import json
import marshal
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

from assay.sandbox.cell.cgroup import KILLED_FOR_MEMORY
from assay.sandbox.cell.outside import frame
from assay.sandbox.errors import IsolationError
from assay.sandbox.host.cells import (
    ENVIRONMENT,
    SCRATCH_BYTES,
    Cell,
    CellOptions,
    StepFailedError,
    ended_on_error,
    spec_of,
)
from assay.sandbox.host.isolation import NAMESPACE_REMEDY, Isolation, from_report
from assay.sandbox.host.layout import BOOT, CELL_CODE, CELL_SOURCES
from assay.sandbox.model import Mode

_FLAGS = ("-S", "-s", "-P")
_END_TIMEOUT_S = 15.0  # its last act, removing its cgroup, may take some seconds
_names = itertools.count()


def start_cells(options: CellOptions, mode: Mode, *, allow_weak: bool) -> tuple[list[Cell], Isolation]:
    """Start the cells of one mode (one, or judge and candidate), and return them, ready, with what isolates them.

    IsolationError where that is weaker than full and not allowed.
    """
    if sys.platform != "linux":
        raise IsolationError(
            f"the embedded backend needs Linux, this is {sys.platform}; use the docker backend (--backend docker)"
        )
    failure: StepFailedError | None = None
    try:
        cells = _start(options, mode)
    except StepFailedError as error:
        if not allow_weak:
            raise IsolationError(_refusal(error)) from error
        failure = error
        cells = _start(_weaker(options), mode)
    isolation = from_report("embedded", cells[0].report, failure)
    with ended_on_error(cells):
        if isolation.level != "full" and not allow_weak:
            missing = "; ".join(
                f"{p.name}: {p.detail}. {p.remedy}" for p in isolation.pieces if not p.present
            )
            raise IsolationError(
                f"{isolation.label}: {missing}. Or accept the weaker level with --allow-weak"
            )
    return cells, isolation


def settled_options(options: CellOptions, cells: list[Cell]) -> CellOptions:
    """Return the options that those cells were started with in the end."""
    return options if cells[0].report["namespaces"] else _weaker(options)


def _weaker(options: CellOptions) -> CellOptions:
    return dataclasses.replace(options, namespaces=False, cgroup=False)


def _start(options: CellOptions, mode: Mode) -> list[Cell]:
    cells = launch_cells(options, mode)
    with ended_on_error(cells):
        return [cell.wait_ready() for cell in cells]


def launch_cells(options: CellOptions, mode: Mode) -> list[Cell]:
    """Start the cells of one mode, at the same time, without waiting until they are ready: most of a start is waiting
    for the kernel and the disk."""
    if mode == "shared":
        return [_spawn(options, None)]
    judges_end, candidates_end = socket.socketpair()
    with judges_end, candidates_end:
        judge = _spawn(dataclasses.replace(options, role="judge"), judges_end)
        with ended_on_error([judge]):
            return [judge, _spawn(dataclasses.replace(options, role="candidate"), candidates_end)]


def _refusal(error: StepFailedError) -> str:
    who = "root" if os.geteuid() == 0 else f"user {os.geteuid()}"
    return (
        f"candidates cannot be isolated here as {who}: {error.step}: {error.reason}. To change that: "
        f"{NAMESPACE_REMEDY}. Or accept weaker isolation with --allow-weak"
    )


def _spawn(options: CellOptions, peer: socket.socket | None) -> Cell:
    """Start a cell's process without waiting for it. `peer` is its end of a pair's channel."""
    folder = None if options.namespaces else tempfile.mkdtemp(prefix="assay-cell-")
    ours, other = socket.socketpair()
    layout = options.layout
    with _ours_on_error(ours), other:
        if options.namespaces:
            name = f"assay-{os.getpid()}-{next(_names)}"
            command = [layout.host_interpreter, *_FLAGS, str(CELL_SOURCES / "boot.py"), name]
            specification = frame(marshal.dumps(_building(options, name, peer.fileno() if peer else -1)))
        else:
            command = [layout.host_interpreter, *_FLAGS, str(CELL_SOURCES / "boot.py")]
            within = spec_of(options) | {"readable": sorted(layout.binds.values()), "scratch_folder": folder}
            descriptors = {"control": 0, "peer": peer.fileno() if peer else -1}
            specification = frame(json.dumps(within).encode()) + frame(json.dumps(descriptors).encode())
        ours.sendall(specification)
        process = subprocess.Popen(
            command,
            stdin=other.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[peer.fileno()] if peer else [],
            cwd="/",
            env=ENVIRONMENT,
            start_new_session=True,
        )
    ours.setblocking(False)
    end = _End(process, folder)
    return Cell(ours, end.wait, end.was_for_memory)


def _building(options: CellOptions, name: str, peer: int) -> dict[str, Any]:
    """What the part of the cell outside has to know; `inside` is all of it that is told inside."""
    layout = options.layout
    within = spec_of(options) | {"readable": [*layout.binds, *layout.links]}
    return {
        "inside": json.dumps(within).encode(),
        "command": [layout.interpreter, *_FLAGS, BOOT],
        "environment": ENVIRONMENT | layout.environment,
        "peer": peer,
        "binds": layout.binds | {CELL_CODE: str(_compiled_sources())},
        "links": layout.links,
        "hidden": list(layout.hidden),
        "replaced": layout.replaced,
        "scratch": SCRATCH_BYTES,
        "fresh": options.fresh,
        # Ids that belong to nobody; two cells get different ones.
        "id_base": (1 << 30) + 2 * secrets.randbelow(1 << 29),
        "cgroup": options.cgroup
        and {"name": name, "memory": options.memory_bytes, "pids": options.processes},
    }


@functools.cache
def _compiled_sources() -> Path:
    """The folder of the cell's code, compiled: inside it is read-only, and each start would compile it again."""
    for path in CELL_SOURCES.glob("*.py"):
        SourceFileLoader(path.stem, str(path)).get_code(path.stem)
    return CELL_SOURCES


@contextlib.contextmanager
def _ours_on_error(channel: socket.socket) -> Iterator[None]:
    try:
        yield
    except BaseException:
        channel.close()
        raise


class _End:
    """The end of a cell's process, which ends by itself once its channel is closed, and is killed if it does not."""

    def __init__(self, process: subprocess.Popen[bytes], folder: str | None) -> None:
        """`folder` is the scratch folder of a cell without namespaces, removed with it."""
        self._process, self._folder = process, folder
        self._deadline = 0.0

    def wait(self, timeout_s: float) -> bool:
        """Return whether the process is gone, after at most `timeout_s`."""
        self._deadline = self._deadline or time.monotonic() + _END_TIMEOUT_S
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            if time.monotonic() < self._deadline:
                return False
            self._process.kill()
            self._process.wait()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
        return True

    def was_for_memory(self) -> bool:
        """Return whether the process has ended and reported that the kernel had killed for memory."""
        return self._process.poll() == KILLED_FOR_MEMORY
