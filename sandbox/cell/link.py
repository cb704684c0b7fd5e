"""The link between a judge and a candidate: each can ask the other to do something with an object that it holds.

Values cross as data, or as handles where they are none; containers that both hold on to are tracked (see `codec`).
While one side waits for an answer it does what the other asks meanwhile, so that a function can be passed and called
back.
"""

from __future__ import annotations

import abc
import sys
import threading
from builtins import (  # noqa: UP029
    BaseException,
    OSError,
    RecursionError,
    ValueError,
    any,
    dict,
    enumerate,
    frozenset,
    id,
    len,
    list,
    type,
)
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from assay.sandbox.cell import channel, codec

# Kinds of messages, each the first item of one.
REQUEST, LOADED, NOT_LOADED, RETURNED, RAISED, NOT_DATA, SAME = range(7)

# What can be asked for; a name as the target means the candidate's global of that name.
CALL, VALUE, GET, SET, DELETE, SPECIAL, NEXT, NEXT_MANY, ADVANCE, CANCEL, CONTENT, SIGNATURE = range(12)

_references = sys.getrefcount
# A container of a message: what holds it there, the list of nodes, the variable of the loop and getrefcount's argument.
_IN_MESSAGE = 4
_IMMUTABLE = frozenset((tuple, frozenset, str, bytes))


