"""Fork, watch, kill and tidy: what every role of the cell does with one sample.

The fork server is process 1 of its PID namespace (or of its container), so that one kill reaches everything a
sample left behind. Where it is not, samples may not fork at all and killing the sample is enough.
"""

from __future__ import annotations

import fcntl
import os
import resource
import select
import signal
import stat
import time
from _signal import pthread_sigmask  # type: ignore[import-not-found]
from collections.abc import Callable, Sequence
from typing import NamedTuple

from assay.sandbox.cell import cgroup, exchange, kernel, oom, progress, wire
from assay.sandbox.cell.pids import NO_COUNTER, PidCounter
from assay.sandbox.cell.scratch import Scratch

# The wrapper in `signal` makes enums of its answer, once for each sample.


# Descriptors 3 and 4 belong to samples: the report pipe and the channel to the judge. The server parks
# /dev/null there, so that everything it opens is numbered above them.
REPORT_FD, CHANNEL_FD = 3, 4
_FIRST_FREE_FD = 5
_FIRST_SERVER_FD = 16
_LARGEST_FD = 1 << 20
_OPEN_FILES = 256
# A judge's server passes descriptors on, which the kernel refuses to a user with more on their way than one process may
# have open. Without ids of their own all cells belong to one user: candidates must not use that up for judges.
_OPEN_FILES_OF_JUDGE = 4096
_STACK_BYTES = 64 << 20
# How long a running sample is left to itself: a caller that is gone is noticed this late, at the latest.
_TICK_S = 0.05
_SHORTEST_WAIT_S = 0.005
# What tells a sample that waits for the CPU from one that waits for something else.
_LEAST_WORK_S = 0.0005
_LEAST_SWITCHES = 10
_OF_LATE_S = 2.0
_ADDRESS_SPACE_STEP = 64 << 20
_CPU_CLOCK_OF_PROCESS = 2
_USAGE_BYTES = 64  # holds the line that counts
_NO_TIMES = (0, 0)
_CHILD_ENDED = frozenset((signal.SIGCHLD,))

_Ended = tuple[int, int, resource.struct_rusage]  # what wait4 gives


class Usage(NamedTuple):
    status: int
    cpu_us: int
    peak: int
    switches: int  # how often the kernel took the CPU from it


