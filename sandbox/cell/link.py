"""The channel between a judge and a candidate: length-prefixed messages of data, over one descriptor."""

from __future__ import annotations

import os
import struct
from functools import partial
from typing import Any

from sandbox.cell import codec, wire

_LENGTH = struct.Struct("!I")
_READ_BYTES = 1 << 16
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
    """EOFError when the other side is gone, ValueError when it sent something that is no message.

    Calls and answers take turns, so what is there to read is one message: one system call gets a short one whole.
    """
    data = _read(descriptor, _READ_BYTES)
    if len(data) < _LENGTH.size:
        if not data:
            raise EOFError("the other side closed the channel")
        data += wire.read_exactly(partial(_read, descriptor), _LENGTH.size - len(data))
    (size,) = _LENGTH.unpack_from(data)
    if size > codec.MAX_BYTES:
        raise ValueError(f"a message of {size} bytes")
    missing = size + _LENGTH.size - len(data)
    if missing < 0:
        raise ValueError("more than one message at a time")
    if missing:
        data += wire.read_exactly(partial(_read, descriptor), missing)
    return codec.from_bytes(data[_LENGTH.size :])
