"""A cell built from outside, by three processes.

The *stub* stays on the host's side and owns what has to outlive the others: it writes the id maps, holds the cgroup,
and sees to it that nothing is left when the host goes, even killed. The *keeper* makes the namespaces and the root, and
stays in them, but outside of the PID namespace, where no sample reaches it: it mounts a new scratch folder when the
server asks for one. The *server* is process 1. The keeper forks it and has it execute the interpreter anew inside the
root (`start`), so that its memory, arguments and environment hold nothing of the host.

Every cell's start pays for what is imported here: little is.
"""

from __future__ import annotations

import fcntl
import marshal
import os
import select
import sys
import time
from _json import encode_basestring_ascii  # nothing can be imported any more between the two roots
from _signal import SIGKILL  # type: ignore[import-not-found]
from _socket import SCM_RIGHTS, SOL_SOCKET, socket, socketpair

from assay.sandbox.cell import jail, kernel, oom

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from assay.sandbox.cell import cgroup

_SAMPLE_ID = 1000
_ALIVE_CHECK_MS = 2000
_SECOND_NS = 10**9
_FIRST_SERVER_FD = 16
_LENGTH_BYTES = 4
# The capabilities that the server keeps, in the cell's own user namespace, for what it does between samples: begin
# their process numbers anew, and set the times of the scratch folder. For fresh namespaces it is another one.
_RIGHTS = kernel.CAP_CHECKPOINT_RESTORE | kernel.CAP_FOWNER
_ENDED_BY_ITSELF = 3  # the keeper's exit status when the server did, and was not made to
# What the server may ask of the keeper, and what it is answered when that failed.
NEW_SCRATCH, HIDE_CODE, REFUSED = b"s", b"h", b"-"


class StepFailedError(Exception):
    """An isolation step that the kernel refused: `step` names it."""

    def __init__(self, step: str, error: OSError | str) -> None:
        super().__init__(step, str(error))
        self.step = step


