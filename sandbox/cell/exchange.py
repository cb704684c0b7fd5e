"""What passes through a server of one sample (its source, its report, what it printed) leaves nothing in its memory.

Every later sample is a copy of the server's memory, what was freed in it included. So these bytes never become
objects of the interpreter: they go through mappings of their own, which are private, so that a sample that writes
to its copy tells the next one nothing, and which are emptied after each answer.
"""

from __future__ import annotations

import mmap
import os

from assay.sandbox.cell import wire

_BODY_BYTES = 256 << 10
_REPLY_BYTES = 32 << 10
ADDRESS_SPACE_BYTES = _BODY_BYTES + _REPLY_BYTES  # of both
_ZEROS = memoryview(bytes(_BODY_BYTES))
_WIPED_BY_WRITING = 64 << 10  # more is given back to the kernel, which hands out empty pages

TOKEN_BYTES = 16
# A report is read to where its token ends at the place of its content, and the response's head then covers the token.
_REPORT_AT = wire.HEAD.size - TOKEN_BYTES
_DETAIL_AT = wire.HEAD.size + wire.REPORT.size
_REPORT_BYTES = TOKEN_BYTES + wire.REPORT.size + wire.DETAIL_BYTES
_DRAINED_BYTES = 4096


def _mapping(size: int) -> mmap.mmap:
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


class Bodies:
    """The bodies of requests, one after the other."""

    def __init__(self) -> None:
        self._map = _mapping(_BODY_BYTES)
        self._view = memoryview(self._map)
        self._used = 0
        self._large: tuple[mmap.mmap, memoryview] | None = None

    def read(self, descriptor: int, size: int) -> memoryview:
        """The next `size` bytes of the channel, there until `wipe`; EOFError when it closes before."""
        if size <= _BODY_BYTES:
            self._used = size
            body = self._view[:size]
        else:
            mapping = _mapping(size)
            self._large = mapping, memoryview(mapping)
            body = self._large[1]
        done = 0
        while done < size:
            count = os.readv(descriptor, [body[done:]])
            if not count:
                raise EOFError("the channel closed within a request")
            done += count
        return body

    def wipe(self) -> None:
        if self._large is not None:
            mapping, view = self._large
            view.release()
            mapping.close()
            self._large = None
        _wipe(self._map, self._view, self._used)
        self._used = 0


class Reply:
    """The answer to one request: head, the sample's own report, what is shown of its output."""

    def __init__(self) -> None:
        self._map = _mapping(_REPLY_BYTES)
        self._view = memoryview(self._map)
        self._used = _DETAIL_AT
        self._end = _DETAIL_AT
        self._output_bytes = 0

    def take_report(self, descriptor: int, token: bytes) -> None:
        """Take what a sample wrote to its pipe: its report, if it begins with `token`. The pipe is left empty, however
        the sample cut up what it wrote."""
        view = self._view
        try:
            count = os.readv(descriptor, [view[_REPORT_AT : _REPORT_AT + _REPORT_BYTES]])
            self._used = max(self._used, _REPORT_AT + count)
            if count >= TOKEN_BYTES + wire.REPORT.size and view[_REPORT_AT : wire.HEAD.size] == token:
                # What follows its detail in the pipe is no report: something that the sample started wrote it.
                (size,) = wire.LENGTH.unpack_from(view, _DETAIL_AT - wire.LENGTH.size)
                self._end = min(_REPORT_AT + count, _DETAIL_AT + size)
            else:
                view[_REPORT_AT:_DETAIL_AT] = _ZEROS[: _DETAIL_AT - _REPORT_AT]
            drained = view[_REPLY_BYTES - _DRAINED_BYTES :]
            while os.readv(descriptor, [drained]):
                self._used = _REPLY_BYTES
        except BlockingIOError:
            return

    def set_report(self, code: int, passed: int, detail: bytes) -> None:
        """Give the report of a judge that stays."""
        self._end = self._used = _DETAIL_AT + len(detail)
        wire.REPORT.pack_into(self._view, wire.HEAD.size, code, passed, 0)
        self._view[_DETAIL_AT : self._end] = detail

    def take_output(self, descriptor: int, size: int) -> None:
        """Take what is shown of an output file of `size` bytes."""
        if size <= wire.SHOWN_OUTPUT_BYTES:
            self._output_bytes = self._read(descriptor, self._end, size, 0)
            return
        half = wire.SHOWN_OUTPUT_BYTES // 2
        note = f"\n[... {size - 2 * half} bytes left out ...]\n".encode()
        start = self._end
        end = start + self._read(descriptor, start, half, 0)
        self._view[end : end + len(note)] = note
        end += len(note)
        self._output_bytes = end + self._read(descriptor, end, half, size - half) - start

    def _read(self, descriptor: int, start: int, size: int, offset: int) -> int:
        return os.preadv(descriptor, [self._view[start : start + size]], offset)

    def send(self, descriptor: int, *head: int) -> None:
        """Send the answer, with these fields of its head, and leave nothing of it here."""
        end = self._end + self._output_bytes
        wire.HEAD.pack_into(self._view, 0, *head, self._output_bytes)
        wire.LENGTH.pack_into(self._view, _DETAIL_AT - wire.LENGTH.size, self._end - _DETAIL_AT)
        sent = os.write(descriptor, self._view[:end])
        while sent < end:
            sent += os.write(descriptor, self._view[sent:end])
        _wipe(self._map, self._view, max(self._used, end))
        self._used = self._end = _DETAIL_AT
        self._output_bytes = 0


def _wipe(mapping: mmap.mmap, view: memoryview, size: int) -> None:
    if size <= _WIPED_BY_WRITING:
        view[:size] = _ZEROS[:size]
    else:
        mapping.madvise(mmap.MADV_DONTNEED)
