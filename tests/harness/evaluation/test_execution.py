"""Execution beside generation: nothing lost, nothing left running, errors where the caller sees them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

import pytest

from harness.errors import MissingToolError, UnmeasuredError
from harness.evaluation.execution import Executor, open_sandbox
from harness.experiment import SandboxTable
from sandbox import ControlError, IsolationError, Outcome, Program, Verdict
from suites import load_suite

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
    before = threading.active_count()
    with (
        pytest.raises(KeyboardInterrupt),
        open_sandbox(SandboxTable(workers=1), load_suite("humaneval")) as box,
        Executor(box, lambda verdict: None) as executor,
    ):
        for i in range(50):
            executor.submit(program(str(i), "while True: pass\n"))
        raise KeyboardInterrupt
    assert threading.active_count() == before


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

    monkeypatch.setattr("harness.evaluation.execution.Sandbox", Refusing)
    with pytest.raises(expected), open_sandbox(SandboxTable(), load_suite("humaneval")):
        pytest.fail("opened")