class step:  # noqa: N801 - used as a context manager; contextlib would be an import
    """Name the step that an OSError of the block comes from."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise StepFailedError(self._name, error) from error


class failure_reported:  # noqa: N801
    """Tell the host what keeps the cell from starting, in place of raising it."""

    def __init__(self, control: int) -> None:
        self._control = control

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, StepFailedError):
            say(self._control, _failure(error.step, error.args[1]))
        elif isinstance(error, Exception):
            say(self._control, _failure("start", f"{type(error).__name__}: {error}"))
        return isinstance(error, Exception)


def say(control: int, text: str) -> None:
    """Send the host a message, a JSON object."""
    os.write(control, frame(text.encode()))


def _failure(step_name: str, reason: str) -> str:
    return f'{{"failed": {encode_basestring_ascii(step_name)}, "why": {encode_basestring_ascii(reason)}}}'


def frame(data: bytes) -> bytes:
    return len(data).to_bytes(_LENGTH_BYTES, "big") + data


def read_frame(descriptor: int) -> bytes:
    return _read(descriptor, int.from_bytes(_read(descriptor, _LENGTH_BYTES), "big"))


def _read(descriptor: int, size: int) -> bytes:
    data = b""
    while len(data) < size:
        if not (part := os.read(descriptor, size - len(data))):
            raise EOFError("the specification ends early")
        data += part
    return data


def main() -> None:
    spec = marshal.loads(read_frame(0))
    control = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, _FIRST_SERVER_FD)
    host = os.getppid()
    oom.spare_this_process()
    for_keeper, for_stub = socketpair()
    keeper = os.fork()
    if keeper == 0:
        for_stub.close()
        _run_keeper(spec, control, for_keeper)
    for_keeper.close()
    # What follows is done while the keeper works.
    _run_stub(spec, for_stub, keeper, host)


# --- the stub ----------------------------------------------------------------------------------------------------


def _run_stub(spec: dict[str, Any], channel: socket, keeper: int, host: int) -> None:
    if os.geteuid() == 0 and channel.recv(64) == b"map":
        base = int(spec["id_base"])
        ids = [(0, base), (_SAMPLE_ID, base + 1)]
        write_maps(keeper, ids, ids)
        channel.send(b"ok")
    from assay.sandbox.cell import cgroup

    group = cgroup.create(spec["cgroup"]) if spec["cgroup"] else cgroup.none("not asked for")
    try:
        request = channel.recv(64)
        if request.startswith(b"join "):
            _join(channel, group, int(request[5:]))
        if _supervise(keeper, host) and group.oom_kills():
            sys.exit(cgroup.KILLED_FOR_MEMORY)
    finally:
        group.remove()


def write_maps(pid: int, users: list[tuple[int, int]], groups: list[tuple[int, int]]) -> None:
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", "".join(f"{inside} {outside} 1\n" for inside, outside in users)),
        ("gid_map", "".join(f"{inside} {outside} 1\n" for inside, outside in groups)),
    ):
        with open(f"/proc/{pid}/{name}", "w") as file:
            file.write(text)


def _join(channel: socket, group: cgroup.Group, server: int) -> None:
    """Put the server into its group, and give it descriptors of the group's events and of its CPU usage.

    Joining takes the kernel 10 ms or more, in which the server goes on; no sample runs before it is done.
    """
    group.add(server)
    paths = [path for path in (group.events, group.usage) if path and os.path.exists(path)]
    files = [os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in paths]
    numbers = b"".join(number.to_bytes(4, sys.byteorder) for number in files)
    rights = [(SOL_SOCKET, SCM_RIGHTS, numbers)] if files else []
    try:
        channel.sendmsg([marshal.dumps(dict(group.report))], rights)
    except BrokenPipeError:
        return  # it has ended during its start
    finally:
        for number in files:
            os.close(number)


def _supervise(keeper: int, host: int) -> bool:
    """Wait until the keeper ends, or the host goes and it has to. Returns whether the server ended by itself."""
    poller = select.poll()
    poller.register(os.pidfd_open(keeper), select.POLLIN)
    while not poller.poll(_ALIVE_CHECK_MS) and os.getppid() == host:
        pass
    try:  # noqa: SIM105
        os.kill(keeper, SIGKILL)
    except ProcessLookupError:
        pass
    _, status = os.waitpid(keeper, 0)
    return os.WIFEXITED(status) and os.WEXITSTATUS(status) == _ENDED_BY_ITSELF


# --- the keeper --------------------------------------------------------------------------------------------------


def _run_keeper(spec: dict[str, Any], control: int, stub: socket) -> NoReturn:
    status = 0
    try:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, SIGKILL)
        with failure_reported(control):
            kept = {
                "proc": os.open("/proc", os.O_PATH | os.O_CLOEXEC),
                "pids": writable("/proc/sys/kernel/ns_last_pid"),
            }
            has_clocks = _make_namespaces(spec, stub)
            with step("scratch folder"):
                jail.mount_scratch(jail.SCRATCH_MOUNT, int(spec["scratch"]))
            requests, kept["keeper"] = (end.detach() for end in socketpair())
            server = os.fork()
            if server == 0:
                _become_server(spec, control, kept | {"stub": stub.fileno()}, has_clocks)
            os.close(kept["keeper"])
            kernel.prctl(kernel.PR_SET_PDEATHSIG, SIGKILL)  # changes of rights have taken it back
            stub.send(f"join {server}".encode())
            stub.close()
            if keep(control, server, requests, int(spec["scratch"])):
                status = _ENDED_BY_ITSELF
    finally:
        os._exit(status)


def writable(path: str) -> int:
    try:
        return os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _make_namespaces(spec: dict[str, Any], stub: socket) -> bool:
    """Enter all namespaces but those of PIDs and of clocks, which are for children, and the new root. Returns whether
    the kernel has a namespace of clocks.

    Root binds the root's folders by its own rights, before it gives them up, and then has a second mount namespace,
    in which the keeper can mount: the rights to one are those in the user namespace that it was made in.
    """
    offsets = writable("/proc/self/timens_offsets")
    inside = kernel.NEWUSER | kernel.NEWNS | kernel.NEWPID | kernel.NEWNET | kernel.NEWIPC | kernel.NEWUTS
    inside |= kernel.NEWCGROUP | (kernel.NEWTIME if offsets >= 0 else 0)
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        with step("mount namespace"):
            os.setgroups([])
            kernel.unshare(kernel.NEWNS)
        _enter_root(spec)
        with step("user, PID, mount, network, IPC and UTS namespaces"):
            kernel.unshare(inside)
        stub.send(b"map")
        answered(stub)
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
    else:
        with step("user, PID, mount, network, IPC and UTS namespaces"):
            kernel.unshare(inside)
        with step("id maps"):
            write_maps(os.getpid(), [(_SAMPLE_ID, user)], [(_SAMPLE_ID, group)])
        _enter_root(spec)
    if offsets >= 0:
        with step("clocks"):
            set_clocks(offsets)
    with step("host name"):
        kernel.sethostname(b"cell")
    return offsets >= 0


def _enter_root(spec: dict[str, Any]) -> None:
    with step("read-only root"):
        jail.enter(spec["binds"], spec["links"], spec["hidden"], spec["replaced"])


def set_clocks(offsets: int) -> None:
    """Have the children's clocks that count from the machine's start count from now: one second, as 0 is not a time."""
    text = ""
    for name, clock in (("monotonic", time.CLOCK_MONOTONIC), ("boottime", time.CLOCK_BOOTTIME)):
        seconds, nanoseconds = divmod(_SECOND_NS - time.clock_gettime_ns(clock), _SECOND_NS)
        text += f"{name} {seconds} {nanoseconds}\n"
    os.write(offsets, text.encode())
    os.close(offsets)


def answered(channel: socket) -> None:
    if channel.recv(8) != b"ok":
        os._exit(1)


def keep(control: int, server: int, requests: int, scratch_bytes: int) -> bool:
    """Do what the server asks for until it ends, or the host goes and it has to; return whether it ended by itself."""
    end = os.pidfd_open(server)
    poller = select.poll()
    for descriptor in (end, requests):
        poller.register(descriptor, select.POLLIN)
    poller.register(control, 0)
    while True:
        ready = [descriptor for descriptor, _ in poller.poll()]
        if end in ready or control in ready:
            break
        if not (request := os.read(requests, 1)):
            poller.unregister(requests)
            continue
        os.write(requests, _answer(request, scratch_bytes))
    try:  # noqa: SIM105
        os.kill(server, SIGKILL)
    except ProcessLookupError:
        pass
    os.waitpid(server, 0)
    return end in ready


def _answer(request: bytes, scratch_bytes: int) -> bytes:
    try:
        if request == NEW_SCRATCH:
            kernel.unmount(jail.SCRATCH_MOUNT)
            jail.mount_scratch(jail.SCRATCH_MOUNT, scratch_bytes)
        else:
            jail.cover(jail.CELL_FOLDER)
    except OSError:
        return REFUSED
    return request


# --- the server, until it is the interpreter inside --------------------------------------------------------------


def _become_server(spec: dict[str, Any], control: int, kept: dict[str, int], has_clocks: bool) -> NoReturn:
    """Become the sample user, give up all capabilities but `_RIGHTS`, and execute the interpreter in the new root."""
    try:
        with failure_reported(control):
            with step("capabilities"):
                rights = kernel.CAP_SYS_ADMIN if spec["fresh"] else _RIGHTS
                kernel.let_inherit(rights)
                kernel.drop_bounding_set()
                if os.geteuid() == 0:
                    kernel.prctl(kernel.PR_SET_KEEPCAPS, 1)
                    os.setresgid(_SAMPLE_ID, _SAMPLE_ID, _SAMPLE_ID)
                    os.setresuid(_SAMPLE_ID, _SAMPLE_ID, _SAMPLE_ID)
                    kernel.prctl(kernel.PR_SET_KEEPCAPS, 0)
                kernel.keep_capabilities_over_exec(rights)
            kernel.prctl(kernel.PR_SET_PDEATHSIG, SIGKILL)
            os.chdir(jail.SCRATCH)
            descriptors = kept | {"control": control, "peer": int(spec["peer"])}
            numbers = descriptors | {"clocks": int(has_clocks)}
            text = ", ".join(f'"{name}": {number}' for name, number in numbers.items())
            for number in descriptors.values():
                if number >= 0:
                    os.set_inheritable(number, True)
            specification = os.memfd_create("spec")
            os.write(specification, frame(spec["inside"]) + frame(f"{{{text}}}".encode()))
            os.lseek(specification, 0, os.SEEK_SET)
            os.dup2(specification, 0)
            null = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
            for number in (1, 2):
                os.dup2(null, number)
            with step("the interpreter in the new root"):
                os.execve(spec["command"][0], spec["command"], spec["environment"])
    finally:
        os._exit(1)
