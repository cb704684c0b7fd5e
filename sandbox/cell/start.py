"""The cell's process: a stub that stays outside, and the isolated fork server that it starts as process 1.

SPEC, the last argument, is JSON: see `assay.sandbox.host.layout`. The stub owns what has to outlive the server: it
writes the id maps, holds the cgroup, and ends the server as soon as the host closes its end of the channel, even
when the host is killed.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, NoReturn

from assay.sandbox.cell import cgroup, fork, hotpages, jail, kernel, oom, runner, seccomp, server, wire

_SAMPLE_ID = 1000
_ALIVE_CHECK_MS = 2000
_MEET_TIMEOUT_S = 20.0


class StepFailedError(Exception):
    """An isolation step that the kernel refused: `step` names it."""

    def __init__(self, step: str, error: OSError | str) -> None:
        super().__init__(step, str(error))
        self.step = step


@contextlib.contextmanager
def _step(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StepFailedError(name, error) from error


def _say(control: int, message: dict[str, Any]) -> None:
    data = json.dumps(message).encode()
    os.write(control, wire.LENGTH.pack(len(data)) + data)


@contextlib.contextmanager
def _failure_reported(control: int) -> Iterator[None]:
    """Tell the host what keeps the cell from starting, in place of raising it."""
    try:
        yield
    except StepFailedError as error:
        _say(control, {"failed": error.step, "why": error.args[1]})
    except Exception as error:
        _say(control, {"failed": "start", "why": f"{type(error).__name__}: {error}"})


def main() -> None:
    spec = json.loads(sys.argv[1])
    control, spec["peer"] = fork.park_descriptors([int(spec["control"]), int(spec["peer"])])
    if "incoming" in spec:
        (spec["incoming"],) = fork.park_descriptors([int(spec["incoming"])])
    with _failure_reported(control):
        if spec["namespaces"]:
            _start_stub(spec, control)
        else:
            _serve_without_namespaces(spec, control)


# --- outside -----------------------------------------------------------------------------------------------------


def _start_stub(spec: dict[str, Any], control: int) -> None:
    group = cgroup.create(spec["cgroup"]) if spec["cgroup"] else cgroup.none("not asked for")
    oom.spare_this_process()
    as_root = os.geteuid() == 0
    user, own_group = os.geteuid(), os.getegid()
    inner, outer = socket.socketpair()
    try:
        with _step("user and PID namespaces"):
            if as_root:
                os.setgroups([])
            kernel.unshare(kernel.NEWPID if as_root else kernel.NEWUSER | kernel.NEWPID)
        if not as_root:
            with _step("id maps"):
                _write_maps(os.getpid(), [(_SAMPLE_ID, user)], [(_SAMPLE_ID, own_group)])
        pid = os.fork()
        if pid == 0:
            outer.close()
            _start_server(spec, control, inner, group)
        inner.close()
        host = os.getppid()
        if _attend(outer, pid, spec, group) and _supervise(control, pid, host) and group.oom_kills():
            sys.exit(cgroup.KILLED_FOR_MEMORY)
    finally:
        group.remove()


def _write_maps(pid: int, users: list[tuple[int, int]], groups: list[tuple[int, int]]) -> None:
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", "".join(f"{inside} {outside} 1\n" for inside, outside in users)),
        ("gid_map", "".join(f"{inside} {outside} 1\n" for inside, outside in groups)),
    ):
        with open(f"/proc/{pid}/{name}", "w") as file:
            file.write(text)


def _attend(outer: socket.socket, pid: int, spec: dict[str, Any], group: cgroup.Group) -> bool:
    """Help the server with its start; False when it ended instead.

    Joining a cgroup takes the kernel 10 ms or more, in which the server goes on; no sample runs before it is done.
    """
    while (request := outer.recv(8)) == b"map":
        base = int(spec["id_base"])
        ids = [(0, base), (_SAMPLE_ID, base + 1)]
        _write_maps(pid, ids, ids)
        outer.send(b"ok")
    if request != b"join":
        os.waitpid(pid, 0)
        return False
    group.add(pid)
    outer.send(b"ok")
    return True


def _supervise(control: int, pid: int, host: int) -> bool:
    """Wait until the server ends or the host goes, then see to it that nothing of the server is left. Returns whether
    the server ended by itself."""
    end = os.pidfd_open(pid)
    poller = select.poll()
    poller.register(end, select.POLLIN)
    poller.register(control, 0)
    while not (events := poller.poll(_ALIVE_CHECK_MS)) and os.getppid() == host:
        pass
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return any(descriptor == end for descriptor, _ in events)


# --- inside ------------------------------------------------------------------------------------------------------


def _answered(inner: socket.socket) -> None:
    if inner.recv(8) != b"ok":
        os._exit(1)


def _start_server(spec: dict[str, Any], control: int, inner: socket.socket, group: cgroup.Group) -> NoReturn:
    try:
        with _failure_reported(control):
            # Read when the host's root is long gone.
            statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
            events = os.open(group.events, os.O_RDONLY | os.O_CLOEXEC) if group.events else -1
            proc = os.open("/proc", os.O_PATH | os.O_CLOEXEC)
            score = oom.Score.of_this_process(proc)
            _isolate(spec, inner)
            _serve(spec, control, _Kept(statm, events, proc, inner, score), group.report)
    finally:
        os._exit(0)


def _isolate(spec: dict[str, Any], inner: socket.socket) -> None:
    """Enter all namespaces and the new root, become the sample user, and give up every capability, but for the one
    that makes namespaces where each sample is to have its own; then samples have none."""
    rest = kernel.NEWNET | kernel.NEWIPC | kernel.NEWUTS | kernel.NEWCGROUP
    as_root = os.geteuid() == 0
    with _step("mount namespace"):
        kernel.unshare(kernel.NEWNS if as_root else kernel.NEWNS | rest)
    with _step("read-only root"):
        jail.enter(spec["binds"], spec["links"], spec["hidden"], int(spec["scratch"]))
    if as_root:
        with _step("user, network, IPC and UTS namespaces"):
            kernel.unshare(kernel.NEWUSER | rest)
        inner.send(b"map")
        _answered(inner)
    inner.send(b"join")
    with _step("host name"):
        kernel.sethostname(b"cell")
    with _step("capabilities"):
        kernel.drop_bounding_set()
        if as_root:
            kernel.prctl(kernel.PR_SET_KEEPCAPS, 1)
            os.setresgid(_SAMPLE_ID, _SAMPLE_ID, _SAMPLE_ID)
            os.setresuid(_SAMPLE_ID, _SAMPLE_ID, _SAMPLE_ID)
            kernel.prctl(kernel.PR_SET_KEEPCAPS, 0)
        kernel.keep_capabilities(kernel.CAP_SYS_ADMIN if spec["fresh"] else 0)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)


def _serve(spec: dict[str, Any], control: int, kept: _Kept, memory: dict[str, str]) -> None:
    """Import what samples share, restrict this process for good, and answer requests."""
    version = jail.abi()
    fork.limit_server()
    _preload(spec)
    _answered(kept.stub)
    kept.stub.close()
    address_space = fork.address_space_bytes(kept.statm)
    desk = fork.Desk(control, address_space, kept.events, is_init=True, score=kept.score)
    own_proc = os.dup(kept.proc) if spec["fresh"] else -1
    pinned = _settle(desk, kept.proc, pin=True)
    rules = [*spec["binds"], *spec["links"], *filter(os.path.exists, jail.DEVICES)] if version else []
    instructions = seccomp.build()

    def restrict() -> None:
        if version:
            with _step("Landlock"):
                jail.restrict(jail.rule_set(rules, [jail.SCRATCH, "/dev/null"], version))
        with _step("seccomp filter"):
            seccomp.install(instructions)

    def refresh() -> fork.Desk:
        """Give a process of new namespaces a scratch folder and restrictions of its own."""
        jail.mount_scratch(jail.SCRATCH, int(spec["scratch"]))
        os.chdir(jail.SCRATCH)
        score = oom.Score.of_hidden_process(own_proc)
        own = fork.Desk(control, address_space, kept.events, is_init=True, score=score)
        kernel.keep_capabilities(0)
        restrict()
        return own

    fresh = None
    if spec["fresh"]:
        fresh = server.Fresh(lambda: kernel.fork_into(kernel.NEWPID | kernel.NEWNS), refresh)
    else:
        restrict()
    _say(control, _pieces(spec, version, memory, namespaces=True) | {"pinned_pages": pinned})
    server.serve(desk, spec["role"], control, control, int(spec["peer"]), fresh)


class _Kept(NamedTuple):
    """Things that are out of reach in the new root: descriptors of this process's statm, its cgroup's events and
    /proc, the channel to the stub, and the score by which the kernel kills for memory."""

    statm: int
    events: int
    proc: int
    stub: socket.socket
    score: oom.Score


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
    runner.warm_up()


def _settle(desk: fork.Desk, proc: int, *, pin: bool) -> int:
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
        pinned = hotpages.pin(proc, runner.warm_up_sample, lambda: server.warm_up(desk))
    os.close(proc)
    fork.limit_locked_memory()
    with _step("no_new_privs"):
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    return pinned


def _pieces(
    spec: dict[str, Any], version: int, memory: dict[str, str], *, namespaces: bool
) -> dict[str, Any]:
    return {
        "namespaces": namespaces,
        "landlock": version,
        "seccomp": seccomp.supported(),
        "fresh": spec["fresh"],
        "cgroup": memory,
        "python": sys.version.split()[0],
        "packages": {name: str(getattr(sys.modules[name], "__version__", "")) for name in spec["packages"]},
    }


def _serve_without_namespaces(spec: dict[str, Any], control: int) -> None:
    """Without namespaces of our own: inside a container, or, weaker, straight on the host.

    As process 1 of a container the server can be restricted like any other. Elsewhere it cannot kill what a
    sample's children leave behind, so each sample is restricted by itself: no new processes, its own Landlock
    domain (with signal scoping it reaches nobody, the server included).
    """
    is_init = os.getpid() == 1
    incoming = int(spec.get("incoming", control))
    version = jail.abi()
    statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    path = next(filter(os.path.exists, cgroup.CONTAINER_EVENTS), "") if is_init else ""
    events = os.open(path, os.O_RDONLY | os.O_CLOEXEC) if path else -1
    peer = int(spec["peer"])
    if spec.get("peer_path"):
        with _step("channel between the containers of judge and candidate"):
            peer = _meet(spec["role"], spec["peer_path"])
    os.chdir(spec["scratch_folder"])
    fork.limit_server()
    _preload(spec)
    address_space = fork.address_space_bytes(statm)
    proc = os.open("/proc", os.O_PATH | os.O_CLOEXEC)
    desk = fork.Desk(
        incoming,
        address_space,
        events,
        is_init=is_init,
        scratch=spec["scratch_folder"],
        score=oom.Score.of_this_process(proc),
    )
    pinned = _settle(desk, proc, pin=is_init)
    restrict = _restriction(spec, version, allow_processes=is_init)
    if is_init:
        restrict()
    else:
        desk.restrict = restrict
    memory = {"version": "the container's"} if is_init else {"missing": "no namespaces"}
    _say(control, _pieces(spec, version, memory, namespaces=is_init) | {"pinned_pages": pinned})
    server.serve(desk, spec["role"], incoming, control, peer)


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
