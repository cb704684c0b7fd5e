"""The judge's side of split mode: run the checks, and let the candidate do what they ask of it.

Arguments and answers cross as data; what is no data stays where it is and crosses as a handle (see `handles`). So
nothing of the candidate's is ever executed or compared here. What the candidate can do is answer, or fail to.
"""

from __future__ import annotations

import collections
import functools
import gc
import inspect
import io
import random
import types
import weakref
from collections.abc import Callable
from typing import Any, NoReturn

from assay.sandbox.cell import around, asking, classes, codec, fork, handles, link, runner, wire
from assay.sandbox.cell.checks import Checks

MAX_CALLS = 100_000


class CandidateGoneError(BaseException):
    """The candidate ended, or broke the protocol; derived from BaseException so that no check takes it for its own."""


class NotCrossingError(BaseException):
    """A check does something with the candidate's objects that cannot be done from here."""


class CandidateError(Exception):
    """An exception of the candidate's that no builtin one stands for."""


class Counterpart(link.Link):
    """The candidate, as far as the judge is concerned."""

    def __init__(
        self,
        channel: int,
        *,
        passes_stop: bool = False,
        carried: frozenset[str] = frozenset(),
        spoken_of: frozenset[str] = frozenset(),
    ) -> None:
        """`passes_stop` lets StopIteration of a called function through; `carried` are the surroundings that go with
        each call (see `around`); `spoken_of` are the candidate's names that the checks use."""
        super().__init__(channel)
        self.gone = ""
        self.not_data = ""
        self.assertion = ""
        self._passes_stop, self._spoken_of = passes_stop, spoken_of
        self._surroundings = around.Judge(self, carried) if carried else None
        self._calls = 0
        self._operation = link.CALL
        self._classes: dict[int, handles.HandleType] = {}
        self._held: collections.Counter[int] = collections.Counter()
        self._gone: dict[int, None] = {}
        self._instances: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
        self._members: dict[int, Any] = {}  # of enumerations
        self._exported: dict[int, Any] = {}
        self._awaited: dict[int, Any] = {}  # tasks of the checks' coroutines, by the number of the coroutine
        self._numbers: dict[int, int] = {}

    def load(self) -> tuple[int, str]:
        """Wait until the candidate has run as a module; a code and description."""
        try:
            kind, *rest = self._receive()
            if kind == link.LOADED:
                return wire.PASSED, ""
            code, detail = rest
            return (code if code == wire.OUT_OF_MEMORY else wire.ERROR), str(detail)
        except CandidateGoneError:
            return wire.CANDIDATE_GONE, self.gone
        except (ValueError, TypeError):
            return wire.ERROR, "the candidate's process sent something that is no message"

    def proxy(self, name: str) -> Callable[..., Any]:
        """A global of the candidate's that the checks do nothing with but call it, or pass it on to be called."""

        def function(*arguments: Any, **named: Any) -> Any:
            return self.ask(link.CALL, name, arguments, named)

        function.__name__ = function.__qualname__ = name
        return function

    def value(self, name: str) -> Any:
        """A global of the candidate's, as it is now."""
        return self.ask(link.VALUE, name)

    def ask(self, operation: int, target: Any, arguments: Any = (), named: Any = None) -> Any:
        if self.gone:
            raise CandidateGoneError(self.gone)
        if self.not_data:
            raise NotCrossingError(self.not_data)
        self._calls += 1
        if self._calls > MAX_CALLS:
            self.broken(f"more than {MAX_CALLS} calls were made")
        self._operation = operation
        return super().ask(operation, target, arguments, named)

    def broken(self, reason: str) -> NoReturn:
        self.gone = self.gone or reason or "it ended"
        raise CandidateGoneError(self.gone)

    def unfit(self, reason: str) -> NoReturn:
        self.not_data = self.not_data or reason
        raise NotCrossingError(self.not_data)

    # What is not data.

    def foreign(self, value: Any) -> Any:
        kind = type(value)
        if isinstance(kind, type) and issubclass(kind, handles.HandleType):
            return {"h": value._assay_number}
        if isinstance(kind, handles.HandleType):
            return {"h": value._assay_number}
        if kind is types.TracebackType:  # what `__exit__` gets
            return None
        name = classes.name_of(value)
        if name is not None:
            return {"g": name}
        if kind in classes.GETTERS:
            built, arguments = value.__reduce__()[:2]
            return {"og": [built.__name__, codec.encode(arguments, [], self.foreign)]}
        alias = classes.alias_parts(value)
        if alias is not None:
            return {"ga": [codec.encode(part, [], self.foreign) for part in alias]}
        if isinstance(value, BaseException) and classes.BUILTIN_EXCEPTIONS.get(kind.__name__) is kind:
            return {"e": [kind.__name__, [codec.encode(item, [], self.foreign) for item in value.args]]}
        form = describe(value)
        if form is None:
            raise codec.NotDataError(f"a check passes a {kind.__name__}")
        number = self._numbers.get(id(value))
        if number is None:
            number = len(self._exported)
            self._exported[number] = value
            self._numbers[id(value)] = number
        return {"j": [number, *form]}

    def native(self, tag: str, content: Any) -> Any:
        if tag == "h":
            number, kind, form = content
            stands_for = self._class(kind)  # which the content may speak of
            value = codec.decode(form, [], self.native) if form is not None else ()
            return self._instance(stands_for, int(number), value)
        if tag == "k":
            return self._class(content)
        if tag == "j":
            return self._exported[content[0]]
        if tag == "g":
            match = classes.by_name(content)
            if match is None:
                raise ValueError("a name that may not be spoken of")
            return match
        if tag == "ga":
            return classes.alias(*(codec.decode(part, [], self.native) for part in content))
        if tag == "e":
            return _builtin_exception(
                content[0], [codec.decode(item, [], self.native) for item in content[1]]
            )
        return super().native(tag, content)

    def _class(self, description: Any) -> handles.HandleType:
        if type(description) is int:
            return self._classes[description]
        number, bases = description[0], description[5]
        if number not in self._classes:
            known = tuple(codec.decode(base, [], self.native) for base in bases)
            self._classes[number] = handles.make_class(self, description, known)
        return self._classes[number]

    def _instance(self, kind: handles.HandleType, number: int, value: Any) -> Any:
        """The one object that stands for the candidate's, as long as anybody here holds it."""
        known = self._instances.get(number, self._members.get(number))
        if known is not None:
            return known
        instance = handles.make_instance(kind, number, value)
        self.hold(number, 1)
        if handles.is_enumeration(kind):
            self._members[number] = instance
        elif kind.__weakrefoffset__:
            self._instances[number] = instance
        return instance

    def hold(self, number: int, change: int) -> None:
        """Count the instances here that stand for an object; it is given back when there is none any more."""
        self._held[number] += change
        if self._held[number] <= 0:
            self._gone[number] = None
        else:
            self._gone.pop(number, None)

    def lost_assertion(self, error: AssertionError) -> None:
        """Remember an assertion of the check's that failed where the candidate could swallow it."""
        self.assertion = self.assertion or runner.describe(error, "")

    def speaks_of(self, kind: handles.HandleType) -> bool:
        """Return whether the checks speak of a class of the candidate's, or of one that it is made from."""
        return any(
            base.__name__ in self._spoken_of for base in kind.__mro__ if isinstance(base, handles.HandleType)
        )

    def released(self) -> list[int]:
        if not self._gone:
            return []
        gone = list(self._gone)
        self._gone.clear()
        for number in gone:
            del self._held[number]
        return gone

    def before(self) -> Any:
        return self._surroundings.before() if self._surroundings else None

    def after(self, surroundings: Any) -> None:
        if self._surroundings:
            self._surroundings.after(surroundings)

    # Exceptions.

    def raised(self, description: list[Any]) -> BaseException:
        names, text, error, cause = description
        if not isinstance(error, BaseException):
            error = _exception(names, str(text))
        if isinstance(cause, BaseException):
            error.__cause__ = cause
        stops = isinstance(error, (StopIteration, StopAsyncIteration))
        if stops and not self._passes_stop and self._operation in (link.CALL, link.VALUE, link.GET):
            # In map() it would end the check's own loop without a word.
            return RuntimeError(f"the candidate raised {type(error).__name__}")
        return error

    def described(self, error: BaseException) -> list[Any]:
        if isinstance(error, (CandidateGoneError, NotCrossingError)):
            raise error
        if isinstance(error, AssertionError):
            self.lost_assertion(error)
        try:
            form: Any = error if isinstance(type(error), handles.HandleType) else None
            if form is None and classes.BUILTIN_EXCEPTIONS.get(type(error).__name__) is type(error):
                self.foreign(error)
                form = error
        except codec.NotDataError:
            form = None
        return [list(classes.lineage(error)), str(error)[:1000], form]

    # What the candidate may ask for: to call what it was passed, and to take and leave attributes of objects of the
    # checks' own classes. Nothing else of the judge's is within reach.

    def _advance(self, number: int, awaitable: Any) -> tuple[bool, Any]:
        """Return whether an awaitable of the checks' is done, and its result. Their own event loop does it, which goes
        on whenever the candidate's has nothing to do."""
        import asyncio

        task = self._awaited.get(number)
        if task is None:
            task = self._awaited[number] = asyncio.ensure_future(awaitable)
        return (True, task.result()) if task.done() else (False, None)

    def perform(self, operation: int, target: Any, arguments: list[Any], named: dict[str, Any]) -> Any:
        value = self._exported[target]
        is_callable, is_object = is_function(value), _is_object(value)
        if operation == link.CALL and is_callable:
            return value(*arguments, **named)
        if operation == link.NEXT and (_is_iterator(value) or type(value) in _STREAMS):
            return next(value)
        if operation == link.ADVANCE and _is_awaitable(value):
            return self._advance(target, value)
        if operation == link.CANCEL and _is_awaitable(value):
            return bool(getattr(self._awaited.get(target), "cancel", value.close)())
        if is_object and arguments and type(arguments[0]) is str:
            return _perform_on_object(operation, value, *arguments)
        raise TypeError("this cannot be asked of an object of the checks")


