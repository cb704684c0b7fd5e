"""Feeding programs to workers and verdicts back: bounded, unordered, from any thread, cancellable.

A feeder thread a batch consumes the iterable, so that one that blocks (a model that generates) holds no verdict
back. Workers are threads that each own their rigs and do nothing but wait on them.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from assay.sandbox.errors import SandboxError
from assay.sandbox.host import verdicts
from assay.sandbox.host.cells import Rig, Trial
from assay.sandbox.model import Mode, Program, Verdict

_ATTEMPTS = 3
# Source text that is sent ahead of answers, to one rig. It has to fit the cell's socket, in any encoding: a send that
# waits for the cell, while the cell waits for its answer to be read, would wait for ever.
_AHEAD_CHARACTERS = 16 << 10
_ABORT_AFTER_S = 0.25

RigFactory = Callable[[Mode], Rig]
ModeOf = Callable[[Program], Mode]


@dataclass(slots=True)
class _Job:
    program: Program
    batch: Batch
    mode: Mode
    attempts: int = 0
    quiet: bool = False

    @property
    def alone(self) -> bool:
        """Whether it must be the only one in flight: after a cell died under it, or to be judged in quiet."""
        return self.quiet or self.attempts > 0

    @property
    def size(self) -> int:
        """Characters of source."""
        p = self.program
        return len(p.candidate) + len(p.prelude) + sum(map(len, p.checks))


class Gate:
    """Many may run at once, or one alone."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._inside = 0
        self._waiting = 0

    @property
    def closing(self) -> bool:
        return self._waiting > 0

    def enter(self) -> None:
        with self._condition:
            self._condition.wait_for(lambda: self._waiting == 0)
            self._inside += 1

    def leave(self) -> None:
        with self._condition:
            self._inside -= 1
            self._condition.notify_all()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        with self._condition:
            self._waiting += 1
            self._condition.wait_for(lambda: self._inside == 0)
            self._inside = 1
        try:
            yield
        finally:
            with self._condition:
                self._inside = 0
                self._waiting -= 1
                self._condition.notify_all()


