"""The fork server's start, in the cell: what it imports for its samples, and how it restricts itself for good.

It is run by an interpreter that `outside` executes in the new root, as process 1, or by a container, or, without
namespaces, straight on the host. SPEC comes first of all on descriptor 0: see `assay.sandbox.host.embedded`.
"""

from __future__ import annotations

import gc
import importlib
import json
import marshal
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from assay.sandbox.cell import (
    cgroup,
    fork,
    hotpages,
    jail,
    kernel,
    oom,
    outside,
    pids,
    runner,
    scratch,
    seccomp,
    server,
    system_times,
)
from assay.sandbox.cell.outside import StepFailedError, failure_reported, say, step

_MEET_TIMEOUT_S = 20.0
_REPORT_BYTES = 4096
# What a container has in /dev that a sample can set the times of.
_DEVICES = (*jail.DEVICES, "/dev/full", "/dev/tty")


def main() -> None:
    spec = json.loads(outside.read_frame(0))
    spec |= json.loads(outside.read_frame(0))  # the numbers of descriptors
    sys.argv[:] = sys.orig_argv[:] = [""]
    names = [
        name for name in ("control", "peer", "incoming", "proc", "pids", "keeper", "stub") if name in spec
    ]
    spec |= dict(zip(names, fork.park_descriptors([int(spec[name]) for name in names]), strict=True))
    with failure_reported(spec["control"]):
        if "keeper" in spec:
            _serve(spec)
        else:
            _serve_without_namespaces(spec)


def _serve(spec: dict[str, Any]) -> None:
    """Import what samples share, restrict this process for good, and answer requests."""
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    control, version = spec["control"], jail.abi()
    fork.limit_server(spec["role"])
    server.load(spec["role"])
    _preload(spec)
    group = _join_group(spec["stub"])
    keeper = _Keeper(spec["keeper"])
    keeper.hide_code()
    address_space = fork.address_space_bytes(_own_statm(spec["proc"]))
    folder = scratch.Scratch(jail.SCRATCH, keeper.replace_scratch)
    desk = fork.Desk(
        control,
        address_space,
        group.events,
        folder,
        is_init=True,
        usage=group.usage,
        pids=pids.PidCounter(spec["pids"]),
        has_rights=True,
        score=oom.Score.of_this_process(spec["proc"]),
    )
    own_proc = os.dup(spec["proc"]) if spec["fresh"] else -1
    pinned = _settle(desk, spec["role"], spec["proc"], pin=True)
    rules = [*spec["readable"], *filter(os.path.exists, jail.DEVICES)] if version else []
    instructions = seccomp.build(give_up=kernel.GIVE_UP_ARGUMENTS)

    def restrict() -> None:
        if version:
            with step("Landlock"):
                jail.restrict(jail.rule_set(rules, [jail.SCRATCH_PARENT, "/dev/null"], version))
        with step("seccomp filter"):
            seccomp.install(instructions)

    def refresh() -> fork.Desk:
        """Give a process of new namespaces a scratch folder and restrictions of its own."""
        jail.mount_scratch(jail.SCRATCH_MOUNT, int(spec["scratch"]))
        os.chdir(jail.SCRATCH)
        own = fork.Desk(
            control,
            address_space,
            group.events,
            scratch.Scratch(jail.SCRATCH),
            is_init=True,
            usage=group.usage,
            score=oom.Score.of_hidden_process(own_proc),
        )
        kernel.give_up_capabilities()
        restrict()
        return own

    fresh = None
    if spec["fresh"]:
        fresh = server.Fresh(lambda: kernel.fork_into(kernel.NEWPID | kernel.NEWNS), refresh)
    else:
        restrict()
    counters = {"pids": bool(spec["fresh"]) or desk.pids.is_reset, "scratch": True}
    report = _pieces(spec, version, group.report, counters, namespaces=True)
    report |= {"pinned_pages": pinned, "clocks": bool(spec["clocks"])}
    say(control, json.dumps(report))
    server.serve(desk, spec["role"], control, control, int(spec["peer"]), fresh)


class _Group(NamedTuple):
    """This cell's cgroup: what the host is told of it, and descriptors of its events and of its CPU usage, or -1."""

    report: dict[str, str]
    events: int = -1
    usage: int = -1


