"""Running programs: the one place where the harness opens a sandbox."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from assay.harness.errors import MissingToolError, UnmeasuredError
from assay.harness.experiment import SandboxTable
from assay.sandbox import Isolation, IsolationError, Limits, Program, Sandbox, SandboxError, Verdict
from assay.sandbox.host.cache import VerdictStore
from assay.sandbox.host.executor import Box, CachedBox
from assay.suites import Problem, Suite
from assay.suites.extraction.extract import Extraction
from assay.suites.sources import cache_folder


def default_path() -> Path:
    return cache_folder() / "verdicts.sqlite"


def limits_of(table: SandboxTable) -> Limits:
    return Limits(cpu_s=table.cpu_s, wall_s=table.wall_s, memory_bytes=table.memory_mb << 20)


def program_of(identity: str, problem: Problem, extraction: Extraction, limits: Limits) -> Program:
    return Program(
        id=identity,
        candidate=extraction.program,
        checks=problem.checks,
        entry_point=problem.entry_point,
        limits=replace(limits, cpu_s=problem.cpu_s, wall_s=max(limits.wall_s, 4 * problem.cpu_s))
        if problem.cpu_s > limits.cpu_s
        else limits,
        prelude=problem.prompt,
        mode=problem.mode,
    )


def workers_of(table: SandboxTable) -> int:
    return table.workers or len(os.sched_getaffinity(0))


@contextmanager
def open_sandbox(table: SandboxTable, suite: Suite, *, allow_weak: bool = False) -> Iterator[Sandbox]:
    """A sandbox that passed its start-up control. Raises MissingToolError where the machine cannot isolate."""
    try:
        with Sandbox(
            backend=table.backend,
            mode=table.mode,
            workers=workers_of(table),
            packages=suite.packages,
            allow_weak=allow_weak,
            isolation=table.isolation,
            limits=limits_of(table),
        ) as sandbox:
            yield sandbox
    except SandboxError as error:
        raise as_assay_error(error) from error


def as_assay_error(error: BaseException) -> BaseException:
    """A sandbox's error as one of ours, with its exit code; any other error as it is."""
    if isinstance(error, IsolationError):
        return MissingToolError(str(error))
    if isinstance(error, SandboxError):
        return UnmeasuredError(f"the sandbox could not give verdicts: {error}")
    return error


@dataclass(frozen=True, slots=True)
class CacheUse:
    """Whether verdicts are looked up, and where; `path` None is the user's own place."""

    enabled: bool = True
    path: Path | None = None


class Executor:
    """Executes programs beside the caller's own work: `submit` returns at once, `on_verdict` is called from
    another thread as verdicts come. Leaving the block waits for all of them. Leaving it by an exception (Ctrl-C while
    it waits, too) waits for no program: `on_verdict` is not called any more, and the thread ends when the sandbox is
    closed.
    """

    def __init__(self, sandbox: Box, on_verdict: Callable[[Verdict], None], *, window: int = 4096) -> None:
        self._sandbox = sandbox
        self._on_verdict = on_verdict
        self._queue: queue.Queue[Program | None] = queue.Queue(window)
        self._stopped = threading.Event()
        self._handing = threading.Lock()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._collect, name="assay-verdicts", daemon=True)

    @property
    def isolation(self) -> Isolation:
        return self._sandbox.isolation

    def submit(self, program: Program) -> None:
        while True:
            if self._error is not None:
                raise self._error
            try:
                self._queue.put(program, timeout=0.5)
                return
            except queue.Full:
                continue

    def __enter__(self) -> Executor:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._stop()
            return
        try:
            self._wait()
        except BaseException:
            self._stop()
            raise
        if self._error is not None:
            raise self._error

    def _wait(self) -> None:
        while self._thread.is_alive():
            try:
                self._queue.put(None, timeout=0.5)
                break
            except queue.Full:
                continue
        self._thread.join()

    def _stop(self) -> None:
        with self._handing:  # a verdict that is being handed over is the last one
            self._stopped.set()
        self._end_programs()

    def _end_programs(self) -> None:
        """Wake the sandbox's feeder where it waits for a program; from a full queue it takes one and sees the end."""
        with suppress(queue.Full):
            self._queue.put_nowait(None)

    def _programs(self) -> Iterator[Program]:
        while (program := self._queue.get()) is not None and not self._stopped.is_set():
            yield program

    def _collect(self) -> None:
        try:
            for verdict in self._sandbox.run(self._programs()):
                with self._handing:
                    if self._stopped.is_set():
                        return
                    self._on_verdict(verdict)
        except BaseException as error:  # handed to the submitting thread, which raises it
            self._error = as_assay_error(error)
        finally:
            self._end_programs()


@contextmanager
def open_cached(
    table: SandboxTable, suite: Suite, *, cache: CacheUse, allow_weak: bool = False
) -> Iterator[Box]:
    """A sandbox as `open_sandbox` gives it, behind the cache unless that is not wanted."""
    if not cache.enabled:
        with open_sandbox(table, suite, allow_weak=allow_weak) as box:
            yield box
        return
    with VerdictStore(cache.path or default_path()) as store:
        cached = None
        try:
            with open_sandbox(table, suite, allow_weak=allow_weak) as box:
                cached = CachedBox(box, store, table.mode)
                try:
                    yield cached
                finally:  # an error's traceback may keep a generator open that nobody reads from any more
                    cached.stop()
        finally:
            if cached is not None:
                cached.join()
