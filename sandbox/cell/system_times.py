"""os.times without the machine's uptime, which the system call of that name tells and samples may not ask for."""

from __future__ import annotations

import os
import posix
import resource
import time


def replace() -> None:
    """Have `os.times` count its elapsed time by the cell's own clock."""
    # Bound here, before any candidate runs.
    usage_of, clock, result = resource.getrusage, time.monotonic, os.times_result

    def times() -> os.times_result:
        own, children = usage_of(resource.RUSAGE_SELF), usage_of(resource.RUSAGE_CHILDREN)
        return result((own.ru_utime, own.ru_stime, children.ru_utime, children.ru_stime, clock()))

    os.times = posix.times = times