class Desk:
    """The server's belongings between samples: an output file, a report pipe, the scratch folder, process numbers."""

    def __init__(
        self,
        control: int,
        address_space: int,
        events: int,
        scratch: Scratch,
        *,
        is_init: bool,
        usage: int = -1,
        pids: PidCounter = NO_COUNTER,
        has_rights: bool = False,
        score: oom.Score = oom.NO_SCORE,
    ) -> None:
        """`address_space` is the server's own, see `address_space_bytes`; `events` a file that counts kills for
        memory, or -1; `usage` one that counts the cell's CPU time, or -1; `has_rights` says that this process has
        capabilities, which samples are not to have; `score` is what makes the kernel kill samples first."""
        self.null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        self.output = os.memfd_create("output")
        self.progress = progress.create()
        self.bodies, self.reply = exchange.Bodies(), exchange.Reply()
        self.report_end, self.report = os.pipe()
        os.set_blocking(self.report_end, False)
        self.is_init = is_init
        self.warming = False  # another child is to outlive the sample
        self._control = control
        self._poller = select.poll()
        self._poller.register(control, 0)  # hang-up and error only
        # Set where each sample has to be restricted by itself.
        self.restrict: Callable[[], None] | None = None
        self._scratch = scratch
        self.pids = pids
        self._has_rights = has_rights
        self._flags = fcntl.fcntl(self.output, fcntl.F_GETFL)
        os.utime(self.output, _NO_TIMES)
        self._null_flags = fcntl.fcntl(self.null, fcntl.F_GETFL)
        self._mode = stat.S_IMODE(os.fstat(self.output).st_mode)
        self._address_space = address_space + exchange.ADDRESS_SPACE_BYTES
        self._events = events
        self._last_events = self._read_events()
        self._usage = usage
        self._score = score
        self._last_work = 0.0
        self._may_open_more = resource.getrlimit(resource.RLIMIT_NOFILE)[0] > _OPEN_FILES
        pthread_sigmask(signal.SIG_BLOCK, _CHILD_ENDED)  # it is waited for, see `_wait`

    def fork(self) -> int:
        """os.fork() of a sample, which sees the same whatever ran before it."""
        self.pids.restart()
        self._scratch.begin()
        return self._score.fork()

    def address_space_for(self, request: wire.Request) -> int:
        """The limit on address space of a process that is to have what the request says, on top of the server's."""
        return request.memory + self._address_space

    def apply_limits(self, request: wire.Request, report: int, channel: int) -> None:
        """Give the forked sample its descriptors and limits. Everything else of the server's is closed."""
        if self._has_rights:
            kernel.give_up_capabilities()
        if self.restrict is not None:
            self.restrict()
        pthread_sigmask(signal.SIG_UNBLOCK, _CHILD_ENDED)
        os.dup2(self.null, 0)
        os.dup2(self.output, 1)
        os.dup2(self.output, 2)
        for source, target in ((report, REPORT_FD), (channel, CHANNEL_FD)):
            if source >= 0:
                os.dup2(source, target, inheritable=False)
            else:
                os.close(target)
        os.closerange(_FIRST_FREE_FD, _LARGEST_FD)
        limit = resource.setrlimit
        if self._may_open_more:
            limit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
        seconds = request.cpu_ms // 1000 + 2
        limit(resource.RLIMIT_CPU, (seconds, seconds))
        memory = self.address_space_for(request)
        limit(resource.RLIMIT_AS, (memory, memory))
        limit(resource.RLIMIT_FSIZE, (request.file, request.file))
        if request.processes and self.is_init:
            # Itself and the server are counted with what it may start. Without namespaces of its own the user's
            # other processes would be too; there it may start none, and memory bounds its threads.
            processes = request.processes + 2
            limit(resource.RLIMIT_NPROC, (processes, processes))

    def attend(
        self, pid: int, request: wire.Request, hangup: int, started: float
    ) -> tuple[int, Usage, progress.Watch | None]:
        """Wait until the sample ends, uses up its CPU or wall time, or `hangup` closes, then see to it that nothing
        of it is left. Says which it was, what the sample and all it started used, and what was seen of its checks
        where they have limits of their own."""
        watch = None
        if request.check_cpu_ms:
            rest = request.cpu_ms - sum(request.check_cpu_ms)
            limits = tuple(ms / 1000 for ms in request.check_cpu_ms)
            watch = progress.Watch(self.progress, limits, rest / 1000)
        reason, ended = self._wait(pid, request, hangup, started, watch)
        return reason, self.reap(pid, ended), watch

    def _wait(
        self, pid: int, request: wire.Request, hangup: int, started: float, watch: progress.Watch | None
    ) -> tuple[int, _Ended | None]:
        """Its end is waited for by its signal, which is blocked and so kept: that costs one call a sample."""
        cpu_left = request.cpu_ms / 1000
        wall_end = started + request.wall_ms / 1000
        seen_s = 0.0
        cell_before_s: float | None = None
        while True:
            wall_left = wall_end - time.monotonic()
            signal.sigtimedwait(_CHILD_ENDED, max(_SHORTEST_WAIT_S, min(_TICK_S, cpu_left, wall_left)))
            ended = os.wait4(pid, os.WNOHANG)
            if ended[0]:
                return wire.ENDED, ended
            if self._has_hung_up(hangup):
                return wire.HUNG_UP, None
            used = cpu_s_of(pid)
            if self._usage >= 0:  # what it starts is counted too, from the first look on
                in_cell_s = cgroup.cpu_s(os.pread(self._usage, _USAGE_BYTES, 0))
                if cell_before_s is None:
                    cell_before_s = in_cell_s - used
                used = max(used, in_cell_s - cell_before_s)
            if used - seen_s > _LEAST_WORK_S:
                seen_s, self._last_work = used, time.monotonic()
            cpu_left = request.cpu_ms / 1000 - used
            if cpu_left <= 0 or (watch is not None and watch.is_over(used)):
                return wire.CPU_LIMIT, None
            if time.monotonic() >= wall_end:
                return wire.WALL_LIMIT, None

    def was_starved(self, usage: Usage) -> bool:
        """Return whether the sample that just ended wanted the CPU to the end and did not get it. One that slept, or
        waited for something, did not work of late, or was not pushed off the CPU."""
        return usage.switches >= _LEAST_SWITCHES and time.monotonic() - self._last_work < _OF_LATE_S

    def _has_hung_up(self, hangup: int) -> bool:
        if hangup >= 0:
            self._poller.register(hangup, 0)
        gone = [fd for fd, _ in self._poller.poll(0)]
        if hangup >= 0:
            self._poller.unregister(hangup)
        if self._control in gone:
            os._exit(0)  # the host is gone; process 1 takes everything with it
        return bool(gone)

    def wait_for_reply(
        self, replies: int, pid: int, request: wire.Request, started: float, cpu_before_s: float
    ) -> int:
        """Wait until `replies` of a process that stays can be read or a limit is reached; return which."""
        cpu_left = request.cpu_ms / 1000
        wall_end = started + request.wall_ms / 1000
        self._poller.register(replies, select.POLLIN)
        try:
            while True:
                left = max(_SHORTEST_WAIT_S, min(cpu_left, wall_end - time.monotonic()))
                events = [fd for fd, _ in self._poller.poll(1000 * left)]
                if replies in events:
                    return wire.ENDED
                if events:
                    os._exit(0)  # the host is gone
                cpu_left = request.cpu_ms / 1000 - cpu_s_of(pid) + cpu_before_s
                if cpu_left <= 0:
                    return wire.CPU_LIMIT
                if time.monotonic() >= wall_end:
                    return wire.WALL_LIMIT
        finally:
            self._poller.unregister(replies)

    def reap(self, pid: int, ended: _Ended | None = None) -> Usage:
        """Kill the sample and everything it started, and wait until all of it is gone.

        `ended` is how it ended by itself. What it started is by then a child of this process: none left to wait
        for is proof that there is none.
        """
        if ended is None:
            try:  # noqa: SIM105 - between forks every object touched is a page copied
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            ended = os.wait4(pid, 0)
        _, status, usage = ended
        cpu_s = usage.ru_utime + usage.ru_stime
        peak, switches = usage.ru_maxrss, usage.ru_nivcsw
        how = os.WNOHANG
        while self.is_init and not self.warming:
            try:
                other, _, usage = os.wait4(-1, how)
            except ChildProcessError:
                break
            if other:
                cpu_s += usage.ru_utime + usage.ru_stime
                peak = max(peak, usage.ru_maxrss)
                switches += usage.ru_nivcsw
            else:
                os.kill(-1, signal.SIGKILL)  # as process 1 of a namespace: everything but this process
                how = 0
        return Usage(status, round(cpu_s * 1e6), peak * 1024, switches)

    def take_report(self, token: bytes) -> None:
        """Take what the sample wrote to its report pipe into the reply; the pipe is left as new."""
        fcntl.fcntl(self.report, fcntl.F_SETFL, os.O_WRONLY)
        self.reply.take_report(self.report_end, token)
        os.utime(self.report, _NO_TIMES)

    def has_output(self) -> bool:
        return os.fstat(self.output).st_size > 0

    def take_output(self) -> int:
        """Take what is shown of what the sample wrote into the reply, leaving the file as new for the next; return how
        many bytes it wrote."""
        status = os.fstat(self.output)
        size = status.st_size
        if size:
            self.reply.take_output(self.output, size)
        if size or status.st_blocks or status.st_mtime_ns or status.st_atime_ns:
            os.ftruncate(self.output, 0)  # of what is past the end, too
            os.utime(self.output, _NO_TIMES)
        # What else a sample can change about files that it shares with the next one.
        os.lseek(self.output, 0, os.SEEK_SET)
        fcntl.fcntl(self.output, fcntl.F_SETFL, self._flags)
        os.fchmod(self.output, self._mode)
        fcntl.fcntl(self.null, fcntl.F_SETFL, self._null_flags)
        fcntl.flock(self.null, fcntl.LOCK_UN)
        return size

    def ran_out_of_memory(self) -> bool:
        """Return whether the kernel killed a process of this cell for memory since the last call."""
        before, self._last_events = self._last_events, self._read_events()
        return before != self._last_events and oom.kills(before) < oom.kills(self._last_events)

    def _read_events(self) -> bytes:
        return os.pread(self._events, 512, 0) if self._events >= 0 else b""

    def tidy(self) -> bool:
        """Have the scratch folder as new; False when it could not be brought back to that."""
        return self._scratch.tidy()