_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, types.MethodType, functools.partial)
_FILES = (io.TextIOWrapper, io.BufferedReader, io.BufferedWriter, io.BufferedRandom)
_STREAMS = (io.StringIO, io.BytesIO, *_FILES)


def _is_iterator(value: Any) -> bool:
    """A generator, or an iterator of the standard library's."""
    kind = type(value)
    return kind.__module__ in ("builtins", "itertools") and hasattr(kind, "__next__")


def is_function(value: Any) -> bool:
    """A function, or a bound method of a container, a stream or an object of the checks' own."""
    if type(value) is types.MethodType:
        return type(value.__func__) is types.FunctionType and _is_object(value.__self__)
    if type(value) is types.BuiltinFunctionType:
        owner = value.__self__
        return isinstance(
            owner, (list, dict, set, collections.deque, *_STREAMS)
        ) and not value.__name__.startswith("_")
    if type(value) is functools.partial:
        return is_function(value.func) or classes.name_of(value.func) is not None
    return type(value) is types.FunctionType


def _is_awaitable(value: Any) -> bool:
    """A coroutine of the checks', or a task or future made from one."""
    return type(value) is types.CoroutineType or type(value).__module__ == "_asyncio"


def _is_object(value: Any) -> bool:
    """An instance of a class that the checks or their prelude define, or a text or byte stream."""
    kind = type(value)
    if kind in _STREAMS:
        return True
    return (
        kind.__module__ == runner.MODULE
        and not isinstance(kind, handles.HandleType)
        and not isinstance(value, type)
    )


