"""The rule of what is judged again: near a limit of time, or kept from the CPU; and what the cache makes of it."""

from __future__ import annotations

import pytest

from assay.sandbox import Limits, Outcome, Program, Verdict
from assay.sandbox.cell import wire
from assay.sandbox.host import verdicts
from assay.sandbox.host.cache import storable

PROGRAM = Program("p", "", ("a", "b"), "f", Limits(cpu_s=10, wall_s=40), check_cpu_s=(1.0, 2.0))
ENDED = wire.Response(0, wire.ENDED, wire.PASSED, 0, 1000, 1000, 0, 0, 2, 0, b"", b"")
STOPPED = ENDED._replace(reason=wire.WALL_LIMIT, wall_us=40_000_000)


@pytest.mark.parametrize(
    ("judge", "candidate", "near", "starved"),
    [
        (ENDED, ENDED, False, False),
        (ENDED, ENDED._replace(cpu_us=7_900_000), False, False),
        (ENDED, ENDED._replace(cpu_us=8_000_000), True, False),
        (ENDED, ENDED._replace(reason=wire.HUNG_UP, cpu_us=8_000_000), True, False),
        (ENDED, ENDED._replace(cpu_us=12_400_000), True, False),
        (ENDED, ENDED._replace(cpu_us=12_600_000), False, False),  # children that ran on: clearly over
        (ENDED, ENDED._replace(reason=wire.CPU_LIMIT, cpu_us=12_490_000), False, False),
        (ENDED, ENDED._replace(flags=wire.OOM_KILLED, cpu_us=9_000_000), False, False),
        (ENDED._replace(cpu_us=8_500_000), ENDED, True, False),  # its judge
        (ENDED._replace(reason=wire.CPU_LIMIT, cpu_us=12_500_000), ENDED, False, False),
        (ENDED, ENDED._replace(wall_us=32_000_000), True, False),
        (ENDED, ENDED._replace(check=1, check_cpu_us=790_000), False, False),
        (ENDED, ENDED._replace(check=1, check_cpu_us=810_000), True, False),
        (ENDED, ENDED._replace(check=2, check_cpu_us=810_000), False, False),
        (ENDED, ENDED._replace(check=3, check_cpu_us=810_000), False, False),  # no check of it
        (ENDED, ENDED._replace(reason=wire.CPU_LIMIT, check=2, check_cpu_us=2_500_000), False, False),
        (ENDED._replace(wall_us=40_000_000), STOPPED, False, False),  # it slept, and its judge waited
        (ENDED._replace(wall_us=40_000_000), STOPPED._replace(flags=wire.STARVED), False, True),
        (ENDED, STOPPED._replace(cpu_us=1_000_000), False, True),
        (ENDED, STOPPED._replace(cpu_us=30_000_000, flags=wire.STARVED), False, False),  # a hog, by itself
        (ENDED._replace(cpu_us=190_000), STOPPED, False, False),
        (ENDED._replace(cpu_us=210_000), STOPPED, False, True),  # it waited for its judge
        (STOPPED._replace(flags=wire.STARVED), ENDED, False, True),
        (ENDED._replace(flags=wire.STARVED), ENDED, False, False),
    ],
)
def test_what_is_judged_again(
    judge: wire.Response, candidate: wire.Response, near: bool, starved: bool
) -> None:
    assert verdicts.is_near_limit(PROGRAM, [judge, candidate]) is near
    assert verdicts.was_starved(PROGRAM, [judge, candidate]) is starved


def test_one_cell_is_judged_like_a_candidate_s() -> None:
    assert verdicts.is_near_limit(PROGRAM, [ENDED._replace(cpu_us=8_000_000)])
    assert not verdicts.was_starved(PROGRAM, [STOPPED._replace(cpu_us=300_000)])
    assert verdicts.was_starved(PROGRAM, [STOPPED._replace(cpu_us=1_300_000)])


@pytest.mark.parametrize("outcome", [Outcome.PASS, Outcome.TIMEOUT, Outcome.FAIL])
def test_the_cache_keeps_no_verdict_that_was_near_a_limit(outcome: Outcome) -> None:
    verdict = Verdict("p", outcome, cpu_s=1.0, wall_s=1.0)
    assert storable(verdict, PROGRAM)
    assert not storable(Verdict("p", outcome, cpu_s=1.0, wall_s=1.0, notes=("near_limit",)), PROGRAM)


def test_a_program_that_ended_its_cells_is_no_infra() -> None:
    verdict = verdicts.ended_cells(PROGRAM, "split", 2, "no answer in time", for_memory=False)
    assert (verdict.outcome, verdict.checks_total, verdict.mode) == (Outcome.ERROR, 2, "split")
    assert verdicts.ended_cells(PROGRAM, "split", 2, "", for_memory=True).outcome is Outcome.MEMORY
