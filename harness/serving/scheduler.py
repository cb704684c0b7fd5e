"""Requests that come and go, on one engine: continuous batching with a stream for each.

One thread owns the engine. Requests of the same temperature, top_p and top_k share a batch; one with others waits
until the batch has drained, and what came after it waits behind it. What a request answers does not depend on who
shares its batch (docs/decisions/0001), so a server gives the tokens that `assay generate` gives.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from assay.harness.errors import BadInputError
from assay.harness.generation.batching import PREFILL_TOKENS, Engine, check_sampling
from assay.harness.generation.counter_rng import Draws
from assay.harness.generation.text import TextTail
from assay.harness.generation.types import FinishReason, Sampling

_log = logging.getLogger(__name__)


class OverloadedError(Exception):
    """More requests wait than the server keeps."""


class StoppedError(RuntimeError):
    """The scheduler was closed, or its thread has died: nobody would answer."""


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """One completion to make: the prompt's token ids, how to decode, and the seed of its draws."""

    prompt_ids: tuple[int, ...]
    sampling: Sampling
    seed: int


@dataclass(frozen=True, slots=True)
class Event:
    """What is new of one answer: text that no longer changes, and the token that brought it (None with the end alone).
    `finish` is set on the last."""

    text: str
    token_id: int | None
    finish: FinishReason | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """The answer ends here, by a fault of the engine."""

    message: str


Deliver = Callable[[Event | Failure], None]


@dataclass(slots=True)
class Times:
    """Of one request, on time.perf_counter's clock; None where it has not come so far."""

    asked: float
    first: float | None = None
    last: float | None = None

    @property
    def ttft_s(self) -> float | None:
        return None if self.first is None else self.first - self.asked

    def tpot_s(self, tokens: int) -> float | None:
        """Seconds a token after the first; None with fewer than two."""
        if self.first is None or self.last is None or tokens < 2:
            return None
        return (self.last - self.first) / (tokens - 1)


@dataclass(slots=True, eq=False)
class Ticket:
    """A request in the scheduler's hands."""

    ask: SampleRequest
    deliver: Deliver
    times: Times
    limit: int
    tail: TextTail
    deltas: Deltas
    ids: list[int] = field(default_factory=list)
    cancelled: bool = False
    on_cancel: Callable[[], None] = lambda: None

    def cancel(self) -> None:
        """Nobody listens any more: its place is freed before the next step."""
        self.cancelled = True
        self.on_cancel()


@dataclass(slots=True)
class Counts:
    """Sums since the start; read by /metrics."""

    finished: int = 0
    cancelled: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    new_tokens: int = 0
    steps: int = 0


