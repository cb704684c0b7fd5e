"""Data, and nothing but data, as JSON: what crosses between a candidate and its judge.

Lists, strings, booleans, None, floats (NaN, infinities and -0.0 included) and integers are written as JSON has them;
every other type is a one-entry object `{tag: content}`, so a decoder can make nothing but the types listed here. The
judge sends exact types only. A candidate's answers may also be subclasses of these and iterators: what they hold is
sent, through the base class, and none of their methods ever runs in the judge.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import itertools
import json
import os
import struct
from collections.abc import Callable
from functools import partial
from typing import Any

from assay.sandbox.cell import wire

MAX_DEPTH = 150
MAX_BYTES = 8 << 20
MAX_ITERATED = 100_000
_DECIMAL_BITS = 10_000  # larger integers are written in base 16, which takes linear time

_PLAIN = frozenset((str, bool, type(None), float))
_SCALARS = _PLAIN | {int}
_INTEGERS = frozenset((int,))
_LARGE = 1 << 63  # any bound below `_DECIMAL_BITS` would do


class NotDataError(TypeError):
    """A value that is not data, or too deep or too large; the message says which."""


def _datetime_parts(value: Any) -> list[Any]:
    if value.tzinfo is not None:
        raise NotDataError(f"a {type(value).__name__} with a time zone")
    return [value.isoformat(), value.fold]


# type: (tag, its content as a list or a string, whether the content's items are themselves encoded)
_ENCODERS: dict[type, tuple[str, Callable[[Any], Any], bool]] = {
    tuple: ("t", list, True),
    set: ("s", list, True),
    frozenset: ("f", list, True),
    bytes: ("b", bytes.hex, False),
    bytearray: ("B", bytearray.hex, False),
    complex: ("c", lambda value: [value.real, value.imag], False),
    range: ("r", lambda value: [value.start, value.stop, value.step], True),
    collections.deque: ("q", list, True),
    decimal.Decimal: ("D", str, False),
    fractions.Fraction: ("F", lambda value: [value.numerator, value.denominator], True),
    datetime.datetime: ("dt", _datetime_parts, False),
    datetime.date: ("dd", lambda value: [value.isoformat()], False),
    datetime.timedelta: ("td", lambda value: [value.days, value.seconds, value.microseconds], False),
}
_DICTS: dict[type, str] = {dict: "d", collections.Counter: "C", collections.OrderedDict: "O"}
_VIEWS: dict[type, str] = {type({}.keys()): "dk", type({}.values()): "dv", type({}.items()): "di"}


def encode(value: Any, *, liberal: bool = False, depth: int = 0) -> Any:
    """The JSON form of `value`; NotDataError where it has none. `liberal` is the candidate's side."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is int:
        return value if value.bit_length() < _DECIMAL_BITS else {"i": hex(value)}
    if depth >= MAX_DEPTH:
        raise NotDataError(f"a value nested more than {MAX_DEPTH} deep")
    depth += 1
    if kind is list:
        kinds = set(map(type, value))
        if kinds <= _PLAIN or (kinds == _INTEGERS and max(value) < _LARGE and min(value) > -_LARGE):
            return list(value)
        return [v if type(v) in _PLAIN else encode(v, liberal=liberal, depth=depth) for v in value]
    tag = _DICTS.get(kind)
    if tag is not None:
        pairs = [
            [encode(k, liberal=liberal, depth=depth), encode(v, liberal=liberal, depth=depth)]
            for k, v in dict.items(value)
        ]
        return {tag: pairs}
    encoder = _ENCODERS.get(kind)
    if encoder is not None:
        tag, content, nested = encoder
        items = content(value)
        return {tag: [encode(v, liberal=liberal, depth=depth) for v in items] if nested else items}
    if liberal:
        return _encode_liberally(value, kind, depth)
    raise NotDataError(f"a {kind.__name__}")


def _encode_liberally(value: Any, kind: type, depth: int) -> Any:
    tag = _VIEWS.get(kind)
    if tag is not None:
        return {tag: [encode(v, liberal=True, depth=depth) for v in value]}
    for base, read in _READERS.items():
        if issubclass(kind, base):
            return encode(read(value), liberal=True, depth=depth)
    if kind.__module__ == "numpy" and hasattr(value, "item") and getattr(value, "shape", None) == ():
        return encode(value.item(), liberal=True, depth=depth)
    if hasattr(kind, "__next__"):
        items = list(itertools.islice(value, MAX_ITERATED + 1))
        if len(items) > MAX_ITERATED:
            raise NotDataError(f"an iterator of more than {MAX_ITERATED} items")
        return {"it": [encode(v, liberal=True, depth=depth) for v in items]}
    raise NotDataError(f"a {kind.__name__}")


