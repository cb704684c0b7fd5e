"""The judge loop: programs go in one by one, and each verdict comes back once, from the cache or from the sandbox."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from queue import SimpleQueue
from typing import TYPE_CHECKING, NamedTuple, Self

from assay.sandbox.errors import SandboxError
from assay.sandbox.host.cache import Keys, VerdictCache
from assay.sandbox.host.isolation import Isolation
from assay.sandbox.host.jobs import Batch
from assay.sandbox.model import Mode, Program, Verdict

if TYPE_CHECKING:
    from assay.sandbox.host.sandbox import Sandbox

WINDOW = 1024  # programs under way in the sandbox
AHEAD = 8192  # programs without a verdict handed over; in order, one endless program holds all later verdicts back
_LOOK_AGAIN_S = 1.0
_WINDOW_CHARACTERS = 16 << 20  # of candidates under way in the sandbox


class _Ticket(NamedTuple):
    """The place of a program among those submitted, and its key where there is a cache."""

    number: int
    key: bytes | None


class StandIn:
    """Takes a sandbox's place for an Executor where nothing is to be executed: each program gets the verdict of a
    function, at once, in the submitting thread."""

    mode: Mode = "split"
    thread = None

    def __init__(self, judge: Callable[[Program], Verdict]) -> None:
        self._judge = judge
        self.isolation = Isolation("stand-in", "none", "nothing is executed", ())

    @property
    def scheduler(self) -> Self:
        return self

    def submit(self, program: Program, batch: Batch, ticket: _Ticket) -> None:
        batch.settle(ticket, program, self._judge(program))

    def abort(self, batch: Batch) -> None:
        """Nothing is under way."""


class Executor:
    """Executes programs beside the caller's own work.

    with Executor(sandbox, on_verdict, cache=cache) as executor:
        for program in programs:
            executor.submit(program)

    `submit` returns at once, or as soon as there is room, and `on_verdict` gets each verdict once: from the sandbox's
    thread, or within `submit` where the cache has it; never from two threads at the same time. It must not submit.
    With `ordered` verdicts come in the order of submission. `keep_output=False` drops what programs printed, so that
    a verdict that waits for its turn takes little memory.

    With a `cache` nothing is executed that was executed before, equal programs that are under way at the same time are
    executed once, and `was_cached` says of each verdict whether it came from another execution than its program's own.

    Leaving the block waits for all verdicts. Leaving it by an exception (Ctrl-C while it waits, too) waits for none:
    `on_verdict` is not called any more, and what is still running is ended. An error of the sandbox or of `on_verdict`
    is raised by the next `submit` or on leaving. Programs need ids of their own.
    """

    def __init__(
        self,
        sandbox: Sandbox | StandIn,
        on_verdict: Callable[[Verdict], None] | None = None,
        *,
        cache: VerdictCache | None = None,
        ordered: bool = False,
        keep_output: bool = True,
        window: int = WINDOW,
    ) -> None:
        """Without `on_verdict`, verdicts are kept for `run`."""
        self._sandbox, self._scheduler = sandbox, sandbox.scheduler
        # For `run`; None says that no further ones come.
        self._collected: SimpleQueue[Verdict | None] = SimpleQueue()
        self._on_verdict = on_verdict or self._collected.put
        self._cache = cache
        self._keys = None if cache is None else Keys.of(sandbox.isolation, sandbox.mode)
        self._ordered, self._keep_output, self._window = ordered, keep_output, window
        self.cancelled = False
        self.busy_s = 0.0  # wall time during which a program was without its verdict
        self._busy_since = 0.0
        self._changed = threading.Condition()  # guards what follows
        self._handing = threading.RLock()  # held while a verdict is handed over
        self._error: BaseException | None = None
        self._blocked = False  # whether `submit` waits for room
        self._submitted = self._handed = self._taken = self._executing = self._characters = 0
        self._waiting: dict[bytes, list[tuple[int, str]]] = {}  # programs equal to one under way, by its key
        self._cached: set[str] = set()
        self._early: dict[int, Verdict] = {}  # verdicts that wait for their turn

    @property
    def isolation(self) -> Isolation:
        return self._sandbox.isolation

    def was_cached(self, program_id: str) -> bool:
        """Return whether the verdict came from another execution than the program's own; true once for each id."""
        cached = program_id in self._cached
        self._cached.discard(program_id)
        return cached

    def submit(self, program: Program) -> None:
        """Have the program judged. Waits while too many are without a verdict. Raises what keeps the sandbox from
        giving verdicts, and what `on_verdict` raised."""
        with self._changed:
            if not self._has_room(1):
                self._blocked = True
                self._wait_for(lambda: self._has_room(2))
                self._blocked = False
            self._raise()
            number, self._submitted = self._submitted, self._submitted + 1
            if number == self._handed:
                self._busy_since = time.perf_counter()
        if self._cache is None or self._keys is None:
            self._execute(program, _Ticket(number, None))
            return
        key = self._keys.key(program)
        with self._changed:
            waiting = self._waiting.get(key)
            if waiting is not None:
                waiting.append((number, program.id))
                return
            verdict = self._cache.get(key, program.id)
            if verdict is None:
                self._waiting[key] = []
            else:
                self._cached.add(program.id)
        if verdict is None:
            self._execute(program, _Ticket(number, key))
        else:
            self._hand_over([(number, verdict)])

    def wait(self) -> None:
        """Wait until every program that was submitted has its verdict, or the executor was stopped. Raises what keeps
        the sandbox from giving verdicts, and what `on_verdict` raised."""
        self._wait_for(lambda: self._handed == self._submitted)
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Hand over no further verdicts, and end what is under way. Waits for nothing but a verdict that is being
        handed over."""
        with self._handing:
            self.cancelled = True
        if self._executing:
            self._scheduler.abort(self)
        with self._changed:
            self._changed.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.stop()
            return
        try:
            self.wait()
        except BaseException:
            self.stop()
            raise

    def run(self, programs: Iterable[Program]) -> Iterator[Verdict]:
        """Submit all programs and yield their verdicts; for an Executor without `on_verdict`.

        `programs` is read in a thread of its own, at most `window` ahead of the verdicts taken, so that one that
        blocks (a model that generates) holds no verdict back. An exception it raises is raised here. Closing the
        iterator has what is still running ended, within a second.
        """
        threading.Thread(target=self._feed, args=(programs,), name="sandbox-feeder", daemon=True).start()
        untold = 0
        try:
            while (verdict := self._collected.get()) is not None:
                untold += 1
                if 2 * untold >= self._window:  # several at a time: each time wakes the feeder
                    with self._changed:
                        self._taken, untold = self._taken + untold, 0
                        self._changed.notify_all()
                yield verdict
            if self._error is not None:
                raise self._error
        finally:  # waits for nothing: the collector may end a run in any thread, whatever locks that has
            self.stop()

    def _feed(self, programs: Iterable[Program]) -> None:
        try:
            for program in programs:
                self.submit(program)
                self._wait_for(lambda: self._submitted - self._taken < self._window)
                if self._is_over():
                    break
            self._wait_for(lambda: self._handed == self._submitted)
        except BaseException as error:  # handed to the thread that takes the verdicts
            self._fail(error)
        self._collected.put(None)

    def _wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds or nothing more will come. It is looked at from time to time, for the collector
        may end an abandoned run in the very thread that waits here."""
        with self._changed:
            while not self._changed.wait_for(lambda: self._is_over() or condition(), _LOOK_AGAIN_S):
                pass

    def _has_room(self, share: int) -> bool:
        """Return whether another program may come; one that waited goes on when only the `share`th part is under
        way."""
        return (
            self._submitted - self._handed < AHEAD
            and self._executing * share < self._window
            and self._characters * share < _WINDOW_CHARACTERS
        )

    def _is_over(self) -> bool:
        return self.cancelled or self._error is not None

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error
        if self.cancelled:
            raise SandboxError("the executor was stopped; open another one to run programs")

    def _execute(self, program: Program, ticket: _Ticket) -> None:
        with self._changed:
            self._executing += 1
            self._characters += len(program.candidate)
        try:
            self._scheduler.submit(program, self, ticket)
        except BaseException:
            self._leave(program)
            raise

    def _leave(self, program: Program) -> None:
        with self._changed:
            self._executing -= 1
            self._characters -= len(program.candidate)
            if self._is_over() or (self._blocked and self._has_room(2)):
                self._changed.notify_all()

    def settle(self, ticket: _Ticket, program: Program, result: Verdict | SandboxError | None) -> None:
        """Take the sandbox's result for one program: called by the scheduler's thread."""
        try:
            if isinstance(result, Verdict):
                self._hand_over(self._with_equals(ticket, program, result))
            elif not self.cancelled:
                raise result or SandboxError("the sandbox was closed while programs were still to be run")
        except BaseException as error:  # handed to the submitting thread, which raises it
            self._fail(error)
        finally:
            self._leave(program)

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._error = self._error or error
            self.cancelled = True
            self._changed.notify_all()
        self._collected.put(None)
        self._scheduler.abort(self)

    def _with_equals(self, ticket: _Ticket, program: Program, verdict: Verdict) -> list[tuple[int, Verdict]]:
        """Return the verdict for the program that was executed, and for those equal to it; the cache keeps it."""
        if ticket.key is None or self._cache is None:
            return [(ticket.number, verdict)]
        with self._changed:
            equals = self._waiting.pop(ticket.key)
            self._cache.keep(ticket.key, program, verdict)
            self._cached.update(program_id for _, program_id in equals)
        return [(ticket.number, verdict), *((number, replace(verdict, id=name)) for number, name in equals)]

    def _hand_over(self, numbered: list[tuple[int, Verdict]]) -> None:
        with self._handing:
            for number, verdict in numbered:
                if not self._keep_output and verdict.output:
                    verdict = replace(verdict, output="")
                if not self._ordered:
                    self._give(verdict)
                    continue
                self._early[number] = verdict
                while self._handed in self._early:
                    self._give(self._early.pop(self._handed))

    def _give(self, verdict: Verdict) -> None:
        if self.cancelled:
            return
        self._on_verdict(verdict)
        with self._changed:
            self._handed += 1
            if self._handed == self._submitted:
                self.busy_s += time.perf_counter() - self._busy_since
            if self._handed == self._submitted or self._submitted - self._handed == AHEAD - 1:
                self._changed.notify_all()