def cpu_s_of(pid: int) -> float:
    """CPU time of all threads of a process of this namespace, one that has ended but is not reaped included."""
    return time.clock_gettime(~pid << 3 | _CPU_CLOCK_OF_PROCESS)


def address_space_bytes(statm: int) -> int:
    """Return this process's address space in bytes (`statm` is its open /proc/self/statm), so that a sample's limit
    is on what it adds.

    Rounded up, for two cells differ by a few pages and their samples must not.
    """
    pages = int(os.pread(statm, 64, 0).split()[0])
    os.close(statm)
    return -(-pages * resource.getpagesize() // _ADDRESS_SPACE_STEP) * _ADDRESS_SPACE_STEP


def park_descriptors(inherited: Sequence[int]) -> list[int]:
    """Move what the host passed above the samples' own descriptors, and keep those taken. Gives the new numbers."""
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FIRST_SERVER_FD) if fd >= 0 else -1 for fd in inherited]
    for fd in inherited:
        if fd > 2:
            os.close(fd)
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (REPORT_FD, CHANNEL_FD):
        if fd != null:
            os.dup2(null, fd, inheritable=False)
    if null not in (REPORT_FD, CHANNEL_FD):
        os.close(null)
    return moved


def limit_server(role: str) -> None:
    """The limits that every sample inherits, but for a judge's open files."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = _OPEN_FILES_OF_JUDGE if role == "judge" else _OPEN_FILES
    if most != resource.RLIM_INFINITY:
        files = min(files, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    resource.setrlimit(resource.RLIMIT_STACK, (_STACK_BYTES, _STACK_BYTES))
    # A process 1 receives from its children only the signals that it has a handler for; Python has one for this.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def limit_locked_memory() -> None:
    """Apart from the other limits: the server may have pages to pin first."""
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
