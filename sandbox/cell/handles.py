"""The judge's side of what is not data: classes and objects that stand for the candidate's.

An operation on such an object is done by the candidate, and its answer is data or another such object. Two things are
never asked of the candidate: whether its object equals something (one that equals everything would pass every check),
and whether it comes before something. Nor is it told in passing what the check knows: of `f(1) - 2.5` it could say that
it is 0. Instances of classes made from a builtin type (a named tuple, an enumeration of numbers, a kind of list) have
that type's content here, and are compared by it.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, Protocol

from assay.sandbox.cell import classes
from assay.sandbox.cell.link import (
    ADVANCE,
    CALL,
    CANCEL,
    CONTENT,
    DELETE,
    GET,
    NEXT,
    NEXT_MANY,
    SET,
    SIGNATURE,
    SPECIAL,
)

_FIRST_SLICE_S, _SLICE_S = 0.0, 0.02


class Asking(Protocol):
    """What handles need of the link."""

    def ask(self, operation: int, target: Any, arguments: Any = (), named: Any = None) -> Any: ...

    def unfit(self, reason: str) -> NoReturn: ...

    def hold(self, number: int, change: int) -> None: ...

    def speaks_of(self, kind: HandleType) -> bool: ...

    def lost_assertion(self, error: AssertionError) -> None: ...


def _is_special(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _signature(link: Asking, number: int) -> inspect.Signature:
    parameters, returns = link.ask(SIGNATURE, number)
    none = inspect.Parameter.empty
    return inspect.Signature(
        [
            inspect.Parameter(
                name,
                inspect._ParameterKind(kind),
                default=default[0] if default else none,
                annotation=annotation[0] if annotation else none,
            )
            for name, kind, default, annotation in parameters
        ],
        return_annotation=returns[0] if returns else none,
    )


class HandleType(type):
    """A class of the candidate's. It is a class here too, so that isinstance(), issubclass() and `except` work."""

    _assay_link: Asking
    _assay_number: int

    def __call__(cls, *arguments: Any, **named: Any) -> Any:
        return cls._assay_link.ask(CALL, cls._assay_number, arguments, named)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_assay"):
            raise AttributeError(name)
        if name == "__signature__":
            return _signature(cls._assay_link, cls._assay_number)
        return cls._assay_link.ask(GET, cls._assay_number, [name])

    def __setattr__(cls, name: str, value: Any) -> None:
        if _is_special(name) or name.startswith(("_assay", "_abc_")):
            type.__setattr__(cls, name, value)
        else:
            cls._assay_link.ask(SET, cls._assay_number, [name, value])

    @property
    def __annotations__(cls) -> Any:  # type: ignore[override]
        return cls._assay_link.ask(GET, cls._assay_number, ["__annotations__"])

    def _special(cls, name: str, *arguments: Any) -> Any:
        return cls._assay_link.ask(SPECIAL, cls._assay_number, [name, *arguments])

    def __iter__(cls) -> Any:
        return cls._special("__iter__")

    def __len__(cls) -> int:
        return int(cls._special("__len__"))

    def __getitem__(cls, key: Any) -> Any:
        return cls._special("__getitem__", key)

    def __contains__(cls, item: Any) -> bool:
        return any(item is one or item == one for one in cls)

    def __bool__(cls) -> bool:
        return True

    def __dir__(cls) -> Any:
        return cls._special("__dir__")

    def __repr__(cls) -> str:
        return f"<class {cls.__qualname__!r}>"


class _Doc:
    """`__doc__` of instances, which is the candidate's to say; of the class what was described."""

    def __init__(self, text: Any) -> None:
        self._text = text

    def __get__(self, instance: Any, owner: Any) -> Any:
        if instance is None:
            return self._text
        return _ask(instance, GET, "__doc__")


def _ask(instance: Any, operation: int, *arguments: Any) -> Any:
    return type(instance)._assay_link.ask(operation, instance._assay_number, arguments)


