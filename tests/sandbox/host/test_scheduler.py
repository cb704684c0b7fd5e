"""Whoever waits is not left waiting: closing ends every run, wherever its threads happen to be."""

from __future__ import annotations

import contextlib
import gc
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from assay.sandbox import CellError, Executor, Limits, Outcome, Program, SandboxError, Verdict
from assay.sandbox.cell import wire
from assay.sandbox.host import cells as cells_of_host
from assay.sandbox.host.cells import Cell, CellPair
from assay.sandbox.host.scheduler import Scheduler
from assay.sandbox.host.verdicts import Rules
from tests.fake_sandbox import ISOLATION

LONG_S = 120.0
RULES = Rules("shared", largest=Limits(memory_bytes=1 << 40))
PASSED = wire.Response(0, wire.ENDED, wire.PASSED, 0, 1000, 1000, 9, 0, 1, 0, b"", b"")


class FakeCell:
    """The other end of a cell's channel, in a thread: it is ready at once, and answers each request with `answer`."""

    def __init__(self, answer: Callable[[wire.Request], wire.Response | None], *, read: bool = True) -> None:
        ours, self._channel = socket.socketpair()
        ours.setblocking(False)
        self._answer, self._read = answer, read
        self.requests: list[wire.Request] = []
        self.cell = Cell(ours, self._wait_for_end)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError, EOFError), self._channel:
            self._channel.sendall(wire.LENGTH.pack(7) + b'{"a":1}')
            while self._read:
                request = wire.read_request(self._channel.recv)
                self.requests.append(request)
                response = self._answer(request)
                if response is not None:
                    self._channel.sendall(response._replace(sequence=request.sequence).pack())
            hung_up = select.poll()
            hung_up.register(self._channel, 0)
            hung_up.poll()

    def _wait_for_end(self, timeout_s: float) -> bool:
        self._thread.join(timeout_s)
        return not self._thread.is_alive()


def passing(_request: wire.Request) -> wire.Response:
    return PASSED


def never(_request: wire.Request) -> None:
    return None


def cells(answer: Callable[[wire.Request], wire.Response | None], _mode: str = "shared") -> CellPair:
    return CellPair("shared", [FakeCell(answer).cell], RULES)


class Opened:
    """A sandbox as an Executor sees it, over a scheduler with fake cells."""

    isolation = ISOLATION
    mode = "shared"

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler


def run(scheduler: Scheduler, programs: Any) -> Iterator[Verdict]:
    return Executor(Opened(scheduler), window=scheduler.window).run(programs)  # type: ignore[arg-type]


def program(number: int) -> Program:
    return Program(str(number), "def f(x): return x", ("assert f(1) == 1",), "f")


class Consumer(threading.Thread):
    """Takes the verdicts of one run in a thread of its own, and keeps how that ended."""

    def __init__(self, verdicts: Iterator[Verdict]) -> None:
        super().__init__(daemon=True)
        self._verdicts = verdicts
        self.verdicts: list[Verdict] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.verdicts += self._verdicts
        except SandboxError as error:
            self.error = error


@pytest.mark.parametrize("depth", [1, 2, 8])
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("programs", [1, 1000])
def test_who_waits_for_a_verdict_learns_that_the_sandbox_was_closed(
    workers: int, depth: int, programs: int
) -> None:
    scheduler = Scheduler(partial(cells, never), RULES, workers, depth)
    scheduler.start()
    fed = threading.Event()

    def feed() -> Iterator[Program]:
        yield program(0)
        fed.set()
        yield from map(program, range(1, programs))

    consumer = Consumer(run(scheduler, feed()))
    consumer.start()
    assert fed.wait(LONG_S)
    scheduler.close()
    consumer.join(LONG_S)
    assert not consumer.is_alive()
    assert "closed" in str(consumer.error)


def test_a_program_that_comes_after_the_end_is_not_put_where_no_one_looks() -> None:
    scheduler = Scheduler(partial(cells, never), RULES, 1, 1)
    scheduler.start()
    asked, go_on = threading.Event(), threading.Event()

    def feed() -> Iterator[Program]:
        asked.set()
        assert go_on.wait(LONG_S)
        yield program(0)

    consumer = Consumer(run(scheduler, feed()))
    consumer.start()
    assert asked.wait(LONG_S)
    scheduler.close()
    go_on.set()
    consumer.join(LONG_S)
    assert not consumer.is_alive()
    assert "closed" in str(consumer.error)
    with pytest.raises(SandboxError, match="is closed"):
        next(run(scheduler, [program(1)]))


