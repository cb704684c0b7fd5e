"""Whoever waits is not left waiting: closing ends every run, wherever its threads happen to be."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import pytest

from assay.sandbox import Program, SandboxError, Verdict
from assay.sandbox.host import verdicts
from assay.sandbox.host.cells import Trial
from assay.sandbox.host.scheduler import Scheduler

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


class QuickRig(EndlessRig):
    """Answers at once, and keeps what was sent before the answer to what."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead: dict[str, list[str]] = {}
        self._sent: list[str] = []

    def send(self, program: Program, sequence: int) -> None:
        self._sent.append(program.id)

    def receive(self, program: Program, sequence: int) -> Trial:
        self.ahead[program.id] = list(self._sent)
        self._sent.remove(program.id)
        return Trial(verdicts.infra(program, "toy", "shared"), needs_quiet=False, retire=False)


def of_size(name: str, characters: int) -> Program:
    return Program(name, "#" * characters, (), "f")


def test_nothing_is_sent_ahead_that_would_not_fit_the_cells_socket() -> None:
    """A send that has to wait for the cell would wait while the cell waits for its answer to be read."""
    rig = QuickRig()
    scheduler = Scheduler(lambda mode: rig, lambda p: "shared", 1, 4)
    programs = [of_size("a", 10), of_size("big", 1 << 20), of_size("b", 10), of_size("c", 10)]
    batch = scheduler.run(programs)
    threading.Timer(0.2, scheduler.start).start()  # all of them wait by then
    found = [v.id for v in batch]
    scheduler.close()
    assert sorted(found) == ["a", "b", "big", "c"]
    assert rig.ahead["a"] == ["a"]
    assert rig.ahead["big"] == ["big"]
    assert rig.ahead["b"] == ["b", "c"]


class FailingRig(QuickRig):
    def __init__(self, where: str) -> None:
        super().__init__()
        self._where = where

    def send(self, program: Program, sequence: int) -> None:
        if self._where == "send" and program.id == "bad":
            raise ValueError("a number that no frame holds")
        super().send(program, sequence)

    def receive(self, program: Program, sequence: int) -> Trial:
        if self._where == "receive" and program.id == "bad":
            raise ValueError("an answer that says nothing")
        return super().receive(program, sequence)

    def close(self) -> None:
        if self._where == "close":
            raise OSError("the engine has gone")


@pytest.mark.parametrize("where", ["make", "send", "receive", "close"])
def test_a_worker_outlives_what_it_did_not_expect(where: str) -> None:
    failing = True

    def make(_mode: str) -> FailingRig:
        if where == "make" and failing:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return FailingRig(where)

    scheduler = Scheduler(make, lambda p: "shared", 1, 1)
    scheduler.start()
    consumer = Consumer(scheduler.run([of_size("bad", 10)]))
    consumer.start()
    consumer.join(LONG_S)
    assert not consumer.is_alive()
    assert ("could not be given to a cell" in str(consumer.error)) == (where in ("make", "send"))
    failing = False
    assert [v.id for v in scheduler.run([of_size("good", 10)])] == ["good"]
    scheduler.close()


def test_abandoned_runs_that_the_collector_ends_block_nobody() -> None:
    """The collector runs in whatever thread allocates, also in one that holds the scheduler's locks."""

    class Cycle:
        run: object = None
        itself: object = None

    scheduler = Scheduler(lambda mode: QuickRig(), lambda p: "shared", 2, 2)
    scheduler.start()

    def abandon() -> None:
        for _ in range(300):
            cycle = Cycle()
            cycle.itself, cycle.run = cycle, scheduler.run(map(program, range(40)))
            next(cycle.run)  # type: ignore[call-overload]
            del cycle
            assert len(list(scheduler.run(map(program, range(20))))) == 20
        done.set()

    done, thread = threading.Event(), threading.Thread(target=abandon, daemon=True)
    before = gc.get_threshold()
    gc.set_threshold(100, 5, 5)
    try:
        thread.start()
        assert done.wait(3 * LONG_S)
    finally:
        gc.set_threshold(*before)
    scheduler.close()
