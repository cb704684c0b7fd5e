"""The Sandbox: what a user holds. Starts cells, checks them with two controls, and gives verdicts."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from types import TracebackType
from typing import Literal, Self

from assay.sandbox.errors import ControlError, SandboxError
from assay.sandbox.host import embedded
from assay.sandbox.host.cells import Cell, CellOptions, DockerOptions, Rig, SharedRig, SplitRig
from assay.sandbox.host.isolation import Isolation
from assay.sandbox.host.layout import host_layout
from assay.sandbox.host.needs import Needs, needs_of
from assay.sandbox.host.scheduler import Scheduler
from assay.sandbox.model import Limits, Mode, Outcome, Program, Verdict

Backend = Literal["embedded", "docker"]

# How many programs are sent ahead of a worker's answers: more where an answer takes longer to travel.
_DEPTH = {"embedded": 2, "docker": 5}

_CONTROL_CHECK = "assert double(21) == 42"
_CONTROLS = (
    (
        Program("control-right", "def double(x):\n    return 2 * x\n", (_CONTROL_CHECK,), "double"),
        Outcome.PASS,
    ),
    (
        Program("control-wrong", "def double(x):\n    return None\n", (_CONTROL_CHECK,), "double"),
        Outcome.FAIL,
    ),
)


class Sandbox:
    """Runs untrusted programs and says how each ended.

    In "split" mode a program's checks run in another cell than the candidate, which answers calls with data; a
    program whose checks need more than that is judged in "shared" mode, where a hostile candidate can forge its
    verdict, and each verdict says which it was. `workers` programs run at once. `packages` can be imported by
    programs, besides the standard library.

    A cell runs many programs, and is proved to be as it was after each. With `isolation="fresh"` each program has PID
    and mount namespaces of its own besides; where a cell cannot make them (in Docker, and at weaker levels) it has
    new cells, at a tenth of the rate. `limits` are the largest that any program has: they bound a cell as a whole.

    Without namespaces (or with another piece of the isolation missing) entering raises IsolationError, unless
    `allow_weak`; what is then in force stands in `isolation`. Safe to use from several threads, and from a process
    that holds torch and CUDA: cells are processes of their own, started without forking the caller.
    """

    def __init__(
        self,
        backend: Backend = "embedded",
        mode: Mode = "split",
        workers: int | None = None,
        packages: Iterable[str] = (),
        *,
        allow_weak: bool = False,
        isolation: Literal["cell", "fresh"] = "cell",
        limits: Limits | None = None,
        docker: DockerOptions | None = None,
    ) -> None:
        if backend not in ("embedded", "docker"):
            raise SandboxError(f"unknown backend {backend!r}; known: embedded, docker")
        if mode not in ("split", "shared"):
            raise SandboxError(f"unknown mode {mode!r}; known: split, shared")
        if isolation not in ("cell", "fresh"):
            raise SandboxError(f"unknown isolation {isolation!r}; known: cell, fresh")
        count = workers if workers is not None else os.cpu_count() or 1
        if count < 1:
            raise SandboxError(f"workers must be at least 1, got {count}")
        self.backend = backend
        self.mode = mode
        self.workers = count
        self.packages = tuple(packages)
        self.fresh = isolation == "fresh"
        self._allow_weak = allow_weak
        self._docker = docker
        self._largest = limits or Limits()
        self._isolation: Isolation | None = None
        self._scheduler: Scheduler | None = None
        self._closing = threading.Lock()

    @property
    def isolation(self) -> Isolation:
        """What the cells are isolated with; known once the sandbox is entered."""
        if self._isolation is None:
            raise SandboxError(
                "the sandbox is not open; use it as a context manager: with Sandbox() as sandbox"
            )
        return self._isolation

    def __enter__(self) -> Self:
        options = CellOptions(
            host_layout(self.packages),
            self.packages,
            memory_bytes=self._largest.memory_bytes,
            processes=self._largest.processes + 8,
            fresh=self.fresh,
        )
        first = self._start_rig(options, self.mode)
        by_cells = self.fresh and (self.backend == "docker" or self.isolation.level != "full")
        depth = 0 if by_cells else _DEPTH[self.backend]
        self._scheduler = Scheduler(
            lambda mode: self._start_rig(options, mode), self._mode_of, self.workers, depth
        )
        self._scheduler.workers[0].adopt(self.mode, first)
        self._scheduler.start()
        try:
            self._check_controls()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start_rig(self, options: CellOptions, mode: Mode) -> Rig:
        cells, isolation = self._start_cells(options, mode)
        if self._isolation is None:
            self._isolation = isolation
        elif isolation.label != self._isolation.label:
            for cell in cells:
                cell.close()
            raise SandboxError(
                f"a new cell has {isolation.label}, where the first had {self._isolation.label}"
            )
        if mode == "shared":
            return SharedRig(*cells)
        judge, candidate = cells
        return SplitRig(judge, candidate, self._needs)

    def _start_cells(self, options: CellOptions, mode: Mode) -> tuple[list[Cell], Isolation]:
        if self.backend == "docker":
            from assay.sandbox.host import docker

            return docker.start_cells(options, mode, self._docker or DockerOptions())
        return embedded.start_cells(options, mode, allow_weak=self._allow_weak)

    def _needs(self, program: Program) -> Needs:
        return needs_of(program, self.packages)

    def _mode_of(self, program: Program) -> Mode:
        """Shared where it is asked for, by the sandbox or the program; else what the program's checks need."""
        wanted, given = program.limits, self._largest
        if wanted.memory_bytes > given.memory_bytes or wanted.processes > given.processes:
            raise SandboxError(
                f"program {program.id!r} may use {wanted.memory_bytes} bytes and {wanted.processes} processes, this "
                f"sandbox was opened for {given.memory_bytes} and {given.processes}: open it with limits="
            )
        if self.mode == "shared" or program.mode == "shared":
            return "shared"
        return self._needs(program).mode if program.mode is None else "split"

    def _check_controls(self) -> None:
        expected = {program.id: outcome for program, outcome in _CONTROLS}
        for verdict in self.run([replace(program, limits=self._largest) for program, _ in _CONTROLS]):
            if verdict.outcome is not expected[verdict.id]:
                raise ControlError(
                    f"the program {verdict.id} ended as {verdict.outcome} instead of {expected[verdict.id]} "
                    f"({verdict.detail or 'no detail'}): verdicts from this sandbox would be wrong. "
                    "`assay doctor` and `assay sandbox selfcheck` say more"
                )

    def run(self, programs: Iterable[Program]) -> Iterator[Verdict]:
        """Verdicts as they come, in any order, one for each program.

        `programs` is consumed lazily in a thread of its own, a few ahead of the verdicts taken. An exception it
        raises is raised here. Closing the iterator stops what is still running.
        """
        if self._scheduler is None:
            raise SandboxError(
                "the sandbox is not open; use it as a context manager: with Sandbox() as sandbox"
            )
        return self._scheduler.run(programs)

    def close(self) -> None:
        """End all cells and wait until they are gone. A sandbox can be entered again afterwards."""
        with self._closing:
            scheduler, self._scheduler = self._scheduler, None
            if scheduler is not None:
                scheduler.close()
