"""Judge and candidate over a link, both in this process: containers that both hold stay one, whatever either does."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.sandbox.cell import candidate, judge, link


class Service(candidate.Service):
    def broken(self, reason: str) -> Any:
        raise EOFError(reason)

    def _send(self, message: list[Any]) -> None:
        link.Link._send(self, message)
        self._classes |= self._describing


@contextmanager
def linked(namespace: dict[str, Any], services: list[Service] | None = None) -> Iterator[judge.Counterpart]:
    """The candidate's globals, served by another thread."""
    ours, other = socket.socketpair()
    service = Service(other.fileno(), namespace)
    if services is not None:
        services.append(service)

    def serve() -> None:
        with suppress(EOFError):
            service.work([link.LOADED])

    thread = threading.Thread(target=serve, daemon=True)
    with ours, other:
        thread.start()
        counterpart = judge.Counterpart(ours.fileno())
        assert counterpart.load() == (1, "")
        yield counterpart
        ours.shutdown(socket.SHUT_RDWR)
        thread.join()


# A small language of changes to lists that may hold each other, and themselves.

Step = tuple[str, int, int]
steps = st.lists(
    st.tuples(
        st.sampled_from(["number", "nest", "pop", "clear", "reverse", "replace", "keep", "unkeep"]),
        st.integers(0, 5),
        st.integers(0, 5),
    ),
    max_size=6,
)


def change(lists: list[Any], kept: list[Any], changes: list[Step]) -> None:
    for name, i, j in changes:
        one, other = lists[i % len(lists)], lists[j % len(lists)]
        if name == "number":
            one.append(j)
        elif name == "nest":
            one.append(other)
        elif name == "pop" and one:
            one.pop()
        elif name == "clear":
            one.clear()
        elif name == "reverse":
            one.reverse()
        elif name == "replace":
            lists[i % len(lists)] = [j]
        elif name == "keep":
            kept.append(one)
        elif name == "unkeep" and kept:
            lists.append(kept.pop())


def form(value: Any) -> Any:
    """A value's structure, with each list named by the order in which it is met."""
    numbers: dict[int, int] = {}

    def of(item: Any) -> Any:
        if not isinstance(item, list):
            return item
        if id(item) in numbers:
            return ("again", numbers[id(item)])
        numbers[id(item)] = len(numbers)
        return [of(child) for child in item]

    return of(value)


def play(
    rounds: list[tuple[list[Step], list[Step], bool]], call: Callable[[list[Any], list[Step], bool], Any]
) -> Any:
    """What checks see: they change their lists, call, and keep what comes back or not."""
    lists: list[Any] = [[], [1], [2, 3]]
    own: list[Any] = []
    seen = []
    for before, within, everything in rounds:
        change(lists, own, before)
        answer = call(lists, within, everything)
        own.append(answer)
        seen.append(form([lists, own]))
    return seen


def make_candidate() -> Callable[[list[Any], list[Step], bool], Any]:
    kept: list[Any] = []

    def call(lists: list[Any], changes: list[Step], everything: bool) -> Any:
        change(lists, kept, changes)
        return kept if everything else (kept[-1] if kept else lists[0])

    return call


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(steps, steps, st.booleans()), min_size=1, max_size=4))
def test_lists_are_the_same_as_in_one_process(rounds: list[tuple[list[Step], list[Step], bool]]) -> None:
    expected = play(rounds, make_candidate())
    with linked({"call": make_candidate()}) as counterpart:
        assert play(rounds, counterpart.proxy("call")) == expected


def test_plain_calls_are_not_tracked() -> None:
    with linked({"f": lambda items, n: sorted(items)[:n]}) as counterpart:
        for _ in range(3):
            assert counterpart.proxy("f")([3, 1, 2], 2) == [1, 2]
        assert not counterpart._tracker.on


def test_what_nobody_holds_is_forgotten_on_both_sides() -> None:
    kept: list[Any] = []

    def f(items: list[Any]) -> None:
        kept.append(items)

    with linked({"f": f}) as counterpart:
        for _ in range(50):
            counterpart.proxy("f")([1])
        assert counterpart._tracker.on
        assert len(counterpart._tracker.objects) <= 2


def test_objects_are_given_back() -> None:
    class Thing:
        pass

    service: list[Service] = []
    with linked({"f": Thing, "n": lambda: len(service[0]._objects)}, service) as counterpart:
        for _ in range(50):
            counterpart.proxy("f")()
        assert counterpart.proxy("n")() <= 2  # the class, and the last one


def test_an_iterator_is_not_run_ahead_of_its_reader_unless_all_is_taken() -> None:
    taken: list[int] = []

    def f() -> Iterator[int]:
        for i in range(2500):
            taken.append(i)
            yield i

    with linked({"f": f}) as counterpart:
        numbers = counterpart.proxy("f")()
        assert next(numbers) == 0
        assert taken == [0]
        assert list(numbers) == list(range(1, 2500))
        assert counterpart._calls < 20


def test_an_exception_in_the_middle_of_what_is_taken_comes_in_its_place() -> None:
    def f() -> Iterator[int]:
        yield 1
        raise KeyError("k")

    with linked({"f": f}) as counterpart:
        numbers = counterpart.proxy("f")()
        items = []
        with pytest.raises(KeyError, match="k"):
            for number in iter(numbers):
                items.append(number)  # noqa: PERF402
        assert items == [1]
