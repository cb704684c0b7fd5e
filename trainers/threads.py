"""OpenMP threads that sleep while they wait.

By default they spin. On a machine of few cores, where the sandbox or anything else wants one of them, the spinning
threads wait for a partner that has no core to run on, and everything becomes 10 to 25 times slower (measured: 350
tokens/s instead of 3,400 beside one busy process on two cores).
"""

from __future__ import annotations

import os


def let_idle_threads_sleep() -> None:
    """Ask for it. To be called before torch or llama.cpp is loaded: OpenMP reads it then; the user's choice stands."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
