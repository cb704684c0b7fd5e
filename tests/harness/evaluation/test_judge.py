"""Execution beside generation: nothing lost, nothing left running, errors where the caller sees them."""

from __future__ import annotations

import queue
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator

import pytest

from assay.harness.errors import MissingToolError, UnmeasuredError
from assay.harness.evaluation.judge import Executor, open_sandbox
from assay.harness.experiment import SandboxTable
from assay.sandbox import ControlError, IsolationError, Limits, Outcome, Program, SandboxError, Verdict
from assay.suites import load_suite
from tests.threads import comes_back_to

RIGHT = "def f(x):\n    return x + 1\n"


def program(name: str, candidate: str = RIGHT) -> Program:
    return Program(name, candidate, ("assert f(1) == 2",), "f")


@pytest.mark.isolated
def test_every_program_gets_its_verdict_while_the_caller_goes_on() -> None:
    verdicts: list[Verdict] = []
    with (
        open_sandbox(SandboxTable(workers=2), load_suite("humaneval")) as box,
        Executor(box, verdicts.append) as executor,
    ):
        for i in range(200):
            executor.submit(program(str(i), RIGHT if i % 2 else "def f(x):\n    return x\n"))
    assert sorted(int(v.id) for v in verdicts) == list(range(200))
    assert all((v.outcome is Outcome.PASS) == bool(int(v.id) % 2) for v in verdicts)


@pytest.mark.isolated
def test_an_interrupted_caller_waits_for_nothing() -> None:
    before, long = threading.active_count(), 120
    verdicts: queue.Queue[Verdict] = queue.Queue()
    endless = Program("endless", "while True: pass\n", ("f(1)",), "f", Limits(cpu_s=long, wall_s=long))
    table = SandboxTable(workers=1, cpu_s=long, wall_s=long)
    began = 0.0
    with (
        pytest.raises(KeyboardInterrupt),
        open_sandbox(table, load_suite("humaneval")) as box,
        Executor(box, verdicts.put) as executor,
    ):
        executor.submit(program("first"))
        assert verdicts.get(timeout=60).outcome is Outcome.PASS
        for _ in range(50):
            executor.submit(endless)
        time.sleep(1)  # so that one is under way
        began = time.monotonic()
        raise KeyboardInterrupt
    assert time.monotonic() - began < long / 2
    assert verdicts.empty()
    assert comes_back_to(before)


class FedBox:
    """A sandbox as the executor sees one: it reads programs in a thread of its own, gives verdicts for those that it
    lets end, and for the others waits until it is closed."""

    isolation = None

    def __init__(self, ends: Callable[[Program], bool] = lambda program: True) -> None:
        self._ends = ends
        self._results: queue.SimpleQueue[Verdict | None] = queue.SimpleQueue()
        self.feeder: threading.Thread | None = None
        self.left = threading.Event()  # nobody takes verdicts any more

    def run(self, programs: Iterable[Program]) -> Iterator[Verdict]:
        def feed() -> None:
            for one in programs:
                if self._ends(one):
                    self._results.put(Verdict(one.id, Outcome.PASS))

        self.feeder = threading.Thread(target=feed, daemon=True)
        self.feeder.start()
        try:
            while (verdict := self._results.get(timeout=60)) is not None:
                yield verdict
            raise SandboxError("closed")
        finally:
            self.left.set()

    def let_end(self, identity: str) -> None:
        self._results.put(Verdict(identity, Outcome.PASS))

    def close(self) -> None:
        self._results.put(None)

    def fed(self) -> bool:
        """Whether the thread that reads programs has ended."""
        assert self.feeder is not None
        self.feeder.join(30)
        return not self.feeder.is_alive()


def ended(executor: Executor) -> bool:
    executor._thread.join(30)
    return not executor._thread.is_alive()


def test_after_an_interrupt_no_verdict_is_handed_over() -> None:
    box, seen = FedBox(lambda program: False), queue.Queue[str]()
    with (
        pytest.raises(KeyboardInterrupt),
        Executor(box, lambda verdict: seen.put(verdict.id)) as executor,  # type: ignore[arg-type]
    ):
        executor.submit(program("a"))
        box.let_end("early")
        assert seen.get(timeout=30) == "early"
        raise KeyboardInterrupt
    assert executor._thread.is_alive(), "it waited for a program"
    assert box.fed()
    box.let_end("late")
    assert ended(executor)
    assert seen.empty()


def test_a_verdict_that_is_being_handed_over_is_not_lost_by_an_interrupt() -> None:
    box, begun, go_on = FedBox(), threading.Event(), threading.Event()
    seen: list[str] = []

    def slowly(verdict: Verdict) -> None:
        begun.set()
        assert go_on.wait(30)
        seen.append(verdict.id)

    with (
        pytest.raises(KeyboardInterrupt),
        Executor(box, slowly) as executor,  # type: ignore[arg-type]
    ):
        executor.submit(program("a"))
        assert begun.wait(30)
        threading.Timer(0.2, go_on.set).start()
        raise KeyboardInterrupt
    assert seen == ["a"]
    box.close()
    assert ended(executor)


def test_an_interrupt_while_the_last_verdicts_are_waited_for_stops_as_well() -> None:
    box = FedBox(lambda program: False)
    seen: list[str] = []
    with (
        pytest.raises(KeyboardInterrupt),
        Executor(box, lambda verdict: seen.append(verdict.id)) as executor,  # type: ignore[arg-type]
    ):
        executor.submit(program("a"))
        main = threading.main_thread().ident
        assert main is not None
        # The block's end waits for a verdict that never comes.
        threading.Timer(0.3, signal.pthread_kill, (main, signal.SIGINT)).start()
    box.let_end("late")
    assert box.left.wait(30)  # an interrupted join lets a thread look ended that is not
    assert seen == []


def test_who_cannot_take_a_verdict_leaves_no_thread_that_waits_for_programs() -> None:
    def full(_: Verdict) -> None:
        raise OSError("disk full")

    box = FedBox()
    with (
        pytest.raises(OSError, match="disk full"),
        Executor(box, full) as executor,  # type: ignore[arg-type]
    ):
        executor.submit(program("a"))
        assert ended(executor)
        assert box.fed()  # before anyone says that no more programs come


class BrokenBox:
    """A sandbox that fails after one verdict, as one whose cells can no longer be started does."""

    isolation = None

    def run(self, programs: Iterable[Program]) -> Iterator[Verdict]:
        for one in programs:
            yield Verdict(one.id, Outcome.PASS)
            raise OSError("no more processes")


def test_a_broken_sandbox_stops_the_caller_with_its_error() -> None:
    seen: list[Verdict] = []
    with (
        pytest.raises(OSError, match="no more processes"),
        Executor(BrokenBox(), seen.append, window=2) as executor,
    ):  # type: ignore[arg-type]
        for i in range(10_000):
            executor.submit(program(str(i)))
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("raised", "expected"), [(IsolationError("x"), MissingToolError), (ControlError("x"), UnmeasuredError)]
)
def test_what_keeps_the_sandbox_from_judging_has_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, expected: type[Exception]
) -> None:
    class Refusing:
        def __init__(self, **_: object) -> None: ...

        def __enter__(self) -> None:
            raise raised

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr("assay.harness.evaluation.judge.Sandbox", Refusing)
    with pytest.raises(expected), open_sandbox(SandboxTable(), load_suite("humaneval")):
        pytest.fail("opened")
