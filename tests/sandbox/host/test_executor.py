"""The judge loop: nothing lost, nothing handed over twice or after the end, nothing left running, errors raised."""

from __future__ import annotations

import queue
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.sandbox import Executor, Limits, Outcome, Program, Sandbox, SandboxError, Verdict, VerdictCache
from tests.fake_sandbox import FakeSandbox
from tests.threads import comes_back_to

RIGHT = "def f(x):\n    return x + 1\n"
LONG_S = 120.0


def program(name: str, candidate: str = RIGHT, limits: Limits | None = None) -> Program:
    return Program(name, candidate, ("assert f(1) == 2",), "f", limits or Limits())


def endless(name: str) -> Program:
    return program(name, "while True: pass", Limits(cpu_s=LONG_S, wall_s=LONG_S))


def unfinished(one: Program) -> Verdict | None:
    """Programs that are called `slow…` run on."""
    return None if one.id.startswith("slow") else Verdict(one.id, Outcome.PASS)


@pytest.fixture
def fake() -> Iterator[FakeSandbox]:
    sandbox = FakeSandbox(unfinished)
    yield sandbox
    sandbox.close()


@pytest.mark.isolated
def test_every_program_gets_its_verdict_while_the_caller_goes_on() -> None:
    verdicts: list[Verdict] = []
    with Sandbox(workers=2) as sandbox, Executor(sandbox, verdicts.append) as executor:
        for i in range(200):
            executor.submit(program(str(i), RIGHT if i % 2 else "def f(x):\n    return x\n"))
    assert sorted(int(v.id) for v in verdicts) == list(range(200))
    assert all((v.outcome is Outcome.PASS) == bool(int(v.id) % 2) for v in verdicts)


@pytest.mark.isolated
def test_in_order_is_the_order_of_submission_though_the_longest_run_first() -> None:
    verdicts: list[str] = []
    programs = [program(str(i), limits=Limits(cpu_s=2 + i % 7)) for i in range(60)]
    with (
        Sandbox(workers=2, limits=Limits(cpu_s=10)) as sandbox,
        Executor(sandbox, lambda v: verdicts.append(v.id), ordered=True) as executor,
    ):
        for one in programs:
            executor.submit(one)
    assert verdicts == [one.id for one in programs]


def test_in_order_without_their_output_whatever_order_they_come_in(fake: FakeSandbox) -> None:
    seen: list[Verdict] = []
    names = [f"slow{i}" for i in range(50)]
    with Executor(fake, seen.append, ordered=True, keep_output=False) as executor:  # type: ignore[arg-type]
        for name in names:
            executor.submit(program(name))
        for name in random.Random(0).sample(names, len(names)):
            fake.let_end(name, output="x" * 1000)
    assert [v.id for v in seen] == names
    assert {v.output for v in seen} == {""}


@pytest.mark.isolated
def test_an_interrupted_caller_waits_for_nothing() -> None:
    before = threading.active_count()
    verdicts: queue.Queue[Verdict] = queue.Queue()
    began = 0.0
    with (
        pytest.raises(KeyboardInterrupt),
        Sandbox(workers=1) as sandbox,
        Executor(sandbox, verdicts.put) as executor,
    ):
        executor.submit(program("first"))
        assert verdicts.get(timeout=60).outcome is Outcome.PASS
        for i in range(50):
            executor.submit(endless(str(i)))
        time.sleep(1)  # so that one is under way
        began = time.monotonic()
        raise KeyboardInterrupt
    assert time.monotonic() - began < LONG_S / 2
    assert verdicts.empty()
    assert comes_back_to(before)


@pytest.mark.isolated
def test_a_sandbox_goes_on_after_an_executor_was_abandoned() -> None:
    with Sandbox(workers=2) as sandbox:
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt), Executor(sandbox, lambda v: None) as executor:
                for i in range(5):
                    executor.submit(endless(str(i)))
                raise KeyboardInterrupt
            assert [v.outcome for v in sandbox.run([program("next")])] == [Outcome.PASS]


