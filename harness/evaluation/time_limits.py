"""Limits of CPU time from what a problem's reference solution took on this machine.

EvalPlus (0.2 to 0.3) gives each input the larger of 1 s and 4 times the reference's time, of wall time, and a sample
their sum or 60 s, whichever is less. Here it is CPU time, and the sum has no cap: on a slow machine a cap stops right
answers that the limits of their inputs let through.

FLOOR_S is what an endless loop costs, and what any answer may take for one input. FACTOR is twice EvalPlus', since a
right answer may well take 2.5 times the reference's time (Qwen2.5-Coder-1.5B's to Mbpp/599 does): of the answers
of that model that are published to pass on MBPP+, none is lost where both are halved, as on a machine that is half as
fast in one hour and not in the next (`python -m benchmarks.time_limits` prints how near each comes).
"""

from __future__ import annotations

from collections.abc import Sequence

DEFAULT_CPU_S = 5.0  # of a program of whose reference nothing is known
FLOOR_S = 1.0  # of one input
FACTOR = 8.0  # times what the reference took
LOAD_S = 5.0  # of a candidate as a module, before its first check
WALL_FACTOR = 4.0
# Limits of many inputs add up to far more than an answer that is right takes: a program that sleeps is ended sooner.
SUM_WALL_FACTOR = 2.0


def of_check(reference_s: float) -> float:
    """Return the CPU seconds of a check of one input, in steps that two measurements of a reference seldom straddle."""
    return max(FLOOR_S, _rounded(FACTOR * reference_s))


def of_checks(reference_s: Sequence[float | None]) -> tuple[float, ...]:
    """Return the CPU seconds of each check, from the reference's of its input; None stands for a check of no input, or
    of several."""
    return tuple([DEFAULT_CPU_S if seconds is None else of_check(seconds) for seconds in reference_s])


def of_program(reference_s: float) -> float:
    """Return the CPU seconds of a program whose checks have no limits of their own."""
    return max(DEFAULT_CPU_S, _rounded(FACTOR * reference_s))


def of_sample(check_cpu_s: Sequence[float]) -> float:
    """Return the CPU seconds of a program whose checks have limits: their sum, and the time to load it."""
    return round(LOAD_S + sum(check_cpu_s), 1)


def _rounded(seconds: float) -> float:
    """Return the seconds rounded up to a tenth, or to two digits beyond 10 s: they are part of the verdict cache's
    keys."""
    step = 0.1 if seconds < 10 else 1.0
    return round(-(-seconds // step) * step, 1)