# How to read what a subclass holds without running a method of its own.
_READERS: dict[type, Callable[[Any], Any]] = {
    int: int.__index__,
    float: float.__float__,
    str: str.__str__,
    complex: complex.__complex__,
    collections.Counter: lambda value: collections.Counter(dict(dict.items(value))),
    collections.OrderedDict: lambda value: collections.OrderedDict(dict.items(value)),
    dict: lambda value: dict(dict.items(value)),
    list: lambda value: list(list.__iter__(value)),
    tuple: lambda value: tuple(tuple.__iter__(value)),
    set: lambda value: set(set.__iter__(value)),
    frozenset: lambda value: frozenset(frozenset.__iter__(value)),
    bytes: lambda value: bytes(bytes.__iter__(value)),
    bytearray: lambda value: bytearray(bytearray.__iter__(value)),
    collections.deque: lambda value: collections.deque(collections.deque.__iter__(value)),
}


def _one_argument(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda content: make(_items(content))


def _items(content: Any) -> list[Any]:
    if type(content) is not list:
        raise ValueError("a list was expected")
    return [decode(item) for item in content]


def _pairs(content: Any) -> list[tuple[Any, Any]]:
    return [(decode(key), decode(value)) for key, value in content]


_DECODERS: dict[str, Callable[[Any], Any]] = {
    "i": lambda content: int(content, 16),
    "t": _one_argument(tuple),
    "s": _one_argument(set),
    "f": _one_argument(frozenset),
    "b": bytes.fromhex,
    "B": bytearray.fromhex,
    "c": lambda content: complex(float(content[0]), float(content[1])),
    "r": lambda content: range(*_items(content)),
    "q": _one_argument(collections.deque),
    "D": lambda content: decimal.Decimal(str(content)),
    "F": lambda content: fractions.Fraction(*_items(content)),
    "dt": lambda content: datetime.datetime.fromisoformat(content[0]).replace(fold=int(content[1])),
    "dd": lambda content: datetime.date.fromisoformat(content[0]),
    "td": lambda content: datetime.timedelta(*content),
    "d": lambda content: dict(_pairs(content)),
    "C": lambda content: collections.Counter(dict(_pairs(content))),
    "O": lambda content: collections.OrderedDict(_pairs(content)),
    "dk": lambda content: dict.fromkeys(_items(content)).keys(),
    "dv": lambda content: dict(enumerate(_items(content))).values(),
    "di": lambda content: dict(_items(content)).items(),
    "it": lambda content: iter(_items(content)),
}


def decode(form: Any) -> Any:
    """The value of a JSON form. ValueError, TypeError or a LookupError for anything that `encode` does not make."""
    kind = type(form)
    if kind in _PLAIN or kind is int:
        return form
    if kind is list:
        return list(form) if _SCALARS.issuperset(map(type, form)) else [decode(item) for item in form]
    ((tag, content),) = form.items()
    return _DECODERS[tag](content)


_encoder = json.JSONEncoder(check_circular=False, separators=(",", ":"))
_load = json.JSONDecoder().raw_decode


def _make_dump() -> Callable[[Any], str]:
    """`_encoder.encode`, which makes the encoder in C anew on every call, without that."""
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return _encoder.encode
    text = json.encoder.encode_basestring_ascii
    chunks = make(None, _encoder.default, text, None, ":", ",", False, False, True)
    return lambda message: "".join(chunks(message, 0))


_dump = _make_dump()


def to_bytes(message: list[Any]) -> bytes:
    """A message of JSON forms as bytes; NotDataError when it is larger than the cap."""
    data = _dump(message).encode("ascii")
    if len(data) > MAX_BYTES:
        raise NotDataError(f"a value of {len(data)} bytes (at most {MAX_BYTES} are taken)")
    return data


def from_bytes(data: bytes) -> list[Any]:
    text = data.decode("ascii")
    message, end = _load(text)
    if type(message) is not list or end != len(text):
        raise ValueError("a message is one list")
    return message


# The channel between a judge and a candidate: length-prefixed messages of data, over one descriptor.

_LENGTH = struct.Struct("!I")
_READ_BYTES = 1 << 16
_read, _write = os.read, os.write

# candidate to judge
LOADED, NOT_LOADED, RETURNED, RAISED, NOT_DATA = range(5)


def send(descriptor: int, message: list[Any]) -> None:
    data = to_bytes(message)
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
        if end > MAX_BYTES + _LENGTH.size:
            raise ValueError(f"a message of {end} bytes")
        if len(data) < end:
            data += wire.read_exactly(partial(_read, self._descriptor), end - len(data))
        self._data = data[end:]
        return from_bytes(data[_LENGTH.size : end])

    def _more(self) -> bytes:
        data = _read(self._descriptor, _READ_BYTES)
        if not data:
            raise EOFError("the other side closed the channel")
        return data
