"""The candidate's side of split mode: run the completion, then do what is asked. It holds no check and no answer."""

from __future__ import annotations

import os
import socket
import sys
from builtins import (  # noqa: UP029
    AttributeError,
    BaseException,
    NameError,
    StopIteration,
    ValueError,
    delattr,
    dict,
    getattr,
    id,
    int,
    isinstance,
    iter,
    len,
    list,
    next,
    setattr,
    str,
    type,
)
from typing import Any

from assay.sandbox.cell import around, channel, classes, codec, fork, link, runner, seeding, stand_ins, wire

_arguments = BaseException.args.__get__  # type: ignore[attr-defined]
_name = type.__dict__["__name__"].__get__
_exit = os._exit
_MANY = 1000


def run(body: bytes | memoryview) -> None:
    (source,) = wire.split(body)
    namespace = runner.new_module().__dict__
    seeding.prepare()
    filename = f"<{runner.MODULE}>"
    service = Service(fork.CHANNEL_FD, namespace)
    try:
        runner.run_source(source, filename, namespace)
    except BaseException as error:
        message = [link.NOT_LOADED, runner.code_of(error, in_check=False), runner.describe(error, filename)]
    else:
        message = [link.LOADED]
    runner.flush()
    service.work(message)


def warm_up() -> None:
    """Answer a few questions, in the server so that samples inherit warm caches, or in a child to see what it writes
    to."""
    ours, other = socket.socketpair()
    with ours, other:
        service = Service(other.fileno(), {"f": sorted})
        service._send([link.LOADED])
        for arguments in ([[3, 1, 2]], ["text"], [(1, 2.5)], [{"a": [1]}]):
            nodes: codec.Nodes = []
            forms = [codec.encode(argument, nodes) for argument in arguments]
            channel.send(ours.fileno(), [link.REQUEST, link.CALL, "f", forms, {}, None])
            service.serve(service._receive())


