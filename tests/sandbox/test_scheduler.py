"""Whoever waits is not left waiting: closing ends every run, wherever its threads happen to be."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from sandbox import Program, SandboxError, Verdict
from sandbox.rig import Trial
from sandbox.scheduler import Scheduler

LONG_S = 20.0


class EndlessRig:
    """A rig whose programs never end until it is aborted."""

    def __init__(self) -> None:
        self._aborted = threading.Event()

    def send(self, program: Program, sequence: int) -> None:
        pass

    def receive(self, program: Program, sequence: int) -> Trial:
        assert self._aborted.wait(LONG_S)
        raise EOFError

    def abort(self) -> None:
        self._aborted.set()

    def close(self) -> None:
        pass


def program(number: int) -> Program:
    return Program(str(number), "def f(x): return x", ("assert f(1) == 1",), "f")


class Consumer(threading.Thread):
    """Takes the verdicts of one run in a thread of its own, and keeps how that ended."""

    def __init__(self, verdicts: Iterator[Verdict]) -> None:
        super().__init__(daemon=True)
        self._verdicts = verdicts
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            list(self._verdicts)
        except SandboxError as error:
            self.error = error


@pytest.mark.parametrize("depth", [1, 2, 8])
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("programs", [1, 1000])
def test_who_waits_for_a_verdict_learns_that_the_sandbox_was_closed(
    workers: int, depth: int, programs: int
) -> None:
    scheduler = Scheduler(lambda mode: EndlessRig(), lambda p: "shared", workers, depth)
    scheduler.start()
    fed = threading.Event()

    def feed() -> Iterator[Program]:
        yield program(0)
        fed.set()
        yield from map(program, range(1, programs))

    consumer = Consumer(scheduler.run(feed()))
    consumer.start()
    assert fed.wait(LONG_S)
    scheduler.close()
    consumer.join(LONG_S)
    assert not consumer.is_alive()
    assert "closed" in str(consumer.error)


def test_a_program_that_comes_after_the_end_is_not_put_where_no_one_looks() -> None:
    scheduler = Scheduler(lambda mode: EndlessRig(), lambda p: "shared", 1, 1)
    scheduler.start()
    asked, go_on = threading.Event(), threading.Event()

    def feed() -> Iterator[Program]:
        asked.set()
        assert go_on.wait(LONG_S)
        yield program(0)

    consumer = Consumer(scheduler.run(feed()))
    consumer.start()
    assert asked.wait(LONG_S)
    scheduler.close()
    go_on.set()
    consumer.join(LONG_S)
    assert not consumer.is_alive()
    assert "closed" in str(consumer.error)
    with pytest.raises(SandboxError, match="is closed"):
        next(scheduler.run([program(1)]))
