"""Ask one sample the questions of its checks in the order that was drawn for it; `order` says what that can be."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from assay.sandbox.cell import order, runner, wire
from assay.sandbox.cell.wire import QuestionOrder

if TYPE_CHECKING:
    from assay.sandbox.cell.checks import Checks

_KEPT_CALLS = 8
_CALL_CHARS = 200  # of a call that is kept, as source
_CALLS_WITH_OTHERS = 16
_PLAIN = frozenset((bool, int, float, str, bytes, type(None)))
_CONTAINERS = frozenset((list, tuple, set))


def ask(checks: Checks, namespace: dict[str, Any], drawn: QuestionOrder) -> tuple[int, int, str]:
    """Run the checks; return the code, how many passed, and a description. A pass that another turn has to confirm is
    UNCONFIRMED, and its description the calls to ask then; what fails in a turn after the first is STATEFUL."""
    plan = checks.plan
    if plan.kept:
        drawn = QuestionOrder()
    namespace[order.ASK] = order.Parts(drawn.number, drawn.turn)
    calls: _Kept | _Among | None = None
    if drawn.number and plan.hides_calls and not plan.is_confirmed(0):
        calls = _Among(drawn) if drawn.turn else _Kept(drawn.number)
    namespace[order.CALL] = calls or _plain_call
    steps = checks.steps(drawn)
    code, passed, detail = runner.run_checks(steps, namespace, len(checks.checks))
    if not drawn.number:
        return code, passed, detail
    if code == wire.PASSED:
        if plan.is_confirmed(drawn.turn):
            return code, passed, detail
        return wire.UNCONFIRMED, passed, calls.text() if isinstance(calls, _Kept) else ""
    if code in (wire.FAILED, wire.ERROR):
        if drawn.turn:
            code = wire.STATEFUL
        elif plan.bits:
            code |= wire.IN_DRAWN_ORDER
    return code, passed, detail


def _plain_call(_: str, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Any:
    return function(*arguments, **named)


class _Kept:
    """Keeps some of the calls that checks make, chosen by the number that was drawn."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._seen = 0
        self._calls: list[str] = []

    def __call__(self, name: str, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Any:
        self._see(name, arguments, named)
        return function(*arguments, **named)

    def _see(self, name: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        self._seen += 1
        self._number = order.step(self._number)
        place = self._seen - 1 if self._seen <= _KEPT_CALLS else (self._number >> 33) % self._seen
        if place < _KEPT_CALLS and _is_plain(arguments, 0) and all(_is_plain(v, 0) for v in named.values()):
            text = repr((name, arguments, named))
            if len(text) <= _CALL_CHARS:
                self._calls[place : place + 1] = [text]

    def text(self) -> str:
        return f"[{', '.join(self._calls)}]"


class _Among:
    """Asks other questions between those of the checks, and throws their answers away."""

    def __init__(self, drawn: QuestionOrder) -> None:
        calls = ast.literal_eval(drawn.calls.decode() or "[]")
        self._calls = [calls[i] for i in order.draw(range(len(calls)), drawn.number, drawn.turn)]
        self._number = order.step(drawn.number + drawn.turn)
        self._count = 0
        self._functions: dict[str, Callable[..., Any]] = {}

    def __call__(self, name: str, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Any:
        self._functions[name] = function
        self._ask_others()
        return function(*arguments, **named)

    def _ask_others(self) -> None:
        first, self._count = self._count == 0, self._count + 1
        self._number = order.step(self._number)
        if self._calls and (first or (self._count <= _CALLS_WITH_OTHERS and self._number >> 63)):
            name, arguments, named = self._calls.pop()
            function = self._functions.get(name)
            try:
                if function is not None:
                    function(*arguments, **named)
            except Exception:
                return  # whatever it answers is nothing to the checks


def _is_plain(value: Any, depth: int) -> bool:
    """Return whether the source that stands for `value` is read back as the same."""
    kind = type(value)
    if kind in _PLAIN:
        return kind is not float or value - value == 0
    if depth > 20:
        return False
    if kind is dict:
        return all(_is_plain(k, depth + 1) and _is_plain(v, depth + 1) for k, v in value.items())
    return (
        kind in _CONTAINERS and bool(value or kind is not set) and all(_is_plain(v, depth + 1) for v in value)
    )
