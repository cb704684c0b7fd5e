"""One thread that drives all cells: it hands programs to them, takes their answers, and replaces cells that break.

Programs come from any thread by `submit`, and their results go to their batch's `settle`, which this thread calls.
Whatever a cell does costs this thread no wait: channels do not block, cells start and end while others work. A cell
is sent some programs ahead of its answers, so that it does not wait for the host. Programs that may run longest go
first, so that no cell begins the longest one when the others are about to end.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from assay.sandbox.errors import CellError, SandboxError
from assay.sandbox.host import blame, verdicts
from assay.sandbox.host.cells import START_TIMEOUT_S, Cell, CellPair, patience_of
from assay.sandbox.host.jobs import PREPARATIONS, Batch, Job, mode_of, unprepared
from assay.sandbox.model import Mode, Program, Verdict

_ABORT_AFTER_S = 0.25  # most programs end sooner, and new cells take longer
_ENDING_POLL_S = 0.005
_POLL_S = 0.1  # between looks at the clock, while programs run

Launch = Callable[[Mode], CellPair]


@dataclass(slots=True, eq=False)
class _Lane:
    """The cells of one worker for one mode, and the jobs that were sent to them. `pair` is None while a thread starts
    the cells, which it does where starting them blocks."""

    worker: _Worker
    mode: Mode
    pair: CellPair | None = None
    ready: bool = False
    used: bool = False
    dropped: bool = False
    writing: bool = False  # whether the selector looks for room in a channel
    deadline: float = float("inf")
    in_flight: deque[tuple[int, Job]] = field(default_factory=deque)

    @property
    def waits(self) -> bool:
        """Return whether something is to come from the cells within some time."""
        return bool(self.in_flight) or not self.ready


@dataclass(slots=True, eq=False)
class _Worker:
    """A worker, which runs one program at a time: cells for each mode that was needed, and old cells that are
    ending."""

    lanes: dict[Mode, _Lane] = field(default_factory=dict)
    ending: list[Cell] = field(default_factory=list)

    @property
    def load(self) -> int:
        return sum(len(lane.in_flight) for lane in self.lanes.values())

    @property
    def has_suspect(self) -> bool:
        return any(job.endings for lane in self.lanes.values() for _, job in lane.in_flight)


class Scheduler:
    """`launch` starts the cells of a mode without waiting until they are ready; with `launch_blocks` it takes its time,
    and is called in a thread of its own. `check` raises SandboxError for cells that are not isolated as they should be.
    `depth` programs are sent to a worker ahead of its answers; 0 gives each program new cells."""

    def __init__(
        self,
        launch: Launch,
        rules: verdicts.Rules,
        workers: int,
        depth: int,
        *,
        launch_blocks: bool = False,
        check: Callable[[CellPair], None] = lambda pair: None,
    ) -> None:
        self.window = 2 * workers * (depth + 2) + 4  # programs that keep all cells busy
        self._launch, self._rules, self._check = launch, rules, check
        self._launch_blocks = launch_blocks
        self._depth, self._fresh = max(1, depth), depth == 0
        self._workers = [_Worker() for _ in range(workers)]
        self._lanes: list[_Lane] = []  # of all workers
        self._jobs: list[tuple[float, int, Job]] = []  # a heap
        self._quiet: deque[Job] = deque()
        self._orders, self._sequences = itertools.count(), itertools.count(1)
        self._aborts: list[tuple[float, Batch]] = []
        # What other threads leave here; `_wake` tells the scheduler's own.
        self._incoming: deque[Job] = deque()
        self._cancelled: deque[Batch] = deque()
        self._launched: deque[tuple[_Lane, CellPair | Exception]] = deque()
        self._launching: set[threading.Thread] = set()
        self._asleep = self._closing = False
        self._next_look = 0.0
        self._hungry = True  # whether a worker has room for another job
        self._lock = threading.RLock()  # the collector may end a run in a thread that has it
        self._selector = selectors.DefaultSelector()
        self._wakes, self._waker = socket.socketpair()
        for end in (self._wakes, self._waker):
            end.setblocking(False)
        self._selector.register(self._wakes, selectors.EVENT_READ)
        self.thread = threading.Thread(target=self._work, name="sandbox", daemon=True)

    # Called from any thread.

    def adopt(self, pair: CellPair) -> None:
        """Give the first worker cells that are ready and checked; before `start`."""
        lane = self._attach(self._workers[0], pair)
        lane.ready, lane.deadline = True, float("inf")

    def start(self) -> None:
        self.thread.start()

    def submit(self, program: Program, batch: Batch, ticket: Any) -> None:
        """Have the program judged; `ticket` comes back with the result. Raises SandboxError for limits above the
        sandbox's, and when the sandbox is closed."""
        mode = mode_of(program, self._rules)
        if isinstance(mode, Verdict):
            batch.settle(ticket, program, mode)
            return
        job = Job(program, batch, ticket, mode, next(self._orders))
        with self._lock:  # after `close` has begun, nothing comes into a queue that no one reads
            if self._closing:
                raise SandboxError("the sandbox is closed; open one to run programs")
            self._incoming.append(job)
        if self._hungry:  # else it is taken in when the next answer comes
            self._wake()

    def abort(self, batch: Batch) -> None:
        """Settle a cancelled batch's programs: at once those that wait, after a moment those that run."""
        self._cancelled.append(batch)
        self._wake()

    def close(self) -> None:
        """End all cells and the thread. Programs that were not judged are settled with None."""
        with self._lock:
            self._closing = True
        self._wake()
        if self.thread.ident is None:
            self._end()
        else:
            self.thread.join()

    def _wake(self) -> None:
        if self._asleep:
            with contextlib.suppress(OSError):
                self._waker.send(b"\0")

    # Called from the scheduler's thread alone, as all that follows.

    def _work(self) -> None:
        try:
            while not self._closing:
                self._take_in()
                self._hand_out()
                self._wait()
        finally:
            self._end()

    def _take_in(self) -> None:
        while self._incoming:
            self._queue(self._incoming.popleft())
        while self._launched:
            self._adopt_launched(*self._launched.popleft())
        while self._cancelled:
            batch = self._cancelled.popleft()
            self._aborts.append((time.monotonic() + _ABORT_AFTER_S, batch))
            jobs, self._jobs = [job for _, _, job in self._jobs], []
            jobs += self._quiet
            self._quiet.clear()
            self._queue(*jobs)

    def _queue(self, *jobs: Job) -> None:
        for job in jobs:
            if job.batch.cancelled:
                job.batch.settle(job.ticket, job.program, None)
            elif job.quiet:
                self._quiet.append(job)
            else:
                heapq.heappush(self._jobs, (-job.program.limits.cpu_s, job.order, job))

    def _hand_out(self) -> None:
        """Send jobs until every worker has enough."""
        self._hungry = False
        if self._quiet:
            if not any(worker.load for worker in self._workers):
                self._send(self._workers[0], self._quiet.popleft())
            return
        if any(job.quiet for lane in self._lanes for _, job in lane.in_flight):
            return
        self._hungry = True
        while self._jobs:
            job = self._jobs[0][-1]
            worker = self._worker_for(job)
            if worker is None:
                break
            heapq.heappop(self._jobs)
            self._send(worker, job)
        self._hungry = any(worker.load < self._depth for worker in self._workers)

    def _worker_for(self, job: Job) -> _Worker | None:
        """The worker with the least to do, among equals one whose cells are up; None while all have enough. A job whose
        cell died goes to a worker that has nothing else, and is alone there, in new cells."""
        best, least = None, self._depth * 2
        for worker in self._workers:
            load, lane = worker.load, worker.lanes.get(job.mode)
            if load >= self._depth or worker.has_suspect or (job.endings and load):
                continue
            if lane is None or not lane.ready:
                if lane.in_flight if lane else worker.ending:
                    continue  # its old cells go first, and new ones start with one job
                load += self._depth - 1
            if load < least:
                best, least = worker, load
        return best

    def _send(self, worker: _Worker, job: Job) -> None:
        lane = worker.lanes.get(job.mode)
        if lane is not None and lane.used and job.endings:
            self._queue(*self._drop(lane))
            lane = None
        try:
            lane = lane or self._open(worker, job.mode)
        except Exception as error:
            self._refuse(job, error)
            return
        lane.used = True
        lane.in_flight.append((next(self._sequences), job))
        if lane.pair is not None:
            self._transmit(lane, *lane.in_flight[-1])

    def _transmit(self, lane: _Lane, sequence: int, job: Job) -> None:
        assert lane.pair is not None
        if lane.ready and len(lane.in_flight) == 1:
            self._expect(lane)
        try:
            lane.pair.send(job.as_sent, sequence, quiet=job.quiet, order=job.questioning.order)
        except EOFError:
            return  # reading finds that out and deals with it
        except SandboxError as error:
            lane.in_flight.remove((sequence, job))
            self._refuse(job, error)
        except Exception as error:  # its cells may have half of the question
            lane.in_flight.remove((sequence, job))
            self._queue(*self._drop(lane))
            job.faults += 1
            if job.faults < PREPARATIONS:
                self._queue(job)
            else:
                job.batch.settle(
                    job.ticket, job.program, verdicts.infra(job.program, unprepared(error), job.mode)
                )
            return
        self._watch(lane)

    def _refuse(self, job: Job, error: Exception) -> None:
        """Cells cannot be started, or not be asked this: the batch ends with the error, not with verdicts."""
        if not isinstance(error, SandboxError):
            reason = f"{type(error).__name__}: {error}"
            error = SandboxError(f"program {job.program.id!r} could not be given to a cell: {reason}")
        job.batch.settle(job.ticket, job.program, error)

    # Cells: their start, their events, and their end.

    def _open(self, worker: _Worker, mode: Mode) -> _Lane:
        if not self._launch_blocks:
            return self._attach(worker, self._launch(mode))
        lane = worker.lanes[mode] = _Lane(worker, mode)
        self._lanes.append(lane)

        def launch() -> None:
            result: CellPair | Exception
            try:
                result = self._launch(mode)
            except Exception as error:
                result = error
            self._launched.append((lane, result))
            self._wake()

        thread = threading.Thread(target=launch, name="sandbox-launch", daemon=True)
        self._launching = {one for one in self._launching if one.is_alive()} | {thread}
        thread.start()
        return lane

    def _adopt_launched(self, lane: _Lane, result: CellPair | Exception) -> None:
        if isinstance(result, Exception):
            if not lane.dropped:
                self._give_up(lane, result)
        elif lane.dropped:
            self._hang_up(lane.worker, result)
        else:
            self._attach(lane.worker, result, lane)
            for sequence, job in list(lane.in_flight):
                self._transmit(lane, sequence, job)
            self._serve(lane, result.cells[0], 0)  # they may be ready by now

    def _attach(self, worker: _Worker, pair: CellPair, lane: _Lane | None = None) -> _Lane:
        lane = lane or _Lane(worker, pair.mode)
        for cell in pair.cells:
            self._selector.register(cell, selectors.EVENT_READ, lane)
        lane.pair = pair
        lane.deadline = time.monotonic() + START_TIMEOUT_S
        if worker.lanes.setdefault(pair.mode, lane) not in self._lanes:
            self._lanes.append(lane)
        return lane

    def _watch(self, lane: _Lane) -> None:
        """Wait for room in a channel exactly as long as something is to be sent."""
        for cell in lane.pair.cells if lane.pair and not lane.dropped else ():
            if not cell.has_unsent and not lane.writing:
                continue
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if cell.has_unsent else 0)
            if self._selector.get_key(cell).events != events:
                self._selector.modify(cell, events, lane)
        lane.writing = lane.pair is not None and any(cell.has_unsent for cell in lane.pair.cells)

    def _wait(self) -> None:
        """Wait until a cell or another thread has something that leads to further work, and deal with it."""
        waiting = True
        while waiting:
            self._asleep = True  # from here on other threads wake this one
            busy = (self._hungry and self._incoming) or self._cancelled or self._launched or self._closing
            events = self._selector.select(0 if busy else self._patience())
            self._asleep = False
            waiting = False
            for key, mask in events:
                if key.data is None:
                    with contextlib.suppress(BlockingIOError):
                        self._wakes.recv(4096)
                elif not key.data.dropped:
                    # Half an answer of a pair leads to nothing yet.
                    waiting = not self._serve(key.data, key.fileobj, mask) and len(events) == 1  # type: ignore[arg-type]
            if not waiting and time.monotonic() >= self._next_look:
                self._look_at_clock()

    def _patience(self) -> float | None:
        """Seconds until the clock is looked at; None for ever."""
        if any(worker.ending for worker in self._workers):
            return _ENDING_POLL_S
        return _POLL_S if self._aborts or any(lane.waits for lane in self._lanes) else None

    def _serve(self, lane: _Lane, cell: Cell, mask: int) -> bool:
        """Take what a cell gives; return whether that was the whole of an answer, or more. What came before the end of
        the channel counts."""
        gone: Exception | None = None
        try:
            if mask & selectors.EVENT_WRITE:
                cell.flush()
                self._watch(lane)
            if mask & selectors.EVENT_READ:
                cell.read()
        except CellError as error:
            self._give_up(lane, error)
            return True
        except Exception as error:
            gone = error
        waiting = len(lane.in_flight)
        try:
            self._take_answers(lane)
        except Exception as error:
            gone = gone or error
        if gone is not None and not lane.dropped:
            self._break(lane, str(gone))
        return lane.dropped or len(lane.in_flight) < waiting

    def _take_answers(self, lane: _Lane) -> None:
        pair = lane.pair
        assert pair is not None
        if not lane.ready and pair.is_ready:
            try:
                self._check(pair)
            except SandboxError as error:
                self._give_up(lane, error)
                return
            lane.ready = True
            self._expect(lane)
        while lane.in_flight:
            sequence, job = lane.in_flight[0]
            trial = pair.receive(job.as_sent, sequence)
            if trial is None:
                return
            lane.in_flight.popleft()
            self._expect(lane)
            if trial.retire or self._fresh:
                self._queue(*self._drop(lane))
            if job.needs_quiet(trial) or not job.settle(trial):
                self._queue(job)

    def _expect(self, lane: _Lane) -> None:
        """Set the time by which the oldest job in flight has to be answered."""
        job = lane.in_flight[0][1] if lane.in_flight else None
        lane.deadline = time.monotonic() + patience_of(job.as_sent) if job else float("inf")

    def _look_at_clock(self) -> None:
        now = time.monotonic()
        self._next_look = now + _ENDING_POLL_S
        for worker in self._workers:
            worker.ending = [cell for cell in worker.ending if not cell.has_ended()]
            for lane in list(worker.lanes.values()):
                if lane.deadline > now:
                    continue
                if lane.ready:
                    self._break(lane, "no answer in time")
                else:
                    self._give_up(lane, CellError(f"the cell did not start within {START_TIMEOUT_S:g} s"))
        due = [batch for at, batch in self._aborts if at <= now]
        self._aborts = [(at, batch) for at, batch in self._aborts if at > now]
        for lane in list(self._lanes) if due else ():
            if any(job.batch in due for _, job in lane.in_flight):
                self._queue(*self._drop(lane))

    def _break(self, lane: _Lane, reason: str) -> None:
        """The cells died. The oldest job is under suspicion and tried again by itself; the others just go back."""
        suspect = lane.in_flight.popleft()[1] if lane.in_flight else None
        self._queue(*self._drop(lane))
        if suspect is None:
            return
        suspect.endings.append((lane.pair, reason))
        if isinstance(suspect.batch, blame.ControlRun):
            verdict = verdicts.infra(suspect.program, reason, suspect.mode)
            suspect.batch.settle(suspect.ticket, suspect.program, verdict)
        elif len(suspect.endings) < blame.ATTEMPTS or suspect.batch.cancelled:
            self._queue(suspect)
        else:
            run = blame.ControlRun(suspect)
            self._queue(Job(run.program, run, None, suspect.mode, suspect.order, suspect.endings))

    def _give_up(self, lane: _Lane, error: Exception) -> None:
        """The cells could not be started: whoever waits for them gets the error."""
        for job in self._drop(lane):
            self._refuse(job, error)

    def _drop(self, lane: _Lane) -> list[Job]:
        """End the cells; return what they were sent and did not answer."""
        lane.dropped = True
        del lane.worker.lanes[lane.mode]
        self._lanes.remove(lane)
        if lane.pair is not None:
            for cell in lane.pair.cells:
                self._selector.unregister(cell)
            self._hang_up(lane.worker, lane.pair)
        jobs = [job for _, job in lane.in_flight]
        lane.in_flight.clear()
        return jobs

    def _hang_up(self, worker: _Worker, pair: CellPair) -> None:
        for cell in pair.cells:
            with contextlib.suppress(Exception):  # a Docker engine that has gone cannot be reached
                cell.hang_up()
        worker.ending += pair.cells

    def _end(self) -> None:
        """End all cells at the same time, settle all jobs, and wait until nothing of a cell is left."""
        with self._lock:
            self._closing = True
        for thread in self._launching:
            thread.join()
        while self._launched:
            lane, result = self._launched.popleft()
            if isinstance(result, CellPair):
                self._hang_up(lane.worker, result)
        jobs = [*self._incoming, *self._quiet, *(job for _, _, job in self._jobs)]
        for lane in list(self._lanes):
            jobs += self._drop(lane)
        for job in jobs:
            job.batch.settle(job.ticket, job.program, None)
        for cell in [cell for worker in self._workers for cell in worker.ending]:
            with contextlib.suppress(Exception):
                while not cell.has_ended(1.0):
                    pass
        self._selector.close()
        self._wakes.close()
        self._waker.close()
