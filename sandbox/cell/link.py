"""The channel between a judge and a candidate: length-prefixed messages of data, over one descriptor."""

from __future__ import annotations

import os
import struct
from functools import partial
from typing import Any

from sandbox.cell import codec, wire

_LENGTH = struct.Struct("!I")
_read, _write = os.read, os.write

# candidate to judge
LOADED, NOT_LOADED, RETURNED, RAISED, NOT_DATA = range(5)


def send(descriptor: int, message: list[Any]) -> None:
    data = codec.to_bytes(message)
    data = _LENGTH.pack(len(data)) + data
    sent = _write(descriptor, data)
    while sent < len(data):
        sent += _write(descriptor, data[sent:])


def receive(descriptor: int) -> list[Any]:
    """EOFError when the other side is gone, ValueError when it sent something that is no message."""
    read = partial(_read, descriptor)
    (size,) = _LENGTH.unpack(wire.read_exactly(read, _LENGTH.size))
    if size > codec.MAX_BYTES:
        raise ValueError(f"a message of {size} bytes")
    return codec.from_bytes(wire.read_exactly(read, size))
