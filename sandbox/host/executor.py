"""A sandbox that remembers: it executes what no one executed before, and looks the rest up."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from assay.sandbox import Isolation, Outcome, Program, SandboxError, Verdict
from assay.sandbox.host.cache import Keys, VerdictStore, storable

_AHEAD = 4096  # results that wait to be taken before the programs stop being read
_POLL_S = 0.2


class Box(Protocol):
    """What is used of a Sandbox, and what stands before one gives as well."""

    @property
    def isolation(self) -> Isolation: ...

    def run(self, programs: Iterable[Program]) -> Iterator[Verdict]: ...


@dataclass(slots=True)
class _Waiting:
    """Programs of one key, of which the first is being executed."""

    program: Program
    others: list[str]


class CachedBox:
    """Same interface as the sandbox it stands before. Verdicts come unordered, one for each program.

    Equal programs that are under way at the same time are executed once. `was_cached` says, once for each id,
    whether its verdict came from another execution than its own.
    """

    def __init__(self, box: Box, store: VerdictStore, mode: str) -> None:
        self._box, self._store = box, store
        self._keys = Keys.of(box.isolation, mode)
        self._cached: set[str] = set()
        # Verdicts that are not to be stored, for the rest of this command: few, as each took half of its time.
        self._near: dict[bytes, Verdict] = {}
        self._runs: list[_Run] = []

    @property
    def isolation(self) -> Isolation:
        return self._box.isolation

    def was_cached(self, identity: str) -> bool:
        if identity in self._cached:
            self._cached.discard(identity)
            return True
        return False

    def run(self, programs: Iterable[Program]) -> Iterator[Verdict]:
        """As Sandbox.run. `programs` is read in a thread of its own, at most a few thousand ahead of what is taken."""
        run = _Run(self, self._box, programs)
        self._runs.append(run)
        try:
            yield from run.results()
        finally:
            run.stop()

    def stop(self) -> None:
        """Read no further programs, and hand out no further verdicts."""
        for run in self._runs:
            run.stop()

    def join(self) -> None:
        """Wait until no run touches the store any more; the sandbox must have been closed."""
        for run in self._runs:
            run.join()

    def _find(self, key: bytes, program: Program) -> Verdict | None:
        near = self._near.get(key)
        found = replace(near, id=program.id) if near else self._store.get(key, program.id)
        if found is not None:
            self._cached.add(program.id)
        return found

    def _keep(self, key: bytes, program: Program, verdict: Verdict) -> None:
        if storable(verdict, program):
            self._store.put(key, verdict)
        elif verdict.outcome is not Outcome.INFRA:
            self._near[key] = verdict


class _Run:
    """One call of `run`: a thread takes the sandbox's verdicts, the sandbox's own feeder puts the hits beside them."""

    def __init__(self, owner: CachedBox, box: Box, programs: Iterable[Program]) -> None:
        self._owner, self._box, self._programs = owner, box, programs
        self._results: queue.Queue[Verdict | BaseException | None] = queue.Queue(_AHEAD)
        self._lock = threading.Lock()
        self._under_way: dict[bytes, _Waiting] = {}
        self._keys: dict[str, bytes] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._collect, name="assay-cache", daemon=True)

    def results(self) -> Iterator[Verdict]:
        self._thread.start()
        while (result := self._take()) is not None:
            if isinstance(result, BaseException):
                raise result
            yield result

    def _take(self) -> Verdict | BaseException | None:
        while True:
            try:
                return self._results.get(timeout=_POLL_S)
            except queue.Empty:
                if self._stopped.is_set():  # from now on nothing is put there any more
                    return SandboxError("the sandbox was closed while verdicts were still waited for")

    def stop(self) -> None:
        """Take no more results. What is still being executed ends with the sandbox, and the thread with it."""
        self._stopped.set()

    def join(self) -> None:
        if self._thread.ident is not None:
            self._thread.join()

    def _put(self, result: Verdict | BaseException | None) -> None:
        while not self._stopped.is_set():
            try:
                self._results.put(result, timeout=_POLL_S)
                return
            except queue.Full:
                continue

    def _misses(self) -> Iterator[Program]:
        """The programs that have to be executed; verdicts of the others go straight to the results."""
        owner = self._owner
        for program in self._programs:
            if self._stopped.is_set():
                return
            key = owner._keys.key(program)
            with self._lock:
                waiting = self._under_way.get(key)
                if waiting is not None:
                    waiting.others.append(program.id)
                    continue
                found = owner._find(key, program)
                if found is None:
                    self._under_way[key] = _Waiting(program, [])
                    self._keys[program.id] = key
            if found is None:
                yield program
            else:
                self._put(found)

    def _collect(self) -> None:
        try:
            for verdict in self._box.run(self._misses()):
                self._settle(verdict)
                if self._stopped.is_set():
                    return
        except BaseException as error:  # handed to the thread that takes the results, which raises it
            self._put(error)
        else:
            self._put(None)

    def _settle(self, verdict: Verdict) -> None:
        """Hand out one execution's verdict to all that wait for it."""
        with self._lock:
            key = self._keys.pop(verdict.id)
            waiting = self._under_way.pop(key)
            self._owner._keep(key, waiting.program, verdict)
            self._owner._cached.update(waiting.others)
        self._put(verdict)
        for other in waiting.others:
            self._put(replace(verdict, id=other))


def was_cached(box: Box, identity: str) -> bool:
    return isinstance(box, CachedBox) and box.was_cached(identity)
