"""What tests ask about threads: how long they wait is a limit, never a measure."""

from __future__ import annotations

import threading
import time


def comes_back_to(threads: int, seconds: float = 30.0) -> bool:
    """Whether no more threads than that are left; one that was just told to end may take a moment, and one of an
    earlier test may end meanwhile."""
    end = time.monotonic() + seconds
    while threading.active_count() > threads and time.monotonic() < end:
        time.sleep(0.01)
    return threading.active_count() <= threads
