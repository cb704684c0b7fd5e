"""Data as JSON forms: what crosses between a candidate and its judge.

Lists, strings, booleans, None, floats (NaN, infinities and -0.0 included) and integers are written as JSON has them;
every other type is a one-entry object `{tag: content}`, so a decoder can make nothing but the types listed here. What
is not data is left to the caller, who may give it a form of its own (see `handles`). `nodes` collects the mutable
containers in the order in which both sides meet them, so that a container can be spoken of by its number.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import importlib
import json
import re
import sys
from builtins import (  # noqa: UP029
    TypeError,
    ValueError,
    bytearray,
    bytes,
    complex,
    dict,
    enumerate,
    float,
    frozenset,
    getattr,
    hex,
    id,
    int,
    len,
    list,
    map,
    max,
    min,
    range,
    set,
    slice,
    str,
    tuple,
    type,
)
from collections.abc import Callable
from typing import Any

MAX_DEPTH = 150
MAX_BYTES = 8 << 20
_DEEPEST_JSON = 50_000
_DECIMAL_BITS = 10_000  # larger integers are written in base 16, which takes linear time

_PLAIN = frozenset((str, bool, type(None), float))
SCALARS = _PLAIN | {int}
_INTEGERS = frozenset((int,))
_LARGE = 1 << 63  # any bound below `_DECIMAL_BITS` would do

Nodes = list[Any]
Foreign = Callable[[Any], Any]  # the form of a value that is not data, or NotDataError
Native = Callable[[str, Any], Any]  # the value of a form that is not data's


class NotDataError(TypeError):
    """A value that is not data, or too deep or too large; the message says which."""


def refuse(value: Any) -> Any:
    """The `Foreign` of those who take nothing but data."""
    raise NotDataError(f"a {type(value).__name__}")


def refuse_form(tag: str, _content: Any) -> Any:
    """The `Native` of those who take nothing but data."""
    raise ValueError(f"a form of the kind {tag!r}")


# Values without children, or with immutable ones. type: (tag, content, whether the content's items are encoded)


def _zone(value: Any) -> Any:
    zone = value.tzinfo
    if zone is None:
        return None
    if type(zone) is datetime.timezone:
        return zone.utcoffset(None).total_seconds()
    raise NotDataError(f"a {type(value).__name__} with a time zone of its own kind")


_ENCODERS: dict[type, tuple[str, Callable[[Any], Any], bool]] = {
    tuple: ("t", list, True),
    frozenset: ("f", list, True),
    bytes: ("b", bytes.hex, False),
    complex: ("c", lambda value: [value.real, value.imag], False),
    range: ("r", lambda value: [value.start, value.stop, value.step], True),
    slice: ("sl", lambda value: [value.start, value.stop, value.step], True),
    decimal.Decimal: ("D", str, False),
    fractions.Fraction: ("F", lambda value: [value.numerator, value.denominator], True),
    datetime.datetime: ("dt", lambda v: [v.replace(tzinfo=None).isoformat(), v.fold, _zone(v)], False),
    datetime.date: ("dd", lambda value: [value.isoformat()], False),
    datetime.time: ("tm", lambda v: [v.replace(tzinfo=None).isoformat(), v.fold, _zone(v)], False),
    datetime.timedelta: ("td", lambda value: [value.days, value.seconds, value.microseconds], False),
    datetime.timezone: ("tz", lambda value: value.utcoffset(None).total_seconds(), False),
    type(...): ("el", lambda value: 0, False),
    type(NotImplemented): ("ni", lambda value: 0, False),
    re.Pattern: ("re", lambda value: [value.pattern, value.flags], True),
}
# Of modules that few programs import. (module, name): (tag, content)
_LATE: dict[tuple[str, str], tuple[str, Callable[[Any], Any]]] = {
    ("uuid", "UUID"): ("u", lambda value: value.hex),
    ("pathlib", "PosixPath"): ("p", str),
    ("pathlib", "PurePosixPath"): ("pp", str),
}


def _late(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


# Mutable containers, all of them nodes. type: (tag, content, whether its items are encoded, or pairs)
_PAIRS = object()
_CONTAINERS: dict[type, tuple[str, Callable[[Any], Any], Any]] = {
    dict: ("d", dict.items, _PAIRS),
    set: ("s", list, True),
    bytearray: ("B", bytearray.hex, False),
    collections.deque: ("q", list, True),
    collections.Counter: ("C", dict.items, _PAIRS),
    collections.OrderedDict: ("O", lambda value: collections.OrderedDict.items(value), _PAIRS),
    collections.defaultdict: ("dD", dict.items, _PAIRS),
}
_VIEWS: dict[type, str] = {type({}.keys()): "dk", type({}.values()): "dv", type({}.items()): "di"}
MUTABLE = frozenset((list, *_CONTAINERS))


def _deepest() -> int:
    """How deep a value may be nested: more where the recursion limit was raised, to which it takes some frames each."""
    return max(MAX_DEPTH, (sys.getrecursionlimit() - 400) // 4)


def encode(value: Any, nodes: Nodes, foreign: Foreign = refuse, depth: int = 0) -> Any:
    """The JSON form of `value`, written as a tree: a container that occurs twice is written twice, and `nodes` tells.
    NotDataError where it has none."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is int:
        return value if value.bit_length() < _DECIMAL_BITS else {"i": hex(value)}
    if depth >= MAX_DEPTH and depth >= _deepest():
        raise NotDataError(f"a value nested more than {_deepest()} deep")
    depth += 1
    if kind is list:
        nodes.append(value)
        kinds = set(map(type, value))
        if kinds <= _PLAIN or (kinds == _INTEGERS and max(value) < _LARGE and min(value) > -_LARGE):
            return list(value)
        return [v if type(v) in _PLAIN else encode(v, nodes, foreign, depth) for v in value]
    if kind in _CONTAINERS:
        nodes.append(value)
    return shape(value, kind, foreign, lambda item: encode(item, nodes, foreign, depth))