def describe(value: Any) -> list[Any] | None:
    """What the candidate is told of an object of the checks: [kind, name, special methods or parameters]; None for one
    that cannot be passed."""
    if is_function(value):
        is_async = type(value) is types.FunctionType and inspect.iscoroutinefunction(value)
        return [
            "coroutine function" if is_async else "function",
            str(getattr(value, "__name__", "function")),
            _parameters(value),
            getattr(value, "__doc__", None),
        ]
    if _is_awaitable(value):
        return ["awaitable", type(value).__name__, [], None]
    if _is_iterator(value):
        return ["iterator", type(value).__name__, [], None]
    if _is_object(value):
        kind = type(value)
        specials = [
            name for name in classes.specials_of(kind) if name not in ("__dir__", "__get__", "__hash__")
        ]
        return ["object", kind.__name__, specials, kind.__doc__]
    return None


def _parameters(value: Any) -> Any:
    """Names of a plain function's parameters with how they are passed; None where they are not to be had."""
    if type(value) is not types.FunctionType:
        return None
    code, count = value.__code__, value.__code__.co_argcount
    names = code.co_varnames
    only_named = names[count : count + code.co_kwonlyargcount]
    place = count + code.co_kwonlyargcount
    rest = names[place] if code.co_flags & 4 else None
    named = names[place + bool(code.co_flags & 4)] if code.co_flags & 8 else None
    defaults = len(value.__defaults__ or ())
    with_default = [name for name in only_named if name in (value.__kwdefaults__ or {})]
    return [
        list(names[:count]),
        code.co_posonlyargcount,
        defaults,
        list(only_named),
        with_default,
        rest,
        named,
    ]