class Instance(metaclass=HandleType):
    """An object of the candidate's."""

    _assay_custom_eq = False
    _assay_standard = None
    _assay_number = -1

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_assay"):
            raise AttributeError(name)
        kind = type(self)
        if name == "__signature__":
            return _signature(kind._assay_link, self._assay_number)
        if name in _COMPARING_METHODS and not kind._assay_link.speaks_of(kind):
            kind._assay_link.unfit(f"a check calls {name} of a {kind.__name__}")
        return _ask(self, GET, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if _is_special(name):
            object.__setattr__(self, name, value)
        else:
            _ask(self, SET, name, value)

    def __delattr__(self, name: str) -> None:
        _ask(self, DELETE, name)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self)._assay_standard or type(self)

    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        return _ask(self, GET, "__dict__")

    def __dir__(self) -> Any:
        return _ask(self, SPECIAL, "__dir__")

    def __copy__(self) -> Any:
        return _ask(self, SPECIAL, "__copy__")

    def __deepcopy__(self, memo: Any) -> Any:
        return _ask(self, SPECIAL, "__deepcopy__")

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        type(self)._assay_link.unfit("a check pickles an object of the candidate's")

    def __del__(self) -> None:
        if self._assay_number >= 0:
            type(self)._assay_link.hold(self._assay_number, -1)

    def __eq__(self, other: Any) -> Any:
        if self is other:
            return True
        if not self._assay_custom_eq:
            return NotImplemented
        if other is None:
            return False
        return _refuse_comparison(self, other)

    def __ne__(self, other: Any) -> Any:
        equal = self.__eq__(other)
        return equal if equal is NotImplemented else not equal

    def __hash__(self) -> int:
        return object.__hash__(self)


def _refuse_comparison(instance: Any, _other: Any) -> Any:
    name = type(instance).__name__
    type(instance)._assay_link.unfit(f"a check compares a {name} by the class's own rule")


# Methods that classes get where the candidate's have them.


def _forwarded(name: str) -> Callable[..., Any]:
    def method(self: Any, *arguments: Any, **named: Any) -> Any:
        return type(self)._assay_link.ask(SPECIAL, self._assay_number, [name, *arguments], named)

    method.__name__ = method.__qualname__ = name
    return method


def _calculated(name: str, base: type | None) -> Callable[..., Any]:
    """An arithmetic operation. With another object of the candidate's it is the candidate's to do. With data of the
    check's it is only where the check speaks of the class, and then what comes of it cannot be made a number: an object
    that calls itself the number asked for would pass."""
    plain = getattr(base, name, None) if base in classes.IMMUTABLE_BASES else None

    def method(self: Any, *arguments: Any) -> Any:
        kind = type(self)
        link = kind._assay_link
        alone = not arguments or isinstance(type(arguments[0]), HandleType)
        if not alone and plain is not None:
            return plain(self, *arguments)
        if not alone and not link.speaks_of(kind):
            link.unfit(f"a check calculates with a {kind.__name__}")
        if alone and self._assay_calculated:
            link.unfit(f"a check makes a number of a calculated {kind.__name__}")
        result = link.ask(SPECIAL, self._assay_number, [name, *arguments])
        if result is NotImplemented or alone:
            return result
        if not isinstance(type(result), HandleType):
            link.unfit(f"a check calculates a number with a {kind.__name__}")
        object.__setattr__(result, "_assay_calculated", True)
        return result

    method.__name__ = method.__qualname__ = name
    return method


def _converted(name: str) -> Callable[..., Any]:
    def method(self: Any, *arguments: Any) -> Any:
        if self._assay_calculated:
            type(self)._assay_link.unfit(f"a check makes a number of a calculated {type(self).__name__}")
        return _ask(self, SPECIAL, name, *arguments)

    method.__name__ = method.__qualname__ = name
    return method


def _called(self: Any, *arguments: Any, **named: Any) -> Any:
    return type(self)._assay_link.ask(CALL, self._assay_number, arguments, named)


def _next(self: Any) -> Any:
    ahead = self._assay_ahead
    if ahead is None:
        return _ask(self, NEXT)
    if not ahead[0]:
        items, ended = _ask(self, NEXT_MANY)
        if ended and not items:
            raise StopIteration
        ahead[0] = items[::-1]
    return ahead[0].pop()


def _length_hint(self: Any) -> Any:
    """Whoever asks is about to take all items, which may then be fetched many at a time."""
    object.__setattr__(self, "_assay_ahead", [[]])
    return NotImplemented


def _contains(self: Any, item: Any) -> bool:
    """By the judge's own comparisons: an object that says it holds everything would pass."""
    return any(item is one or item == one for one in self)