def _join_group(stub: int) -> _Group:
    """Wait until the stub has put this process into its cgroup."""
    with socket.socket(fileno=stub) as channel:
        report, descriptors, _, _ = socket.recv_fds(channel, _REPORT_BYTES, 2)
    if not report:
        os._exit(1)  # it is gone
    return _Group(marshal.loads(report), *fork.park_descriptors(descriptors))


class _Keeper:
    """The process outside that can still mount, and is asked over a channel."""

    def __init__(self, channel: int) -> None:
        self._channel = channel

    def replace_scratch(self) -> bool:
        return self._ask(outside.NEW_SCRATCH)

    def hide_code(self) -> None:
        """Cover the folder that this code was read from: all of it has been imported."""
        if not self._ask(outside.HIDE_CODE):
            raise StepFailedError("cell's code hidden", "the keeper could not mount over it")

    def _ask(self, request: bytes) -> bool:
        os.write(self._channel, request)
        return os.read(self._channel, 1) == request


def _own_statm(proc: int) -> int:
    return os.open("self/statm", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)


def _preload(spec: dict[str, Any]) -> None:
    """The standard modules that programs use most, and the packages asked for, once for all samples."""
    sys.path[:] = [folder for folder in sys.path if os.path.isdir(folder)]
    sys.path_importer_cache.clear()
    if spec["packages"]:
        sys.path.append(jail.PACKAGES)
    for name in [*spec["preload"], *spec["packages"]]:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise StepFailedError(f"import of {name} in the cell", str(error)) from error
    os.environ.clear()
    system_times.replace()
    runner.warm_up()
    for _ in range(4):
        server.warm_up_role(spec["role"])