class Worker:
    """A thread that takes jobs off the common queue and runs them on its own rigs."""

    def __init__(
        self, jobs: queue.SimpleQueue[_Job | None], gate: Gate, make_rig: RigFactory, depth: int, index: int
    ) -> None:
        """`depth` programs are sent to a rig ahead of its answers, so that it never waits for the host; 0 gives
        each program a rig of its own."""
        self._depth = max(1, depth)
        self._fresh = depth == 0
        self._jobs = jobs
        self._gate = gate
        self._make_rig = make_rig
        self._rigs: dict[Mode, Rig] = {}
        self._lock = threading.RLock()  # as in Batch: a run may be ended by the collector, in this thread
        self._in_flight: deque[tuple[int, _Job]] = deque()
        self._held: _Job | None = None
        self._sequence = 0
        self._stopping = False
        self.thread = threading.Thread(target=self._work, name=f"sandbox-worker-{index}", daemon=True)

    def adopt(self, mode: Mode, rig: Rig) -> None:
        """Give the worker a rig that is already started."""
        self._rigs[mode] = rig

    def abort(self, batch: Batch | None = None) -> None:
        """Break off what is in flight (of `batch` only, when given); callable from any thread."""
        with self._lock:
            if batch is None:
                self._stopping = True
            elif not any(job.batch is batch for _, job in self._in_flight):
                return
            for rig in self._rigs.values():
                rig.abort()

    def _work(self) -> None:
        while True:
            if not self._fill():
                self._drop_rigs()
                return
            if self._in_flight:
                self._step()

    def _fill(self) -> bool:
        """Send jobs until enough are in flight; False when there will be none any more."""
        while len(self._in_flight) < self._depth:
            if self._in_flight and self._gate.closing:
                return True
            job = self._next()
            if job is None:
                return bool(self._in_flight)
            if job.batch.cancelled or self._stopping:
                job.batch.give_up()
            elif self._in_flight and (job.alone or not self._fits(job)):
                self._held = job
                return True
            elif job.alone:
                self._run_alone(job)
            else:
                self._send(job)
        return True

    def _fits(self, job: _Job) -> bool:
        return job.size + sum(ahead.size for _, ahead in self._in_flight) <= _AHEAD_CHARACTERS

    def _next(self) -> _Job | None:
        held, self._held = self._held, None
        if held is not None:
            return held
        try:
            job = self._jobs.get(block=not self._in_flight)
        except queue.Empty:
            return None
        if job is None:
            self._jobs.put(None)  # the others stop too
        return job

    def _run_alone(self, job: _Job) -> None:
        with self._gate.alone() if job.quiet else contextlib.nullcontext():
            self._send(job, gate=not job.quiet)
            while self._in_flight:
                self._step(gate=not job.quiet)

    def _send(self, job: _Job, *, gate: bool = True) -> None:
        if gate and not self._in_flight:
            self._gate.enter()
        self._sequence += 1
        with self._lock:
            self._in_flight.append((self._sequence, job))
        try:
            rig = self._rig(job.mode)
            rig.send(job.program, self._sequence)
            if (
                self._stopping or job.batch.cancelled
            ):  # while the rig was being made, `abort` could not see it
                rig.abort()
        except EOFError:
            return  # the receiving side finds out and deals with it
        except Exception as error:  # whatever it is, the batch ends with it and the worker lives
            self._fail(job, error, gate=gate)

    def _fail(self, job: _Job, error: Exception, *, gate: bool) -> None:
        """A rig cannot be made, or not be asked this: the batch ends with the error, not with verdicts."""
        if not isinstance(error, SandboxError):
            why = f"{type(error).__name__}: {error}"
            error = SandboxError(f"program {job.program.id!r} could not be given to a cell: {why}")
        with self._lock:
            self._in_flight.remove((self._sequence, job))
        if gate and not self._in_flight:
            self._gate.leave()
        job.batch.cancelled = True
        job.batch.done(error)

    def _step(self, *, gate: bool = True) -> None:
        """Wait for the answer to the oldest job in flight."""
        sequence, job = self._in_flight[0]
        try:
            trial = self._rig(job.mode).receive(job.program, sequence)
        except Exception as error:
            self._broken(str(error))
        else:
            with self._lock:
                self._in_flight.popleft()
            self._finish(job, trial)
        if gate and not self._in_flight:
            self._gate.leave()

    def _finish(self, job: _Job, trial: Trial) -> None:
        if trial.retire or self._fresh:
            self._requeue_all()
            self._drop_rigs()
        if trial.verdict is None:
            job.mode = "shared"
            self._jobs.put(job)
        elif trial.needs_quiet and not job.quiet and not job.batch.cancelled:
            job.quiet = True
            self._jobs.put(job)
        else:
            job.batch.done(trial.verdict)

    def _broken(self, why: str) -> None:
        """The rig died. The oldest job is under suspicion and tried again by itself; the others just go back."""
        with self._lock:
            _, job = self._in_flight.popleft()
        self._requeue_all()
        self._drop_rigs()
        if job.batch.cancelled or self._stopping:
            job.batch.give_up()
            return
        job.attempts += 1
        if job.attempts < _ATTEMPTS:
            self._jobs.put(job)
        else:
            reason = f"the cell died or did not answer in {_ATTEMPTS} attempts: {why}"
            job.batch.done(verdicts.infra(job.program, reason, job.mode))

    def _requeue_all(self) -> None:
        with self._lock:
            jobs = [job for _, job in self._in_flight]
            self._in_flight.clear()
        for job in jobs:
            self._jobs.put(job)

    def _rig(self, mode: Mode) -> Rig:
        with self._lock:
            rig = self._rigs.get(mode)
        if rig is None:
            rig = self._make_rig(mode)
            with self._lock:
                self._rigs[mode] = rig
        return rig

    def _drop_rigs(self) -> None:
        with self._lock:
            rigs = list(self._rigs.values())
            self._rigs.clear()
        for rig in rigs:
            with contextlib.suppress(Exception):  # a Docker engine that has gone cannot be told
                rig.close()


