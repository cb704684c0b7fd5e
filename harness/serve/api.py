"""The OpenAI-compatible HTTP interface over one scheduler, as a Starlette application."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from harness.errors import BadInputError
from harness.explain import explain
from harness.generation.model import FinishReason, Sampling
from harness.serve.body import BodyError, parse
from harness.serve.metrics import CONTENT_TYPE, Metrics
from harness.serve.protocol import (
    COMPLETION_TOKENS,
    ChatRequest,
    Common,
    CompletionRequest,
    chat_choice,
    chat_delta,
    completion_choice,
    usage,
)
from harness.serve.scheduler import Ask, Event, Failure, OverloadedError, Scheduler, Ticket

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

T = TypeVar("T", bound=Common)
MAX_BODY_BYTES = 16 << 20
RETRY_AFTER_S = "1"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Served:
    """What is served and under which name. `api_key` None: no key is asked for."""

    name: str
    render_chat: Callable[[list[dict[str, str]]], str]
    about: dict[str, Any]
    api_key: str | None = None
    created: int = field(default_factory=lambda: int(time.time()))


class ApiError(Exception):
    """An answer that is an error, in OpenAI's form."""

    def __init__(
        self, status: int, message: str, kind: str, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.kind, self.code, self.param = status, message, kind, code, param

    def to_json(self) -> dict[str, Any]:
        error = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return {"error": error}


def bad_request(message: str, code: str | None = None, param: str | None = None) -> ApiError:
    return ApiError(400, message, "invalid_request_error", code, param)


def client_gone() -> ApiError:
    return ApiError(499, "the client closed the connection", "client_closed_request")


@dataclass(frozen=True, slots=True)
class _Choice:
    """One answer in the making: its place in the response and the events of its own."""

    index: int
    ticket: Ticket


@dataclass(frozen=True, slots=True)
class _Batch:
    """All answers to one HTTP request; their events arrive in one queue, each with its choice's index."""

    id: str
    created: int
    model: str
    prompt_tokens: int
    choices: tuple[_Choice, ...]
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


class Api:
    """The handlers; `app` is the application that routes to them."""

    def __init__(self, scheduler: Scheduler, served: Served, metrics: Metrics) -> None:
        self.scheduler, self.served, self.metrics = scheduler, served, metrics

    def app(self) -> Starlette:
        from starlette.applications import Starlette
        from starlette.routing import Route

        routes = [
            Route("/v1/models", self._guarded(self.models), methods=["GET"]),
            Route("/v1/models/{name:path}", self._guarded(self.model), methods=["GET"]),
            Route("/v1/completions", self._guarded(self.completions), methods=["POST"]),
            Route("/v1/chat/completions", self._guarded(self.chat), methods=["POST"]),
            Route("/health", self.health, methods=["GET"]),
            Route("/metrics", self.prometheus, methods=["GET"]),
        ]
        return Starlette(routes=routes, exception_handlers={404: self._no_route, 405: self._no_route})

    async def models(self, request: Request) -> Response:
        return _json({"object": "list", "data": [self._model()]})

    async def model(self, request: Request) -> Response:
        self._check_model(request.path_params["name"])
        return _json(self._model())

    async def health(self, request: Request) -> Response:
        alive = self.scheduler.alive
        body = {"status": "ok" if alive else "the generation thread is gone", "model": self.served.name}
        return _json(body, 200 if alive else 503)

    async def prometheus(self, request: Request) -> Response:
        from starlette.responses import Response

        return Response(self.metrics.render(self.scheduler), media_type=CONTENT_TYPE)

    async def completions(self, request: Request) -> Response:
        asked = await _read(request, CompletionRequest)
        self._check_model(asked.model)
        prompts = [self.scheduler.encode(p) if isinstance(p, str) else tuple(p) for p in asked.prompts]
        self._check_ids(prompts)
        batch = self._submit("cmpl", asked, prompts, asked.max_tokens or COMPLETION_TOKENS)
        if asked.stream:
            return self._stream(batch, "text_completion", _completion_pieces(), asked)
        texts = await self._collect(request, batch)
        choices = [completion_choice(i, text, finish) for i, (text, finish) in enumerate(texts)]
        return _json(_envelope(batch, "text_completion") | {"choices": choices, "usage": batch.usage})

    async def chat(self, request: Request) -> Response:
        asked = await _read(request, ChatRequest)
        self._check_model(asked.model)
        try:
            prompt = self.served.render_chat([message.turn for message in asked.messages])
        except BadInputError as error:
            raise bad_request(str(error), param="messages") from error
        limit = asked.max_completion_tokens or asked.max_tokens or self.scheduler.capacity
        batch = self._submit("chatcmpl", asked, [self.scheduler.encode(prompt)], limit)
        if asked.stream:
            return self._stream(batch, "chat.completion.chunk", _chat_pieces(), asked)
        texts = await self._collect(request, batch)
        choices = [chat_choice(i, text, finish) for i, (text, finish) in enumerate(texts)]
        return _json(_envelope(batch, "chat.completion") | {"choices": choices, "usage": batch.usage})

    def _submit(self, prefix: str, asked: Common, prompts: list[tuple[int, ...]], limit: int) -> _Batch:
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

        made: list[_Choice] = []
        try:
            for prompt in prompts:
                for i in range(asked.n or 1):
                    ticket = self.scheduler.submit(Ask(prompt, sampling, seed + i), deliver_to(len(made)))
                    made.append(_Choice(len(made), ticket))
        except (BadInputError, OverloadedError) as error:
            for choice in made:
                choice.ticket.cancel()
            if isinstance(error, OverloadedError):
                raise ApiError(429, str(error), "rate_limit_error", "server_busy") from error
            code = "context_length_exceeded" if "leaves" in str(error) or "room" in str(error) else None
            raise bad_request(str(error), code) from error
        return _Batch(
            id=f"{prefix}-{secrets.token_hex(12)}",
            created=int(time.time()),
            model=self.served.name,
            prompt_tokens=sum(map(len, prompts)),
            choices=tuple(made),
            events=events,
        )

    async def _collect(self, request: Request, batch: _Batch) -> list[tuple[str, FinishReason]]:
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

    def _stream(
        self, batch: _Batch, kind: str, pieces: Callable[[int, Event], dict[str, Any]], asked: Common
    ) -> Response:
        from starlette.responses import StreamingResponse

        with_usage = asked.stream_options is not None and asked.stream_options.include_usage

        async def body() -> AsyncIterator[str]:
            envelope = _envelope(batch, kind) | ({"usage": None} if with_usage else {})
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

    def _check_model(self, name: str) -> None:
        if name != self.served.name:
            raise ApiError(
                404,
                f"the model {name!r} is not served here; this server has {self.served.name!r}",
                "invalid_request_error",
                "model_not_found",
                "model",
            )

    def _check_ids(self, prompts: list[tuple[int, ...]]) -> None:
        known = self.served.about["vocabulary"]
        for prompt in prompts:
            if prompt and max(prompt) >= known:
                raise bad_request(
                    f"token id {max(prompt)} is not below the vocabulary, {known}", param="prompt"
                )

    def _model(self) -> dict[str, Any]:
        head = {
            "id": self.served.name,
            "object": "model",
            "created": self.served.created,
            "owned_by": "assay",
        }
        return head | self.served.about | {"max_model_len": self.scheduler.capacity}

    def _guarded(self, handler: Callable[[Request], Any]) -> Callable[[Request], Any]:
        """The handler behind the key, its errors in OpenAI's form, its status counted; a fault of ours too."""
        from starlette.requests import ClientDisconnect

        async def answer(request: Request) -> Response:
            path = "/v1/models" if request.url.path.startswith("/v1/models") else request.url.path
            try:
                self._authorise(request)
                response: Response = await handler(request)
            except ApiError as error:
                headers = {"Retry-After": RETRY_AFTER_S} if error.status == 429 else None
                response = _json(error.to_json(), error.status, headers)
            except ClientDisconnect:
                response = _json(client_gone().to_json(), 499)
            except Exception as error:
                _log.exception("%s failed", path)
                told = f"the server failed: {type(error).__name__}: {error}"
                response = _json(ApiError(500, told, "server_error").to_json(), 500)
            self.metrics.responded(path, response.status_code)
            return response

        return answer

    def _authorise(self, request: Request) -> None:
        key = self.served.api_key
        if key is None:
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.encode(), key.encode()):
            raise ApiError(401, "a valid API key is required", "authentication_error", "invalid_api_key")

    async def _no_route(self, request: Request, error: Exception) -> Response:
        status = getattr(error, "status_code", 404)
        message = f"no such endpoint: {request.method} {request.url.path}"
        self.metrics.responded("other", status)
        return _json(ApiError(status, message, "invalid_request_error", "not_found").to_json(), status)