def _settle(desk: fork.Desk, role: server.Role, proc: int, *, pin: bool) -> int:
    """Make the server ready to fork samples and to be restricted; return how many pages it pinned (see `hotpages`).

    Its objects are frozen, so that the collector of a sample never touches, and so never copies, their pages. Reading
    one's own page map, from the descriptor `proc` of /proc, takes being dumpable for as long as that lasts.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    pinned = 0
    if pin:
        kernel.prctl(kernel.PR_SET_DUMPABLE, 1)
        pinned = hotpages.pin(proc, partial(_warm_up_sample, role), lambda: server.warm_up(desk))
    os.close(proc)
    fork.limit_locked_memory()
    with step("no_new_privs"):
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    return pinned


def _warm_up_sample(role: server.Role) -> None:
    kernel.give_up_capabilities()
    runner.warm_up_sample()
    server.warm_up_role(role)


def _pieces(
    spec: dict[str, Any], version: int, memory: dict[str, str], counters: dict[str, bool], *, namespaces: bool
) -> dict[str, Any]:
    return {
        "counters": counters,
        "namespaces": namespaces,
        "landlock": version,
        "seccomp": seccomp.supported(),
        "fresh": spec["fresh"],
        "cgroup": memory,
        "python": sys.version.split()[0],
        "packages": {name: str(getattr(sys.modules[name], "__version__", "")) for name in spec["packages"]},
    }


def _open_first(paths: Sequence[str]) -> int:
    """The first of these files that exists, open, or -1."""
    path = next(filter(os.path.exists, paths), "")
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC) if path else -1


def _serve_without_namespaces(spec: dict[str, Any]) -> None:
    """Without namespaces of our own: inside a container, or, weaker, straight on the host.

    As process 1 of a container the server can be restricted like any other. Elsewhere it cannot kill what a
    sample's children leave behind, so each sample is restricted by itself: no new processes, its own Landlock
    domain (with signal scoping it reaches nobody, the server included).
    """
    is_init = os.getpid() == 1
    control, incoming = spec["control"], spec.get("incoming", spec["control"])
    version = jail.abi()
    statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    events, usage = (
        _open_first(paths) if is_init else -1 for paths in (cgroup.CONTAINER_EVENTS, cgroup.CONTAINER_USAGE)
    )
    nested = _nest() if is_init else _NOT_NESTED
    peer = int(spec["peer"])
    if spec.get("peer_path"):
        with step("channel between the containers of judge and candidate"):
            peer = _meet(spec["role"], spec["peer_path"])
    os.chdir(spec["scratch_folder"])
    fork.limit_server(spec["role"])
    server.load(spec["role"])
    _preload(spec)
    address_space = fork.address_space_bytes(statm)
    folder = scratch.Scratch(
        spec["scratch_folder"], is_shared=not is_init, watched=_DEVICES if is_init else ()
    )
    proc = os.open("/proc", os.O_PATH | os.O_CLOEXEC)
    score = oom.Score.of_this_process(proc)
    desk = fork.Desk(incoming, address_space, events, folder, is_init=is_init, usage=usage, score=score)
    own_proc = os.dup(proc)
    pinned = _settle(desk, spec["role"], proc, pin=is_init)
    restrict = _restriction(spec, version, allow_processes=is_init)

    def refresh() -> fork.Desk:
        """Give a process of a new PID namespace restrictions of its own."""
        score = oom.Score.of_hidden_process(own_proc)
        own = fork.Desk(incoming, address_space, events, folder, is_init=True, usage=usage, score=score)
        kernel.give_up_capabilities()
        restrict()
        return own

    fresh = None
    if nested.has_rights and spec["role"] != "judge":
        fresh = server.Fresh(lambda: kernel.fork_into(kernel.NEWPID), refresh)
    elif is_init:
        kernel.give_up_capabilities()
        restrict()
    else:
        desk.restrict = restrict
    memory = {"version": "the container's"} if is_init else {"missing": "no namespaces"}
    counters = {"pids": nested.has_rights, "scratch": is_init}
    report = _pieces(spec, version, memory, counters, namespaces=is_init)
    report |= {"pinned_pages": pinned, "clocks": nested.has_clocks}
    say(control, json.dumps(report))
    server.serve(desk, spec["role"], incoming, control, peer, fresh)


class _Nested(NamedTuple):
    """What a container's process 1 could have in a user namespace of its own: the right to make PID namespaces, so that
    each sample has one; and clocks for its children that count from now."""

    has_rights: bool
    has_clocks: bool


_NOT_NESTED = _Nested(has_rights=False, has_clocks=False)


def _nest() -> _Nested:
    """Enter a user namespace inside the container, where the kernel and the engine let it."""
    user, group = os.getuid(), os.getgid()
    offsets = outside.writable("/proc/self/timens_offsets")
    try:
        kernel.unshare(kernel.NEWUSER | (kernel.NEWTIME if offsets >= 0 else 0))
    except OSError:
        return _NOT_NESTED
    with step("user namespace in the container"):
        outside.write_maps(os.getpid(), [(user, user)], [(group, group)])
        if offsets >= 0:
            outside.set_clocks(offsets)
    return _Nested(has_rights=True, has_clocks=offsets >= 0)


def _restriction(spec: dict[str, Any], version: int, *, allow_processes: bool) -> Callable[[], None]:
    rules = -1
    if version:
        readable = filter(os.path.exists, [*spec["readable"], *jail.DEVICES])
        rules = jail.rule_set(list(readable), [spec["scratch_folder"], "/dev/null"], version)
    instructions = seccomp.build(allow_processes=allow_processes) if seccomp.supported() else b""

    def restrict() -> None:
        if rules >= 0:
            jail.restrict(rules)
        if instructions:
            seccomp.install(instructions)

    return restrict


def _meet(role: str, path: str) -> int:
    """The channel to the other cell of a pair in another container, over a socket in a volume that both mount.

    The judge listens for one caller, and the name is gone before any sample runs.
    """
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    deadline = time.monotonic() + _MEET_TIMEOUT_S
    if role == "judge":
        channel.bind(path)
        os.chmod(path, 0o666)  # the caller is another user
        channel.listen(1)
        channel.settimeout(_MEET_TIMEOUT_S)
        caller, _ = channel.accept()
        os.unlink(path)
        channel.close()
        caller.setblocking(True)
        return fork.park_descriptors([caller.detach()])[0]
    while True:
        try:
            channel.connect(path)
            return fork.park_descriptors([channel.detach()])[0]
        except (FileNotFoundError, ConnectionRefusedError, PermissionError):  # not yet open to another user
            if time.monotonic() > deadline:
                raise
            time.sleep(0.002)
