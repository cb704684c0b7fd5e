"""The answers to one HTTP request, from the scheduler's thread to the event loop: begun and given up together."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assay.harness.errors import BadInputError
from assay.harness.generation.types import FinishReason, Sampling
from assay.harness.serving import protocol
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
    from starlette.responses import Response


@dataclass(frozen=True, slots=True)
class Choices:
    """All answers to one HTTP request; their events arrive in one queue, each with its choice's index."""

    id: str
    created: int
    model: str
    prompt_tokens: int
    tickets: tuple[Ticket, ...]
    events: asyncio.Queue[tuple[int, Event | Failure]]

    def cancel(self) -> None:
        """Give up every answer that is not done."""
        for ticket in self.tickets:
            ticket.cancel()

    async def each(self) -> AsyncIterator[tuple[int, Event]]:
        """Yield events until every answer has ended. Raises ApiError where the engine failed."""
        open_answers = len(self.tickets)
        while open_answers:
            index, event = await self.events.get()
            if isinstance(event, Failure):
                raise protocol.ApiError(500, event.message, "server_error", "generation_failed")
            if event.finish is not None:
                open_answers -= 1
            yield index, event

    @property
    def usage(self) -> dict[str, int]:
        """The tokens read and written so far."""
        return protocol.usage(self.prompt_tokens, sum(len(ticket.ids) for ticket in self.tickets))

    def envelope(self, kind: str) -> dict[str, Any]:
        """Return the fields around the choices in a response of the given object kind."""
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}


def submit(
    scheduler: Scheduler,
    model: str,
    prefix: str,
    request: protocol.Common,
    prompts: list[tuple[int, ...]],
    limit: int,
) -> Choices:
    """Queue every answer of a request, choice i of which draws with seed + i.

    Raises ApiError: 400 for a prompt that leaves no room, 429 for a full queue, 503 for a stopped scheduler.
    """
    sampling = Sampling(
        temperature=1.0 if request.temperature is None else request.temperature,
        top_p=1.0 if request.top_p is None else request.top_p,
        top_k=max(0, request.top_k or 0),
        max_new_tokens=limit,
        stop=request.stops,
    )
    seed = secrets.randbits(53) if request.seed is None else request.seed
    loop = asyncio.get_running_loop()
    events: asyncio.Queue[tuple[int, Event | Failure]] = asyncio.Queue()

    def deliver_to(index: int) -> Callable[[Event | Failure], None]:
        def hand_over(event: Event | Failure) -> None:
            if not loop.is_closed():  # a closed loop has no listener
                loop.call_soon_threadsafe(events.put_nowait, (index, event))

        return hand_over if request.stream else _joined(hand_over)

    tickets: list[Ticket] = []
    try:
        for prompt in prompts:
            for i in range(request.n or 1):
                ask = SampleRequest(prompt, sampling, seed + i)
                tickets.append(scheduler.submit(ask, deliver_to(len(tickets))))
    except (BadInputError, OverloadedError, StoppedError) as error:
        for ticket in tickets:
            ticket.cancel()
        if isinstance(error, OverloadedError):
            raise protocol.ApiError(429, str(error), "rate_limit_error", "server_busy") from error
        if isinstance(error, StoppedError):
            raise protocol.ApiError(503, str(error), "server_error", "server_stopped") from error
        code = "context_length_exceeded" if "leaves" in str(error) or "room" in str(error) else None
        raise protocol.bad_request(str(error), code) from error
    return Choices(
        id=f"{prefix}-{secrets.token_hex(12)}",
        created=int(time.time()),
        model=model,
        prompt_tokens=sum(map(len, prompts)),
        tickets=tuple(tickets),
        events=events,
    )


async def collect(request: Request, batch: Choices) -> list[tuple[str, FinishReason]]:
    """Return every answer's text and finish reason. A client that goes away meanwhile frees their places."""
    gone = asyncio.ensure_future(_disconnected(request))
    work = asyncio.ensure_future(_texts(batch))
    try:
        await asyncio.wait({gone, work}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise protocol.client_gone()
        return work.result()
    finally:
        batch.cancel()
        for task in (gone, work):
            task.cancel()
        await asyncio.gather(gone, work, return_exceptions=True)


def _joined(hand_over: Callable[[Event | Failure], None]) -> Callable[[Event | Failure], None]:
    """Return a listener that hands over one event with all of the text: the event loop is not woken for every token."""
    pieces: list[str] = []

    def listen(event: Event | Failure) -> None:
        if isinstance(event, Event):
            pieces.append(event.text)
            if event.finish is None:
                return
            event = Event("".join(pieces), event.token_id, event.finish)
        hand_over(event)

    return listen


async def _texts(batch: Choices) -> list[tuple[str, FinishReason]]:
    ends = {index: (event.text, event.finish or "stop") async for index, event in batch.each()}
    return [ends[index] for index in range(len(batch.tickets))]


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def stream(
    batch: Choices, kind: str, pieces: Callable[[int, Event], dict[str, Any]], request: protocol.Common
) -> Response:
    """Return the choices as server-sent events, a piece as soon as it can no longer change.

    `pieces` turns an event of choice i into its object, which is left out where it is empty.
    """
    from starlette.responses import StreamingResponse

    with_usage = request.stream_options is not None and request.stream_options.include_usage

    async def body() -> AsyncIterator[str]:
        envelope = batch.envelope(kind) | ({"usage": None} if with_usage else {})
        try:
            async for index, event in batch.each():
                choice = pieces(index, event)
                if choice:
                    yield _sse(envelope | {"choices": [choice]})
            if with_usage:
                yield _sse(envelope | {"choices": [], "usage": batch.usage})
            yield "data: [DONE]\n\n"
        except protocol.ApiError as error:  # the head is sent: the error goes where the client reads
            yield _sse(error.to_json())
        finally:  # also where the client went away
            batch.cancel()

    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(body(), media_type="text/event-stream", headers=headers)


def completion_piece(index: int, event: Event) -> dict[str, Any]:
    """Return the piece of /v1/completions that an event makes; empty without text and end."""
    if not event.text and event.finish is None:
        return {}
    return protocol.completion_choice(index, event.text, event.finish)


def chat_pieces() -> Callable[[int, Event], dict[str, Any]]:
    """Return what turns the events of one streamed chat into pieces; the first of each choice names the role."""
    begun: set[int] = set()

    def piece(index: int, event: Event) -> dict[str, Any]:
        first = index not in begun
        if not first and not event.text and event.finish is None:
            return {}
        begun.add(index)
        return protocol.chat_delta(index, event.text, event.finish, first=first)

    return piece


def _sse(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"
