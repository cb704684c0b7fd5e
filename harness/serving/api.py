"""The OpenAI-compatible HTTP interface over one scheduler, as a Starlette application."""

from __future__ import annotations

import hmac
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from assay.harness.errors import BadInputError
from assay.harness.experiment.validation import explain
from assay.harness.serving.choices import Choices, collect, submit
from assay.harness.serving.metrics import CONTENT_TYPE, Metrics
from assay.harness.serving.protocol import (
    COMPLETION_TOKENS,
    ApiError,
    ChatRequest,
    Common,
    CompletionRequest,
    bad_request,
    chat_choice,
    chat_delta,
    client_gone,
    completion_choice,
)
from assay.harness.serving.scheduler import Event, Scheduler

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
        batch = submit(
            self.scheduler, self.served.name, "cmpl", asked, prompts, asked.max_tokens or COMPLETION_TOKENS
        )
        if asked.stream:
            return stream(batch, "text_completion", completion_pieces(), asked)
        texts = await collect(request, batch)
        choices = [completion_choice(i, text, finish) for i, (text, finish) in enumerate(texts)]
        return _json(envelope_of(batch, "text_completion") | {"choices": choices, "usage": batch.usage})

    async def chat(self, request: Request) -> Response:
        asked = await _read(request, ChatRequest)
        self._check_model(asked.model)
        try:
            prompt = self.served.render_chat([message.turn for message in asked.messages])
        except BadInputError as error:
            raise bad_request(str(error), param="messages") from error
        limit = asked.max_completion_tokens or asked.max_tokens or self.scheduler.capacity
        batch = submit(
            self.scheduler, self.served.name, "chatcmpl", asked, [self.scheduler.encode(prompt)], limit
        )
        if asked.stream:
            return stream(batch, "chat.completion.chunk", chat_pieces(), asked)
        texts = await collect(request, batch)
        choices = [chat_choice(i, text, finish) for i, (text, finish) in enumerate(texts)]
        return _json(envelope_of(batch, "chat.completion") | {"choices": choices, "usage": batch.usage})

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


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    from starlette.responses import JSONResponse

    return JSONResponse(value, status, headers)


# A request's body as JSON. Whatever a client sends is answered as the client's fault, never as the server's.

MAX_DEPTH = 64  # of lists and objects within each other; a request of the API needs five


class BodyError(BadInputError):
    """The body is nothing to work with; `param` is the field at fault, where it is one field."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


def parse(body: bytes) -> Any:
    """Raises BodyError for what is not UTF-8 or not JSON, has a number too long to read, is nested too deeply, or holds
    half of a surrogate pair: JSON can write one (`\\ud800`), but it is no character and no tokenizer takes it."""
    try:
        value = json.loads(body.decode("utf-8"))
    except RecursionError:
        raise BodyError(f"the body is nested too deeply; {MAX_DEPTH} levels are taken") from None
    except ValueError as error:  # also of the decoding, and of integers with more digits than Python reads
        raise BodyError(f"the body is not JSON: {error}") from None
    if isinstance(value, dict):
        _check_texts(list(value), None)
        for name, field in value.items():
            _check_texts(field, name)
    else:
        _check_texts(value, None)
    return value


def _check_texts(value: Any, param: str | None) -> None:
    """Level by level, for what was read may be deeper than Python recurses."""
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for item in level:
            if isinstance(item, str):
                _check_text(item, param)
            elif isinstance(item, list):
                below += item
            elif isinstance(item, dict):
                below += item.keys()
                below += item.values()
        if not below:
            return
        level = below
    where = "the body" if param is None else param
    raise BodyError(f"{where} is nested too deeply; {MAX_DEPTH} levels are taken", param)


def _check_text(text: str, param: str | None) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BodyError(
            f"half of a surrogate pair, {text[error.start]!a}, stands at character {error.start} of a text; send whole "
            "characters",
            param,
        ) from None


# Choices as server-sent events, a piece as soon as it can no longer change.


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