class Service(link.Link):
    """What the judge asks is done here."""

    def __init__(self, descriptor: int, namespace: dict[str, Any]) -> None:
        super().__init__(descriptor)
        self._namespace = namespace
        self._objects: dict[int, Any] = {}
        self._numbers: dict[int, int] = {}
        self._next = 0
        self._classes: dict[type, int] = {}  # that the judge knows
        self._describing: dict[type, int] = {}  # that the message that is being made describes
        self._is_within = False  # an exception's arguments are being described
        self._unasked: dict[
            int, BaseException
        ] = {}  # what ended an iterator, items of which were fetched ahead
        self._tasks: dict[int, Any] = {}
        self._loop: Any = None

    def work(self, message: list[Any]) -> None:
        """Send the first message, then serve until the judge is gone."""
        self._send(message)
        while True:
            request = self._receive()
            self.serve(request)

    def broken(self, reason: str) -> Any:
        _exit(0 if not reason else 1)

    def serve(self, message: list[Any]) -> None:
        around.prepare(message[5])
        super().serve(message)

    def begin(self) -> None:
        self._describing.clear()

    def _send(self, message: list[Any]) -> None:
        runner.flush()
        super()._send(message)
        self._classes |= self._describing

    # What is not data.

    def foreign(self, value: Any) -> Any:
        kind = type(value)
        if isinstance(value, type):
            name = classes.name_of(value)
            return {"g": name} if name is not None else {"k": self._describe_class(value)}
        if stand_ins.number_of(value) is not None:
            return {"j": [stand_ins.number_of(value)]}
        name = classes.name_of(value)
        if name is not None:
            return {"g": name}
        alias = classes.alias_parts(value)
        if alias is not None:
            return {"ga": [codec.encode(part, [], self.foreign) for part in alias]}
        if isinstance(value, BaseException) and classes.BUILTIN_EXCEPTIONS.get(_name(kind)) is kind:
            try:
                return {"e": [_name(kind), [codec.encode(item, [], codec.refuse) for item in value.args]]}
            except codec.NotDataError:
                pass
        if kind.__module__ == "numpy" and getattr(value, "shape", None) == () and hasattr(value, "item"):
            return codec.encode(value.item(), [], self.foreign)
        number = self._numbers.get(id(value))
        if number is None:
            number = self._numbers[id(value)] = self._next
            self._objects[number] = value
            self._next += 1
        return {"h": [number, self._describe_class(kind), self._content(value, kind)]}

    def _content(self, value: Any, kind: type) -> Any:
        base = classes.base_of(kind)
        if base in classes.IMMUTABLE_BASES:
            return codec.encode(classes.READ[base](value), [], self.foreign)
        if isinstance(value, BaseException):
            return self._arguments_of(value)
        return None

    def _arguments_of(self, error: BaseException) -> Any:
        """An exception's arguments, or its text where they cannot cross. Of an exception among them only data does:
        groups of groups have more ways through them than there is time."""
        described = dict(self._describing)
        within, self._is_within = self._is_within, True
        try:
            return codec.encode(_arguments(error), [], codec.refuse if within else self.foreign)
        except (codec.NotDataError, RecursionError):
            self._describing = described  # the judge is told of nothing else
            return codec.encode((str(error)[:1000],), [])
        finally:
            self._is_within = within

    def _describe_class(self, kind: type) -> Any:
        """The number of a class that the judge knows, else [number, name, module, qualified name, docstring, bases,
        special methods, whether it is of the standard library, name of the builtin type it is made from]."""
        number = self._classes.get(kind, self._describing.get(kind))
        if number is not None:
            return number
        bases = []
        for base in kind.__bases__:
            if base is object:
                continue
            known = (
                base in classes.BASES
                or classes.BUILTIN_EXCEPTIONS.get(_name(base)) is base
                or base is BaseException
            )
            bases.append({"g": f"builtins {_name(base)}"} if known else {"k": self._describe_class(base)})
        number = self._numbers.get(id(kind))
        if number is None:
            number = self._numbers[id(kind)] = self._next
            self._objects[number] = kind
            self._next += 1
        self._describing[kind] = number
        base_kind, text = classes.base_of(kind), kind.__doc__
        module = str(kind.__module__)
        return [
            number,
            str(_name(kind)),
            module,
            str(kind.__qualname__),
            str(text)[:2000] if isinstance(text, str) else None,
            bases,
            classes.specials_of(kind),
            module.partition(".")[0] in sys.stdlib_module_names,
            None if base_kind is None else _name(base_kind),
        ]

    def native(self, tag: str, content: Any) -> Any:
        if tag == "h":
            return self._objects[content]
        if tag == "g":
            match = classes.by_name(content)
            if match is None:
                raise ValueError(f"{content} is not known here")
            return match
        if tag == "e":
            return classes.BUILTIN_EXCEPTIONS[content[0]](
                *[codec.decode(item, [], self.native) for item in content[1]]
            )
        if tag == "og":
            return classes.getter(content[0])(*codec.decode(content[1], [], self.native))
        if tag == "ga":
            return classes.alias(*[codec.decode(part, [], self.native) for part in content])
        if tag == "j":
            return stand_ins.stand_in(self, *content)
        return super().native(tag, content)

    def release(self, numbers: list[int]) -> None:
        for number in numbers:
            value = self._objects.pop(number, None)
            if value is not None:
                self._numbers.pop(id(value), None)
                self._tasks.pop(number, None)
                self._unasked.pop(number, None)

    # Exceptions.

    def described(self, error: BaseException) -> list[Any]:
        names = [str(_name(kind)) for kind in type.__dict__["__mro__"].__get__(type(error))]
        carried = stand_ins.carried_by(error)
        form = error if carried is None else carried
        error.__traceback__ = None
        return [names, _message(error), form]

    def raised(self, description: list[Any]) -> BaseException:
        names, text, error, _ = description
        if isinstance(error, BaseException):
            return error
        return stand_ins.carrier(names, str(text), error)

    # What is asked.

    def enter(self, surroundings: Any) -> Any:
        return around.enter(surroundings, self)

    def perform(self, operation: int, target: Any, arguments: list[Any], named: dict[str, Any]) -> Any:
        if operation == link.CALL and type(target) is str:
            if target not in self._namespace:
                raise NameError(f"name {target!r} is not defined")
            return self._namespace[target](*arguments, **named)
        if operation == link.VALUE:
            if target not in self._namespace:
                raise NameError(f"name {target!r} is not defined")
            return self._namespace[target]
        return self._on_object(operation, target, self._objects[target], arguments, named)

    def _on_object(
        self, operation: int, number: int, value: Any, arguments: list[Any], named: dict[str, Any]
    ) -> Any:
        if operation == link.CALL:
            return value(*arguments, **named)
        if operation == link.GET:
            if arguments[0] in ("__globals__", "__builtins__"):
                raise AttributeError(arguments[0])
            return getattr(value, arguments[0])
        if operation == link.SET:
            return setattr(value, *arguments)
        if operation == link.DELETE:
            return delattr(value, arguments[0])
        if operation == link.SPECIAL:
            return _special(value, *arguments, **named)
        if operation == link.NEXT:
            return next(value)
        if operation == link.NEXT_MANY:
            return self._next_many(number, value)
        if operation == link.CONTENT:
            return classes.READ[classes.base_of(type(value))](value)  # type: ignore[index]
        if operation == link.SIGNATURE:
            return _signature(value)
        if operation == link.ADVANCE:
            return self._advance(number, value, arguments[0])
        if operation == link.CANCEL:
            return self._cancel(number, value)
        raise ValueError("nothing that can be asked")

    def _next_many(self, number: int, iterator: Any) -> Any:
        if number in self._unasked:
            raise self._unasked.pop(number)
        items: list[Any] = []
        try:
            while len(items) < _MANY:
                items.append(next(iterator))
        except StopIteration:
            return items, True
        except BaseException as error:
            if not items:
                raise
            self._unasked[number] = error
        return items, False

    def _advance(self, number: int, awaitable: Any, seconds: float) -> Any:
        """Let the candidate's own event loop run until the awaitable is done, or for so long."""
        import asyncio

        async def completed() -> Any:
            return await awaitable

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        task = self._tasks.get(number)
        if task is None:
            task = self._tasks[number] = self._loop.create_task(completed())
        self._loop.run_until_complete(asyncio.wait({task}, timeout=seconds))
        if not task.done():
            return False, None
        del self._tasks[number]
        return True, task.result()

    def _cancel(self, number: int, awaitable: Any) -> None:
        task = self._tasks.pop(number, None)
        if task is None:
            if hasattr(awaitable, "close"):
                awaitable.close()
            return
        import asyncio

        task.cancel()
        self._loop.run_until_complete(asyncio.wait({task}))
        if not task.cancelled():
            task.exception()


def hasattr(value: Any, name: str) -> bool:
    try:
        getattr(value, name)
    except AttributeError:
        return False
    return True


def _special(value: Any, name: str, *arguments: Any, **named: Any) -> Any:
    if name == "__copy__":
        import copy

        return copy.copy(value)
    if name == "__deepcopy__":
        import copy

        return copy.deepcopy(value)
    if name == "__dir__":
        return dir(value)
    if name == "__iter__":
        return iter(value)
    return getattr(type(value), name)(value, *arguments, **named)


def _signature(value: Any) -> Any:
    import inspect

    signature = inspect.signature(value)
    none = inspect.Parameter.empty
    parameters = [
        (
            one.name,
            int(one.kind),
            () if one.default is none else (one.default,),
            () if one.annotation is none else (one.annotation,),
        )
        for one in signature.parameters.values()
    ]
    returns = signature.return_annotation
    return parameters, () if returns is inspect.Signature.empty else (returns,)


def _message(error: BaseException) -> str:
    try:
        return str(error)[:1000]
    except BaseException:
        return "(an exception that cannot be described)"
