"""The candidate's side of split mode: run the completion, then answer calls. It holds no check and no answer."""

from __future__ import annotations

import os
from builtins import BaseException, enumerate, str, type  # noqa: UP029
from typing import Any

from assay.sandbox.cell import codec, fork, runner, seeding, wire

_CONTAINERS = frozenset((list, dict, set, bytearray))
_mro = type.__dict__["__mro__"].__get__
_name = type.__dict__["__name__"].__get__
_exit = os._exit


def run(body: bytes | memoryview) -> None:
    (source,) = wire.split(body)
    namespace = runner.new_module().__dict__
    seeding.prepare()
    filename = f"<{runner.MODULE}>"
    try:
        runner.run_source(source, filename, namespace)
    except BaseException as error:
        message = [codec.NOT_LOADED, runner.code_of(error, in_check=False), runner.describe(error, filename)]
    else:
        message = [codec.LOADED]
    runner.flush()
    codec.send(fork.CHANNEL_FD, message)
    calls = codec.Reader(fork.CHANNEL_FD)
    while True:
        try:
            call = calls.receive()
        except EOFError:
            _exit(0)
        reply = _answer(namespace, call)
        runner.flush()
        try:
            codec.send(fork.CHANNEL_FD, reply)
        except codec.NotDataError as error:
            codec.send(fork.CHANNEL_FD, [codec.NOT_DATA, str(error)])


def _answer(namespace: dict[str, Any], call: list[Any]) -> list[Any]:
    name, forms, named_forms = call
    arguments = [codec.decode(form) for form in forms]
    named = {key: codec.decode(form) for key, form in named_forms.items()}
    try:
        if name not in namespace:
            raise NameError(f"name {name!r} is not defined")
        result = namespace[name](*arguments, **named)
        form = codec.encode(result, liberal=True)
        changed = _changes(enumerate(arguments), forms) + _changes(named.items(), named_forms)
    except codec.NotDataError as error:
        return [codec.NOT_DATA, str(error)]
    except BaseException as error:
        lineage = [_name(kind) for kind in _mro(type(error))]  # the most derived class first
        return [codec.RAISED, lineage, _message(error)]
    return [codec.RETURNED, form, changed]


def _changes(arguments: Any, before: Any) -> list[list[Any]]:
    """The mutable arguments that the call left different from what was passed."""
    changed = []
    for key, value in arguments:
        if type(value) in _CONTAINERS:
            after = codec.encode(value, liberal=True)
            if after != before[key]:
                changed.append([key, after])
    return changed


def _message(error: BaseException) -> str:
    try:
        return str(error)[:1000]
    except BaseException:
        return "(an exception that cannot be described)"