def of_size(name: str, characters: int) -> Program:
    return Program(name, "#" * characters, (), "f")


def test_large_programs_and_large_answers_cross_without_waiting_for_each_other() -> None:
    """The cell writes an answer of a megabyte while the host still sends: a host that waited for the one to be read
    before it read the other would wait for ever."""
    large = PASSED._replace(output=b"o" * (1 << 20))
    scheduler = Scheduler(partial(cells, lambda _: large), RULES, 1, 4)
    scheduler.start()
    programs = [of_size(str(i), 1 << 20 if i % 2 else 10) for i in range(12)]
    verdicts = list(run(scheduler, programs))
    scheduler.close()
    assert sorted(v.id for v in verdicts) == sorted(p.id for p in programs)
    assert all(len(v.output) == 1 << 20 for v in verdicts)


def test_a_cell_that_does_not_read_holds_no_other_worker_back() -> None:
    made: list[FakeCell] = []

    def launch(_mode: str) -> CellPair:
        made.append(FakeCell(passing, read=bool(made)))
        return CellPair("shared", [made[-1].cell], RULES)

    scheduler = Scheduler(launch, RULES, 2, 1)
    scheduler.start()
    names: list[str] = []
    with pytest.raises(SandboxError):  # at the end, for the one that no one reads
        for verdict in run(scheduler, [of_size(str(i), 1 << 22) for i in range(8)]):
            names.append(verdict.id)
            if len(names) == 7:
                scheduler.close()
    assert len(names) == 7


def test_the_longest_programs_go_first_and_equal_ones_as_they_came() -> None:
    fake = FakeCell(passing)
    scheduler = Scheduler(lambda mode: CellPair("shared", [fake.cell], RULES), RULES, 1, 1)
    limits = [1, 5, 1, 7, 5]
    programs = [Program(str(i), "", (), "f", Limits(cpu_s=cpu_s)) for i, cpu_s in enumerate(limits)]
    verdicts: list[str] = []
    with Executor(Opened(scheduler), lambda v: verdicts.append(v.id)) as executor:  # type: ignore[arg-type]
        for one in programs:
            executor.submit(one)
        scheduler.start()
    scheduler.close()
    assert verdicts == ["3", "1", "4", "0", "2"]


@pytest.mark.parametrize("where", ["make", "start", "send", "receive", "end"])
def test_the_scheduler_outlives_what_it_did_not_expect(where: str) -> None:
    failing = True

    def fail_to_end(_timeout_s: float) -> bool:
        raise OSError("the engine has gone")

    def end_early() -> None:
        raise CellError("the cell ended during its start")

    def answer(_request: wire.Request) -> wire.Response:
        if where == "receive" and failing:
            raise OSError("the cell dies")
        return PASSED

    def make(_mode: str) -> CellPair:
        if where == "make" and failing:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        pair = cells(answer)
        if where == "start" and failing:
            pair.cells[
                0
            ].read = end_early  # its report may be in the channel already: closing that would not do
        if where == "end":
            pair.cells[0]._wait_for_end = fail_to_end
        return pair

    scheduler = Scheduler(make, RULES, 1, 1)
    scheduler.start()
    limits = Limits(memory_bytes=1 << 80) if where == "send" else Limits()
    rules = Rules("shared", largest=limits)
    scheduler._rules = rules
    consumer = Consumer(run(scheduler, [Program("bad", "", (), "f", limits)]))
    consumer.start()
    consumer.join(LONG_S)
    assert not consumer.is_alive()
    assert (consumer.error is not None) == (where in ("make", "start"))
    if where == "make":
        assert "could not be given to a cell" in str(consumer.error)
    if where == "send":  # the sample's own end, not the run's
        assert [verdict.outcome for verdict in consumer.verdicts] == [Outcome.INFRA]
    failing = False
    assert [v.outcome for v in run(scheduler, [of_size("good", 10)])] == [Outcome.PASS]
    scheduler.close()


def test_what_ends_at_the_limit_of_a_judge_that_judged_others_is_judged_again() -> None:
    full = PASSED._replace(code=wire.OUT_OF_MEMORY, flags=wire.USED_JUDGE)
    answers = iter([PASSED, full, PASSED, PASSED])
    scheduler = Scheduler(lambda mode: cells(lambda _request: next(answers)), RULES, 1, 1)
    scheduler.start()
    programs = [of_size(name, 10) for name in ("a", "b", "c")]
    outcomes = {v.id: v.outcome for v in run(scheduler, programs)}
    scheduler.close()
    assert outcomes == dict.fromkeys(("a", "b", "c"), Outcome.PASS)
    assert next(answers, None) is None


