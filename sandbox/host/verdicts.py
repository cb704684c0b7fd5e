"""The rules of judging: the requests that cells get, and the verdicts that their answers mean.

Pure: no process, no clock. The mode that checks need is found in `needs`.

**Near a limit of time.** Programs that run beside others use up to a fifth more CPU time for the same work (shared
caches, hyperthreads), and any amount of wall time. No verdict may hang on that, and nothing tells an endless loop from
a right program that is slow, so the rule must not have every endless loop run twice:

1. Beside others a program is stopped only at 1.25 times a CPU limit. What is within 20 % of the limit ends by itself
   before that, and what is stopped there has clearly had its time: an endless loop costs a fifth more, not twice.
2. What ended by itself with 0.8 to 1.25 times a CPU limit used (the whole program's or a check's; the judge's too), or
   0.8 of the wall limit, is judged again, once, with nothing else running. It is then stopped at 1.05 times the
   limit, that verdict is the one that counts, and whatever it is it carries the note "near_limit".
3. What the wall limit stopped is judged again, likewise, where it was kept from the CPU: its cell saw that it was
   running and pushed off the CPU until the end, or it had used a tenth of its CPU limit; or its judge had used a
   fiftieth, for which the candidate waited. It then has three times the wall limit, for on a busy machine quiet is
   not to be had; kept from the CPU even so, it carries the note as well. What slept, or waited for input, is not
   judged again: that would cost its whole wall limit once more, with all others waiting.
4. The cache of verdicts keeps none that carries the note, see `cache.storable`.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from assay.sandbox.cell import wire
from assay.sandbox.errors import SandboxError
from assay.sandbox.host.needs import Needs, analyse
from assay.sandbox.model import Limits, Mode, Outcome, Program, Verdict

# Fractions of a limit, see above: near it, over it with nothing else running, and clearly over it.
NEAR, CPU_STOP, CLEAR = 0.8, 1.05, 1.25
# Fractions of the CPU limit that say of a program, and of its judge, that it did not just sleep until the wall limit.
_BUSY, _BUSY_JUDGE = 0.1, 0.02
_PATIENCE = 3

_BY_CODE = {
    wire.PASSED: Outcome.PASS,
    wire.FAILED: Outcome.FAIL,
    wire.ERROR: Outcome.ERROR,
    wire.OUT_OF_MEMORY: Outcome.MEMORY,
    wire.UNCONFIRMED: Outcome.PASS,
    wire.STATEFUL: Outcome.FAIL,
    wire.FAILED | wire.IN_DRAWN_ORDER: Outcome.FAIL,
    wire.ERROR | wire.IN_DRAWN_ORDER: Outcome.ERROR,
}


Decision = tuple[Outcome, str]  # an outcome and its detail


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules by which one sandbox judges: the mode it was opened in, the packages that cross as objects rather
    than as data, and the largest limits that a program may have."""

    mode: Mode
    packages: tuple[str, ...] = ()
    largest: Limits = field(default_factory=Limits)

    def needs(self, program: Program) -> Needs:
        """Return what the program's checks need of its candidate."""
        return analyse(program.checks, program.prelude, program.entry_point, self.packages)

    def mode_of(self, program: Program) -> Mode:
        """Return "shared" where the sandbox or the program asks for it, else the mode that the program's checks need.
        Raises SandboxError where the program's limits are above the sandbox's."""
        limits, largest = program.limits, self.largest
        if limits.memory_bytes > largest.memory_bytes or limits.processes > largest.processes:
            raise SandboxError(
                f"program {program.id!r} may use {limits.memory_bytes} bytes and {limits.processes} processes, this "
                f"sandbox was opened for {largest.memory_bytes} and {largest.processes}: open it with limits="
            )
        if self.mode == "shared" or program.mode == "shared":
            return "shared"
        return self.needs(program).mode if program.mode is None else "split"