class Scheduler:
    """Close it when done: it holds a thread, and the engine is that thread's alone meanwhile."""

    def __init__(
        self,
        engine: Engine,
        *,
        rows: int,
        capacity: int,
        queue_limit: int = 256,
        on_finished: Callable[[Ticket], None] = lambda ticket: None,
    ) -> None:
        """`rows` answers at a time, each of at most `capacity` tokens with its prompt."""
        if rows < 1:
            raise BadInputError(f"at least one answer at a time is needed, got {rows}")
        self.capacity = min(capacity, engine.context)
        self.counts = Counts()
        self._engine, self._rows_at_once, self._queue_limit = engine, rows, queue_limit
        self._on_finished = on_finished
        self._waiting: deque[Ticket] = deque()
        self._rows: list[Ticket] = []
        self._kind: Sampling | None = None  # what the engine was begun with
        self._changed = threading.Condition()
        self._closed = False
        self._ended: str | None = None  # why nobody answers any more
        self._encoding = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="assay-scheduler", daemon=True)
        self._thread.start()

    @property
    def running(self) -> int:
        return len(self._rows)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def encode(self, text: str) -> tuple[int, ...]:
        """From any thread; tokenizers are not made for several at once."""
        with self._encoding:
            return tuple(self._engine.encode(text))

    def submit(self, ask: SampleRequest, deliver: Deliver) -> Ticket:
        """Queue a request; `deliver` is called from the scheduler's thread, its last call with `finish` or a Failure.

        Raises BadInputError for a prompt that leaves no room, OverloadedError when the queue is full, StoppedError when
        nobody would answer.
        """
        check_sampling(ask.sampling)
        n = len(ask.prompt_ids)
        if n == 0:
            raise BadInputError("the prompt is empty; a model needs at least one token")
        if n >= self.capacity:
            raise BadInputError(
                f"the prompt has {n} tokens and there is room for {self.capacity} with the answer; shorten the prompt"
            )
        limit = min(ask.sampling.max_new_tokens, self.capacity - n)
        tail = TextTail(self._engine.pieces, ask.sampling.stop)
        ticket = Ticket(ask, deliver, Times(time.perf_counter()), limit, tail, Deltas(ask.sampling.stop))
        ticket.on_cancel = self._wake
        with self._changed:
            if self._closed or self._ended is not None:
                raise StoppedError(self._ended or "this scheduler is closed")
            if len(self._waiting) >= self._queue_limit:
                raise OverloadedError(f"{self._queue_limit} requests are waiting already")
            self._waiting.append(ticket)
            self._changed.notify()
        return ticket

    def close(self) -> None:
        """Stop after the current step; requests that are not done get a Failure."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify()

    def _run(self) -> None:
        why = "this scheduler is closed: the server is shutting down"
        try:
            self._serve()
        except BaseException as error:
            why = f"the generation thread has died ({type(error).__name__}: {error}); start the server again"
            raise
        finally:
            with self._changed:
                self._ended = why
                left = [*self._rows, *self._waiting]
                self._rows, self._waiting = [], deque()
            self._fail(left, why)

    def _serve(self) -> None:
        while True:
            with self._changed:
                while not (self._closed or self._waiting or self._rows):
                    self._changed.wait()
                if self._closed:
                    return
            try:
                self._turn()
            except (
                Exception
            ) as error:  # out of memory, a driver's fault: those in the batch fail, the rest go on
                self._fail(self._rows, f"{type(error).__name__}: {error}")
                self._rows, self._kind = [], None

    def _turn(self) -> None:
        """One step: leave the cancelled, admit what fits, or give every row its next token."""
        self._drop_cancelled()
        new = self._take_new()
        if new:
            self._admit(new)
        elif self._rows:
            draws = Draws([t.ask.seed for t in self._rows], [len(t.ids) for t in self._rows])
            tokens = self._engine.step([t.ids[-1] for t in self._rows], draws)
            self.counts.steps += 1
            self._hand_out(tokens, 0)

    def _drop_cancelled(self) -> None:
        for row in range(len(self._rows) - 1, -1, -1):
            if self._rows[row].cancelled:
                self.counts.cancelled += 1
                self._remove(row)
        with self._changed:
            kept = deque(t for t in self._waiting if not t.cancelled)
            self.counts.cancelled += len(self._waiting) - len(kept)
            self._waiting = kept

    def _take_new(self) -> list[Ticket]:
        """From the head of the queue, as many as there are places, of one kind, that of the batch where one runs.

        Admitting costs a forward pass of its own, so it waits until a quarter of the places is free.
        """
        new: list[Ticket] = []
        if self._rows and (self._rows_at_once - len(self._rows)) * 4 < self._rows_at_once:
            return new
        longest = 0
        with self._changed:
            kind = kind_of(self._rows[0]) if self._rows else None
            while self._waiting and len(self._rows) + len(new) < self._rows_at_once:
                head = kind_of(self._waiting[0])
                longest = max(longest, len(self._waiting[0].ask.prompt_ids))
                too_many = (len(new) + 1) * longest > PREFILL_TOKENS
                if (kind is not None and head != kind) or (new and too_many):
                    break
                kind = head
                new.append(self._waiting.popleft())
        return new

    def _admit(self, new: list[Ticket]) -> None:
        """Equal prompts are read once. The tickets count as rows before the engine is touched: whatever it raises, they
        are among those who are told."""
        kind, first = kind_of(new[0]), len(self._rows)
        groups: dict[tuple[int, ...], list[Ticket]] = {}
        for ticket in new:
            groups.setdefault(ticket.ask.prompt_ids, []).append(ticket)
        ordered = [ticket for group in groups.values() for ticket in group]
        self._rows += ordered
        if not first and kind != self._kind:
            self._kind = None
            self._engine.begin(self._rows_at_once, self.capacity, kind)
            self._kind = kind
        prompts: list[Sequence[int]] = list(groups)
        draws = Draws([t.ask.seed for t in ordered], [0] * len(ordered))
        tokens = self._engine.admit(prompts, [len(group) for group in groups.values()], draws)
        self.counts.prompt_tokens += sum(map(len, prompts))
        self._hand_out(tokens, first)

    def _hand_out(self, tokens: Sequence[int], first: int) -> None:
        now = time.perf_counter()
        for row in range(len(self._rows) - 1, first - 1, -1):  # from the last: removal moves the last row
            ticket, token = self._rows[row], tokens[row - first]
            event = take(ticket, token, self._engine.end_ids)
            if ticket.times.first is None:
                ticket.times.first = now
            if event.token_id is not None:
                ticket.times.last = now
                self.counts.new_tokens += 1
            if event.finish is not None:
                self._remove(row)
                self.counts.finished += 1
                self._on_finished(ticket)
            ticket.deliver(event)

    def _remove(self, row: int) -> None:
        self._engine.remove(row)
        self._rows[row] = self._rows[-1]
        self._rows.pop()

    def _fail(self, tickets: Sequence[Ticket], message: str) -> None:
        for ticket in tickets:
            self.counts.failed += 1
            try:
                ticket.deliver(Failure(message))
            except Exception:  # one who cannot be told keeps no other from being told
                _log.exception("a request could not be told that it failed")


def kind_of(ticket: Ticket) -> Sampling:
    """What of the sampling the engine decodes by; lengths and stop strings are each request's own."""
    sampling = ticket.ask.sampling
    if sampling.temperature == 0:
        return Sampling(max_new_tokens=1)
    return replace(sampling, max_new_tokens=1, stop=())