def shape(value: Any, kind: type, foreign: Foreign, child: Callable[[Any], Any]) -> Any:
    """The form of a value that is neither plain nor an integer nor a list, with its items' forms made by `child`."""
    encoder = _ENCODERS.get(kind)
    if encoder is not None:
        tag, content, nested = encoder
        items = content(value)
        return {tag: [child(v) for v in items] if nested else items}
    container = _CONTAINERS.get(kind)
    if container is not None:
        tag, content, nested = container
        items = content(value)
        if nested is _PAIRS:
            items = [[child(k), child(v)] for k, v in items]
        elif nested:
            items = [child(v) for v in items]
        if kind is collections.defaultdict:
            items = [child(value.default_factory), items]
        elif kind is collections.deque:
            items = [value.maxlen, items]
        return {tag: items}
    view = _VIEWS.get(kind)
    if view is not None:
        return {view: [child(v) for v in value]}
    late = _LATE.get((kind.__module__, kind.__name__))
    if late is not None and kind is getattr(sys.modules.get(kind.__module__), kind.__name__, None):
        return {late[0]: late[1](value)}
    return foreign(value)


def decode(form: Any, nodes: Nodes, native: Native = refuse_form) -> Any:
    """The value of a JSON form. ValueError, TypeError or a LookupError for anything that `encode` does not make."""
    kind = type(form)
    if kind in _PLAIN or kind is int:
        return form
    if kind is list:
        if SCALARS.issuperset(map(type, form)):
            items = list(form)
            nodes.append(items)
            return items
        items = []
        nodes.append(items)
        for item in form:
            items.append(decode(item, nodes, native))
        return items
    ((tag, content),) = form.items()
    make = _MAKERS.get(tag)
    if make is not None:
        return make(content, lambda item: decode(item, nodes, native))
    if tag in _EMPTY:
        built = empty(form, lambda item: decode(item, nodes, native))
        nodes.append(built)
        fill(built, form, lambda item: decode(item, nodes, native))
        return built
    return native(tag, content)