def _says_it_contains(self: Any, item: Any) -> bool:
    kind = type(self)
    if not kind._assay_link.speaks_of(kind):
        kind._assay_link.unfit(f"a check asks a {kind.__name__} whether it contains something")
    return bool(_ask(self, SPECIAL, "__contains__", item))


def _exit(name: str) -> Callable[..., Any]:
    """A context manager of the candidate's may swallow exceptions, but not what an assertion of the check raises."""

    def method(self: Any, *given: Any) -> Any:
        result = _ask(self, SPECIAL, name, *given)
        if name == "__exit__" and isinstance(given[1], AssertionError):
            type(self)._assay_link.lost_assertion(given[1])
        return result

    def waiting(self: Any, *given: Any) -> Any:
        if isinstance(given[1], AssertionError):
            type(self)._assay_link.lost_assertion(given[1])
        return _ask(self, SPECIAL, name, *given)

    return method if name == "__exit__" else waiting


def _get(self: Any, instance: Any, _owner: Any = None) -> Any:
    import types

    return self if instance is None else types.MethodType(self, instance)


def _fetched(base: type, name: str) -> Callable[..., Any]:
    """A method of a builtin container, by the content that the candidate's object has now."""
    method = getattr(base, name)

    def fetch(self: Any, *arguments: Any, **named: Any) -> Any:
        return method(_ask(self, CONTENT), *arguments, **named)

    return fetch


class _Waiting:
    """What `await` runs: the candidate's own event loop goes on for a while at each step, so that several coroutines
    of the candidate's advance together."""

    def __init__(self, handle: Any) -> None:
        self._handle, self._slice_s = handle, _FIRST_SLICE_S

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: Any) -> Any:
        done, result = _ask(self._handle, ADVANCE, self._slice_s)
        self._slice_s = _SLICE_S
        if done:
            raise StopIteration(result)

    def throw(self, kind: Any, value: Any = None, trace: Any = None) -> Any:
        _ask(self._handle, CANCEL)
        error = value if isinstance(value, BaseException) else kind
        raise error if isinstance(error, BaseException) else error()

    def close(self) -> None:
        _ask(self._handle, CANCEL)


def _send(self: Any, value: Any) -> Any:
    if self._assay_waiting is None:
        object.__setattr__(self, "_assay_waiting", _Waiting(self))
    return self._assay_waiting.send(value)


def make_class(link: Asking, description: list[Any], bases: tuple[Any, ...]) -> HandleType:
    """The class that a description by `Service.describe_class` stands for."""
    number, name, module, qualname, text, _, listed, standard, base_name = description
    specials = classes.SPECIAL.intersection(listed)
    base = next((kind for kind in classes.BASES if kind.__name__ == base_name), None)
    known = classes.standard_class(module, qualname) if standard else None
    namespace: dict[str, Any] = {
        "_assay_link": link,
        "_assay_number": number,
        "_assay_standard": known,
        "_assay_custom_eq": "__eq__" in specials,
        "_assay_base": base,
        "_assay_ahead": None,
        "_assay_calculated": False,
        "_assay_waiting": None,
        "__doc__": _Doc(text),
        "__module__": module,
        "__qualname__": qualname,
    }
    namespace |= _methods(specials, base)
    if not any(isinstance(kind, HandleType) for kind in bases):
        bases = (Instance, *(kind for kind in bases if kind is not object))
    choices = [bases, (Instance,)]
    if known is not None and _is_caught_by_name(known):
        choices.insert(0, (*(kind for kind in bases if isinstance(kind, HandleType)), known))
    for choice in choices:
        with contextlib.suppress(TypeError):  # bases that do not go together here
            return HandleType(name, choice, namespace)
    raise TypeError(f"no class here stands for {qualname}")


def _is_caught_by_name(known: type) -> bool:
    """Return whether instances stand for those of a class of the standard library in `except`, which goes by bases
    alone. CancelledError, which is no Exception, does not: tasks of the check's would end by it without a word. Groups
    cannot be made without what they hold."""
    return issubclass(known, Exception) and not issubclass(known, BaseExceptionGroup)


