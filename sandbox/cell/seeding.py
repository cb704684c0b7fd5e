"""Random numbers that are the same for every sample, and no work on seeds that nobody sees."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable

# Filled in samples only.
_in_sample: list[bool] = []


def import_random() -> None:
    """Import `random` for the first time, so that it draws a new seed after a sample's own forks only.

    It registers for every fork, so that a child does not repeat its parent; a sample is seeded anyhow.
    """
    register = os.register_at_fork

    def only_in_samples(*, after_in_child: Callable[[], None]) -> None:
        register(after_in_child=lambda: after_in_child() if _in_sample else None)

    os.register_at_fork = only_in_samples  # type: ignore[assignment]
    try:
        import random  # noqa: F401
    finally:
        os.register_at_fork = register


def prepare() -> None:
    """Prepare a new process, before anything of a sample runs, so that a verdict can be had again."""
    import random

    _in_sample.append(True)
    gc.enable()
    random.seed(0)
