"""The surroundings of the training libraries: their messages, their threads, their caches."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LOGGERS = (
    "transformers",
    "trl",
    "peft",
    "datasets",
    "accelerate",
    "bitsandbytes",
    "torch.distributed",
    "httpx",
)
# Read by these libraries when they are imported.
_ENVIRONMENT = {
    "TRL_EXPERIMENTAL_SILENCE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "BITSANDBYTES_NOWELCOME": "1",
}


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Log only errors of the training libraries within the block, and switch their progress bars off."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    let_idle_threads_sleep()
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    import datasets
    from transformers.utils import logging as transformers_logging

    bars_were_on = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    transformers_logging.disable_progress_bar()
    # Importing transformers sets its logger's level anew.
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        with warnings.catch_warnings():
            # Where the environment switches bars off, being asked to switch them on is warned about.
            warnings.filterwarnings("ignore", message="Cannot enable progress bars")
            if bars_were_on:
                datasets.enable_progress_bars()
            transformers_logging.enable_progress_bar()


def bound_compiled_products() -> None:
    """Bound oneDNN's cache of compiled products, unless the user has; call it before the first product.

    torch's bf16 products on CPU are compiled for every shape they meet and kept, 1,024 of them by default. Batches have
    all lengths, so a run meets new shapes at almost every step: 120 steps of the pocket model, 3.6 million parameters,
    peaked at 2.27 GiB resident, at 1.80 GiB with 128 kept; 25 steps at 1.34 GiB, at 1.14 GiB with 64 kept, in the same
    CPU time. With 8, fewer than a step's own shapes, a quarter more CPU time went into compiling them again.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")


def let_idle_threads_sleep() -> None:
    """Have OpenMP's threads sleep while they wait, unless the user has chosen; call it before torch or llama.cpp loads.

    By default they spin. On a machine of few cores, where the sandbox or anything else uses one of them, the spinning
    threads wait for a partner that has no core to run on, and everything becomes 10 to 25 times slower (measured: 350
    tokens/s instead of 3,400 beside one busy process on two cores).
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
