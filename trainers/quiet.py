"""Keep the training libraries' banners, progress bars and advice off the terminal while ours is shown.

Errors still come through: only what is below ERROR is held back, and only for the time of a `with` block.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from trainers.threads import let_idle_threads_sleep

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
    """Within the block, only errors of the training libraries are logged, and their bars are off."""
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