def take(ticket: Ticket, token: int, end_ids: frozenset[int]) -> Event:
    """Give a request its next token."""
    if token in end_ids:
        return Event(ticket.deltas.rest(ticket.tail.text()), None, "stop")
    ticket.ids.append(token)
    stopped = ticket.tail.push(token)
    if stopped:
        return Event(ticket.deltas.rest(ticket.tail.text()), token, "stop")
    if len(ticket.ids) >= ticket.limit:
        return Event(ticket.deltas.rest(ticket.tail.text()), token, "length")
    return Event(ticket.deltas.more(ticket.tail.text()), token)


# Text as it may be shown while it is still being written.

_UNFINISHED = "\N{REPLACEMENT CHARACTER}"


class Deltas:
    """The pieces of a growing text that can no longer change: neither the beginning of a stop string, which would be
    cut, nor a character whose last bytes are missing. All pieces together are the text."""

    __slots__ = ("_shown", "_stop")

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = tuple(stop)
        self._shown = 0

    def more(self, text: str) -> str:
        """What is new and certain in `text`, the whole so far."""
        whole = text[: len(text) - _unfinished(text)]
        held = max((_begun(whole, stop) for stop in self._stop), default=0)
        return self._show(text, len(whole) - held)

    def rest(self, text: str) -> str:
        """What was not shown so far of the finished text."""
        return self._show(text, len(text))

    def _show(self, text: str, end: int) -> str:
        piece = text[self._shown : end]
        self._shown = max(self._shown, end)
        return piece


def _unfinished(text: str) -> int:
    """Characters at the end that may still become another: at most three bytes of one are missing its last."""
    n = 0
    while n < min(3, len(text)) and text[-1 - n] == _UNFINISHED:
        n += 1
    return n


def _begun(text: str, stop: str) -> int:
    """Characters at the end of the text that a stop string begins with."""
    for n in range(min(len(stop) - 1, len(text)), 0, -1):
        if text.endswith(stop[:n]):
            return n
    return 0