Child = Callable[[Any], Any]


def _items(content: Any, child: Child) -> list[Any]:
    if type(content) is not list:
        raise ValueError("a list was expected")
    return [child(item) for item in content]


def _timezone(seconds: Any) -> Any:
    return None if seconds is None else datetime.timezone(datetime.timedelta(seconds=float(seconds)))


def _moment(kind: Any) -> Callable[[Any, Child], Any]:
    return lambda content, _: kind.fromisoformat(content[0]).replace(
        fold=int(content[1]), tzinfo=_timezone(content[2])
    )


_MAKERS: dict[str, Callable[[Any, Child], Any]] = {
    "i": lambda content, _: int(content, 16),
    "t": lambda content, child: tuple(_items(content, child)),
    "f": lambda content, child: frozenset(_items(content, child)),
    "b": lambda content, _: bytes.fromhex(content),
    "c": lambda content, _: complex(float(content[0]), float(content[1])),
    "r": lambda content, child: range(*_items(content, child)),
    "sl": lambda content, child: slice(*_items(content, child)),
    "D": lambda content, _: decimal.Decimal(str(content)),
    "F": lambda content, child: fractions.Fraction(*_items(content, child)),
    "dt": _moment(datetime.datetime),
    "tm": _moment(datetime.time),
    "dd": lambda content, _: datetime.date.fromisoformat(content[0]),
    "td": lambda content, _: datetime.timedelta(*map(int, content)),
    "tz": lambda content, _: _timezone(content),
    "u": lambda content, _: _late("uuid", "UUID")(hex=content),
    "p": lambda content, _: _late("pathlib", "PosixPath")(str(content)),
    "pp": lambda content, _: _late("pathlib", "PurePosixPath")(str(content)),
    "el": lambda content, _: ...,
    "ni": lambda content, _: NotImplemented,
    "re": lambda content, child: re.compile(child(content[0]), int(content[1])),
    "dk": lambda content, child: dict.fromkeys(_items(content, child)).keys(),
    "dv": lambda content, child: dict(enumerate(_items(content, child))).values(),
    "di": lambda content, child: dict(_items(content, child)).items(),
}

# Containers are made empty and then filled, so that they can hold themselves.

_EMPTY: dict[str, Callable[[Any, Child], Any]] = {
    "d": lambda content, _: {},
    "s": lambda content, _: set(),
    "B": lambda content, _: bytearray(),
    "q": lambda content, _: collections.deque(maxlen=content[0]),
    "C": lambda content, _: collections.Counter(),
    "O": lambda content, _: collections.OrderedDict(),
    "dD": lambda content, child: collections.defaultdict(child(content[0])),
}


def empty(form: Any, child: Child) -> Any:
    """A new container of the form's kind, without its items."""
    if type(form) is list:
        return []
    ((tag, content),) = form.items()
    return _EMPTY[tag](content, child)


def fill(container: Any, form: Any, child: Child) -> None:
    """Give a container the items of a form of its own kind, and no others. ValueError for a form of another kind."""
    kind = type(container)
    if kind is list:
        container[:] = _items(form, child)
        return
    ((tag, content),) = form.items()
    if tag != _CONTAINERS[kind][0]:
        raise ValueError("a container changed its type")
    if kind is bytearray:
        container[:] = bytes.fromhex(content)
    elif kind is set:
        items = _items(content, child)
        container.clear()
        container.update(items)
    elif kind is collections.deque:
        items = _items(content[1], child)
        container.clear()
        container.extend(items)
    else:
        pairs = [(child(key), child(item)) for key, item in (content[1] if tag == "dD" else content)]
        container.clear()
        for key, item in pairs:
            container[key] = item


def is_tree(nodes: Nodes) -> bool:
    """Return whether no container occurs twice among the nodes of some values, so that their forms say all."""
    return len(nodes) < 2 or len(set(map(id, nodes))) == len(nodes)