def _methods(specials: frozenset[str], base: type | None) -> dict[str, Any]:
    methods: dict[str, Any] = {
        name: _forwarded(name) for name in specials if name not in classes.COMPARING and name != "__hash__"
    }
    methods |= {name: _calculated(name, base) for name in specials if name in classes.ARITHMETIC}
    methods |= {name: _converted(name) for name in specials if name in classes.CONVERTING}
    if base in classes.IMMUTABLE_BASES:  # by what it holds
        own = (*classes.CONVERTING, *classes.SEQUENCE)
        methods = {name: method for name, method in methods.items() if name not in own}
    if "__call__" in specials:
        methods["__call__"] = _called
    if "__next__" in specials:
        methods |= {"__next__": _next, "__length_hint__": _length_hint}
    if base not in classes.IMMUTABLE_BASES and specials & {"__iter__", "__next__", "__contains__"}:
        methods["__contains__"] = _contains if specials & {"__iter__", "__next__"} else _says_it_contains
    for name in ("__exit__", "__aexit__"):
        if name in specials:
            methods[name] = _exit(name)
    if "__get__" in specials:
        methods["__get__"] = _get
    if "__await__" in specials:
        methods |= {
            "__await__": lambda self: _Waiting(self),
            "send": _send,
            "throw": lambda self, *given: _Waiting(self).throw(*given),
            "close": lambda self: _Waiting(self).close(),
        }
    if "__hash__" in specials:
        methods["__hash__"] = _forwarded("__hash__")
    elif "__eq__" in specials:
        methods["__hash__"] = None
    for name in ("__lt__", "__le__", "__gt__", "__ge__"):
        if name in specials:
            methods[name] = _refuse_comparison
    if base in classes.IMMUTABLE_BASES:
        methods |= {name: getattr(base, name) for name in (*classes.COMPARING, "__hash__")}
    elif base is not None:
        methods |= _container_methods(base)
    return methods


_COMPARING_METHODS = frozenset(("issubset", "issuperset", "isdisjoint", "startswith", "endswith"))
# They are told of no answer, and change the content or give something of it.
_FORWARDED = frozenset((
    "__getitem__", "__len__", "__iter__", "__reversed__", "__bool__", "get", "keys", "values", "items", "copy",
    "append", "extend", "insert", "remove", "pop", "popitem", "clear", "sort", "reverse", "update", "setdefault", "add",
    "discard", "appendleft", "popleft", "extendleft", "rotate", "__setitem__", "__delitem__",
))  # fmt: skip


def _container_methods(base: type) -> dict[str, Any]:
    """A container's methods are those of its builtin type, by the content that it has now, unless the check speaks of
    the class: an answer that is asked whether it is a subset of the right one could always say so."""
    methods: dict[str, Any] = {"__hash__": None}
    for name in dir(base):
        is_special = name in classes.SPECIAL and name not in ("__hash__", "__dir__")
        if name in classes.COMPARING:
            methods[name] = _fetched(base, name)
        elif is_special or not name.startswith("_"):
            methods[name] = _by_content(base, name, _forwarded(name) if is_special else _named(name))
    return methods


def _by_content(base: type, name: str, forward: Callable[..., Any]) -> Callable[..., Any]:
    fetched = _fetched(base, name)

    def method(self: Any, *arguments: Any, **named: Any) -> Any:
        kind = type(self)
        if name == "__contains__":
            return _contains(self, *arguments)
        if name in _FORWARDED or kind._assay_link.speaks_of(kind):
            return forward(self, *arguments, **named)
        if name.startswith("__i") and name in classes.ARITHMETIC and name != "__invert__":
            kind._assay_link.unfit(f"a check calculates with a {kind.__name__}")
        return fetched(self, *arguments, **named)

    method.__name__ = method.__qualname__ = name
    return method


def _named(name: str) -> Callable[..., Any]:
    def method(self: Any, *arguments: Any, **named: Any) -> Any:
        return _ask(self, GET, name)(*arguments, **named)

    method.__name__ = name
    return method


def make_instance(kind: HandleType, number: int, content: Any) -> Any:
    """The object with a number; `content` is what it holds as an instance of its builtin base, or an exception's
    arguments."""
    base = vars(kind).get("_assay_base")
    if base in classes.IMMUTABLE_BASES and issubclass(kind, base):
        built = base.__new__(kind, content)
    elif issubclass(kind, BaseException):
        built = kind.__new__(kind, *content)
    else:
        built = kind.__new__(kind)
    object.__setattr__(built, "_assay_number", number)
    return built


def is_enumeration(kind: HandleType) -> bool:
    """Return whether a class is an Enum of the candidate's: its members are compared by identity."""
    return any(base.__module__ == "enum" for base in kind.__mro__)
