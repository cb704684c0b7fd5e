"""Text as it may be shown while it is still being written."""

from __future__ import annotations

from collections.abc import Sequence

_UNFINISHED = "\N{REPLACEMENT CHARACTER}"


class Deltas:
    """The pieces of a growing text that can no longer change: neither the beginning of a stop string, which would be
    cut, nor a character whose last bytes are missing. All pieces together are the text."""

    __slots__ = ("_shown", "_stop")

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = tuple(stop)
        self._shown = 0

    def more(self, text: str) -> str:
        """What is new and certain in `text`, the whole so far."""
        whole = text[: len(text) - _unfinished(text)]
        held = max((_begun(whole, stop) for stop in self._stop), default=0)
        return self._show(text, len(whole) - held)

    def rest(self, text: str) -> str:
        """What was not shown so far of the finished text."""
        return self._show(text, len(text))

    def _show(self, text: str, end: int) -> str:
        piece = text[self._shown : end]
        self._shown = max(self._shown, end)
        return piece


def _unfinished(text: str) -> int:
    """Characters at the end that may still become another: at most three bytes of one are missing its last."""
    n = 0
    while n < min(3, len(text)) and text[-1 - n] == _UNFINISHED:
        n += 1
    return n


def _begun(text: str, stop: str) -> int:
    """Characters at the end of the text that a stop string begins with."""
    for n in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:n]):
            return n
    return 0
