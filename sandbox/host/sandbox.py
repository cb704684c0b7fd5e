"""The Sandbox, which a user holds: it starts cells, checks them with two controls, and gives verdicts."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, Self, get_args

from assay.sandbox.errors import ControlError, SandboxError
from assay.sandbox.host import embedded
from assay.sandbox.host.blame import control
from assay.sandbox.host.cells import Cell, CellOptions, CellPair, DockerOptions
from assay.sandbox.host.executor import Executor
from assay.sandbox.host.isolation import NAMESPACE_REMEDY, Isolation, from_report, unavailable
from assay.sandbox.host.layout import host_layout
from assay.sandbox.host.scheduler import Scheduler
from assay.sandbox.host.verdicts import Rules
from assay.sandbox.model import Limits, Mode, Outcome, Program, Verdict

Backend = Literal["embedded", "docker"]

# How many programs are sent ahead of a worker's answers: more where an answer takes longer to travel.
_DEPTH = {"embedded": 2, "docker": 5}

_NOT_OPEN = "the sandbox is not open; use it as a context manager: with Sandbox() as sandbox"
_CONTROLS = (("control-right", "2 * x", Outcome.PASS), ("control-wrong", "None", Outcome.FAIL))


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
        for what, value, known in (
            ("backend", backend, get_args(Backend)),
            ("mode", mode, get_args(Mode)),
            ("isolation", isolation, ("cell", "fresh")),
        ):
            if value not in known:
                raise SandboxError(f"unknown {what} {value!r}; known: {', '.join(known)}")
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
        """The isolation of the cells; known once the sandbox is entered."""
        if self._isolation is None:
            raise SandboxError(_NOT_OPEN)
        return self._isolation

    @property
    def scheduler(self) -> Scheduler:
        """The scheduler, to which an Executor gives programs. Raises SandboxError unless the sandbox is open."""
        if self._scheduler is None:
            raise SandboxError(_NOT_OPEN)
        return self._scheduler

    def __enter__(self) -> Self:
        options = CellOptions(
            host_layout(self.packages),
            self.packages,
            memory_bytes=self._largest.memory_bytes,
            processes=self._largest.processes + 8,
            fresh=self.fresh,
        )
        rules = Rules(self.mode, self.packages, self._largest)
        cells, self._isolation = self._start_cells(options, self.mode)
        by_cells = self.fresh and (self.backend == "docker" or self.isolation.level != "full")
        self._scheduler = Scheduler(
            self._launcher(options, cells, rules),
            rules,
            self.workers,
            0 if by_cells else _DEPTH[self.backend],
            launch_blocks=self.backend == "docker",
            check=self._check_isolation,
        )
        self._scheduler.adopt(CellPair(self.mode, cells, rules))
        self._scheduler.start()
        try:
            self._check_controls()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start_cells(self, options: CellOptions, mode: Mode) -> tuple[list[Cell], Isolation]:
        if self.backend == "docker":
            from assay.sandbox.host import docker

            return docker.start_cells(options, mode, self._docker or DockerOptions())
        return embedded.start_cells(options, mode, allow_weak=self._allow_weak)

    def _launcher(self, options: CellOptions, first: list[Cell], rules: Rules) -> Callable[[Mode], CellPair]:
        """Return the function that starts further cells as the first were started: embedded ones without waiting for
        them."""
        if self.backend == "docker":
            return lambda mode: CellPair(mode, self._start_cells(options, mode)[0], rules)
        settled = embedded.settled_options(options, first)
        return lambda mode: CellPair(mode, embedded.launch_cells(settled, mode), rules)

    def _check_isolation(self, pair: CellPair) -> None:
        label, first = from_report(self.backend, pair.cells[0].report).label, self.isolation.label
        if label != first:
            raise SandboxError(f"a new cell has {label}, where the first had {first}")

    def _check_controls(self) -> None:
        """One after the other: both run in the cells that are up."""
        verdicts: dict[str, Verdict] = {}
        for name, answer, expected in _CONTROLS:
            with Executor(self, lambda verdict: verdicts.update({verdict.id: verdict})) as executor:
                executor.submit(control(name, answer, self._largest))
            verdict = verdicts[name]
            if verdict.outcome is not expected:
                raise ControlError(
                    f"the program {verdict.id} ended as {verdict.outcome} instead of {expected} "
                    f"({verdict.detail or 'no detail'}): verdicts from this sandbox would be wrong. "
                    "`assay doctor` and `assay sandbox selfcheck` say more"
                )

    def run(self, programs: Iterable[Program]) -> Iterator[Verdict]:
        """Yield verdicts as they come, in any order, one for each program.

        `programs` is read in a thread of its own, a few ahead of the verdicts taken. An exception it raises is raised
        here. Closing the iterator has what is still running ended, within a second.
        """
        return Executor(self, window=self.scheduler.window).run(programs)

    def close(self) -> None:
        """End all cells and wait until they are gone. A sandbox can be entered again afterwards."""
        with self._closing:
            scheduler, self._scheduler = self._scheduler, None
            if scheduler is not None:
                scheduler.close()


def probe(backend: Backend = "embedded") -> Isolation:
    """Return the isolation of a backend on this machine, found by starting a cell. It never raises for what is missing,
    which stands in the result."""
    if backend == "docker":
        from assay.sandbox.host import docker

        return docker.probe()
    if sys.platform != "linux":
        return unavailable("embedded", f"this is {sys.platform}, not Linux", "use the docker backend")
    try:
        (cell,), isolation = embedded.start_cells(CellOptions(host_layout(())), "shared", allow_weak=True)
    except SandboxError as error:
        return unavailable("embedded", str(error), NAMESPACE_REMEDY)
    cell.close()
    return isolation
