"""The OpenAI-compatible HTTP interface over one scheduler, as a Starlette application."""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from harness.errors import BadInputError
from harness.explain import explain
from harness.serve.body import BodyError, parse
from harness.serve.choices import collect, submit
from harness.serve.faults import ApiError, bad_request, client_gone
from harness.serve.metrics import CONTENT_TYPE, Metrics
from harness.serve.protocol import (
    COMPLETION_TOKENS,
    ChatRequest,
    Common,
    CompletionRequest,
    chat_choice,
    completion_choice,
)
from harness.serve.scheduler import Scheduler
from harness.serve.stream import chat_pieces, completion_pieces, envelope_of, stream

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
