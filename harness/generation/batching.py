"""Continuous batching over any engine: which request runs when, and when it is done.

Requests with the same prompt share its prefill. A finished row leaves at once and its place is refilled, so the batch
stays full; what a sample says does not depend on who its neighbours were (see `noise`).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from assay.harness.errors import BadInputError
from assay.harness.generation.counter_rng import Draws
from assay.harness.generation.text import TextTail
from assay.harness.generation.types import Request, Sample, Sampling

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
        ...

    def admit(self, prompts: Sequence[Sequence[int]], copies: Sequence[int], draws: Draws) -> list[int]:
        """Append `copies[i]` rows that have read prompt i; the first token of each, in order."""
        ...

    def step(self, tokens: Sequence[int], draws: Draws) -> list[int]:
        """Feed each row its last token; the next token of each."""
        ...

    def remove(self, row: int) -> None:
        """Forget a row; the last row takes its number."""
        ...


@runtime_checkable
class RoutedEngine(Protocol):
    """An engine whose rows may be answered by different adapters of one base."""

    def route(self, adapters: Sequence[str], copies: Sequence[int]) -> None:
        """Which adapter answers prompt i of the next admission, and so its `copies[i]` rows."""
        ...


@dataclass(slots=True)
class GenerationStats:
    """Sums over all calls of `generate`: tokens written and read, and wall seconds between them and outside.

    `prompt_tokens` counts a shared prompt once. Time that the caller spends between two samples is not counted.
    """

    samples: int = 0
    new_tokens: int = 0
    prompt_tokens: int = 0
    seconds: float = 0.0

    @property
    def tok_per_s(self) -> float:
        return self.new_tokens / self.seconds if self.seconds > 0 else 0.0


@dataclass(slots=True)
class _Row:
    request: Request
    tail: TextTail
    limit: int
    ids: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Group:
    prompt_ids: list[int]
    requests: deque[Request]


def run_batches(
    engine: Engine, requests: Iterable[Request], sampling: Sampling, batch_size: int, stats: GenerationStats
) -> Iterator[Sample]:
    """Answer every request once, yielding samples as they finish. BadInputError: a prompt that leaves no room."""
    check_sampling(sampling)
    resumed = time.monotonic()
    groups = _grouped(engine, requests)
    if not groups:
        return
    longest = max(len(g.prompt_ids) for g in groups)
    total = sum(len(g.requests) for g in groups)
    rows_at_once = min(batch_size, total)
    engine.begin(rows_at_once, min(longest + sampling.max_new_tokens, engine.context), sampling)
    rows: list[_Row] = []
    while groups or rows:
        free = rows_at_once - len(rows)
        # Admitting costs a forward pass of its own: wait until a quarter of the places is free.
        if groups and (not rows or free * 4 >= rows_at_once):
            first, new = _admit(engine, groups, free, sampling, stats)
            first_new = len(rows)
            rows += new
        else:
            first = engine.step([r.ids[-1] for r in rows], _draws(rows))
            first_new = 0
        finished: list[Sample] = []
        for row in range(len(rows) - 1, first_new - 1, -1):  # from the last: removal moves the last row
            sample = _take(rows[row], first[row - first_new], engine.end_ids)
            if sample is not None:
                finished.append(sample)
                engine.remove(row)
                rows[row] = rows[-1]
                rows.pop()
        if finished:
            stats.samples += len(finished)
            stats.new_tokens += sum(len(s.token_ids) for s in finished)
            stats.seconds += time.monotonic() - resumed
            yield from finished
            resumed = time.monotonic()


def check_sampling(sampling: Sampling) -> None:
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


def _grouped(engine: Engine, requests: Iterable[Request]) -> deque[_Group]:
    """Requests by prompt, short prompts first, so that those prefilled together are of like length."""
    by_prompt: dict[tuple[str, str], deque[Request]] = {}
    for request in requests:
        if request.adapter and not isinstance(engine, RoutedEngine):
            raise BadInputError(
                f"this backend holds one model; it cannot answer as adapter {request.adapter!r}"
            )
        by_prompt.setdefault((request.prompt, request.adapter), deque()).append(request)
    groups = [_Group(engine.encode(prompt), asked) for (prompt, _), asked in by_prompt.items()]
    for group in groups:
        n, first = len(group.prompt_ids), group.requests[0]
        if n == 0:
            raise BadInputError(
                f"the prompt of {first.problem_id} is empty; a model needs at least one token"
            )
        if n >= engine.context:
            raise BadInputError(
                f"the prompt of {first.problem_id} has {n} tokens and the model's context is {engine.context}: "
                "no room for an answer; shorten the prompt or use a model of longer context"
            )
    return deque(sorted(groups, key=lambda g: len(g.prompt_ids)))


def _admit(
    engine: Engine, groups: deque[_Group], free: int, sampling: Sampling, stats: GenerationStats
) -> tuple[list[int], list[_Row]]:
    prompts: list[list[int]] = []
    copies: list[int] = []
    adapters: list[str] = []
    rows: list[_Row] = []
    while groups and len(rows) < free:
        group = groups[0]
        if prompts and (len(prompts) + 1) * len(group.prompt_ids) > PREFILL_TOKENS:
            break
        n = min(len(group.requests), free - len(rows))
        limit = min(sampling.max_new_tokens, engine.context - len(group.prompt_ids))
        prompts.append(group.prompt_ids)
        copies.append(n)
        adapters.append(group.requests[0].adapter)
        rows += [
            _Row(group.requests.popleft(), TextTail(engine.pieces, sampling.stop), limit) for _ in range(n)
        ]
        if not group.requests:
            groups.popleft()
    stats.prompt_tokens += sum(map(len, prompts))
    if isinstance(engine, RoutedEngine):
        engine.route(adapters, copies)
    return engine.admit(prompts, copies, _draws(rows)), rows


def _draws(rows: Sequence[_Row]) -> Draws:
    return Draws([r.request.seed for r in rows], [len(r.ids) for r in rows])


def _take(row: _Row, token: int, end_ids: frozenset[int]) -> Sample | None:
    """Give a row its next token; the finished sample, if that ended it."""
    if token in end_ids:
        return _sample(row, stopped=True, end_id=token)
    row.ids.append(token)
    if row.tail.push(token):
        return _sample(row, stopped=True)
    return _sample(row, stopped=False) if len(row.ids) >= row.limit else None


def _sample(row: _Row, *, stopped: bool, end_id: int | None = None) -> Sample:
    request = row.request
    return Sample(
        problem_id=request.problem_id,
        index=request.index,
        seed=request.seed,
        prompt=request.prompt,
        completion=row.tail.text(),
        token_ids=tuple(row.ids),
        finish_reason="stop" if stopped else "length",
        end_id=end_id,
    )
