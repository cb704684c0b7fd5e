"""A fake of the sandbox for tests: it gives verdicts without running anything."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from assay.sandbox import Isolation, Outcome, Program, SandboxError, Verdict

ISOLATION = Isolation("fake", "full", "fake, full isolation", (), "3.11", (("numpy", "2.0"),))
Judge = Callable[[Program], Verdict | Exception | None]


class FakeSandbox:
    """Judges each program by `judge`, in a thread of its own as a sandbox does. A program whose verdict is None runs on
    until `let_end`, an abort or `close`; an Exception ends its batch. `programs` are those that came."""

    isolation = ISOLATION
    mode: Literal["split", "shared"] = "split"

    def __init__(self, judge: Judge = lambda program: Verdict(program.id, Outcome.PASS)) -> None:
        self._judge = judge
        self.programs: list[Program] = []
        self.aborted = 0
        self.closed = False
        self._running: dict[str, tuple[Any, Any, Program]] = {}
        self._jobs: deque[Callable[[], None]] = deque()
        self._more = threading.Semaphore(0)
        self.thread = threading.Thread(target=self._work, daemon=True, name="fake-sandbox")
        self.thread.start()

    @property
    def scheduler(self) -> FakeSandbox:
        return self

    def _work(self) -> None:
        while not self.closed:
            self._more.acquire()
            self._jobs.popleft()()

    def _do(self, job: Callable[[], None]) -> None:
        self._jobs.append(job)
        self._more.release()

    def submit(self, program: Program, batch: Any, ticket: Any) -> None:
        self.programs.append(program)

        def judge() -> None:
            verdict = self._judge(program)
            if verdict is None:
                self._running[program.id] = (batch, ticket, program)
            elif isinstance(verdict, Exception):
                batch.settle(ticket, program, SandboxError(str(verdict)))
            else:
                batch.settle(ticket, program, replace(verdict, id=program.id))

        self._do(judge)

    def let_end(self, program_id: str, output: str = "") -> None:
        def end() -> None:
            batch, ticket, program = self._running.pop(program_id)
            batch.settle(ticket, program, Verdict(program_id, Outcome.PASS, output=output))

        self._do(end)

    def abort(self, batch: Any) -> None:
        self.aborted += 1

    def close(self) -> None:
        """Settle what is still running, and end the thread."""

        def end() -> None:
            for batch, ticket, program in list(self._running.values()):
                batch.settle(ticket, program, None)
            self.closed = True

        if not self.closed:
            self._do(end)
        self.thread.join(30)
        assert not self.thread.is_alive()
