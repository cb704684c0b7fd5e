"""The choices of one HTTP request, from the scheduler's thread to the event loop: begun and given up together."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assay.harness.errors import BadInputError
from assay.harness.generation.types import FinishReason, Sampling
from assay.harness.serving.protocol import ApiError, Common, bad_request, client_gone, usage
from assay.harness.serving.scheduler import (
    Event,
    Failure,
    OverloadedError,
    SampleRequest,
    Scheduler,
    StoppedError,
    Ticket,
)

if TYPE_CHECKING:
    from starlette.requests import Request


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer in the making: its place in the response and the events of its own."""

    index: int
    ticket: Ticket


@dataclass(frozen=True, slots=True)
class Choices:
    """All answers to one HTTP request; their events arrive in one queue, each with its choice's index."""

    id: str
    created: int
    model: str
    prompt_tokens: int
    choices: tuple[Choice, ...]
    events: asyncio.Queue[tuple[int, Event | Failure]]

    def cancel(self) -> None:
        for choice in self.choices:
            choice.ticket.cancel()

    async def each(self) -> AsyncIterator[tuple[int, Event]]:
        """Events until every answer has ended. ApiError: the engine failed."""
        open_answers = len(self.choices)
        while open_answers:
            index, event = await self.events.get()
            if isinstance(event, Failure):
                raise ApiError(500, event.message, "server_error", "generation_failed")
            if event.finish is not None:
                open_answers -= 1
            yield index, event

    @property
    def usage(self) -> dict[str, int]:
        return usage(self.prompt_tokens, sum(len(choice.ticket.ids) for choice in self.choices))


def submit(
    scheduler: Scheduler, model: str, prefix: str, asked: Common, prompts: list[tuple[int, ...]], limit: int
) -> Choices:
    """Queue every answer of a request. Choice i of a request draws with seed + i."""
    sampling = Sampling(
        temperature=1.0 if asked.temperature is None else asked.temperature,
        top_p=1.0 if asked.top_p is None else asked.top_p,
        top_k=max(0, asked.top_k or 0),
        max_new_tokens=limit,
        stop=asked.stops,
    )
    seed = secrets.randbits(53) if asked.seed is None else asked.seed
    loop = asyncio.get_running_loop()
    events: asyncio.Queue[tuple[int, Event | Failure]] = asyncio.Queue()

    def deliver_to(index: int) -> Callable[[Event | Failure], None]:
        def hand_over(event: Event | Failure) -> None:
            if not loop.is_closed():  # a loop that is gone has nobody who listens
                loop.call_soon_threadsafe(events.put_nowait, (index, event))

        return hand_over if asked.stream else _whole(hand_over)

    made: list[Choice] = []
    try:
        for prompt in prompts:
            for i in range(asked.n or 1):
                ticket = scheduler.submit(SampleRequest(prompt, sampling, seed + i), deliver_to(len(made)))
                made.append(Choice(len(made), ticket))
    except (BadInputError, OverloadedError, StoppedError) as error:
        for choice in made:
            choice.ticket.cancel()
        if isinstance(error, OverloadedError):
            raise ApiError(429, str(error), "rate_limit_error", "server_busy") from error
        if isinstance(error, StoppedError):
            raise ApiError(503, str(error), "server_error", "server_stopped") from error
        code = "context_length_exceeded" if "leaves" in str(error) or "room" in str(error) else None
        raise bad_request(str(error), code) from error
    return Choices(
        id=f"{prefix}-{secrets.token_hex(12)}",
        created=int(time.time()),
        model=model,
        prompt_tokens=sum(map(len, prompts)),
        choices=tuple(made),
        events=events,
    )


async def collect(request: Request, batch: Choices) -> list[tuple[str, FinishReason]]:
    """Whole answers. A client that goes away meanwhile frees their places."""
    gone = asyncio.ensure_future(_disconnected(request))
    work = asyncio.ensure_future(_texts(batch))
    try:
        await asyncio.wait({gone, work}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise client_gone()
        return work.result()
    finally:
        batch.cancel()
        for task in (gone, work):
            task.cancel()
        await asyncio.gather(gone, work, return_exceptions=True)


def _whole(hand_over: Callable[[Event | Failure], None]) -> Callable[[Event | Failure], None]:
    """Hand over one event with the whole text at the end: the event loop is not woken for every token."""
    pieces: list[str] = []

    def collect(event: Event | Failure) -> None:
        if isinstance(event, Event):
            pieces.append(event.text)
            if event.finish is None:
                return
            event = Event("".join(pieces), event.token_id, event.finish)
        hand_over(event)

    return collect


async def _texts(batch: Choices) -> list[tuple[str, FinishReason]]:
    texts: list[list[str]] = [[] for _ in batch.choices]
    ends: list[FinishReason] = ["stop"] * len(batch.choices)
    async for index, event in batch.each():
        texts[index].append(event.text)
        ends[index] = event.finish or ends[index]
    return [("".join(pieces), end) for pieces, end in zip(texts, ends, strict=True)]


async def _disconnected(request: Request) -> None:
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            return
