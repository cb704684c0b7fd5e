"""Choices as server-sent events, a piece as soon as it can no longer change."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from harness.serve.choices import Choices
from harness.serve.faults import ApiError
from harness.serve.protocol import Common, chat_delta, completion_choice
from harness.serve.scheduler import Event

if TYPE_CHECKING:
    from starlette.responses import Response


def stream(
    batch: Choices, kind: str, pieces: Callable[[int, Event], dict[str, Any]], asked: Common
) -> Response:
    from starlette.responses import StreamingResponse

    with_usage = asked.stream_options is not None and asked.stream_options.include_usage

    async def body() -> AsyncIterator[str]:
        envelope = envelope_of(batch, kind) | ({"usage": None} if with_usage else {})
        try:
            async for index, event in batch.each():
                if event.text or event.finish is not None or event.token_id is not None:
                    choice = pieces(index, event)
                    if choice:
                        yield _sse(envelope | {"choices": [choice]})
            if with_usage:
                yield _sse(envelope | {"choices": [], "usage": batch.usage})
            yield "data: [DONE]\n\n"
        except ApiError as error:  # the head is sent: the error goes where the client reads
            yield _sse(error.to_json())
        finally:  # also where the client went away
            batch.cancel()

    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(body(), media_type="text/event-stream", headers=headers)


def completion_pieces() -> Callable[[int, Event], dict[str, Any]]:
    def piece(index: int, event: Event) -> dict[str, Any]:
        if not event.text and event.finish is None:
            return {}
        return completion_choice(index, event.text, event.finish)

    return piece


def chat_pieces() -> Callable[[int, Event], dict[str, Any]]:
    begun: set[int] = set()

    def piece(index: int, event: Event) -> dict[str, Any]:
        first = index not in begun
        if not first and not event.text and event.finish is None:
            return {}
        begun.add(index)
        return chat_delta(index, event.text, event.finish, first=first)

    return piece


def envelope_of(batch: Choices, kind: str) -> dict[str, Any]:
    return {"id": batch.id, "object": kind, "created": batch.created, "model": batch.model}


def _sse(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"
