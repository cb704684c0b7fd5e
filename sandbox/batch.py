"""One call of `run` between its three parties: the feeder, the workers and whoever takes the verdicts."""

from __future__ import annotations

import queue
import threading

from sandbox.errors import SandboxError
from sandbox.model import Verdict

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
