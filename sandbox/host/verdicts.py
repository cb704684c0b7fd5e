"""From what a cell saw to a verdict. Pure: no process, no clock."""

from __future__ import annotations

import json
import os
import signal
from functools import lru_cache
from typing import Literal

from assay.sandbox.cell import wire
from assay.sandbox.host.needs import Needs
from assay.sandbox.model import Limits, Mode, Outcome, Program, Verdict

# A sample is stopped a little past its CPU limit. One that ends by itself between these fractions of the limit is
# judged again with nothing else running, so that a busy machine flips no verdict.
CPU_STOP = 1.05
_NEAR_CPU = 0.85
# One stopped by the wall clock was held up by others if it had used this much of its CPU time.
_BUSY = 0.1

_BY_CODE = {
    wire.PASSED: Outcome.PASS,
    wire.FAILED: Outcome.FAIL,
    wire.ERROR: Outcome.ERROR,
    wire.OUT_OF_MEMORY: Outcome.MEMORY,
}


def request_for(program: Program, sequence: int, body: bytes, *, extra_wall_s: float = 0) -> wire.Request:
    limits = program.limits
    return wire.Request(
        sequence,
        round(limits.cpu_s * 1000 * CPU_STOP),
        round((limits.wall_s + extra_wall_s) * 1000),
        limits.memory_bytes,
        limits.output_bytes,
        limits.file_bytes,
        limits.processes,
        0,
        body,
    )


def shared_body(program: Program) -> bytes:
    return wire.join([wire.encode_text(source) for source in (program.candidate, *program.checks)])


def needs_quiet(limits: Limits, response: wire.Response) -> bool:
    """Whether load on the machine could have decided this outcome."""
    cpu_s = response.cpu_us / 1e6
    if response.reason == wire.WALL_LIMIT:
        return cpu_s >= _BUSY * limits.cpu_s
    return response.reason == wire.ENDED and _NEAR_CPU <= cpu_s / limits.cpu_s <= CPU_STOP


def verdict_of(program: Program, response: wire.Response, *, mode: Mode) -> Verdict:
    """The verdict on a sample that ran in one cell."""
    outcome, detail = _outcome(program.limits, response)
    return _verdict(program, response, outcome, detail, response.passed, response.output, mode)


def _verdict(
    program: Program,
    response: wire.Response,
    outcome: Outcome,
    detail: str,
    passed: int,
    output: bytes,
    mode: Mode,
) -> Verdict:
    checks = len(program.checks)
    return Verdict(
        program.id,
        outcome,
        detail,
        min(passed, checks),
        checks,
        response.cpu_us / 1e6,
        response.wall_us / 1e6,
        response.peak,
        mode,
        output.decode("utf-8", "replace"),
    )


def _outcome(limits: Limits, response: wire.Response) -> tuple[Outcome, str]:
    stopped = limit_reached(limits, response)
    if stopped:
        return stopped
    detail = response.detail.decode("utf-8", "replace")
    if response.code in _BY_CODE:
        return _BY_CODE[response.code], detail
    return Outcome.ERROR, ending(response.status) + " before its checks were done"


def limit_reached(limits: Limits, response: wire.Response) -> tuple[Outcome, str] | None:
    """The outcome when a limit ended the sample, whatever it had to say itself."""
    cpu_s = response.cpu_us / 1e6
    if response.flags & wire.OOM_KILLED:
        return Outcome.MEMORY, f"killed for going past {limits.memory_bytes} bytes of memory"
    if (
        response.reason == wire.CPU_LIMIT
        or cpu_s > limits.cpu_s * CPU_STOP
        or response.status == signal.SIGXCPU
    ):
        return Outcome.TIMEOUT, f"CPU time: {cpu_s:.2f} s used of {limits.cpu_s:g} s"
    if response.reason == wire.WALL_LIMIT:
        return Outcome.TIMEOUT, f"wall time: {limits.wall_s:g} s passed with {cpu_s:.2f} s of CPU time used"
    if response.written > limits.output_bytes:
        return Outcome.OUTPUT, f"wrote {response.written} bytes of output, {limits.output_bytes} are allowed"
    return None


def ending(status: int) -> str:
    """A wait status in words."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            return f"killed by {signal.Signals(number).name}"
        except ValueError:
            return f"killed by signal {number}"
    return f"exited with status {os.WEXITSTATUS(status)}"


def infra(program: Program, why: str, mode: Mode | Literal["shared"] = "shared") -> Verdict:
    return Verdict(program.id, Outcome.INFRA, why, 0, len(program.checks), mode=mode)


def split_bodies(program: Program, needs: Needs) -> tuple[bytes, bytes]:
    """What the judge cell gets, and what the candidate cell gets."""
    judge = _judge_body(needs.prelude, needs.names, program.checks)
    return judge, wire.join([wire.encode_text(program.candidate)])


@lru_cache(maxsize=512)
def _judge_body(prelude: str, names: tuple[str, ...], checks: tuple[str, ...]) -> bytes:
    return wire.join([wire.encode_text(part) for part in (prelude, json.dumps(names), *checks)])


def split_verdict(program: Program, judge: wire.Response, candidate: wire.Response) -> Verdict | None:
    """The verdict from both cells of a pair; None when the checks turn out to need shared mode. CPU time and memory
    are the candidate's."""
    decided = _split_outcome(program, judge, candidate)
    if decided is None:
        return None
    output = candidate.output + judge.output
    return _verdict(program, candidate, *decided, judge.passed, output, "split")


def _split_outcome(
    program: Program, judge: wire.Response, candidate: wire.Response
) -> tuple[Outcome, str] | None:
    """A limit that the candidate reached comes first, then one that the judge reached over its answers, then the
    judge's word."""
    reached = limit_reached(program.limits, candidate)
    if reached:
        return reached
    over = limit_reached(program.limits, judge)
    if over:
        return over[0], f"while its answers were compared: {over[1]}"
    if judge.code == wire.NEEDS_SHARED:
        return None
    detail = judge.detail.decode("utf-8", "replace")
    if judge.code in _BY_CODE:
        return _BY_CODE[judge.code], detail
    if judge.code == wire.CANDIDATE_GONE:
        how = detail if candidate.reason == wire.HUNG_UP else ending(candidate.status)
        return Outcome.ERROR, f"{how} before its checks were done"
    return Outcome.ERROR, f"the checks {ending(judge.status)} before they were done"
