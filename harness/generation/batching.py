"""Continuous batching over any engine, for `assay generate` and for the server.

`Batch` is the core that both share: answers join, each gets its next token, and a finished one leaves at once, so that
its place is filled again. Answers with the same prompt share its prefill. The tokens of an answer do not depend on the
answers beside it (docs/decisions/0001). `run_batches` answers a list of requests with it; the server's queue is
`assay.harness.serving.scheduler`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from assay.harness.errors import BadInputError
from assay.harness.generation.text import TextTail
from assay.harness.generation.token_choice import Draws
from assay.harness.generation.types import FinishReason, Request, Sample, Sampling

PREFILL_TOKENS = 8192  # of one admission, padding included: bounds the memory of a prefill


class Engine(Protocol):
    """A model that holds up to `rows` sequences, numbered densely from 0."""

    @property
    def pieces(self) -> Sequence[bytes]: ...

    @property
    def end_ids(self) -> frozenset[int]: ...

    @property
    def context(self) -> int: ...

    def encode(self, text: str) -> list[int]: ...

    def begin(self, rows: int, tokens_per_row: int, sampling: Sampling) -> None:
        """Make room; forget all rows."""

    def admit(self, prompts: Sequence[Sequence[int]], copies: Sequence[int], draws: Draws) -> list[int]:
        """Append `copies[i]` rows that have read prompt i, and return the first token of each, in order."""

    def step(self, tokens: Sequence[int], draws: Draws) -> list[int]:
        """Feed each row its last token, and return the next token of each."""

    def remove(self, row: int) -> None:
        """Forget a row; the last row takes its number."""


class LoadedEngine(Engine, Protocol):
    """An engine that owns its model, and that also gives what the model expects behind each token of a text."""

    vocabulary: int

    def logits(self, ids: Sequence[int]) -> Any:
        """Return an fp32 array [tokens, vocabulary]."""

    def end(self) -> None:
        """Forget all rows after a run, and free what cannot be used again."""

    def close(self) -> None:
        """Free the model."""


@runtime_checkable
class RoutedEngine(Protocol):
    """An engine whose rows may be answered by different adapters of one base."""

    def route(self, adapters: Sequence[str], copies: Sequence[int]) -> None:
        """Let adapter i answer prompt i of the next admission, and so its `copies[i]` rows."""


@dataclass(slots=True)
class GenerationStats:
    """Sums over all calls of `generate`: tokens written and read, and wall seconds between them and outside.

    `prompt_tokens` counts a shared prompt once. Time that the caller spends between two samples is not counted.
    """

    samples: int = 0
    new_tokens: int = 0
    prompt_tokens: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Row:
    """One answer while it is written: what decides its tokens, and those that it has.

    `limit` is the most tokens it may have. `ids` leave out the token that ended it, which is `end_id`; `finish` is set
    once it has ended.
    """

    prompt_ids: tuple[int, ...]
    seed: int
    limit: int
    tail: TextTail
    adapter: str = ""
    ids: list[int] = field(default_factory=list)
    end_id: int | None = None
    finish: FinishReason | None = None

    def take(self, token: int, end_ids: frozenset[int]) -> None:
        """Add the next token, and finish at an end token, a stop string or the limit."""
        if token in end_ids:
            self.end_id, self.finish = token, "stop"
            return
        self.ids.append(token)
        if self.tail.push(token):
            self.finish = "stop"
        elif len(self.ids) >= self.limit:
            self.finish = "length"


class HasRow(Protocol):
    """Whatever waits for an answer and holds its row: a request of a list, a ticket of the server."""

    @property
    def row(self) -> Row: ...


class CountsPrompts(Protocol):
    """A tally of prompt tokens read."""

    prompt_tokens: int


T = TypeVar("T", bound=HasRow)
W = TypeVar("W")


class Batch(Generic[T]):
    """The answers that an engine writes at present: `members[i]` is the engine's row i.

    `places` answers at most are written at once, each of at most `tokens_per_row` tokens with its prompt. An error of
    the engine leaves the members that it struck in `members`, for the caller to `clear`.
    """

    def __init__(self, engine: Engine, places: int, tokens_per_row: int, counts: CountsPrompts) -> None:
        self.members: list[T] = []
        self._engine, self._places, self._tokens_per_row = engine, places, tokens_per_row
        self._counts = counts
        self._begun: Sampling | None = None

    def next_from(
        self,
        waiting: deque[W],
        prompt_of: Callable[[W], Sequence[int]],
        may_join: Callable[[W], bool] = lambda _: True,
    ) -> list[W]:
        """Take those that join now from the head of `waiting`: as many as there are places and `may_join` allows.

        An admission costs a forward pass of its own, so it waits until a quarter of the places is free; its prompts,
        padded to the longest, hold PREFILL_TOKENS at most.
        """
        new: list[W] = []
        free = self._places - len(self.members)
        if self.members and free * 4 < self._places:
            return new
        prompts, longest = 0, 0
        before: Sequence[int] | None = None
        while waiting and len(new) < free:
            prompt = prompt_of(waiting[0])
            # equal prompts of two objects count twice, which errs on the safe side
            prompts += prompt is not before
            longest = max(longest, len(prompt))
            if not may_join(waiting[0]) or (new and prompts * longest > PREFILL_TOKENS):
                break
            before = prompt
            new.append(waiting.popleft())
        return new

    def admit(self, new: Sequence[T], sampling: Sampling) -> Iterator[T]:
        """Let `new` join, which decode by `sampling` as the members do, and yield each with its first token.

        Equal prompts are read once. The new ones are members before the engine is touched, so that whatever it raises
        they are among those that it struck. The iterator has to be read to its end.
        """
        groups: dict[tuple[tuple[int, ...], str], list[T]] = {}
        for one in new:
            groups.setdefault((one.row.prompt_ids, one.row.adapter), []).append(one)
        first = len(self.members)
        joining = [one for group in groups.values() for one in group]
        self.members += joining
        if not first and sampling != self._begun:
            self._begun = None
            self._engine.begin(self._places, self._tokens_per_row, sampling)
            self._begun = sampling
        copies = [len(group) for group in groups.values()]
        if isinstance(self._engine, RoutedEngine):
            self._engine.route([adapter for _, adapter in groups], copies)
        tokens = self._engine.admit(
            [prompt for prompt, _ in groups], copies, _draws([one.row for one in joining])
        )
        self._counts.prompt_tokens += sum(len(prompt) for prompt, _ in groups)
        yield from self._hand_out(tokens, first)

    def step(self) -> Iterator[T]:
        """Give every member its next token, and yield it. The iterator has to be read to its end."""
        rows = [one.row for one in self.members]
        tokens = self._engine.step([row.ids[-1] for row in rows], _draws(rows))
        yield from self._hand_out(tokens, 0)

    def remove(self, place: int) -> None:
        """Take a member out; the last one takes its place."""
        self._engine.remove(place)
        self.members[place] = self.members[-1]
        self.members.pop()

    def clear(self) -> list[T]:
        """Give up all members, which are returned; the engine begins anew with the next."""
        members, self.members, self._begun = self.members, [], None
        return members

    def _hand_out(self, tokens: Sequence[int], first: int) -> Iterator[T]:
        members, end_ids = self.members, self._engine.end_ids
        for place in range(len(members) - 1, first - 1, -1):  # from the last: removal moves the last one
            one = members[place]
            row = one.row
            row.take(tokens[place - first], end_ids)
            if row.finish is not None:
                self.remove(place)
            yield one


def _draws(rows: Sequence[Row]) -> Draws:
    return Draws([row.seed for row in rows], [len(row.ids) for row in rows])


@dataclass(slots=True)
class _Answer:
    request: Request
    row: Row

    def sample(self, finish: FinishReason) -> Sample:
        request, row = self.request, self.row
        return Sample(
            problem_id=request.problem_id,
            index=request.index,
            seed=request.seed,
            prompt=request.prompt,
            completion=row.tail.text(),
            token_ids=tuple(row.ids),
            finish_reason=finish,
            end_id=row.end_id,
        )


def run_batches(
    engine: Engine, requests: Iterable[Request], sampling: Sampling, batch_size: int, stats: GenerationStats
) -> Iterator[Sample]:
    """Answer every request once, and yield the samples as they finish.

    Raises BadInputError for a prompt that leaves no room, and for an adapter that the engine does not hold.
    """
    check_sampling(sampling)
    resumed = time.monotonic()
    prompts, waiting = _sorted_by_prompt(engine, requests)
    if not waiting:
        return

    def prompt_of(request: Request) -> tuple[int, ...]:
        return prompts[request.prompt, request.adapter]

    longest = max(map(len, prompts.values()))
    tokens_per_row = min(longest + sampling.max_new_tokens, engine.context)
    batch = Batch[_Answer](engine, min(batch_size, len(waiting)), tokens_per_row, stats)
    while waiting or batch.members:
        new = []
        for request in batch.next_from(waiting, prompt_of):
            ids = prompt_of(request)
            limit = min(sampling.max_new_tokens, engine.context - len(ids))
            tail = TextTail(engine.pieces, sampling.stop)
            new.append(_Answer(request, Row(ids, request.seed, limit, tail, request.adapter)))
        written = batch.admit(new, sampling) if new else batch.step()
        finished = [one.sample(finish) for one in written if (finish := one.row.finish) is not None]
        if finished:
            stats.samples += len(finished)
            stats.new_tokens += sum(len(s.token_ids) for s in finished)
            stats.seconds += time.monotonic() - resumed
            yield from finished
            resumed = time.monotonic()


class EngineGenerator:
    """A loaded engine behind the Generator protocol, with its tally and the path that it computes by."""

    def __init__(
        self,
        engine: LoadedEngine,
        *,
        batch_size: int,
        backend: str,
        render_chat: Callable[[list[dict[str, str]]], str],
    ) -> None:
        self.stats = GenerationStats()
        self.backend, self.render_chat = backend, render_chat
        self._engine: LoadedEngine | None = engine
        self._batch_size = batch_size

    @property
    def engine(self) -> LoadedEngine:
        if self._engine is None:
            raise RuntimeError("this generator is closed")
        return self._engine

    @property
    def vocabulary(self) -> int:
        return self.engine.vocabulary

    def encode(self, text: str) -> list[int]:
        return self.engine.encode(text)

    def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[Sample]:
        engine = self.engine
        try:
            yield from run_batches(engine, requests, sampling, self._batch_size, self.stats)
        finally:
            engine.end()

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()
        self._engine = None


def check_sampling(sampling: Sampling) -> None:
    """Raise BadInputError for settings that no engine can decode by."""
    if sampling.temperature < 0:
        raise BadInputError(f"temperature must be 0 (greedy) or more, got {sampling.temperature}")
    if not 0 < sampling.top_p <= 1:
        raise BadInputError(f"top_p must lie in (0, 1], got {sampling.top_p}")
    if sampling.top_k < 0:
        raise BadInputError(f"top_k must be 0 (off) or more, got {sampling.top_k}")
    if sampling.max_new_tokens < 1:
        raise BadInputError(f"max_new_tokens must be at least 1, got {sampling.max_new_tokens}")
    if "" in sampling.stop:
        raise BadInputError("an empty stop string would end every completion at once")


def _sorted_by_prompt(
    engine: Engine, requests: Iterable[Request]
) -> tuple[dict[tuple[str, str], tuple[int, ...]], deque[Request]]:
    """Return the token ids by (prompt, adapter), and the requests, those that share both side by side.

    Short prompts come first, so that those of one prefill are of like length.
    """
    by_prompt: dict[tuple[str, str], list[Request]] = {}
    for request in requests:
        if request.adapter and not isinstance(engine, RoutedEngine):
            raise BadInputError(
                f"this backend holds one model; it cannot answer as adapter {request.adapter!r}"
            )
        by_prompt.setdefault((request.prompt, request.adapter), []).append(request)
    prompts = {key: tuple(engine.encode(key[0])) for key in by_prompt}
    for key, (first, *_) in by_prompt.items():
        n = len(prompts[key])
        if n == 0:
            raise BadInputError(
                f"the prompt of {first.problem_id} is empty; a model needs at least one token"
            )
        if n >= engine.context:
            raise BadInputError(
                f"the prompt of {first.problem_id} has {n} tokens and the model's context is {engine.context}: "
                "no room for an answer; shorten the prompt or use a model of longer context"
            )
    order = sorted(by_prompt, key=lambda key: len(prompts[key]))
    return prompts, deque(request for key in order for request in by_prompt[key])
