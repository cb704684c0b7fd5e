"""Serve requests that come and go on one engine: continuous batching with a stream for each.

One thread owns the engine and its `Batch`. Requests of the same temperature, top_p and top_k share the batch; a request
with other settings waits until it has drained, and later requests wait behind it. The tokens of an answer do not depend
on the answers beside it (docs/decisions/0001), so the server gives the tokens that `assay generate` gives.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from assay.harness.errors import BadInputError
from assay.harness.generation.batching import Batch, Engine, Row, check_sampling
from assay.harness.generation.text import Deltas, TextTail
from assay.harness.generation.types import FinishReason, Sampling

_log = logging.getLogger(__name__)


class OverloadedError(Exception):
    """More requests wait than the server keeps."""


class StoppedError(RuntimeError):
    """The scheduler was closed, or its thread has died: nobody would answer."""


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """A request for one completion: the prompt's token ids, how to decode, and the seed of its draws."""

    prompt_ids: tuple[int, ...]
    sampling: Sampling
    seed: int


@dataclass(frozen=True, slots=True)
class Event:
    """The news of one answer: text that no longer changes, and the token that brought it (None with the end alone).

    `finish` is set on the last event.
    """

    text: str
    token_id: int | None
    finish: FinishReason | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """The end of an answer by a fault of the engine."""

    message: str


Deliver = Callable[[Event | Failure], None]


@dataclass(slots=True)
class Times:
    """The times of a request's submission, first token and last token, in seconds on time.perf_counter's clock."""

    submitted: float
    first: float | None = None
    last: float | None = None

    @property
    def ttft_s(self) -> float | None:
        """Seconds from submission to the first token, waiting included."""
        return None if self.first is None else self.first - self.submitted

    @property
    def latency_s(self) -> float | None:
        """Seconds from submission to the last token, waiting included."""
        return None if self.last is None else self.last - self.submitted

    def tpot_s(self, tokens: int) -> float | None:
        """Seconds a token after the first; None with fewer than two."""
        if self.first is None or self.last is None or tokens < 2:
            return None
        return (self.last - self.first) / (tokens - 1)