class Tracker:
    """The containers that judge and candidate both hold on to, by numbers that both give in the same order.

    As long as no container is spoken of twice, values cross as trees and nothing is tracked. From the first alias on
    (an argument that is passed twice, that comes back, or that the candidate keeps) each container gets a number when
    it first crosses, and each message begins with the new contents of those that changed: aliases stay aliases and
    changes in place are seen on the other side, as if both were one process.
    """

    def __init__(self) -> None:
        self.on = False
        self.objects: dict[int, Any] = {}
        self._numbers: dict[int, int] = {}
        self._last: dict[int, Any] = {}
        self._next = 0

    def start(self, nodes: Nodes) -> None:
        """Begin, with the containers that have crossed as trees last; the other side has them in the same order."""
        self.on = True
        for node in nodes:
            if id(node) not in self._numbers:
                self._register(node)

    def _register(self, value: Any) -> None:
        self._numbers[id(value)] = self._next
        self.objects[self._next] = value
        self._next += 1

    def encode(self, value: Any, foreign: Foreign, depth: int = 0) -> Any:
        kind = type(value)
        if kind in _PLAIN:
            return value
        if kind is int:
            return value if value.bit_length() < _DECIMAL_BITS else {"i": hex(value)}
        if depth >= MAX_DEPTH and depth >= _deepest():
            raise NotDataError(f"a value nested more than {_deepest()} deep")
        if kind not in MUTABLE:
            return shape(value, kind, foreign, lambda item: self.encode(item, foreign, depth + 1))
        number = self._numbers.get(id(value))
        if number is not None:
            return {"@": number}
        self._register(value)
        return {"&": self._content(value, foreign, depth)}

    def _content(self, value: Any, foreign: Foreign, depth: int = 0) -> Any:
        def child(item: Any) -> Any:
            return self.encode(item, foreign, depth + 1)

        kind = type(value)
        return [child(item) for item in value] if kind is list else shape(value, kind, foreign, child)

    def decode(self, form: Any, native: Native) -> Any:
        kind = type(form)
        if kind in _PLAIN or kind is int:
            return form
        if kind is list:
            raise ValueError("a list without a number")
        ((tag, content),) = form.items()

        def child(item: Any) -> Any:
            return self.decode(item, native)

        if tag == "@":
            return self.objects[content]
        if tag == "&":
            built = empty(content, child)
            self._register(built)
            fill(built, content, child)
            return built
        make = _MAKERS.get(tag)
        return make(content, child) if make is not None else native(tag, content)

    def changes(self, foreign: Foreign) -> list[list[Any]]:
        """[number, content] of each container that changed since the last message."""
        changed = []
        for number, value in list(self.objects.items()):
            content = self._content(value, foreign)
            if content != self._last.get(number):
                changed.append([number, content])
        return changed

    def apply(self, changes: list[list[Any]], native: Native) -> None:
        for number, content in changes:
            fill(self.objects[number], content, lambda item: self.decode(item, native))

    def settle(self, foreign: Foreign) -> None:
        """Remember the contents as they are after a message, which both sides now agree on."""
        for number, value in list(self.objects.items()):
            self._last[number] = self._content(value, foreign)

    def forget(self, numbers: list[int]) -> None:
        for number in numbers:
            del self._numbers[id(self.objects.pop(number))]
            self._last.pop(number, None)

    def dropped(self) -> list[int]:
        """The numbers of the containers that nobody on this side holds but this table, from which they are taken."""
        numbers = []
        for number in list(self.objects):
            if _references(self.objects[number]) == _IN_TABLE:
                numbers.append(number)
                self.forget([number])
        return numbers


_references = sys.getrefcount
_IN_TABLE = 2  # the table's own, and the argument of the call that counts


# Messages as bytes.

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
    try:
        message, end = _load(text)
    except RecursionError:  # deeply nested, which is for those who read the message to refuse
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(_DEEPEST_JSON)
        try:
            message, end = _load(text)
        finally:
            sys.setrecursionlimit(limit)
    if type(message) is not list or end != len(text):
        raise ValueError("a message is one list")
    return message
