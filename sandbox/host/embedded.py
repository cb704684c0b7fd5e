"""The embedded backend: cells that are processes of this machine, isolated by themselves."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from functools import partial

from assay.sandbox.errors import IsolationError
from assay.sandbox.host.cells import ENVIRONMENT, Cell, CellOptions, StepFailedError, spec_of
from assay.sandbox.host.isolation import NAMESPACE_REMEDY, Isolation, from_report
from assay.sandbox.host.layout import BOOT
from assay.sandbox.model import Mode

_END_TIMEOUT_S = 15.0  # its last act, removing its cgroup, may take some seconds
_names = itertools.count()


def start_cells(options: CellOptions, mode: Mode, *, allow_weak: bool) -> tuple[list[Cell], Isolation]:
    """The cells of one mode (one, or judge and candidate) and what they are isolated with.

    IsolationError where that is weaker than full and not allowed.
    """
    if sys.platform != "linux":
        raise IsolationError(
            f"the embedded backend needs Linux, this is {sys.platform}; use the docker backend (--backend docker)"
        )
    failure = None
    try:
        cells = _start(options, mode)
    except StepFailedError as error:
        if not allow_weak:
            raise IsolationError(_refusal(error)) from error
        failure = error
        cells = _start(dataclasses.replace(options, namespaces=False, cgroup=False), mode)
    isolation = from_report("embedded", cells[0].report, failure)
    if isolation.level != "full" and not allow_weak:
        for cell in cells:
            cell.close()
        missing = "; ".join(f"{p.name}: {p.detail}. {p.remedy}" for p in isolation.pieces if not p.present)
        raise IsolationError(f"{isolation.label}: {missing}. Or accept the weaker level with --allow-weak")
    return cells, isolation


def _start(options: CellOptions, mode: Mode) -> list[Cell]:
    """Started at the same time, for most of a start is waiting for the kernel and the disk."""
    if mode == "shared":
        return [_spawn(options, None).wait_ready()]
    judges_end, candidates_end = socket.socketpair()
    with judges_end, candidates_end:
        cells = [
            _spawn(dataclasses.replace(options, role="judge"), judges_end),
            _spawn(dataclasses.replace(options, role="candidate"), candidates_end),
        ]
        try:
            return [cell.wait_ready() for cell in cells]
        except BaseException:
            for cell in cells:
                cell.close()
            raise


def _refusal(error: StepFailedError) -> str:
    who = "root" if os.geteuid() == 0 else f"user {os.geteuid()}"
    return (
        f"candidates cannot be isolated here as {who}: {error.step}: {error.why}. To change that: {NAMESPACE_REMEDY}. "
        "Or accept weaker isolation with --allow-weak"
    )


def _spawn(options: CellOptions, peer: socket.socket | None) -> Cell:
    """Start a cell's process without waiting for it. `peer` is its end of a pair's channel."""
    folder = None if options.namespaces else tempfile.mkdtemp(prefix="assay-cell-")
    ours, theirs = socket.socketpair()
    layout = options.layout
    passed = [theirs.fileno(), *([peer.fileno()] if peer else [])]
    spec = spec_of(options) | {
        "control": theirs.fileno(),
        "peer": peer.fileno() if peer else -1,
        "namespaces": options.namespaces,
        "binds": layout.binds,
        "links": layout.links,
        "hidden": layout.hidden,
        "readable": sorted(layout.binds.values()),
        "scratch_folder": folder,
        # Ids that belong to nobody; two cells get different ones.
        "id_base": (1 << 30) + 2 * secrets.randbelow(1 << 29),
        "cgroup": _cgroup_limits(options) if options.cgroup else None,
    }
    with theirs:
        process = subprocess.Popen(
            [layout.interpreter, "-S", "-s", "-P", str(BOOT), json.dumps(spec)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=passed,
            cwd="/",
            env=ENVIRONMENT,
            start_new_session=True,
        )
    return Cell(ours, partial(_wait_for_end, process, folder))


def _cgroup_limits(options: CellOptions) -> dict[str, str | int]:
    name = f"assay-{os.getpid()}-{next(_names)}"
    return {"name": name, "memory": options.memory_bytes, "pids": options.processes}


def _wait_for_end(process: subprocess.Popen[bytes], folder: str | None) -> None:
    try:
        process.wait(_END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if folder:
        shutil.rmtree(folder, ignore_errors=True)
