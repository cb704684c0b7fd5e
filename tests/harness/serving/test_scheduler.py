"""Streams and continuous batching, on an engine that writes what it is told."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.harness.errors import BadInputError
from assay.harness.generation.token_choice import Draws
from assay.harness.generation.types import Sampling
from assay.harness.serving import Event, Failure, SampleRequest, Scheduler, Ticket
from assay.harness.serving.scheduler import OverloadedError, StoppedError
from tests.harness.serving.conftest import wait_until

END = 256


class ByteEngine:
    """Token i is byte i. A prompt of bytes is answered with the same bytes backwards, then the end; a temperature adds
    the seed to each. `gate` holds every step back until it is opened."""

    pieces = [bytes([i]) for i in range(256)] + [b""]
    end_ids = frozenset({END})
    context = 64

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.fault: Exception | None = None
        self.no_room = 0
        self.begun: list[Sampling] = []
        self.admitted: list[int] = []
        self.most = 0
        self._answers: list[list[int]] = []

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def begin(self, rows: int, tokens_per_row: int, sampling: Sampling) -> None:
        if self.no_room:
            self.no_room -= 1
            raise MemoryError("no room for a cache")
        self.begun.append(sampling)
        self._answers = []

    def admit(self, prompts: Sequence[Sequence[int]], copies: Sequence[int], draws: Draws) -> list[int]:
        self._step()
        self.admitted.append(len(prompts))
        shift = 0 if self.begun[-1].temperature == 0 else 1
        seeds = iter(draws.seeds)
        new = [
            [(byte + shift * seed) % 256 for byte in reversed(prompt)] + [END]
            for prompt, n in zip(prompts, copies, strict=True)
            for seed in [next(seeds) for _ in range(n)]
        ]
        self._answers += new
        self.most = max(self.most, len(self._answers))
        return [answer.pop(0) for answer in new]

    def step(self, tokens: Sequence[int], draws: Draws) -> list[int]:
        self._step()
        assert len(tokens) == len(self._answers)
        return [answer.pop(0) for answer in self._answers]

    def remove(self, row: int) -> None:
        self._answers[row] = self._answers[-1]
        self._answers.pop()

    def _step(self) -> None:
        self.gate.wait()
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault


class Listener:
    """Collects one answer's events."""

    def __init__(self) -> None:
        self._events: queue.Queue[Event | Failure] = queue.Queue()
        self.pieces: list[str] = []

    def __call__(self, event: Event | Failure) -> None:
        self._events.put(event)

    def first(self) -> Event | Failure:
        return self._events.get(timeout=300)

    def end(self) -> Event | Failure:
        while True:
            event = self.first()
            if isinstance(event, Failure):
                return event
            self.pieces.append(event.text)
            if event.finish is not None:
                return event

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class Desk:
    """A scheduler over a ByteEngine, asked with texts."""

    def __init__(self, rows: int = 4, queue_limit: int = 64) -> None:
        self.engine = ByteEngine()
        self.scheduler = Scheduler(self.engine, rows=rows, capacity=64, queue_limit=queue_limit)

    def ask(self, text: str, sampling: Sampling | None = None, seed: int = 0) -> tuple[Listener, Ticket]:
        listener = Listener()
        ask = SampleRequest(self.scheduler.encode(text), sampling or Sampling(), seed)
        return listener, self.scheduler.submit(ask, listener)


@pytest.fixture
def desk() -> Desk:
    made = Desk()
    yield made  # type: ignore[misc]
    made.engine.gate.set()
    made.scheduler.close()


def test_an_answer_arrives_piece_by_piece(desk: Desk) -> None:
    listener, ticket = desk.ask("abc")
    assert listener.end() == Event("", None, "stop")
    assert listener.pieces == ["c", "b", "a", ""]
    assert ticket.ids == [99, 98, 97]
    assert ticket.times.first is not None
    assert desk.scheduler.counts.finished == 1


def test_many_at_once_each_get_their_own(desk: Desk) -> None:
    texts = [f"{i}, " * (1 + i % 5) for i in range(40)]
    asked = [desk.ask(text)[0] for text in texts]
    for text, listener in zip(texts, asked, strict=True):
        listener.end()
        assert listener.text == text[::-1]
    assert desk.engine.most == 4
    assert len(desk.engine.begun) == 1


def test_other_settings_wait_until_the_batch_has_drained(desk: Desk) -> None:
    desk.engine.gate.clear()
    sampled = Sampling(temperature=1.0)
    first, _ = desk.ask("abc")
    second, _ = desk.ask("abc", sampled, seed=1)
    third, _ = desk.ask("xyz")
    desk.engine.gate.set()
    for listener in (first, second, third):
        listener.end()
    assert (first.text, second.text, third.text) == ("cba", "dcb", "zyx")
    assert [s.temperature for s in desk.engine.begun] == [0, 1.0, 0]


def test_equal_prompts_are_read_once(desk: Desk) -> None:
    desk.engine.gate.clear()
    held, _ = desk.ask("hold")  # in the engine's hands, so that the next two wait together
    wait_until(lambda: desk.scheduler.waiting == 0)
    twins = [desk.ask("same")[0] for _ in range(2)]
    desk.engine.gate.set()
    for listener in (held, *twins):
        listener.end()
    assert [t.text for t in twins] == ["emas", "emas"]
    assert desk.engine.admitted == [1, 1]
    assert desk.scheduler.counts.prompt_tokens == 8