class Scheduler:
    """The workers and their common queue."""

    def __init__(self, make_rig: RigFactory, mode_of: ModeOf, workers: int, depth: int) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._mode_of = mode_of
        gate = Gate()
        self.workers = [Worker(self._jobs, gate, make_rig, depth, index) for index in range(workers)]
        self._window = 2 * workers * (depth + 2) + 4
        self._lock = threading.Lock()
        self._open: set[Batch] = set()
        self._closed = False

    def start(self) -> None:
        for worker in self.workers:
            worker.thread.start()

    def run(self, programs: Iterable[Program]) -> Iterator[Verdict]:
        batch = Batch(self._window)
        with self._lock:
            if self._closed:
                raise SandboxError("the sandbox is closed; open one to run programs")
            self._open.add(batch)
        feeder = threading.Thread(
            target=self._feed, args=(batch, programs), name="sandbox-feeder", daemon=True
        )
        feeder.start()
        # Given back several at a time: each time wakes the feeder.
        taken = 0
        try:
            while (result := batch.results.get()) is not None:
                if isinstance(result, BaseException):
                    raise result
                taken += 1
                if taken >= self._window // 2:
                    batch.give_slots(taken)
                    taken = 0
                yield result
        finally:
            self._cancel(batch)
            self._open.discard(batch)  # no lock: the collector may end a run in a thread that holds it

    def _feed(self, batch: Batch, programs: Iterable[Program]) -> None:
        failure: BaseException | None = None
        try:
            iterator = iter(programs)
            while True:
                batch.take_slot()
                if batch.cancelled:
                    failure = was_closed()
                    break
                program = next(iterator, None)
                if program is None:
                    break
                job = _Job(program, batch, self._mode_of(program))
                with self._lock:  # after `close` has begun, nothing comes into a queue that no one reads
                    if self._closed or batch.cancelled:
                        failure = was_closed()
                        break
                    batch.add()
                    self._jobs.put(job)
        except BaseException as error:
            failure = error
        batch.fed(failure)

    def _cancel(self, batch: Batch) -> None:
        """Stop a batch that is not wanted any more; nothing when it has ended."""
        batch.cancelled = True
        batch.give_slots(1)
        if not batch.wait_idle(_ABORT_AFTER_S):
            for worker in self.workers:
                worker.abort(batch)
            batch.wait_idle(_ABORT_AFTER_S * 40)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            unfinished = list(self._open)
        for batch in unfinished:
            batch.cancelled = True
        self._jobs.put(None)
        for worker in self.workers:
            worker.abort()
        for worker in self.workers:
            worker.thread.join()
        with contextlib.suppress(queue.Empty):
            while True:
                left = self._jobs.get_nowait()
                if left is not None:
                    left.batch.give_up()
        for batch in unfinished:
            batch.close()


# One call of `run` between its three parties: the feeder, the workers and whoever takes the verdicts.

_LOOK_AGAIN_S = 1.0


class Batch:
    """One call of `run`: its window of programs in flight and the verdicts that wait to be taken."""

    def __init__(self, window: int) -> None:
        self._slots = window
        self.results: queue.SimpleQueue[Verdict | BaseException | None] = queue.SimpleQueue()
        self.cancelled = False
        self._jobs = 0
        self._given_up = 0
        self._feeding = True
        self._idle = threading.Condition()

    def take_slot(self) -> None:
        """Wait for room. A condition, whose lock lets its own thread in again, and looked at from time to time: the
        garbage collector may end an abandoned run, which gives slots back, in the very thread that waits here."""
        with self._idle:
            while not self._idle.wait_for(lambda: self._slots > 0, _LOOK_AGAIN_S):
                pass
            self._slots -= 1

    def give_slots(self, count: int) -> None:
        with self._idle:
            self._slots += count
            self._idle.notify_all()

    def add(self) -> None:
        with self._idle:
            self._jobs += 1

    def done(self, result: Verdict | BaseException) -> None:
        """One job has ended, with something for the consumer."""
        with self._idle:
            self._jobs -= 1
            self._end(result)

    def give_up(self) -> None:
        """One job of a batch that was cancelled has ended without a verdict."""
        with self._idle:
            self._jobs -= 1
            self._given_up += 1
            self._end(None)

    def fed(self, failure: BaseException | None) -> None:
        """No job follows: the iterable has ended, or has raised `failure`."""
        with self._idle:
            self._feeding = False
            self._end(failure)

    def close(self) -> None:
        """The workers are gone: whoever waits for a verdict gets an error, whoever waits for a slot goes on."""
        self.results.put(was_closed())
        self.give_slots(1)

    def _end(self, result: Verdict | BaseException | None) -> None:
        if result is not None:
            self.results.put(result)
        if self._jobs == 0:
            if not self._feeding:
                self.results.put(was_closed() if self._given_up else None)
            self._idle.notify_all()

    def wait_idle(self, timeout_s: float) -> bool:
        """True once no job of this batch is under way (the feeder may still sit in its iterable)."""
        with self._idle:
            return self._idle.wait_for(lambda: self._jobs == 0, timeout_s)


def was_closed() -> SandboxError:
    """What a run ends with whose sandbox went away under it."""
    return SandboxError("the sandbox was closed while programs were still to be run")
