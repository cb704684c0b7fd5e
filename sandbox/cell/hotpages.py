"""Fork without faults on the pages that every sample writes to.

After a fork, parent and child share pages until one of them writes, and each first write costs a fault: some 200 in a
small Python program and 150 in the server, a good part of a short sample's time. The kernel copies a page at once
when it is pinned (it must, or the device that it is pinned for would write to the wrong process: `copy_present_page`
in mm/memory.c), which is several times cheaper than a fault (on 2 cores, interleaved: 22 % more samples a second in
shared mode, 8 % in split mode). So the pages that a sample and the server, when warmed
up, are seen to write are pinned, by registering them as buffers of an io_uring that is never used. Where there is no
io_uring, or no right to pin, samples are forked as ever.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import re
from array import array
from collections.abc import Callable, Iterator

from assay.sandbox.cell.kernel import libc

_IO_URING_SETUP, _IO_URING_REGISTER, _REGISTER_BUFFERS = 425, 427, 0
_PARAMETERS_BYTES = 120
_MOST_BUFFERS = 1000
_MOST_PAGES = 1500
_PAGE = 4096
_WARM_UPS = 2

# Bits of a /proc/PID/pagemap entry: in memory, mapped by this process only, of a file.
_PRESENT, _EXCLUSIVE, _FILE = 1 << 63, 1 << 56, 1 << 61
_MASK, _OWN = _PRESENT | _EXCLUSIVE | _FILE, _PRESENT | _EXCLUSIVE
_WRITABLE_PRIVATE = re.compile(rb"([0-9a-f]+)-([0-9a-f]+) .w.p ")


def pin(proc: int, warm_up_sample: Callable[[], None], warm_up_server: Callable[[], None]) -> int:
    """Pin the pages that both warm-ups write to; return how many, 0 where this cannot be done.

    `proc` is a descriptor of /proc. `warm_up_sample` runs in forked children, `warm_up_server` here, each
    doing what is done for every sample.
    """
    try:
        hot = _written_by_samples(proc, warm_up_sample) | _written_by_server(proc, warm_up_server)
        runs = list(_runs(sorted(hot & _exclusive(proc))))[:_MOST_BUFFERS]
        return sum(size for _, size in runs) // _PAGE if runs and _register(runs) else 0
    except OSError:
        return 0


def _written_by_samples(proc: int, warm_up: Callable[[], None]) -> set[int]:
    """Pages that every one of a few forked children had to itself when it was done."""
    seen = [_pages_of_child(proc, warm_up) for _ in range(_WARM_UPS)]
    pages = set.intersection(*seen)
    return pages if len(pages) <= _MOST_PAGES else set()


def _pages_of_child(proc: int, warm_up: Callable[[], None]) -> set[int]:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            warm_up()
            data = array("Q", sorted(_exclusive(proc))).tobytes()
            while data:
                data = data[os.write(writing, data) :]
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        pages = array("Q", pipe.read())
    os.waitpid(pid, 0)
    return set(pages)


def _written_by_server(proc: int, warm_up: Callable[[], None]) -> set[int]:
    """Pages that this process had to copy while a child that shares all of them was kept waiting."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    try:
        warm_up()
        return _exclusive(proc)
    finally:
        os.close(writing)
        os.close(reading)
        os.waitpid(pid, 0)


def _exclusive(proc: int) -> set[int]:
    """The addresses of this process's writable private pages that no other process shares."""
    with open("self/maps", "rb", opener=_opener(proc)) as file:
        spans = [(int(a, 16), int(b, 16)) for a, b in _WRITABLE_PRIVATE.findall(file.read())]
    pages: set[int] = set()
    with open("self/pagemap", "rb", 0, opener=_opener(proc)) as file:
        for start, end in spans:
            file.seek(start // _PAGE * 8)
            entries = array("Q", file.read((end - start) // _PAGE * 8))
            pages.update(start + n * _PAGE for n, entry in enumerate(entries) if entry & _MASK == _OWN)
    return pages


def _opener(folder: int) -> Callable[[str, int], int]:
    return lambda path, flags: os.open(path, flags, dir_fd=folder)


def _runs(pages: list[int]) -> Iterator[tuple[int, int]]:
    """Neighbouring pages as (address, size)."""
    for _, run in itertools.groupby(enumerate(pages), lambda place: place[1] - place[0] * _PAGE):
        (_, start), *further = run
        yield start, (1 + len(further)) * _PAGE


def _register(runs: list[tuple[int, int]]) -> bool:
    ring = libc.syscall(_IO_URING_SETUP, 1, ctypes.create_string_buffer(_PARAMETERS_BYTES))
    if ring < 0:
        return False
    vectors = (ctypes.c_uint64 * (2 * len(runs)))(*(number for run in runs for number in run))
    if libc.syscall(_IO_URING_REGISTER, ring, _REGISTER_BUFFERS, ctypes.byref(vectors), len(runs)) == 0:
        return True  # the ring stays open, and the pages pinned, for as long as the server lives
    os.close(ring)
    return False
