"""Which check runs now, for limits of single checks: written by whoever runs the checks, read by the watching server.

A small file in memory, made before the filters. In split mode the judge's cell makes it and passes it to the
candidate's server over the channel between the two; no candidate can reach it. In shared mode a candidate runs in
the process that writes it, and can write it too, as it can forge all else there.
"""

from __future__ import annotations

import mmap
import os
import struct

_NUMBER = struct.Struct("=I")
_PAGE = mmap.PAGESIZE
_ZEROS = bytes(_PAGE)

# The file as this process writes it; None where nobody looks.
_page: mmap.mmap | None = None


def create() -> int:
    """Return a new file's descriptor."""
    descriptor = os.memfd_create("progress")
    os.ftruncate(descriptor, _PAGE)
    return descriptor


def write_to(descriptor: int) -> None:
    """Have this process, and all that it forks, write to that file."""
    global _page
    _page = mmap.mmap(descriptor, _PAGE)


def stop_writing() -> None:
    global _page
    _page = None


def begin(number: int) -> None:
    """Note that the check of that number, from 1 on, begins; 0 for what belongs to none."""
    if _page is not None:
        _NUMBER.pack_into(_page, 0, number)


def clear() -> None:
    """Bring the whole file back to what it was, whatever a sample wrote to it."""
    if _page is not None:
        _page[:] = _ZEROS


class Watch:
    """The CPU time of one sample while single checks run, compared with their limits whenever it is looked at.

    `number` and `used_s` are of the check that used most of its limit so far; 0 stands for what belongs to no check,
    which is the loading of the program, limited by `rest_s` where that is above 0.
    """

    def __init__(self, descriptor: int, limits_s: tuple[float, ...], rest_s: float = 0) -> None:
        self._descriptor = descriptor
        self._limits_s = (rest_s, *limits_s)
        self._current = 0
        self._began_s = 0.0
        self.number = 0
        self.used_s = 0.0
        self.share = 0.0

    def is_over(self, cpu_s: float) -> bool:
        """Return whether the check that runs has used up its limit; `cpu_s` is what the sample used until now."""
        (current,) = _NUMBER.unpack(os.pread(self._descriptor, _NUMBER.size, 0))
        if current != self._current:
            self._current, self._began_s = current, cpu_s
        if current >= len(self._limits_s) or self._limits_s[current] <= 0:
            return False
        used = cpu_s - self._began_s
        share: float = used / self._limits_s[current]
        if share > self.share:
            self.number, self.used_s, self.share = current, used, share
        return bool(share >= 1)