def _perform_on_object(operation: int, value: Any, name: str, *arguments: Any) -> Any:
    if (
        operation == link.SPECIAL
        and name in classes.SPECIAL
        and name not in ("__dir__", "__get__", "__hash__")
    ):
        return getattr(type(value), name)(value, *arguments)
    if name.startswith("_"):
        raise AttributeError(f"{type(value).__name__!r} object has no attribute {name!r}")
    if operation == link.GET:
        return getattr(value, name)
    # An attribute of the class, such as a method that the check is going to call, is not the candidate's to replace.
    if type(value) in _STREAMS or any(
        name in vars(kind) and not _is_slot(vars(kind)[name]) for kind in type(value).__mro__
    ):
        raise AttributeError(f"attribute {name!r} of an object of the checks cannot be set")
    if operation == link.SET:
        return setattr(value, name, *arguments)
    if operation == link.DELETE:
        return delattr(value, name)
    raise TypeError("this cannot be asked of an object of the checks")


def _is_slot(attribute: Any) -> bool:
    """A slot, a property, or a plain value that instances override."""
    kind = type(attribute)
    return (
        kind in (types.MemberDescriptorType, property) or kind in codec.SCALARS or kind in (list, dict, tuple)
    )


def _builtin_exception(name: str, arguments: list[Any]) -> BaseException:
    return classes.BUILTIN_EXCEPTIONS[name](*arguments)


def _exception(lineage: Any, text: str) -> BaseException:
    for name in lineage:
        kind = classes.BUILTIN_EXCEPTIONS.get(name) if type(name) is str else None
        if kind is not None:
            try:
                return kind(text) if text else kind()
            except TypeError:
                continue  # UnicodeDecodeError and the like want more than a message
    return CandidateError(text)


class Namespace(dict[str, Any]):
    """The globals of the checks. A name that they look at without calling it is asked of the candidate each time, as it
    may change."""

    watched: frozenset[str]
    candidate: Counterpart

    def __missing__(self, name: str) -> Any:
        if name in self.watched:
            return self.candidate.value(name)
        raise KeyError(name)


def run(checks: Checks, token: bytes, drawn: wire.QuestionOrder) -> None:
    """Judge and report, in a judge forked for one sample."""
    gc.enable()
    code, passed, detail = judge(checks, fork.CHANNEL_FD, drawn)
    runner.flush()
    runner.send_report(fork.REPORT_FD, token, code, passed, detail)


def judge(checks: Checks, channel: int, drawn: wire.QuestionOrder) -> tuple[int, int, str]:
    """Wait until the candidate has run as a module, then run the checks in the order that was drawn; a code, how many
    passed, a description."""
    checks.compile()
    random.seed(0)
    candidate = Counterpart(
        channel,
        passes_stop=checks.passes_stop,
        carried=checks.carried,
        spoken_of=checks.values.union(checks.names),
    )
    code, detail = candidate.load()
    passed = 0
    if code == wire.PASSED:
        code, passed, detail = _judge(checks, candidate, drawn)
    if candidate.not_data:
        code, detail = wire.NOT_DATA, candidate.not_data
    elif candidate.gone:
        code, detail = wire.CANDIDATE_GONE, candidate.gone
    elif candidate.assertion and code == wire.PASSED:
        code, passed = wire.FAILED, max(0, passed - 1)
        detail = f"an assertion failed within a call of the candidate's: {candidate.assertion}"
    return code, passed, detail


def _judge(checks: Checks, candidate: Counterpart, drawn: wire.QuestionOrder) -> tuple[int, int, str]:
    module = runner.new_module()
    namespace: dict[str, Any] = module.__dict__
    if checks.values:
        namespace = Namespace(module.__dict__)
        namespace.watched, namespace.candidate = checks.values, candidate
    if checks.prelude is not None:
        try:
            exec(checks.prelude, namespace)
        except BaseException as error:
            candidate.not_data = f"the prelude raises {runner.describe(error, '<prelude>')}"
            return wire.NOT_DATA, 0, candidate.not_data
        for name in checks.values:
            namespace.pop(name, None)  # the candidate's own stands for it
    for name in checks.names:
        namespace[name] = candidate.proxy(name)
    return asking.ask(checks, namespace, drawn)
