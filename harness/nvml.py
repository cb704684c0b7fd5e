"""NVIDIA's management library, where there is one: opened in one way for all that ask it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def open_nvml() -> Any | None:
    """pynvml, initialised; whoever opened it shuts it down. None where it is not installed or finds no driver."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


def ask_nvml(question: Callable[[Any], T]) -> T | None:
    """The answer to one question; None also where a device fails while asked (one that fell off the bus)."""
    nvml = open_nvml()
    if nvml is None:
        return None
    try:
        return question(nvml)
    except nvml.NVMLError:
        return None
    finally:
        nvml.nvmlShutdown()
