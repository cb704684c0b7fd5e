"""The candidate's side of what checks pass and is not data: functions to call back, and objects of their classes."""

from __future__ import annotations

import keyword
from typing import Any

from assay.sandbox.cell import classes, link

_NUMBER = "_assay_stands_for"
_known: dict[int, Any] = {}
_functions: dict[int, int] = {}
_made: dict[tuple[Any, ...], type] = {}


def number_of(value: Any) -> int | None:
    """The number of the judge's object that a value stands for."""
    if type(value) is _Function:
        return _functions.get(id(value))
    if type(value) is _Awaitable:
        return value._number
    if type(type(value)) is _StandInType:
        number: int = object.__getattribute__(value, _NUMBER)
        return number
    return None


_Function = type(lambda: None)


def stand_in(
    asking: Any, number: int, kind: str = "", name: str = "", form: Any = None, text: Any = None
) -> Any:
    """The one object that stands for the judge's object with that number."""
    value = _known.get(number)
    if value is None:
        if kind in ("function", "coroutine function"):
            value = _function(asking, number, name, form, text, is_async=kind == "coroutine function")
        elif kind == "awaitable":
            value = _Awaitable(asking, number)
        elif kind == "iterator":
            value = _instance(asking, number, name, ["__iter__", "__next__"], text)
        else:
            value = _instance(asking, number, name, form, text)
        _known[number] = value
    return value


def _function(asking: Any, number: int, name: str, parameters: Any, text: Any, *, is_async: bool) -> Any:
    """A function with the name and the parameters of the judge's, which calls that."""

    def call(*arguments: Any, **named: Any) -> Any:
        return asking.ask(link.CALL, number, arguments, named)

    async def coroutine(*arguments: Any, **named: Any) -> Any:
        return await asking.ask(link.CALL, number, arguments, named)

    function: Any = coroutine if is_async else _with_parameters(call, parameters) or call
    function.__name__ = function.__qualname__ = name
    function.__doc__ = text
    function.__module__ = "candidate"
    _functions[id(function)] = number  # not an attribute, which a decorator would copy to its own function
    return function


def _with_parameters(call: Any, parameters: Any) -> Any:
    if parameters is None:
        return None
    names, only_by_place, defaults, only_named, with_default, rest, by_name = parameters
    every = [*names, *only_named, *filter(None, (rest, by_name))]
    if not all(one.isidentifier() and not keyword.iskeyword(one) for one in every):
        return None
    listed = [f"{one}=_" if place >= len(names) - defaults else one for place, one in enumerate(names)]
    if only_by_place:
        listed.insert(only_by_place, "/")
    listed += [f"*{rest}"] if rest else ["*"] if only_named else []
    listed += [f"{one}=_" if one in with_default else one for one in only_named]
    listed += [f"**{by_name}"] if by_name else []
    given = [f"({one},)" for one in names] + ([f"tuple({rest})"] if rest else [])
    named = [f"{{{one!r}: {one}}}" for one in only_named] + ([by_name] if by_name else [])
    source = (
        f"lambda {', '.join(listed)}: _call([v for p in [{', '.join(given)}] for v in p if v is not _], "
        f"{{k: v for d in [{', '.join(named)}] for k, v in d.items() if v is not _}})"
    )
    missing = object()
    return eval(source, {"_": missing, "_call": lambda given, named: call(*given, **named), "tuple": tuple})


class _Awaitable:
    """A coroutine of the judge's: it is looked at from time to time whether it is done."""

    def __init__(self, asking: Any, number: int) -> None:
        self._asking, self._number = asking, number

    def __await__(self) -> Any:
        import asyncio

        while True:
            done, result = self._asking.ask(link.ADVANCE, self._number)
            if done:
                return result
            yield from asyncio.sleep(_LOOK_AGAIN_S).__await__()


_LOOK_AGAIN_S = 0.001


class _StandInType(type):
    """The class of classes that stand for the checks' own."""


def _instance(asking: Any, number: int, name: str, specials: list[str], text: Any) -> Any:
    key = (id(asking), name, tuple(specials))
    kind = _made.get(key)
    if kind is None:
        methods = {one: _method(asking, one) for one in specials if one in classes.SPECIAL}
        methods |= {"__getattr__": _get(asking), "__setattr__": _set(asking), "__delattr__": _delete(asking)}
        methods |= {"__doc__": text, "__module__": "candidate", "__hash__": object.__hash__}
        kind = _made[key] = _StandInType(name, (), methods)
    built: Any = object.__new__(kind)
    object.__setattr__(built, _NUMBER, number)
    return built


def _method(asking: Any, name: str) -> Any:
    def method(self: Any, *arguments: Any) -> Any:
        number = object.__getattribute__(self, _NUMBER)
        if name == "__iter__" and "__next__" in vars(type(self)):
            return self
        if name == "__next__":
            return asking.ask(link.NEXT, number)
        return asking.ask(link.SPECIAL, number, [name, *arguments])

    method.__name__ = name
    return method


def _get(asking: Any) -> Any:
    def get(self: Any, name: str) -> Any:
        return asking.ask(link.GET, object.__getattribute__(self, _NUMBER), [name])

    return get


def _set(asking: Any) -> Any:
    def put(self: Any, name: str, value: Any) -> None:
        asking.ask(link.SET, object.__getattribute__(self, _NUMBER), [name, value])

    return put


def _delete(asking: Any) -> Any:
    def delete(self: Any, name: str) -> None:
        asking.ask(link.DELETE, object.__getattribute__(self, _NUMBER), [name])

    return delete


# Exceptions of the checks' own classes, raised by a function that the candidate called.


def carrier(names: list[str], text: str, carried: Any) -> BaseException:
    """An exception of the nearest builtin class; it carries what it stands for back to the judge."""
    base = next(
        (classes.BUILTIN_EXCEPTIONS[one] for one in names if one in classes.BUILTIN_EXCEPTIONS), Exception
    )
    kind: Any = type(names[0], (base,), {"__str__": lambda self: text})
    error: BaseException = kind.__new__(kind)
    error.args = (text,)
    error.__dict__[_NUMBER] = carried
    return error


def carried_by(error: BaseException) -> Any:
    return getattr(error, "__dict__", {}).get(_NUMBER)
