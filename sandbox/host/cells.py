"""A cell as the host sees it: a channel, and frames. Where it runs is the backends' affair."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, Self

from assay.sandbox.cell import wire
from assay.sandbox.errors import CellError
from assay.sandbox.host import verdicts
from assay.sandbox.host.layout import PRELOAD, Layout
from assay.sandbox.host.needs import Needs
from assay.sandbox.model import Program, Verdict

_START_TIMEOUT_S = 30.0
_SEND_TIMEOUT_S = (
    60.0  # a cell reads at once: nothing is sent ahead that would not fit its socket (scheduler)
)
SCRATCH_BYTES = 64 << 20
_RECEIVE_BYTES = 1 << 16

# Everything a cell's environment holds; the hash seed is fixed so that a verdict can be had again.
ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "LD_BIND_NOW": "1",  # symbols are found once, not by each sample
    "MALLOC_ARENA_MAX": "2",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONUTF8": "1",
}


class StepFailedError(CellError):
    """The kernel refused an isolation step; `step` names it and `why` is the kernel's answer."""

    def __init__(self, step: str, why: str) -> None:
        super().__init__(f"the cell could not be isolated: {step}: {why}")
        self.step = step
        self.why = why


@dataclass(frozen=True, slots=True)
class CellOptions:
    """What a cell is started with. `memory_bytes` and `processes` bound the cell as a whole, where cgroups can.
    `fresh` gives each sample a PID and a mount namespace of its own within the cell's."""

    layout: Layout
    packages: tuple[str, ...] = ()
    role: Literal["shared", "judge", "candidate"] = "shared"
    namespaces: bool = True
    cgroup: bool = True
    memory_bytes: int = 1 << 30
    processes: int = 64
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class DockerOptions:
    """`image` is used in place of one made from this machine's interpreter, with the `interpreter` that it has;
    `runtime` is the engine's default, or one that it knows, such as "runsc"."""

    image: str | None = None
    interpreter: str | None = None
    runtime: str | None = None
    cpus: float = 2.0


class Channel(Protocol):
    """What a cell is spoken to through: a socket, or something that acts as one."""

    def sendall(self, data: bytes, /) -> None: ...

    def recv(self, size: int, /) -> bytes: ...

    def settimeout(self, seconds: float, /) -> None: ...

    def shutdown(self, how: int, /) -> None: ...

    def close(self) -> None: ...


class Cell:
    """One fork server. Not thread-safe but for `abort`, which ends it from any thread."""

    def __init__(self, channel: Channel, wait_for_end: Callable[[], None]) -> None:
        """`wait_for_end` is called once the channel is closed, and returns when nothing of the cell is left."""
        self._channel = channel
        self._wait_for_end = wait_for_end
        self._received = bytearray()
        self._timeout_s = -1.0
        self.report: dict[str, Any] = {}

    def wait_ready(self) -> Self:
        """Wait for the cell's report on its isolation. CellError, with the cell ended, when it has none."""
        try:
            self.report = self._handshake()
        except BaseException:
            self.close()
            raise
        return self

    def _handshake(self) -> dict[str, Any]:
        deadline = time.monotonic() + _START_TIMEOUT_S
        try:
            (size,) = wire.LENGTH.unpack(self._read(wire.LENGTH.size, deadline))
            report: dict[str, Any] = json.loads(self._read(size, deadline))
        except (EOFError, OSError, TimeoutError) as error:
            raise CellError(f"the cell ended during its start ({type(error).__name__}: {error})") from error
        if "failed" in report:
            raise StepFailedError(report["failed"], report["why"])
        return report

    def send(self, request: wire.Request) -> None:
        """EOFError when the cell is gone, or does not read."""
        try:
            self._channel.settimeout(_SEND_TIMEOUT_S)  # not what the last answer had left
            self._channel.sendall(request.pack())
        except OSError as error:
            self.abort()  # half a request may have been sent: the next would complete it
            raise EOFError(f"the cell is gone: {error}") from error

    def receive(self, timeout_s: float) -> wire.Response:
        """The next answer. EOFError when the cell is gone or does not answer in time."""
        deadline = time.monotonic() + timeout_s
        try:
            return wire.read_response(lambda size: self._read(size, deadline))
        except OSError as error:
            raise EOFError(f"no answer from the cell: {error}") from error

    def _read(self, size: int, deadline: float) -> bytes:
        while len(self._received) < size:
            self._channel.settimeout(max(0.001, deadline - time.monotonic()))
            data = self._channel.recv(_RECEIVE_BYTES)
            if not data:
                raise EOFError("the cell closed its channel")
            self._received += data
        data = bytes(self._received[:size])
        del self._received[:size]
        return data

    def abort(self) -> None:
        """End the cell from any thread; a waiting `receive` raises EOFError."""
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End the cell and wait until it is gone."""
        self.abort()
        self._channel.close()
        self._wait_for_end()


def spec_of(options: CellOptions) -> dict[str, Any]:
    """The part of a cell's SPEC that is the same wherever it runs."""
    return {
        "role": options.role,
        "packages": options.packages,
        "preload": PRELOAD,
        "scratch": SCRATCH_BYTES,
        "fresh": options.fresh,
    }