@pytest.mark.isolated
def test_who_stops_taking_verdicts_leaves_no_thread_behind(tmp_path: Path) -> None:
    before = threading.active_count()
    with (
        pytest.raises(KeyboardInterrupt),
        VerdictCache(tmp_path / "v.sqlite") as cache,
        Sandbox(workers=1) as sandbox,
    ):
        programs = [program("a"), *(program(str(i), f"while {i + 1}: pass") for i in range(50))]
        verdicts = Executor(sandbox, cache=cache).run(programs)
        assert next(verdicts).id == "a"
        raise KeyboardInterrupt
    verdicts.close()
    assert comes_back_to(before)


def test_after_an_interrupt_no_verdict_is_handed_over(fake: FakeSandbox) -> None:
    seen = queue.Queue[str]()
    with (
        pytest.raises(KeyboardInterrupt),
        Executor(fake, lambda verdict: seen.put(verdict.id)) as executor,  # type: ignore[arg-type]
    ):
        executor.submit(program("a"))
        executor.submit(program("slow"))
        assert seen.get(timeout=30) == "a"
        raise KeyboardInterrupt
    assert fake.aborted == 1
    fake.let_end("slow")
    fake.close()
    assert seen.empty()


def test_a_verdict_that_is_being_handed_over_is_not_lost_by_an_interrupt(fake: FakeSandbox) -> None:
    begun, go_on = threading.Event(), threading.Event()
    seen: list[str] = []

    def slowly(verdict: Verdict) -> None:
        begun.set()
        assert go_on.wait(30)
        seen.append(verdict.id)

    with (
        pytest.raises(KeyboardInterrupt),
        Executor(fake, slowly) as executor,  # type: ignore[arg-type]
    ):
        executor.submit(program("a"))
        assert begun.wait(30)
        threading.Timer(0.2, go_on.set).start()
        raise KeyboardInterrupt
    assert seen == ["a"]


def test_an_interrupt_while_the_last_verdicts_are_waited_for_stops_as_well(fake: FakeSandbox) -> None:
    seen: list[str] = []
    with (
        pytest.raises(KeyboardInterrupt),
        Executor(fake, lambda verdict: seen.append(verdict.id)) as executor,  # type: ignore[arg-type]
    ):
        executor.submit(program("slow"))
        main = threading.main_thread().ident
        assert main is not None
        # The block's end waits for a verdict that never comes.
        threading.Timer(0.3, signal.pthread_kill, (main, signal.SIGINT)).start()
    fake.let_end("slow")
    fake.close()
    assert seen == []


def test_an_interrupt_while_there_is_no_room_stops_as_well(fake: FakeSandbox) -> None:
    main = threading.main_thread().ident
    assert main is not None
    with (
        pytest.raises(KeyboardInterrupt),
        Executor(fake, lambda v: None, window=2) as executor,  # type: ignore[arg-type]
    ):
        threading.Timer(0.3, signal.pthread_kill, (main, signal.SIGINT)).start()
        for i in range(10):
            executor.submit(program(f"slow{i}"))
    assert len(fake.programs) == 2


def test_who_cannot_take_a_verdict_gets_no_further_one_and_the_caller_the_error(fake: FakeSandbox) -> None:
    seen: list[str] = []

    def full(verdict: Verdict) -> None:
        seen.append(verdict.id)
        raise OSError("disk full")

    with (
        pytest.raises(OSError, match="disk full"),
        Executor(fake, full, window=4) as executor,  # type: ignore[arg-type]
    ):
        for i in range(10_000):
            executor.submit(program(str(i)))
    assert len(seen) == 1


def test_who_cannot_take_a_verdict_from_the_cache_ends_all_the_same(
    fake: FakeSandbox, tmp_path: Path
) -> None:
    def full(verdict: Verdict) -> None:
        if verdict.id == "5":
            raise OSError("disk full")

    with VerdictCache(tmp_path / "v.sqlite") as cache:
        list(Executor(fake, cache=cache).run([program("known")]))  # type: ignore[arg-type]
        with (
            pytest.raises(OSError, match="disk full"),
            Executor(fake, full, cache=cache) as executor,  # type: ignore[arg-type]
        ):
            executor.submit(program("slow", "another"))
            for i in range(500):
                executor.submit(program(str(i)))


def test_a_broken_sandbox_stops_the_caller_with_its_error() -> None:
    broken = FakeSandbox(
        lambda p: Verdict(p.id, Outcome.PASS) if p.id == "0" else OSError("no more processes")
    )
    seen: list[Verdict] = []
    with (
        pytest.raises(SandboxError, match="no more processes"),
        Executor(broken, seen.append, window=2) as executor,  # type: ignore[arg-type]
    ):
        for i in range(10_000):
            executor.submit(program(str(i)))
    assert len(seen) == 1
    broken.close()