class Fleet:
    """Fake cells, as many as are launched; `requests` holds what each was sent, by the names of its programs."""

    def __init__(
        self, answer: Callable[[wire.Request], wire.Response | None], *, for_memory: bool = False
    ) -> None:
        self._answer, self._for_memory = answer, for_memory
        self._cells: list[FakeCell] = []

    def launch(self, _mode: str) -> CellPair:
        self._cells.append(FakeCell(self._answer))
        self._cells[-1].cell.was_killed_for_memory = lambda: self._for_memory
        return CellPair("shared", [self._cells[-1].cell], RULES)

    @property
    def requests(self) -> list[list[str]]:
        names = [[wire.split(request.body)[0].decode() for request in one.requests] for one in self._cells]
        return [["control" if "double" in name else name for name in of_cell] for of_cell in names]


def judge_all(fleet: Fleet, names: tuple[str, ...], limits: Limits, *, depth: int = 3) -> dict[str, Verdict]:
    scheduler = Scheduler(fleet.launch, RULES, 1, depth)
    scheduler.start()
    verdicts = {v.id: v for v in run(scheduler, [Program(name, name, (), "f", limits) for name in names])}
    scheduler.close()
    return verdicts


@pytest.mark.parametrize(("for_memory", "outcome"), [(False, Outcome.ERROR), (True, Outcome.MEMORY)])
@pytest.mark.parametrize("how", ["dies", "wedges"])
def test_a_program_that_ends_its_cells_alone_has_ended_and_the_others_are_judged(
    how: str, for_memory: bool, outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No program may choose to be unmeasured: it is so only where a control ends likewise."""
    monkeypatch.setattr(cells_of_host, "GRACE_S", 0.1)
    monkeypatch.setattr(cells_of_host, "_JUDGE_LAG_S", 0.1)

    def answer(request: wire.Request) -> wire.Response | None:
        if b"dies" in request.body:
            raise OSError("the cell dies")
        return None if b"wedges" in request.body else PASSED

    fleet = Fleet(answer, for_memory=for_memory)
    verdicts = judge_all(fleet, ("a", how, "b", "c"), Limits(wall_s=0.5))
    assert {v.id: v.outcome for v in verdicts.values()} == {
        "a": Outcome.PASS, how: outcome, "b": Outcome.PASS, "c": Outcome.PASS
    }  # fmt: skip
    assert "in 2 new cells in which it ran alone" in verdicts[how].detail
    assert [how] in fleet.requests
    alone = [names for names in fleet.requests if how in names][1:]
    assert alone == [[how], [how]]
    assert [names[0] for names in fleet.requests if "control" in names] == ["control"]  # first in a new cell


def test_a_program_is_unmeasured_where_a_control_ends_its_cell_too() -> None:
    """The machine is at fault: once cells die, all die."""
    broken = False

    def answer(request: wire.Request) -> wire.Response:
        nonlocal broken
        broken = broken or b"first" in request.body
        if broken:
            raise OSError("the machine is ill")
        return PASSED

    verdicts = judge_all(Fleet(answer), ("a", "first"), Limits(), depth=1)
    assert {v.id: v.outcome for v in verdicts.values()} == {"a": Outcome.PASS, "first": Outcome.INFRA}
    assert "under a control program: no answer from the cell" in verdicts["first"].detail


def test_a_control_that_is_not_passed_leaves_the_program_unmeasured() -> None:
    def answer(request: wire.Request) -> wire.Response:
        if b"dies" in request.body:
            raise OSError("the cell dies")
        return PASSED._replace(code=wire.FAILED)

    assert judge_all(Fleet(answer), ("dies",), Limits())["dies"].outcome is Outcome.INFRA


def test_a_program_that_ends_its_cell_once_is_judged_by_its_next() -> None:
    """An innocent that ran behind one that left its cell broken."""
    times = 0

    def answer(request: wire.Request) -> wire.Response:
        nonlocal times
        if b"late" in request.body:
            times += 1
            if times < 3:
                raise OSError("the cell dies")
        return PASSED

    fleet = Fleet(answer)
    assert judge_all(fleet, ("a", "late", "b"), Limits())["late"].outcome is Outcome.PASS
    assert not any("control" in names for names in fleet.requests)


@pytest.mark.parametrize(
    ("first", "again", "outcome", "notes"),
    [
        (PASSED._replace(cpu_us=4_000_000), PASSED, Outcome.PASS, ("near_limit",)),
        (PASSED._replace(cpu_us=6_000_000), PASSED._replace(cpu_us=4_000_000), Outcome.PASS, ("near_limit",)),
        (PASSED._replace(wall_us=16_000_000), PASSED, Outcome.PASS, ("near_limit",)),
        (
            PASSED._replace(cpu_us=4_000_000),
            PASSED._replace(cpu_us=5_300_000, reason=wire.CPU_LIMIT),
            Outcome.TIMEOUT,
            ("near_limit",),
        ),
        (PASSED._replace(reason=wire.CPU_LIMIT, cpu_us=6_260_000), None, Outcome.TIMEOUT, ()),
        (PASSED._replace(reason=wire.WALL_LIMIT, wall_us=20_000_000, cpu_us=90_000), None, Outcome.TIMEOUT, ()),
        (PASSED._replace(reason=wire.WALL_LIMIT, flags=wire.STARVED, cpu_us=90_000), PASSED, Outcome.PASS, ()),
        (PASSED._replace(reason=wire.WALL_LIMIT, cpu_us=500_000), PASSED, Outcome.PASS, ()),
        (
            PASSED._replace(reason=wire.WALL_LIMIT, cpu_us=500_000),
            PASSED._replace(reason=wire.WALL_LIMIT, cpu_us=1_500_000),
            Outcome.TIMEOUT,
            ("near_limit",),
        ),
        (PASSED._replace(cpu_us=3_900_000, wall_us=15_900_000), None, Outcome.PASS, ()),
    ],
)  # fmt: skip
def test_what_is_near_a_limit_is_judged_again_once_and_noted(
    first: wire.Response, again: wire.Response | None, outcome: Outcome, notes: tuple[str, ...]
) -> None:
    """`again` is None where one run has to decide."""
    requests: list[wire.Request] = []

    def answer(request: wire.Request) -> wire.Response:
        requests.append(request)
        if len(requests) == 1:
            return first
        assert again is not None
        return again

    verdict = judge_all(Fleet(answer), ("a",), Limits(), depth=1)["a"]
    assert (verdict.outcome, verdict.notes) == (outcome, notes)
    assert [request.cpu_ms for request in requests] == [6250] + [5250] * (again is not None)
    longer = 3 if first.reason == wire.WALL_LIMIT else 1
    assert [request.wall_ms for request in requests] == [20_000] + [20_000 * longer] * (again is not None)


def test_what_load_could_have_decided_is_judged_again_with_nothing_else_running() -> None:
    running, beside, seen = 0, [], set[bytes]()
    lock = threading.Lock()

    def answer(request: wire.Request) -> wire.Response:
        nonlocal running
        with lock:
            running += 1
        time.sleep(0.01)
        with lock:
            now, running = running, running - 1
            again = request.body in seen
            seen.add(request.body)
        if b"near" in request.body:
            if again:
                beside.append(now)
            return PASSED._replace(cpu_us=4_900_000)
        return PASSED

    scheduler = Scheduler(partial(cells, answer), RULES, 2, 2)
    scheduler.start()
    programs = [Program(str(i), f"near {i}" if i % 4 == 0 else str(i), (), "f") for i in range(16)]
    assert len(list(run(scheduler, programs))) == 16
    scheduler.close()
    assert beside == [1, 1, 1, 1]


def test_abandoned_runs_that_the_collector_ends_block_nobody() -> None:
    """The collector runs in whatever thread allocates, also in one that holds the scheduler's locks."""

    class Cycle:
        run: object = None
        itself: object = None

    scheduler = Scheduler(partial(cells, passing), RULES, 2, 2)
    scheduler.start()

    def abandon() -> None:
        for _ in range(100):
            cycle = Cycle()
            cycle.itself, cycle.run = cycle, run(scheduler, map(program, range(40)))
            next(cycle.run)  # type: ignore[call-overload]
            del cycle
            assert len(list(run(scheduler, map(program, range(20))))) == 20
        done.set()

    done, thread = threading.Event(), threading.Thread(target=abandon, daemon=True)
    before = gc.get_threshold()
    gc.set_threshold(100, 5, 5)
    try:
        thread.start()
        assert done.wait(6 * LONG_S)
    finally:
        gc.set_threshold(*before)
    scheduler.close()
