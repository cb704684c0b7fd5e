"""Process numbers that begin anew for each sample: a counter that ran on would tell the next one how many processes
those before it had started."""

from __future__ import annotations

import os

_SERVER = b"1"  # the last number given out, so that the next is 2


class PidCounter:
    """The counter of this PID namespace; setting it takes CAP_CHECKPOINT_RESTORE, which samples must not have."""

    def __init__(self, descriptor: int) -> None:
        """`descriptor` is /proc/sys/kernel/ns_last_pid, open for writing, or -1 where that cannot be had."""
        self._descriptor = descriptor
        try:
            self.restart()
        except OSError:
            self._descriptor = -1

    @property
    def is_reset(self) -> bool:
        """Return whether it begins anew for each sample: not before Linux 5.9, nor where /proc/sys is read-only."""
        return self._descriptor >= 0

    def restart(self) -> None:
        if self._descriptor >= 0:
            os.pwrite(self._descriptor, _SERVER, 0)


NO_COUNTER = PidCounter(-1)