def test_who_waits_learns_that_the_sandbox_was_closed() -> None:
    sandbox = FakeSandbox(unfinished)
    threading.Timer(0.2, sandbox.close).start()
    with (
        pytest.raises(SandboxError, match="closed while programs"),
        Executor(sandbox, lambda v: None) as executor,  # type: ignore[arg-type]
    ):
        executor.submit(program("slow"))


def test_one_slow_program_holds_back_a_bounded_number_of_verdicts(
    fake: FakeSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.sandbox.host.executor.AHEAD", 50)
    seen: list[str] = []
    with (
        VerdictCache(tmp_path / "v.sqlite") as cache,
        Executor(fake, lambda v: seen.append(v.id), cache=cache, ordered=True) as executor,  # type: ignore[arg-type]
    ):
        list(Executor(fake, cache=cache).run([program("known")]))  # type: ignore[arg-type]
        executor.submit(program("slow", "another"))
        submitter = threading.Thread(target=lambda: [executor.submit(program(str(i))) for i in range(500)])
        submitter.start()
        submitter.join(0.5)
        assert submitter.is_alive(), "it read on"
        assert seen == []
        assert len(executor._early) == 49
        fake.let_end("slow")
        submitter.join(30)
        assert not submitter.is_alive()
    assert seen == ["slow", *map(str, range(500))]


def test_many_large_programs_are_not_held_in_memory(fake: FakeSandbox) -> None:
    with pytest.raises(KeyboardInterrupt), Executor(fake, lambda v: None) as executor:  # type: ignore[arg-type]
        submitter = threading.Thread(
            target=lambda: [executor.submit(program(f"slow{i}", "#" * (8 << 20))) for i in range(5)],
            daemon=True,
        )
        submitter.start()
        submitter.join(1)
        assert submitter.is_alive()
        assert len(fake.programs) == 2
        with pytest.MonkeyPatch.context() as patch:  # the submitter's error is its own
            patch.setattr(threading, "excepthook", lambda _: None)
            executor.stop()
            submitter.join(30)
        raise KeyboardInterrupt


def test_equal_programs_wait_for_the_one_that_is_under_way(fake: FakeSandbox, tmp_path: Path) -> None:
    seen: list[str] = []
    with (
        VerdictCache(tmp_path / "v.sqlite") as cache,
        Executor(fake, lambda v: seen.append(v.id), cache=cache) as executor,  # type: ignore[arg-type]
    ):
        for name in ("slow", "same", "too"):
            executor.submit(program(name))
        executor.submit(program("other", "x = 1"))
        fake.let_end("slow")
    assert sorted(seen) == ["other", "same", "slow", "too"]
    assert [p.id for p in fake.programs] == ["slow", "other"]
    assert [executor.was_cached(name) for name in ("slow", "same", "too", "other")] == [
        False,
        True,
        True,
        False,
    ]


def test_run_gives_a_verdict_before_it_has_read_many_programs(fake: FakeSandbox) -> None:
    read: list[int] = []

    def slowly() -> Iterator[Program]:
        for i in range(20):
            time.sleep(0.05)  # in which the verdict on the last one comes
            read.append(i)
            yield program(str(i))

    verdicts = Executor(fake).run(slowly())  # type: ignore[arg-type]
    next(verdicts)
    assert len(read) < 20
    assert len(list(verdicts)) == 19


def test_errors_of_the_programs_reach_the_caller(fake: FakeSandbox) -> None:
    def broken() -> Iterator[Program]:
        yield program("a")
        raise KeyError("the caller's own")

    with pytest.raises(KeyError, match="the caller's own"):
        list(Executor(fake).run(broken()))  # type: ignore[arg-type]


def test_the_time_with_programs_under_way_is_counted(fake: FakeSandbox) -> None:
    with Executor(fake, lambda v: None) as executor:  # type: ignore[arg-type]
        executor.submit(program("slow"))
        time.sleep(0.2)
        fake.let_end("slow")
        executor.wait()
        busy_s = executor.busy_s
        time.sleep(0.2)
        assert executor.busy_s == busy_s >= 0.2
