"""A cell as the host sees it: a channel that never blocks, its frames, and the pair of cells that judges a program."""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, Self

from assay.sandbox.cell import wire
from assay.sandbox.errors import CellError
from assay.sandbox.host import verdicts
from assay.sandbox.host.layout import PRELOAD, Layout
from assay.sandbox.model import Mode, Program, Verdict

START_TIMEOUT_S = 30.0
# What a cell may take beyond a program's wall limit (fork, kill, tidy) before it is given up.
GRACE_S = 20.0
SCRATCH_BYTES = 64 << 20
# The judge starts before the candidate and outlasts it, so that the candidate's wall limit is the one that counts.
_JUDGE_LAG_S = 2.0
_RECEIVE_BYTES = 1 << 16
_RECEIVES = 16  # at a time, so that a cell that never stops writing cannot keep the host's only thread
_ANSWERS = 64  # more than are ever asked for: a cell that answers without being asked is broken

# Everything a cell's environment holds; the hash seed is fixed so that a verdict can be had again.
ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "LD_BIND_NOW": "1",  # symbols are resolved once, not by each sample
    "MALLOC_ARENA_MAX": "2",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONUTF8": "1",
}


class StepFailedError(CellError):
    """The kernel refused an isolation step; `step` names it and `reason` is the kernel's answer."""

    def __init__(self, step: str, reason: str) -> None:
        super().__init__(f"the cell could not be isolated: {step}: {reason}")
        self.step = step
        self.reason = reason


@dataclass(frozen=True, slots=True)
class CellOptions:
    """The settings that a cell is started with. `memory_bytes` and `processes` bound the cell as a whole, where cgroups
    can. `fresh` gives each sample a PID and a mount namespace of its own within the cell's."""

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
    """The settings of the Docker backend. `image` is used in place of one built from this machine's interpreter, with
    the `interpreter` that it has; `runtime` is the engine's default, or one that it knows, such as "runsc"."""

    image: str | None = None
    interpreter: str | None = None
    runtime: str | None = None
    cpus: float = 2.0


class Channel(Protocol):
    """A socket that does not block, or something that acts as one: BlockingIOError where nothing can be done now."""

    def fileno(self) -> int: ...

    def send(self, data: bytes | bytearray, /) -> int: ...

    def recv(self, size: int, /) -> bytes: ...

    def shutdown(self, how: int, /) -> None: ...

    def close(self) -> None: ...


class Cell:
    """One fork server. All methods are for one thread, the scheduler's; none of them blocks but `wait_ready` and
    `close`.

    `report` is empty until the cell has reported what isolates it. `answers` are those that arrived and were not
    taken yet.
    """

    def __init__(
        self,
        channel: Channel,
        wait_for_end: Callable[[float], bool],
        was_killed_for_memory: Callable[[], bool] = lambda: False,
    ) -> None:
        """`wait_for_end` is called once the channel is closed, with seconds to wait at most; it returns whether nothing
        of the cell is left. `was_killed_for_memory` is asked after that."""
        self._channel = channel
        self.was_killed_for_memory = was_killed_for_memory
        self._wait_for_end = wait_for_end
        self._received = bytearray()
        self._unsent = bytearray()
        self.report: dict[str, Any] = {}
        self.answers: deque[wire.Response] = deque()

    def fileno(self) -> int:
        return self._channel.fileno()

    @property
    def has_unsent(self) -> bool:
        """Return whether a request waits for room in the channel; `flush` sends on."""
        return bool(self._unsent)

    def send(self, request: wire.Request) -> None:
        """Send a request, or as much of it as the channel takes now. Raises EOFError when the cell is gone."""
        self.send_bytes(request.pack())

    def send_bytes(self, data: bytes) -> None:
        """The same for what is no request."""
        self._unsent += data
        self.flush()

    def flush(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: self._channel.send(self._unsent)]
        except BlockingIOError:
            return
        except OSError as error:
            raise EOFError(f"the cell is gone: {error}") from error

    def read(self) -> None:
        """Take in what has arrived. Raises EOFError when the cell is gone, CellError when that is during its start, and
        StepFailedError when it could not isolate itself."""
        try:
            for _ in range(_RECEIVES):
                data = self._channel.recv(_RECEIVE_BYTES)
                if not data:
                    raise EOFError("the cell closed its channel")
                self._received += data
                self._parse()
                if len(data) < _RECEIVE_BYTES and isinstance(self._channel, socket.socket):
                    return  # that was all, and asking again would cost as much as reading did
        except BlockingIOError:
            return
        except (OSError, EOFError) as error:
            if not self.report:
                raise CellError(
                    f"the cell ended during its start ({type(error).__name__}: {error})"
                ) from error
            raise EOFError(f"no answer from the cell: {error}") from error

    def _parse(self) -> None:
        if not self.report:
            self._parse_report()
        while self.report and (parsed := wire.parse_response(self._received)):
            response, size = parsed
            del self._received[:size]
            self.answers.append(response)
            if len(self.answers) > _ANSWERS:
                raise EOFError("the cell answers what nobody asked")

    def _parse_report(self) -> None:
        start = wire.LENGTH.size
        if len(self._received) < start:
            return
        (size,) = wire.LENGTH.unpack_from(self._received)
        if len(self._received) < start + size:
            return
        report: dict[str, Any] = json.loads(self._received[start : start + size])
        del self._received[: start + size]
        if "failed" in report:
            raise StepFailedError(report["failed"], report["why"])
        self.report = report

    def wait_ready(self) -> Self:
        """Wait for the cell's report on its isolation. Raises CellError, with the cell ended, when it has none."""
        deadline = time.monotonic() + START_TIMEOUT_S
        with ended_on_error([self]), selectors.DefaultSelector() as selector:
            selector.register(self, selectors.EVENT_READ)
            while not self.report:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise CellError(f"the cell ended during its start: silent for {START_TIMEOUT_S:g} s")
                self.read()
        return self

    def hang_up(self) -> None:
        """Close the channel, upon which the cell ends by itself."""
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)
        self._channel.close()

    def has_ended(self, timeout_s: float = 0.0) -> bool:
        """Return whether nothing is left of a cell that was hung up, after at most `timeout_s`."""
        return self._wait_for_end(timeout_s)

    def close(self) -> None:
        """End the cell and wait until it is gone."""
        self.hang_up()
        while not self.has_ended(1.0):
            pass


