"""The isolation that this machine gives, piece by piece, with a remedy for each piece that is missing."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from assay.sandbox.host.cells import StepFailedError

Level = Literal["full", "weak", "none"]

NAMESPACE_REMEDY = (
    "root with all its capabilities needs nothing (in a container: --privileged); a user needs unprivileged user "
    "namespaces: sysctl kernel.unprivileged_userns_clone=1 (Debian), "
    "sysctl kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu 24.04), user.max_user_namespaces > 0; "
    "or use --backend docker where an engine runs"
)
_OWN_NAMESPACES = "user, PID, mount, network, IPC and UTS namespaces, read-only root, no capabilities"
_REMEDIES = {
    "namespaces": NAMESPACE_REMEDY,
    "seccomp": "use an x86-64 or aarch64 machine whose kernel has CONFIG_SECCOMP_FILTER",
    "landlock": "a kernel from 5.13 on with landlock in its lsm= list (a second wall: the cell sees no host files)",
    "cgroup": "run as root, or where systemd delegates the memory and pids controllers to you "
    "(systemd-run --user --scope -p Delegate=yes); without it the memory limit holds per process only",
    "counters": "the embedded backend with namespaces, on Linux 5.9 or later where /proc/sys can be written (a "
    "container without --privileged has it read-only), or --isolation fresh; without it a sample sees how many "
    "processes ran before it",
    "clocks": "the embedded backend with namespaces, on Linux 5.6 or later with CONFIG_TIME_NS; without it a sample "
    "sees how long the machine has been up",
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
    cgroup, fresh = report["cgroup"], bool(report["fresh"])
    namespaces = str(report.get("container", _OWN_NAMESPACES))
    if not report["namespaces"]:
        namespaces = f"{failure.step}: {failure.reason}" if failure else "not asked for"
    pieces = (
        _piece("namespaces", report["namespaces"], namespaces),
        _piece("seccomp", report["seccomp"], "allow-list of system calls"),
        _piece("landlock", report["landlock"] > 0, f"ABI {report['landlock']}"),
        _piece("cgroup", "missing" not in cgroup, _cgroup_detail(cgroup)),
        _piece("counters", all(report["counters"].values()), _counters_detail(report["counters"])),
        _piece(
            "clocks", report["clocks"], "count from the cell's start" if report["clocks"] else "the machine's"
        ),
        Piece("rlimits", True, "CPU time, address space, file size, open files, processes"),
    )
    required = {"namespaces", "seccomp"}
    level: Level = "full" if all(p.present for p in pieces if p.name in required) else "weak"
    return Isolation(
        backend,
        level,
        _label(backend, level, pieces, fresh),
        pieces,
        report["python"],
        tuple(report["packages"].items()),
    )


def _cgroup_detail(cgroup: dict[str, str]) -> str:
    if "missing" in cgroup:
        return cgroup["missing"]
    return ", ".join([f"version {cgroup['version']}", *([cgroup["share"]] if "share" in cgroup else [])])


def _counters_detail(counters: dict[str, bool]) -> str:
    names = {"pids": "process numbers", "scratch": "numbers and times of files"}
    return "; ".join(
        f"{names[name]} {'begin anew' if is_fresh else 'run on'}" for name, is_fresh in counters.items()
    )


def _piece(name: str, present: bool, detail: str) -> Piece:
    return Piece(name, bool(present), detail, "" if present else _REMEDIES[name])


def _label(backend: str, level: Level, pieces: tuple[Piece, ...], fresh: bool) -> str:
    missing = [piece.name for piece in pieces if not piece.present]
    without = f" without {' and '.join(missing)}" if missing else ""
    return f"{backend}, {level} isolation{without}" + (", fresh for each sample" if fresh else "")


def unavailable(backend: str, reason: str, remedy: str) -> Isolation:
    return Isolation(
        backend, "none", f"{backend}, not available", (Piece("namespaces", False, reason, remedy),)
    )
