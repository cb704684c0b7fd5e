"""Which process the kernel kills when memory runs out: a sample's, not the fork server that has to judge it.

The kernel kills the process with the highest score, which is its own memory and an adjustment of up to the whole limit
(Linux Documentation/filesystems/proc.rst, oom_score_adj). What the kernel keeps for a process (pipes, sockets, page
tables) counts for nobody, so that without an adjustment a sample that fills that would have its server killed.

A sample has no /proc to raise its own adjustment with, so the server raises its own around each fork, which the sample
inherits: two writes to a descriptor, a microsecond. Going back below what was inherited is allowed down to the
lowest value that a privileged process has set.
"""

from __future__ import annotations

import os

from assay.sandbox.cell import kernel

_OF_SAMPLES = b"1000"
_NEVER = b"-1000"


def spare_this_process() -> None:
    """Have the kernel never kill this process for memory, where it has CAP_SYS_RESOURCE; else its score stays."""
    try:
        with open("/proc/self/oom_score_adj", "wb", 0) as file:
            file.write(_NEVER)
    except OSError:
        return


class Score:
    """This process's adjustment, by a descriptor that works when /proc is out of reach."""

    def __init__(self, descriptor: int) -> None:
        """`descriptor` is this process's open oom_score_adj, or -1 where that cannot be had."""
        self._descriptor = descriptor
        self._own = os.pread(descriptor, 16, 0).strip() if descriptor >= 0 else b""

    @classmethod
    def of_this_process(cls, proc: int) -> Score:
        """Open it by `proc`, a descriptor of /proc, which takes being dumpable for as long as that lasts."""
        try:
            return cls(os.open("self/oom_score_adj", os.O_RDWR | os.O_CLOEXEC, dir_fd=proc))
        except OSError:
            return NO_SCORE

    @classmethod
    def of_hidden_process(cls, proc: int) -> Score:
        """The same for a process that is not dumpable, and is not afterwards. `proc` is closed."""
        kernel.prctl(kernel.PR_SET_DUMPABLE, 1)
        try:
            return cls.of_this_process(proc)
        finally:
            kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
            os.close(proc)

    def fork(self) -> int:
        """os.fork() of a process that the kernel kills before this one."""
        if self._descriptor < 0:
            return os.fork()
        pid = -1
        os.pwrite(self._descriptor, _OF_SAMPLES, 0)
        try:
            pid = os.fork()
        finally:
            if pid:
                os.pwrite(self._descriptor, self._own, 0)
        return pid


NO_SCORE = Score(-1)


def kills(events: bytes) -> int:
    """Return the count of processes killed for memory in a cgroup's memory.events or memory.oom_control."""
    for line in events.splitlines():
        name, _, count = line.partition(b" ")
        if name == b"oom_kill":
            return int(count)
    return 0