class Link(abc.ABC):
    """One end. Subclasses say how what is not data crosses (`foreign`, `native`), and do what they are asked for
    (`perform`)."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._messages = channel.Reader(descriptor)
        self._tracker = codec.Tracker()
        self._lock = threading.RLock()

    # For subclasses.

    def foreign(self, value: Any) -> Any:
        """The form of a value that is not data; NotDataError where it has none."""
        return codec.refuse(value)

    def native(self, tag: str, content: Any) -> Any:
        """The value of a form that `foreign` of the other side made; ValueError for any other."""
        return codec.refuse_form(tag, content)

    @abc.abstractmethod
    def perform(self, operation: int, target: Any, arguments: list[Any], named: dict[str, Any]) -> Any:
        """Do what the other side asks for."""

    @abc.abstractmethod
    def described(self, error: BaseException) -> list[Any]:
        """[names of its classes, message, what stands for it on the other side or None]"""

    @abc.abstractmethod
    def raised(self, description: list[Any]) -> BaseException:
        """The exception that the other side describes."""

    def broken(self, reason: str) -> NoReturn:
        """The other side is gone, or does not keep to the protocol."""
        raise EOFError(reason)

    def unfit(self, reason: str) -> NoReturn:
        """Something cannot cross."""
        raise codec.NotDataError(reason)

    def released(self) -> list[int]:
        """Numbers of the other side's objects that nobody here holds any more."""
        return []

    def release(self, numbers: list[int]) -> None:  # noqa: B027 - most hold nothing
        """The other side holds these no more."""

    def begin(self) -> None:  # noqa: B027 - most need not know
        """A message begins to be made, or begins anew."""

    def before(self) -> Any:
        """What goes with a request besides: the surroundings of the call."""
        return None

    def enter(self, surroundings: Any) -> Callable[[], Any]:
        """Take over the surroundings of a request; the result, called after it, gives what goes back."""
        return lambda: None

    def after(self, surroundings: Any) -> None:  # noqa: B027 - most carry none
        """Take over what came back of the surroundings."""

    # Asking.

    def ask(self, operation: int, target: Any, arguments: Iterable[Any] = (), named: Any = None) -> Any:
        """Have the other side do something; the answer, or the exception that it raised."""
        with self._lock:
            arguments, named = list(arguments), named or {}
            nodes: codec.Nodes = []
            try:
                message = self._request(operation, target, arguments, named, nodes)
                self._send(message)
            except codec.NotDataError as error:
                self.unfit(str(error))
            return self._take_reply(self._next_reply(), arguments, named, nodes)

    def _request(
        self, operation: int, target: Any, arguments: list[Any], named: dict[str, Any], nodes: codec.Nodes
    ) -> list[Any]:
        tracker, foreign = self._tracker, self.foreign
        extra: dict[str, Any] = {}
        gone = self.released()
        if gone:
            extra["gone"] = gone
        surroundings = self.before()
        if surroundings is not None:
            extra["around"] = surroundings
        self.begin()
        if not tracker.on:
            try:
                forms = [codec.encode(value, nodes, foreign) for value in arguments]
                by_name = {key: codec.encode(value, nodes, foreign) for key, value in named.items()}
            except (codec.NotDataError, RecursionError):
                if codec.is_tree(nodes):
                    raise
            if codec.is_tree(nodes):
                return [REQUEST, operation, target, forms, by_name, extra or None]
            tracker.start([])
            self.begin()
            extra["track"] = True
        extra["changes"] = tracker.changes(foreign)
        extra["dropped"] = tracker.dropped()
        forms = [tracker.encode(value, foreign) for value in arguments]
        by_name = {key: tracker.encode(value, foreign) for key, value in named.items()}
        tracker.settle(foreign)
        return [REQUEST, operation, target, forms, by_name, extra]

    def _next_reply(self) -> list[Any]:
        while True:
            message = self._receive()
            if type(message[0]) is not int or message[0] != REQUEST:
                return message
            self.serve(message)

    def _take_reply(
        self, message: list[Any], arguments: list[Any], named: dict[str, Any], nodes: codec.Nodes
    ) -> Any:
        """The answer that a message holds. What raises within is the other side's fault."""
        try:
            kind, *content, extra = message
            if kind == NOT_DATA:
                self.unfit(content[0][:300])
            if extra is not None:
                self._take_extra(extra, arguments, named, nodes)
            if kind == RETURNED:
                return self._decode(content[0], extra)
            if kind == SAME:
                return arguments[content[0]]
            if kind != RAISED:
                raise ValueError("a message of another kind")
            failure = self.raised(self._described(content, extra))
        except MemoryError:
            raise
        except Exception as error:
            self.broken(f"its answer is not valid: {type(error).__name__}")
        raise failure

    def _described(self, content: list[Any], extra: Any) -> list[Any]:
        classes, text, *forms = content
        return [classes, text, *(None if form is None else self._decode(form, extra) for form in forms)]

    def _decode(self, form: Any, extra: Any) -> Any:
        tracker = self._tracker
        if not tracker.on:
            return codec.decode(form, [], self.native)
        value = tracker.decode(form, self.native)
        tracker.settle(self.foreign)
        return value

    def _take_extra(
        self, extra: dict[str, Any], arguments: list[Any], named: dict[str, Any], nodes: codec.Nodes
    ) -> None:
        tracker, native = self._tracker, self.native
        if extra.get("track"):
            tracker.start(nodes)
        if tracker.on:
            tracker.apply(extra["changes"], native)
            tracker.settle(self.foreign)
        else:
            for key, form in extra.get("changes", ()):
                codec.fill(
                    arguments[key] if type(key) is int else named[key],
                    form,
                    lambda item: codec.decode(item, [], native),
                )
        if "around" in extra:
            self.after(extra["around"])

    # Serving.

    def serve(self, message: list[Any]) -> None:
        """Do what the other side asks for, and answer."""
        nodes: codec.Nodes = []
        try:
            _, operation, target, forms, by_name, extra = message
            arguments, named = self._arguments(forms, by_name, extra or {}, nodes)
        except MemoryError:
            raise
        except Exception as error:
            self.broken(f"its question is not valid: {type(error).__name__}")
        try:
            reply = self._reply(operation, target, arguments, named, nodes, forms, by_name, extra)
            self._send(reply)
        except (codec.NotDataError, RecursionError) as error:
            self._send([NOT_DATA, str(error), None])

    def _arguments(
        self, forms: list[Any], by_name: dict[str, Any], extra: dict[str, Any], nodes: codec.Nodes
    ) -> tuple[list[Any], dict[str, Any]]:
        tracker, native = self._tracker, self.native
        if "gone" in extra:
            self.release(extra["gone"])
        if extra.get("track"):
            tracker.start([])
        if not tracker.on:
            arguments = [codec.decode(form, nodes, native) for form in forms]
            return arguments, {key: codec.decode(form, nodes, native) for key, form in by_name.items()}
        tracker.apply(extra["changes"], native)
        tracker.forget(extra["dropped"])
        arguments = [tracker.decode(form, native) for form in forms]
        named = {key: tracker.decode(form, native) for key, form in by_name.items()}
        tracker.settle(self.foreign)
        return arguments, named

    def _reply(
        self,
        operation: int,
        target: Any,
        arguments: list[Any],
        named: dict[str, Any],
        nodes: codec.Nodes,
        forms: list[Any],
        by_name: dict[str, Any],
        extra: Any,
    ) -> list[Any]:
        leave = self.enter(extra["around"]) if extra and "around" in extra else None
        try:
            result = self.perform(operation, target, arguments, named)
        except BaseException as error:
            names, text, form = self.described(error)
            message, values = [RAISED, names, text], [form, error.__cause__]
            del form
        else:
            message, values = [RETURNED], [result]
            del result
        back: dict[str, Any] = {}
        if leave is not None:
            back["around"] = leave()
        self.begin()
        tracker, foreign = self._tracker, self.foreign
        if not tracker.on:
            changes = self._changes(arguments, named, nodes, forms, by_name) if nodes else []
            if changes is not None:
                built: codec.Nodes = []
                try:
                    if message[0] == RETURNED and type(values[0]) in _IMMUTABLE:
                        for place, argument in enumerate(arguments):
                            if argument is values[0]:
                                message, values = [SAME, place], []
                                break
                    encoded = [codec.encode(value, built, foreign) for value in values]
                    if not built or self._is_free(built, nodes):
                        if changes:
                            back["changes"] = changes
                        return [*message, *encoded, back or None]
                except (codec.NotDataError, RecursionError):
                    if codec.is_tree(built):
                        raise
            tracker.start(nodes)
            self.begin()
            back["track"] = True
        back["changes"] = tracker.changes(foreign)
        encoded = [tracker.encode(value, foreign) for value in values]
        tracker.settle(foreign)
        return [*message, *encoded, back]

    def _changes(
        self,
        arguments: list[Any],
        named: dict[str, Any],
        nodes: codec.Nodes,
        forms: list[Any],
        by_name: dict[str, Any],
    ) -> list[Any] | None:
        """[argument's place or name, form] of each mutable argument that the call left different; None when that does
        not say all: an argument is held on to, or is no tree any more, or containers within one changed."""
        after: codec.Nodes = []
        changed = []
        for place, value in [*enumerate(arguments), *named.items()]:
            kind = type(value)
            if kind in codec.MUTABLE or kind is tuple:
                before: Any = forms[place] if type(place) is int else by_name[str(place)]
                first = len(after)
                try:
                    form = codec.encode(value, after, self.foreign)
                except (codec.NotDataError, RecursionError):
                    if codec.is_tree(after):
                        raise
                    return None  # it holds itself by now
                if form != before:
                    if kind is tuple or len(after) > first + 1:
                        return None
                    changed.append([place, form])
        value = None  # or it would be held here
        if len(after) != len(nodes) or any(a is not b for a, b in zip(after, nodes, strict=True)):
            return None
        del after
        return None if _is_held(nodes) else changed

    @staticmethod
    def _is_free(built: codec.Nodes, nodes: codec.Nodes) -> bool:
        """Return whether the containers of an answer are the other side's alone once it is sent."""
        if not codec.is_tree(built):
            return False
        if nodes:
            known = {id(node) for node in nodes}
            if any(id(node) in known for node in built):
                return False
        return not _is_held(built)

    # Messages.

    def _send(self, message: list[Any]) -> None:
        try:
            channel.send(self._descriptor, message)
        except OSError:
            self.broken("")

    def _receive(self) -> list[Any]:
        try:
            return self._messages.receive()
        except (EOFError, OSError):
            self.broken("")
        except (ValueError, RecursionError) as error:
            self.broken(f"its answer is not valid: {type(error).__name__}")


def _is_held(nodes: codec.Nodes) -> bool:
    """Return whether something else than a message holds one of its containers."""
    for node in nodes:  # noqa: SIM110 - a generator would hold them too
        if _references(node) > _IN_MESSAGE:
            return True
    return False