# A rig runs programs to verdicts, one after the other; a worker holds one per mode and keeps it fed.

# What a cell may take beyond a sample's wall limit (fork, kill, tidy) before it is given up.
GRACE_S = 10.0
# The judge starts before the candidate and outlasts it, so that the candidate's wall limit is the one that counts.
_JUDGE_LAG_S = 2.0


class Trial(NamedTuple):
    """One verdict, or None when the checks need shared mode after all; whether a loaded machine could have
    decided it; and whether the rig is to be thrown away."""

    verdict: Verdict | None
    needs_quiet: bool
    retire: bool


class Rig(Protocol):
    """Programs are answered in the order in which they were sent. EOFError says that the rig is broken."""

    def send(self, program: Program, sequence: int) -> None: ...

    def receive(self, program: Program, sequence: int) -> Trial: ...

    def abort(self) -> None: ...

    def close(self) -> None: ...


class SharedRig:
    """One cell, in which a candidate runs together with its checks."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    def send(self, program: Program, sequence: int) -> None:
        self._cell.send(verdicts.request_for(program, sequence, verdicts.shared_body(program)))

    def receive(self, program: Program, sequence: int) -> Trial:
        response = _answer(self._cell, program, sequence)
        verdict = verdicts.verdict_of(program, response, mode="shared")
        retire = bool(response.flags & wire.RETIRE)
        return Trial(verdict, verdicts.needs_quiet(program.limits, response), retire)

    def abort(self) -> None:
        self._cell.abort()

    def close(self) -> None:
        self._cell.close()


class SplitRig:
    """Two cells that share a channel: one judges, the other runs the candidate."""

    def __init__(self, judge: Cell, candidate: Cell, needs_of: Callable[[Program], Needs]) -> None:
        self._judge = judge
        self._candidate = candidate
        self._needs_of = needs_of

    def send(self, program: Program, sequence: int) -> None:
        for_judge, for_candidate = verdicts.split_bodies(program, self._needs_of(program))
        self._judge.send(verdicts.request_for(program, sequence, for_judge, extra_wall_s=_JUDGE_LAG_S))
        self._candidate.send(verdicts.request_for(program, sequence, for_candidate))

    def receive(self, program: Program, sequence: int) -> Trial:
        candidate = _answer(self._candidate, program, sequence)
        judge = _answer(self._judge, program, sequence)
        verdict = verdicts.split_verdict(program, judge, candidate)
        quiet = verdicts.needs_quiet(program.limits, candidate) or verdicts.needs_quiet(program.limits, judge)
        return Trial(verdict, quiet, bool((judge.flags | candidate.flags) & wire.RETIRE))

    def abort(self) -> None:
        self._judge.abort()
        self._candidate.abort()

    def close(self) -> None:
        self._judge.close()
        self._candidate.close()


def _answer(cell: Cell, program: Program, sequence: int) -> wire.Response:
    response = cell.receive(program.limits.wall_s + GRACE_S)
    if response.sequence != sequence:
        raise EOFError(f"the cell answered {response.sequence} where {sequence} was asked")
    return response
