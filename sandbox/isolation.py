"""Which isolation this machine gives, piece by piece, and what a person can do about what is missing."""

from __future__ import annotations

import dataclasses
import os
import socket
import sys
from dataclasses import dataclass
from typing import Any, Literal

from sandbox.cells import Cell, CellOptions, StepFailedError
from sandbox.errors import CellError, IsolationError
from sandbox.layout import Layout, host_layout
from sandbox.model import Mode

Level = Literal["full", "weak", "none"]

_NAMESPACE_REMEDY = (
    "as root nothing is needed; otherwise allow unprivileged user namespaces: "
    "sysctl kernel.unprivileged_userns_clone=1 (Debian), "
    "sysctl kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu 24.04), user.max_user_namespaces > 0; "
    "in a container run it with --privileged, or use --backend docker on the host"
)
_REMEDIES = {
    "namespaces": _NAMESPACE_REMEDY,
    "seccomp": "use an x86-64 or aarch64 machine whose kernel has CONFIG_SECCOMP_FILTER",
    "landlock": "a kernel from 5.13 on with landlock in its lsm= list (a second wall: the cell sees no host files)",
    "cgroup": "run as root, or where systemd delegates the memory and pids controllers to you "
    "(systemd-run --user --scope -p Delegate=yes); without it the memory limit holds per process only",
}


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece of the isolation: whether it is on, what was found, and what to do when it is not."""

    name: str
    present: bool
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Isolation:
    """The level a sandbox has. "full": namespaces and the system call filter; "weak": the filter, not all
    namespaces; "none": this machine cannot run candidates with this backend at all."""

    backend: str
    level: Level
    label: str
    pieces: tuple[Piece, ...]
    python: str = ""
    packages: tuple[tuple[str, str], ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "packages": dict(self.packages)}


def from_report(backend: str, report: dict[str, Any], failure: StepFailedError | None = None) -> Isolation:
    """The isolation that a started cell reports; `failure` is why it has no namespaces."""
    cgroup = report["cgroup"]
    spaces = "user, PID, mount, network, IPC and UTS namespaces, read-only root, no capabilities"
    pieces = (
        _piece("namespaces", report["namespaces"], spaces if report["namespaces"] else _why(failure)),
        _piece("seccomp", report["seccomp"], "allow-list of system calls"),
        _piece("landlock", report["landlock"] > 0, f"ABI {report['landlock']}"),
        _piece("cgroup", "missing" not in cgroup, cgroup.get("missing") or f"version {cgroup['version']}"),
        Piece("rlimits", True, "CPU time, address space, file size, open files, processes"),
    )
    required = {"namespaces", "seccomp"}
    level: Level = "full" if all(p.present for p in pieces if p.name in required) else "weak"
    return Isolation(
        backend,
        level,
        _label(backend, level, pieces),
        pieces,
        report["python"],
        tuple(report["packages"].items()),
    )


def _piece(name: str, present: bool, detail: str) -> Piece:
    return Piece(name, bool(present), detail, "" if present else _REMEDIES[name])


def _why(failure: StepFailedError | None) -> str:
    return f"{failure.step}: {failure.why}" if failure else "not asked for"


def _label(backend: str, level: Level, pieces: tuple[Piece, ...]) -> str:
    missing = [piece.name for piece in pieces if not piece.present]
    return f"{backend}, {level} isolation" + (f" without {' and '.join(missing)}" if missing else "")


def _nothing(backend: str, why: str, remedy: str) -> Isolation:
    return Isolation(backend, "none", f"{backend}, not available", (Piece("namespaces", False, why, remedy),))


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
        return [Cell(options).wait_ready()]
    judges_end, candidates_end = socket.socketpair()
    with judges_end, candidates_end:
        cells = [
            Cell(dataclasses.replace(options, role="judge"), judges_end),
            Cell(dataclasses.replace(options, role="candidate"), candidates_end),
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
        f"candidates cannot be isolated here as {who}: {error.step}: {error.why}. To change that: {_NAMESPACE_REMEDY}. "
        "Or accept weaker isolation with --allow-weak"
    )


def probe(layout: Layout | None = None) -> Isolation:
    """The isolation of the embedded backend on this machine, found by starting a cell; never raises for what is
    missing, it says so."""
    if sys.platform != "linux":
        return _nothing("embedded", f"this is {sys.platform}, not Linux", "use the docker backend")
    options = CellOptions(layout or host_layout(()))
    try:
        (cell,), isolation = start_cells(options, "shared", allow_weak=True)
    except CellError as error:
        return _nothing("embedded", str(error), _NAMESPACE_REMEDY)
    cell.close()
    return isolation
