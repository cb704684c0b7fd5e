"""Executing answers while others are still being drawn: a thread of its own feeds the sandbox and gathers verdicts."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Protocol

from assay.sandbox import Program, SandboxError, Verdict
from assay.trainers.errors import TrainingError


class Box(Protocol):
    """What runs programs: a Sandbox."""

    def run(self, programs: Iterable[Program]) -> Iterator[Verdict]: ...


class Executing:
    """`submit` returns at once; `verdicts` waits for all. `wait_s` is the time that waiting took: the part of the
    execution that hid behind nothing. `busy_s` is the wall time during which programs were under way."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._queue: queue.SimpleQueue[Program | None] = queue.SimpleQueue()
        self._found: dict[str, Verdict] = {}
        self._error: BaseException | None = None
        self._submitted = 0
        self._pending_since: float | None = None
        self._lock = threading.Lock()
        self.busy_s = 0.0
        self.wait_s = 0.0
        self._thread = threading.Thread(target=self._collect, name="assay-rewards", daemon=True)
        self._thread.start()

    def submit(self, program: Program) -> None:
        with self._lock:
            if self._submitted == len(self._found):
                self._pending_since = time.perf_counter()
            self._submitted += 1
        self._queue.put(program)

    def verdicts(self) -> dict[str, Verdict]:
        """All verdicts, by program id. Raises TrainingError where the sandbox gave up."""
        began = time.perf_counter()
        self._queue.put(None)
        self._thread.join()
        self.wait_s = time.perf_counter() - began
        if isinstance(self._error, SandboxError):
            raise TrainingError(f"the sandbox could not judge answers: {self._error}") from self._error
        if self._error is not None:
            raise self._error
        return self._found

    def abandon(self) -> None:
        """End the thread without waiting for what is under way to be judged."""
        self._queue.put(None)

    def _programs(self) -> Iterator[Program]:
        while (program := self._queue.get()) is not None:
            yield program

    def _collect(self) -> None:
        try:
            for verdict in self._box.run(self._programs()):
                with self._lock:
                    self._found[verdict.id] = verdict
                    if self._pending_since is not None and self._submitted == len(self._found):
                        self.busy_s += time.perf_counter() - self._pending_since
                        self._pending_since = None
        except BaseException as error:  # handed to the thread that asks for the verdicts
            self._error = error