def test_the_length_ends_an_answer_and_room_is_the_capacity(desk: Desk) -> None:
    listener, _ = desk.ask("abcdef", Sampling(max_new_tokens=2))
    assert listener.end().finish == "length"  # type: ignore[union-attr]
    assert listener.text == "fe"
    listener, _ = desk.ask("a" * 60, Sampling(max_new_tokens=100))
    listener.end()
    assert listener.text == "a" * 4
    with pytest.raises(BadInputError, match="64 tokens and there is room for 64"):
        desk.ask("a" * 64)
    with pytest.raises(BadInputError, match="the prompt is empty"):
        desk.ask("")
    with pytest.raises(BadInputError, match="temperature must be 0"):
        desk.ask("a", Sampling(temperature=-1))


def test_a_stop_string_is_never_shown(desk: Desk) -> None:
    listener, ticket = desk.ask("xyzPOTSabc", Sampling(stop=("STOP", "never")))
    listener.end()
    assert listener.text == "cba"
    assert bytes(ticket.ids) == b"cbaSTOP"


def test_one_who_leaves_frees_the_place(desk: Desk) -> None:
    desk.engine.gate.clear()
    listener, ticket = desk.ask("a" * 30)
    waiting, late = desk.ask("b", Sampling(temperature=1.0))
    ticket.cancel()
    late.cancel()
    desk.engine.gate.set()
    wait_until(lambda: desk.scheduler.counts.cancelled == 2)
    assert desk.scheduler.running == 0
    other, _ = desk.ask("ok")
    other.end()
    assert other.text == "ko"
    assert waiting.pieces == listener.pieces == []


def test_a_fault_ends_those_in_the_batch_and_no_one_else(desk: Desk) -> None:
    desk.engine.gate.clear()
    desk.engine.fault = MemoryError("no memory left")
    hit, _ = desk.ask("abc")
    desk.engine.gate.set()
    assert hit.end() == Failure("MemoryError: no memory left")
    after, _ = desk.ask("def")
    after.end()
    assert after.text == "fed"
    assert desk.scheduler.counts.failed == 1
    assert desk.scheduler.alive


def test_an_engine_that_cannot_begin_is_told_to_those_who_asked(desk: Desk) -> None:
    desk.engine.no_room = 1
    hit, _ = desk.ask("abc")
    assert hit.end() == Failure("MemoryError: no room for a cache")
    after, _ = desk.ask("def")
    after.end()
    assert after.text == "fed"
    assert (desk.scheduler.counts.failed, desk.scheduler.running) == (1, 0)


def test_a_full_queue_says_so() -> None:
    desk = Desk(rows=1, queue_limit=2)
    desk.engine.gate.clear()
    try:
        desk.ask("first")
        wait_until(lambda: desk.scheduler.waiting == 0)
        desk.ask("second")
        desk.ask("third")
        with pytest.raises(OverloadedError, match="2 requests are waiting"):
            desk.ask("fourth")
    finally:
        desk.engine.gate.set()
        desk.scheduler.close()


def test_closing_tells_those_who_wait() -> None:
    desk = Desk(rows=1)
    desk.engine.gate.clear()
    first, _ = desk.ask("a" * 30)
    second, _ = desk.ask("b")
    closing = threading.Thread(target=desk.scheduler.close)
    closing.start()
    desk.engine.gate.set()
    closing.join(300)
    assert isinstance(first.end(), Failure)
    assert isinstance(second.end(), Failure)
    with pytest.raises(StoppedError, match="closed"):
        desk.ask("c")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_once_the_thread_has_died_nobody_waits(desk: Desk) -> None:
    desk.engine.gate.clear()
    first, _ = desk.ask("first")
    wait_until(lambda: desk.scheduler.waiting == 0)
    second, _ = desk.ask("second", Sampling(temperature=1.0))
    desk.engine.fault = SystemExit("a driver's own end")  # type: ignore[assignment]
    desk.engine.gate.set()
    for listener in (first, second):
        told = listener.end()
        assert isinstance(told, Failure)
        assert "the generation thread has died (SystemExit: a driver's own end)" in told.message
    with pytest.raises(StoppedError, match="has died"):
        desk.ask("third")
    assert desk.scheduler.waiting == 0


def test_one_who_cannot_be_told_of_a_fault_keeps_no_other_from_it(desk: Desk) -> None:
    def gone(_: Event | Failure) -> None:
        raise RuntimeError("Event loop is closed")

    desk.engine.gate.clear()
    held, _ = desk.ask("held")
    wait_until(lambda: desk.scheduler.waiting == 0)
    desk.engine.fault = MemoryError("no memory left")
    desk.scheduler._batch.members[0].deliver = gone
    desk.engine.gate.set()
    wait_until(lambda: desk.scheduler.counts.failed == 1)
    after, _ = desk.ask("def")
    after.end()
    assert after.text == "fed"
    assert held.pieces == []
    assert desk.scheduler.alive


@given(
    st.text(alphabet="abS€é\n", max_size=30),
    st.lists(st.text(alphabet="abS€", min_size=1, max_size=4), max_size=3),
)
def test_pieces_are_the_text_and_never_taken_back(text: str, stop: list[str]) -> None:
    """Bytes come one at a time; what was shown stays, and at the end all of it was shown, cut before a stop string."""
    from assay.harness.generation.text import Deltas, TextTail

    tail, deltas, shown = TextTail(ByteEngine.pieces, stop), Deltas(stop), ""
    for byte in text.encode():
        if tail.push(byte):
            break
        shown += deltas.more(tail.text())
        assert tail.text().startswith(shown)
    shown += deltas.rest(tail.text())
    assert shown == tail.text()
    assert not any(s in shown for s in stop)