def request_for(
    program: Program,
    sequence: int,
    body: bytes,
    stop: float = CPU_STOP,
    *,
    extra_wall_s: float = 0,
    check_cpu_s: tuple[float, ...] = (),
    order: bytes = b"",
) -> wire.Request:
    """Return the request, by which a sample is stopped at `stop` times its CPU limits."""
    limits = program.limits
    return wire.Request(
        sequence,
        round(limits.cpu_s * 1000 * stop),
        round((limits.wall_s + extra_wall_s) * 1000),
        limits.memory_bytes,
        limits.output_bytes,
        limits.file_bytes,
        limits.processes,
        body,
        tuple([max(1, round(seconds * 1000 * stop)) for seconds in check_cpu_s]),
        order,
    )


def shared_body(program: Program) -> bytes:
    return wire.join([wire.encode_text(source) for source in (program.candidate, *program.checks)])


def is_near_limit(program: Program, responses: Sequence[wire.Response]) -> bool:
    """Return whether a sample ended by itself near a limit of time; `responses` are of its judge's cell, where it had
    one, and its own."""
    if any(r.reason == wire.CPU_LIMIT or r.flags & wire.OOM_KILLED for r in responses):
        return False  # that decided
    if any(NEAR <= share < CLEAR for response in responses for share in _cpu_shares(program, response)):
        return True
    stopped = any(response.reason == wire.WALL_LIMIT for response in responses)
    return not stopped and any(r.wall_us / 1e6 >= NEAR * program.limits.wall_s for r in responses)


def with_patience(program: Program) -> Program:
    """Return the program with the wall limit that it has when it was kept from the CPU the first time."""
    return replace(program, limits=replace(program.limits, wall_s=_PATIENCE * program.limits.wall_s))


def _cpu_shares(program: Program, response: wire.Response) -> Iterator[float]:
    """How much was used of each CPU limit."""
    yield response.cpu_us / 1e6 / program.limits.cpu_s
    limit_s = _limit_of(program, response.check)
    if limit_s > 0:
        yield response.check_cpu_us / 1e6 / limit_s


def _limit_of(program: Program, check: int) -> float:
    """Return the CPU seconds of the check of that number, of what belongs to none for 0; 0 where there is no limit.
    What the limits of the checks leave of the program's is the time in which it is to be loaded."""
    if not program.check_cpu_s or check > len(program.check_cpu_s):
        return 0
    if check == 0:
        return program.limits.cpu_s - sum(program.check_cpu_s)
    return program.check_cpu_s[check - 1]


def was_starved(program: Program, responses: Sequence[wire.Response]) -> bool:
    """Return whether a sample that the wall limit stopped could have ended before, had it had the CPU."""
    if all(response.reason != wire.WALL_LIMIT for response in responses):
        return False
    *judge, candidate = [response.cpu_us / 1e6 / program.limits.cpu_s for response in responses]
    if max([candidate, *judge]) >= CLEAR:
        return False  # all its processes together had their time
    starved = any(response.flags & wire.STARVED for response in responses)
    return starved or candidate >= _BUSY or any(share >= _BUSY_JUDGE for share in judge)


def shared_verdict(program: Program, response: wire.Response) -> Verdict:
    """Return the verdict on a sample that ran in one cell together with its checks."""
    decision = check_limit_reached(program, response) or _outcome(program.limits, response)
    return _verdict(program, response, decision, response.passed, response.output, "shared")


def _verdict(
    program: Program, response: wire.Response, decision: Decision, passed: int, output: bytes, mode: Mode
) -> Verdict:
    checks = len(program.checks)
    return Verdict(
        program.id,
        *decision,
        min(passed, checks),
        checks,
        response.cpu_us / 1e6,
        response.wall_us / 1e6,
        response.peak,
        mode,
        output.decode("utf-8", "replace"),
    )


def _outcome(limits: Limits, response: wire.Response) -> Decision:
    stopped = _limit_reached(limits, response)
    if stopped:
        return stopped
    detail = response.detail.decode("utf-8", "replace")
    if response.code in _BY_CODE:
        return _BY_CODE[response.code], detail
    return Outcome.ERROR, ending(response.status) + " before its checks were done"


