"""Limits of single checks: which check is stopped, in both modes, and who can move the clock."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest

from assay.sandbox import Limits, Outcome, Program, Sandbox, Verdict
from assay.sandbox.cell import progress, wire
from assay.sandbox.host import verdicts
from assay.sandbox.model import Mode

SPINS_ON_TWO = "def f(n):\n    while n == 2:\n        pass\n    return n\n"
CHECKS = ("assert f(1) == 1", "assert f(2) == 2", "assert f(3) == 3")
LIMITS = Limits(cpu_s=30, wall_s=40)


@pytest.fixture(scope="module", params=["split", "shared"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with Sandbox(workers=1, mode=cast(Mode, request.param)) as opened:
        yield opened


def judged(sandbox: Sandbox, candidate: str, checks: tuple[str, ...], each_s: float) -> Verdict:
    program = Program("p", candidate, checks, "f", limits=LIMITS, check_cpu_s=(each_s,) * len(checks))
    (verdict,) = sandbox.run([program])
    return verdict


@pytest.mark.isolated
def test_the_check_that_is_out_of_time_is_named_and_no_more_is_asked(sandbox: Sandbox) -> None:
    verdict = judged(sandbox, SPINS_ON_TWO, CHECKS, 0.5)
    assert verdict.outcome is Outcome.TIMEOUT
    assert verdict.detail.startswith("CPU time of check 2 of 3: ")
    assert verdict.detail.endswith(" s used of 0.5 s")
    assert verdict.checks_passed <= 2  # the order is drawn
    assert verdict.cpu_s < LIMITS.cpu_s / 2


@pytest.mark.isolated
def test_each_check_has_its_own_limit(sandbox: Sandbox) -> None:
    """Four checks that use some 0.2 s each are within limits of 0.6 s, though together they use more."""
    busy = (
        "import time\ndef f(n):\n    end = time.process_time() + 0.2\n"
        "    while time.process_time() < end:\n        pass\n    return n\n"
    )
    verdict = judged(sandbox, busy, tuple(f"assert f({n}) == {n}" for n in range(4)), 0.6)
    assert verdict.outcome is Outcome.PASS, verdict.detail
    assert verdict.cpu_s > 0.6


@pytest.mark.isolated
def test_loading_the_candidate_belongs_to_no_check(sandbox: Sandbox) -> None:
    slow = (
        "import time\nend = time.process_time() + 0.6\nwhile time.process_time() < end:\n    pass\n"
        "def f(n):\n    return n\n"
    )
    assert judged(sandbox, slow, CHECKS, 0.3).outcome is Outcome.PASS


@pytest.mark.isolated
def test_a_program_that_never_loads_costs_the_time_to_load_it_and_not_that_of_its_checks(
    sandbox: Sandbox,
) -> None:
    """Its limit is what those of the checks leave of the program's."""
    program = Program("p", "while True:\n    pass\n", CHECKS, "f", limits=LIMITS, check_cpu_s=(9.8,) * 3)
    (verdict,) = sandbox.run([program])
    assert verdict.outcome is Outcome.TIMEOUT
    assert verdict.detail.startswith("CPU time before its checks: ")
    assert verdict.detail.endswith(" s used of 0.6 s")
    assert verdict.cpu_s < LIMITS.cpu_s / 4


@pytest.mark.isolated
def test_limits_hold_where_each_sample_has_its_own_namespaces() -> None:
    for mode in ("split", "shared"):
        with Sandbox(workers=1, mode=cast(Mode, mode), isolation="fresh") as fresh:
            verdict = judged(fresh, SPINS_ON_TWO, CHECKS, 0.5)
        assert verdict.detail.startswith("CPU time of check 2 of 3")


@pytest.mark.isolated
def test_a_candidate_in_split_mode_cannot_reach_the_clock_of_its_checks() -> None:
    """It closes nothing and maps nothing of the server's: every descriptor that it has is a standard one or its
    channel, so what it writes changes no check's number."""
    forger = (
        "import os, struct\n"
        "def f(n):\n"
        "    for fd in range(3, 256):\n"
        "        try:\n"
        "            os.pwrite(fd, struct.pack('=I', 0), 0)\n"
        "        except OSError:\n"
        "            pass\n"
        "        else:\n"
        "            return -1\n"
        "    while n == 2:\n"
        "        pass\n"
        "    return n\n"
    )
    with Sandbox(workers=1, mode="split") as split:
        verdict = judged(split, forger, CHECKS, 0.5)
    assert verdict.detail.startswith("CPU time of check 2 of 3")


def test_the_watch_counts_from_the_look_at_which_a_check_was_first_seen() -> None:
    descriptor = progress.create()
    progress.write_to(descriptor)
    try:
        watch = progress.Watch(descriptor, (1.0, 2.0))
        assert not watch.is_over(50.0)  # loading
        progress.begin(1)
        assert not watch.is_over(50.1)
        assert not watch.is_over(51.0)
        progress.begin(2)
        assert not watch.is_over(51.2)
        assert not watch.is_over(53.1)
        assert (watch.number, round(watch.used_s, 6)) == (2, 1.9)
        assert watch.is_over(53.3)
        progress.begin(0)
        assert not watch.is_over(99.0)
        progress.begin(3)  # without a limit
        assert not watch.is_over(999.0)
        watch = progress.Watch(descriptor, (1.0, 2.0), 5.0)
        progress.begin(0)
        assert not watch.is_over(4.9)
        assert watch.is_over(5.1)
    finally:
        progress.stop_writing()


def test_requests_and_responses_carry_limits_and_checks() -> None:
    program = Program("p", "x = 1", ("a", "b"), limits=LIMITS, check_cpu_s=(0.5, 0))
    request = verdicts.request_for(program, 7, b"body", check_cpu_s=program.check_cpu_s)
    packed = request.pack()
    parts = iter(
        [packed[: wire.REQUEST.size], packed[wire.REQUEST.size :][:8], packed[wire.REQUEST.size + 8 :]]
    )
    assert wire.read_request(lambda _size: next(parts)) == request
    assert request.check_cpu_ms == (round(500 * verdicts.CPU_STOP), 1)
    response = wire.Response(7, wire.CPU_LIMIT, 0, 9, 1, 2, 3, 4, 5, 0, b"why", b"out", 2, 600_000)
    assert wire.parse_response(bytearray(response.pack())) == (response, len(response.pack()))