@dataclass(slots=True, eq=False)
class Ticket:
    """A submitted request: its row in the batch, its times and its stream.

    `kind` is the part of its sampling that the engine decodes by, which all members of a batch share; length and stop
    strings are each request's own.
    """

    row: Row
    kind: Sampling
    deliver: Deliver
    times: Times
    deltas: Deltas
    on_cancel: Callable[[], None]
    cancelled: bool = False

    @property
    def ids(self) -> list[int]:
        return self.row.ids

    def cancel(self) -> None:
        """Give up the answer: its place is freed before the next step."""
        self.cancelled = True
        self.on_cancel()

    def event(self) -> Event:
        """Return what the row's last token brought."""
        row = self.row
        text = row.tail.text()
        piece = self.deltas.more(text) if row.finish is None else self.deltas.rest(text)
        return Event(piece, row.ids[-1] if row.end_id is None else None, row.finish)


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
    """Answers requests on an engine, in a thread that alone uses the engine until `close`.

    `on_finished` is called from that thread with every ticket whose answer has ended.
    """

    def __init__(self, engine: Engine, *, rows: int, capacity: int, queue_limit: int = 256) -> None:
        """`rows` answers at a time, each of at most `capacity` tokens with its prompt; `queue_limit` may wait."""
        if rows < 1:
            raise BadInputError(f"at least one answer at a time is needed, got {rows}")
        self.capacity = min(capacity, engine.context)
        self.counts = Counts()
        self.on_finished: Callable[[Ticket], None] = lambda ticket: None
        self._engine, self._queue_limit = engine, queue_limit
        self._batch = Batch[Ticket](engine, rows, self.capacity, self.counts)
        self._waiting: deque[Ticket] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._ended: str | None = None  # the reason, once nobody answers any more
        self._encoding = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="assay-scheduler", daemon=True)
        self._thread.start()

    @property
    def running(self) -> int:
        """Answers being written."""
        return len(self._batch.members)

    @property
    def waiting(self) -> int:
        """Requests that wait for a place."""
        return len(self._waiting)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the token ids of a text, from any thread; tokenizers are not made for several at once."""
        with self._encoding:
            return tuple(self._engine.encode(text))

    def submit(self, ask: SampleRequest, deliver: Deliver) -> Ticket:
        """Queue a request; `deliver` is called from the scheduler's thread, its last call with `finish` or a Failure.

        Raises BadInputError for a prompt that leaves no room, OverloadedError when the queue is full, StoppedError when
        nobody would answer.
        """
        sampling = ask.sampling
        check_sampling(sampling)
        n = len(ask.prompt_ids)
        if n == 0:
            raise BadInputError("the prompt is empty; a model needs at least one token")
        if n >= self.capacity:
            raise BadInputError(
                f"the prompt has {n} tokens and there is room for {self.capacity} with the answer; shorten the prompt"
            )
        limit = min(sampling.max_new_tokens, self.capacity - n)
        row = Row(ask.prompt_ids, ask.seed, limit, TextTail(self._engine.pieces, sampling.stop))
        times = Times(time.perf_counter())
        ticket = Ticket(row, _kind_of(sampling), deliver, times, Deltas(sampling.stop), self._wake)
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
        reason = "this scheduler is closed: the server is shutting down"
        try:
            self._serve()
        except BaseException as error:
            reason = (
                f"the generation thread has died ({type(error).__name__}: {error}); start the server again"
            )
            raise
        finally:
            with self._changed:
                self._ended = reason
                left = [*self._batch.clear(), *self._waiting]
                self._waiting = deque()
            self._fail(left, reason)

    def _serve(self) -> None:
        while True:
            with self._changed:
                while not (self._closed or self._waiting or self._batch.members):
                    self._changed.wait()
                if self._closed:
                    return
            try:
                self._turn()
            except Exception as error:
                # out of memory, a fault of a driver: the batch fails, the rest goes on
                self._fail(self._batch.clear(), f"{type(error).__name__}: {error}")

    def _turn(self) -> None:
        """Drop the cancelled, then let those join that may, or give every member its next token."""
        self._drop_cancelled()
        members = self._batch.members
        with self._changed:
            leaders = [*members[:1], *islice(self._waiting, 1)]
            new = self._batch.next_from(
                self._waiting, lambda t: t.row.prompt_ids, lambda t: t.kind == leaders[0].kind
            )
        if new:
            self._hand_out(self._batch.admit(new, new[0].kind))
        elif members:
            self.counts.steps += 1
            self._hand_out(self._batch.step())

    def _drop_cancelled(self) -> None:
        members = self._batch.members
        for place in range(len(members) - 1, -1, -1):
            if members[place].cancelled:
                self.counts.cancelled += 1
                self._batch.remove(place)
        with self._changed:
            kept = deque(t for t in self._waiting if not t.cancelled)
            self.counts.cancelled += len(self._waiting) - len(kept)
            self._waiting = kept

    def _hand_out(self, tickets: Iterator[Ticket]) -> None:
        for ticket in tickets:
            event, now = ticket.event(), time.perf_counter()
            if ticket.times.first is None:
                ticket.times.first = now
            if event.token_id is not None:
                ticket.times.last = now
                self.counts.new_tokens += 1
            if event.finish is not None:
                self.counts.finished += 1
                self.on_finished(ticket)
            ticket.deliver(event)

    def _fail(self, tickets: Iterable[Ticket], message: str) -> None:
        for ticket in tickets:
            self.counts.failed += 1
            try:
                ticket.deliver(Failure(message))
            except Exception:  # a listener that is gone keeps no other from its message
                _log.exception("a request could not be given its failure")


def _kind_of(sampling: Sampling) -> Sampling:
    if sampling.temperature == 0:
        return Sampling(max_new_tokens=1)
    return replace(sampling, max_new_tokens=1, stop=())