def check_limit_reached(program: Program, response: wire.Response) -> Decision | None:
    """The outcome when a check's own CPU limit, or that of loading, ended the sample; `response` is of the cell that
    ran the candidate."""
    limit_s, used_s = _limit_of(program, response.check), response.check_cpu_us / 1e6
    if response.reason != wire.CPU_LIMIT or limit_s <= 0 or used_s < limit_s:
        return None
    which = f"of check {response.check} of {len(program.checks)}" if response.check else "before its checks"
    return Outcome.TIMEOUT, f"CPU time {which}: {used_s:.2f} s used of {limit_s:g} s"


def _limit_reached(limits: Limits, response: wire.Response) -> Decision | None:
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
    """Return a wait status in words."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            return f"killed by {signal.Signals(number).name}"
        except ValueError:
            return f"killed by signal {number}"
    return f"exited with status {os.WEXITSTATUS(status)}"


def ended_cells(program: Program, mode: Mode, cells: int, reason: str, *, for_memory: bool) -> Verdict:
    """Return the verdict on a program that ended so many new cells in which it was alone, or kept them from answering;
    `for_memory` says that the kernel killed in one of them for memory."""
    if for_memory:
        outcome = Outcome.MEMORY
        how = f"went past {program.limits.memory_bytes} bytes of memory and took its cell with it"
    else:
        outcome, how = Outcome.ERROR, "ended its cell, or kept it from answering"
    detail = f"it {how}, in {cells} new cells in which it ran alone: {reason}"
    return Verdict(program.id, outcome, detail, 0, len(program.checks), mode=mode)


def infra(program: Program, reason: str, mode: Mode) -> Verdict:
    return Verdict(program.id, Outcome.INFRA, reason, 0, len(program.checks), mode=mode)


def split_bodies(program: Program, needs: Needs) -> tuple[bytes, bytes]:
    """Return the request bodies of the judge cell and of the candidate cell."""
    judge = _judge_body(needs, program.checks, program.base_checks)
    return judge, wire.join([wire.encode_text(program.candidate)])


@lru_cache(maxsize=512)
def _judge_body(needs: Needs, checks: tuple[str, ...], first_run: int) -> bytes:
    needed = json.dumps(
        {"names": needs.names, "values": needs.values, "carried": needs.carried, "first_run": first_run}
    )
    return wire.join([wire.encode_text(part) for part in (needs.prelude, needed, *checks)])


def split_verdict(program: Program, judge: wire.Response, candidate: wire.Response) -> Verdict:
    """Return the verdict from both cells of a pair. CPU time and memory are the candidate's."""
    decision = _split_outcome(program, judge, candidate)
    output = candidate.output + judge.output
    verdict = _verdict(program, candidate, decision, judge.passed, output, "split")
    if judge.code == wire.STATEFUL and verdict.outcome is Outcome.FAIL:
        return stateful(verdict)
    return replace(verdict, notes=("not_data",)) if judge.code == wire.NOT_DATA else verdict


def stateful(verdict: Verdict) -> Verdict:
    """Return the verdict on a candidate whose answers hang on the order in which it is asked."""
    detail = f"stateful: right in one order of the questions and not in another: {verdict.detail}"
    return replace(verdict, outcome=Outcome.FAIL, detail=detail, notes=(*verdict.notes, "stateful"))


def _split_outcome(program: Program, judge: wire.Response, candidate: wire.Response) -> Decision:
    """A limit that the candidate reached comes first, then one that the judge reached over its answers, then the
    judge's word."""
    reached = check_limit_reached(program, candidate) or _limit_reached(program.limits, candidate)
    if reached:
        return reached
    over = _limit_reached(program.limits, judge)
    if over:
        return over[0], f"while its answers were compared: {over[1]}"
    detail = judge.detail.decode("utf-8", "replace")
    if judge.code == wire.NOT_DATA:
        return Outcome.ERROR, f"not data: {detail}"
    if judge.code in _BY_CODE:
        outcome = _BY_CODE[judge.code]
        return outcome, "" if outcome is Outcome.PASS else detail
    if judge.code == wire.CANDIDATE_GONE:
        how = detail if candidate.reason == wire.HUNG_UP else ending(candidate.status)
        return Outcome.ERROR, f"{how} before its checks were done"
    return Outcome.ERROR, f"the checks {ending(judge.status)} before they were done"