async def _read(request: Request, model: type[T]) -> T:
    """The request's body, checked."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise ApiError(413, f"the body is larger than {MAX_BODY_BYTES} bytes", "invalid_request_error")
    try:
        raw = parse(bytes(body))
    except BodyError as error:
        raise bad_request(str(error), param=error.param) from None
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise bad_request(_told(error, model), param=_param(error)) from None


def _told(error: ValidationError, model: type[BaseModel]) -> str:
    return explain(error, model)


def _param(error: ValidationError) -> str | None:
    location = error.errors()[0]["loc"]
    return str(location[0]) if location else None


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


async def _texts(batch: _Batch) -> list[tuple[str, FinishReason]]:
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


def _completion_pieces() -> Callable[[int, Event], dict[str, Any]]:
    def piece(index: int, event: Event) -> dict[str, Any]:
        if not event.text and event.finish is None:
            return {}
        return completion_choice(index, event.text, event.finish)

    return piece


def _chat_pieces() -> Callable[[int, Event], dict[str, Any]]:
    begun: set[int] = set()

    def piece(index: int, event: Event) -> dict[str, Any]:
        first = index not in begun
        if not first and not event.text and event.finish is None:
            return {}
        begun.add(index)
        return chat_delta(index, event.text, event.finish, first=first)

    return piece


def _envelope(batch: _Batch, kind: str) -> dict[str, Any]:
    return {"id": batch.id, "object": kind, "created": batch.created, "model": batch.model}


def _sse(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    from starlette.responses import JSONResponse

    return JSONResponse(value, status, headers)
