"""The channel between a judge and a candidate: length-prefixed messages of data, over one descriptor."""

from __future__ import annotations

import os
import struct
from functools import partial
from typing import Any

from assay.sandbox.cell import codec, wire

_LENGTH = struct.Struct("!I")
_READ_BYTES = 1 << 16
# Of a message that has not begun: most are shorter, and for more the C library would tidy up its heap.
_FIRST_BYTES = 900
_read, _write = os.read, os.write


def send(descriptor: int, message: list[Any]) -> None:
    """NotDataError, with nothing sent, when the message is larger than the cap."""
    data = codec.to_bytes(message)
    data = _LENGTH.pack(len(data)) + data
    sent = _write(descriptor, data)
    while sent < len(data):
        sent += _write(descriptor, data[sent:])


class Reader:
    """Takes messages off a descriptor in order. One system call gets a short message whole; what it gets of the
    next one is kept, so that a verdict does not depend on how the messages were timed."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._data = b""

    def receive(self) -> list[Any]:
        """EOFError when the other side is gone, ValueError when it sent something that is no message."""
        data = self._data
        while len(data) < _LENGTH.size:
            data += self._more()
        end = _LENGTH.size + _LENGTH.unpack_from(data)[0]
        if end > codec.MAX_BYTES + _LENGTH.size:
            raise ValueError(f"a message of {end} bytes")
        if len(data) < end:
            data += wire.read_exactly(partial(_read, self._descriptor), end - len(data))
        self._data = data[end:]
        return codec.from_bytes(data[_LENGTH.size : end])

    def _more(self) -> bytes:
        data = _read(self._descriptor, _FIRST_BYTES if not self._data else _READ_BYTES)
        if not data:
            raise EOFError("the other side closed the channel")
        return data