@contextlib.contextmanager
def ended_on_error(cells: list[Cell]) -> Iterator[None]:
    """End the cells that the list has by then, and wait until they are gone, where the block raises."""
    try:
        yield
    except BaseException:
        for cell in cells:
            cell.close()
        raise


def spec_of(options: CellOptions) -> dict[str, Any]:
    """Return the part of a cell's specification that is the same wherever it runs."""
    return {
        "role": options.role,
        "packages": options.packages,
        "preload": PRELOAD,
        "scratch": SCRATCH_BYTES,
        "fresh": options.fresh,
    }


class Trial(NamedTuple):
    """One verdict; whether it was near a limit of time, whether the program was kept from the CPU until the wall limit,
    and whether a judge that had judged others came to a limit of its own; whether the cells are to be replaced; and
    what the judge reported, for the next turn (see `orders`)."""

    verdict: Verdict
    near_limit: bool
    starved: bool
    used_judge: bool
    retire: bool
    code: int
    detail: bytes


class CellPair:
    """The cells of one mode: in shared mode one, where a candidate runs together with its checks; in split mode two
    that share a channel, of which one judges and the other runs the candidate. Answers come in the order of the
    programs."""

    def __init__(self, mode: Mode, cells: list[Cell], rules: verdicts.Rules) -> None:
        """`cells` are one shared cell, or a judge's and a candidate's."""
        self.mode = mode
        self.cells = cells
        self._rules = rules

    @property
    def is_ready(self) -> bool:
        return all(cell.report for cell in self.cells)

    @property
    def killed_for_memory(self) -> bool:
        """Return whether the kernel ended one of the cells, which have ended, for memory."""
        return any(cell.was_killed_for_memory() for cell in self.cells)

    def send(self, program: Program, sequence: int, *, quiet: bool = False, order: bytes = b"") -> None:
        """Have the program judged, with other programs running beside it, or in `quiet`; `order` is for the judge.
        Raises EOFError when a cell is gone."""
        limits, stop = program.check_cpu_s, verdicts.CPU_STOP if quiet else verdicts.CLEAR
        if self.mode == "shared":
            body = verdicts.shared_body(program)
            self.cells[0].send(verdicts.request_for(program, sequence, body, stop, check_cpu_s=limits))
            return
        judge, candidate = self.cells
        for_judge, for_candidate = verdicts.split_bodies(program, self._rules.needs(program))
        extra = _JUDGE_LAG_S
        to_judge = verdicts.request_for(program, sequence, for_judge, stop, extra_wall_s=extra, order=order)
        judge.send(to_judge._replace(new_judge=quiet))
        candidate.send(verdicts.request_for(program, sequence, for_candidate, stop, check_cpu_s=limits))

    def receive(self, program: Program, sequence: int) -> Trial | None:
        """Return the verdict on the oldest program that was sent; None while a cell has not answered yet. Raises
        EOFError when a cell answers another question."""
        if not all(cell.answers for cell in self.cells):
            return None
        answers = [cell.answers.popleft() for cell in self.cells]
        for answer in answers:
            if answer.sequence != sequence:
                raise EOFError(f"the cell answered {answer.sequence} where {sequence} was asked")
        if self.mode == "shared":
            verdict = verdicts.shared_verdict(program, answers[0])
        else:
            verdict = verdicts.split_verdict(program, *answers)
        near = verdicts.is_near_limit(program, answers)
        starved = verdicts.was_starved(program, answers)
        used_judge, retire = (
            any(answer.flags & flag for answer in answers) for flag in (wire.USED_JUDGE, wire.RETIRE)
        )
        return Trial(verdict, near, starved, used_judge, retire, answers[0].code, answers[0].detail)


def patience_of(program: Program) -> float:
    """Return the seconds after which a cell that has not answered is given up."""
    return program.limits.wall_s + _JUDGE_LAG_S + GRACE_S
