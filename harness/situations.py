"""The situations in which Assay finds itself, what each costs the isolation of programs, and what to type about it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from assay.sandbox import Isolation


@dataclass(frozen=True, slots=True)
class Situation:
    """One row of the table in docs/threats.md: `reports` is what `assay doctor` says there, `lost` what is missing
    against full isolation, `remedy` what to type."""

    name: str
    reports: str
    lost: str
    remedy: str

    @property
    def markdown_row(self) -> str:
        return f"| {self.name} | {self.reports} | {self.lost} | {self.remedy} |"


ROOT = Situation("root on a machine", "full", "nothing", "nothing")
USER = Situation(
    "an ordinary user",
    "full, without cgroup",
    "the limits of a cell as a whole: memory and processes are limited for each process, and a cell has no CPU share "
    "of its own",
    "`systemd-run --user --scope -p Delegate=yes assay ...` where systemd runs for the user; or `sudo assay ...`",
)
USER_WITHOUT_NAMESPACES = Situation(
    "an ordinary user whose kernel refuses user namespaces",
    "weak, without namespaces, cgroup, counters and clocks; nothing runs without `--allow-weak`",
    "namespaces, cgroup, counters, clocks: programs are the user's own processes; only the system call filter keeps "
    "them off the network, only Landlock off the user's files, and they can start no processes",
    "`sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0` (Ubuntu 24.04), "
    "`sudo sysctl kernel.unprivileged_userns_clone=1` (Debian), `sudo sysctl user.max_user_namespaces=15000`; or "
    "`--backend docker`",
)
CONTAINER = Situation(
    "a container without privileges (a hosted notebook)",
    "weak, without namespaces, cgroup, counters and clocks; nothing runs without `--allow-weak`",
    "all of the row above; the container itself still stands between programs and the machine",
    "where you start the container: `docker run --user 1000 --security-opt seccomp=unconfined "
    "--security-opt systempaths=unconfined ...` (full, without cgroup); in a hosted notebook: `--allow-weak`, and "
    "every report says so",
)
CI_RUNNER = Situation(
    "a CI runner",
    "weak on Ubuntu 24.04 images, as their users get no user namespaces; a job in a container is the row above",
    "as in the third row, until the step at the right has run",
    "a step before: `sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`; or `--backend docker`, where the "
    "runner has an engine",
)
OTHER_SYSTEM = Situation(
    "macOS, Windows",
    "none: the embedded backend needs Linux",
    "the embedded backend",
    "`--backend docker`",
)
SITUATIONS = (ROOT, USER, USER_WITHOUT_NAMESPACES, CONTAINER, CI_RUNNER, OTHER_SYSTEM)

_CONTAINER_FILES = ("/.dockerenv", "/run/.containerenv")
_CONTAINER_GROUPS = ("/docker", "/kubepods", "/lxc", "/containerd", "/libpod")


@dataclass(frozen=True, slots=True)
class Facts:
    """What decides between the situations, besides the isolation."""

    is_linux: bool = True
    is_root: bool = False
    in_container: bool = False
    in_ci: bool = False


def facts(environment: Mapping[str, str] = os.environ) -> Facts:
    """The facts of this process."""
    return Facts(
        sys.platform == "linux",
        hasattr(os, "geteuid") and os.geteuid() == 0,
        _in_container(environment),
        environment.get("CI", "").lower() in ("1", "true"),
    )


def _in_container(environment: Mapping[str, str]) -> bool:
    if any(Path(name).exists() for name in _CONTAINER_FILES) or "KUBERNETES_SERVICE_HOST" in environment:
        return True
    try:
        groups = Path("/proc/1/cgroup").read_text(encoding="utf-8")
    except OSError:
        return False
    return any(name in groups for name in _CONTAINER_GROUPS)


def situation(isolation: Isolation, known: Facts) -> Situation:
    """The row that matches. A root that cannot isolate lacks capabilities, as containers' do."""
    if not known.is_linux:
        return OTHER_SYSTEM
    if isolation.level == "full":
        return ROOT if known.is_root else USER
    if known.in_ci and not known.in_container:
        return CI_RUNNER
    return CONTAINER if known.in_container or known.is_root else USER_WITHOUT_NAMESPACES
