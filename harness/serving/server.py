"""Serve a model over HTTP with OpenAI's interface: the handlers, the metrics, and the way from load to stop."""

from __future__ import annotations

import hmac
import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

from assay.harness.errors import BadInputError, MissingToolError
from assay.harness.generation.load import MeasuredGenerator
from assay.harness.serving import protocol
from assay.harness.serving.choices import chat_pieces, collect, completion_piece, stream, submit
from assay.harness.serving.scheduler import Scheduler, Ticket
from assay.trainers.artifact import Artifact

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from prometheus_client.registry import Collector
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

T = TypeVar("T", bound=protocol.Common)
DEFAULT_CAPACITY = 4096
MAX_BODY_BYTES = 16 << 20
RETRY_AFTER_S = "1"
_BACKLOG = 2048
# Upper borders of the histograms' buckets, in seconds.
TTFT_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
TPOT_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
LATENCY_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_log = logging.getLogger(__name__)


class Metrics:
    """The metrics of one server, in a registry of its own, in Prometheus' text format 0.0.4."""

    def __init__(self, scheduler: Scheduler) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram

        def histogram(name: str, help_text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"assay_{name}_seconds", help_text, buckets=buckets, registry=None)

        self._scheduler = scheduler
        self._responses = Counter(
            "assay_http_responses", "Responses by path and status.", ["path", "status"], registry=None
        )
        self._ttft = histogram("time_to_first_token", "Submission to first token, waiting included.", TTFT_S)
        self._tpot = histogram("time_per_output_token", "Per token after the first.", TPOT_S)
        self._latency = histogram("request_latency", "Submission to last token, waiting included.", LATENCY_S)
        self._registry = CollectorRegistry()
        self._registry.register(cast("Collector", self))

    def responded(self, path: str, status: int) -> None:
        """Count a response."""
        self._responses.labels(path, str(status)).inc()

    def finished(self, ticket: Ticket) -> None:
        """Observe the times of an answer that has ended; a time that it does not have is not counted."""
        times = ticket.times
        for histogram, value in (
            (self._ttft, times.ttft_s),
            (self._tpot, times.tpot_s(len(ticket.ids))),
            (self._latency, times.latency_s),
        ):
            if value is not None:
                histogram.observe(value)

    def collect(self) -> Iterator[Metric]:
        """Yield every metric as the registry reads it; when a series began is left out."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        counts = self._scheduler.counts
        ends = CounterMetricFamily("assay_requests", "Answers by how they ended.", labels=["end"])
        for end in ("finished", "cancelled", "failed"):
            ends.add_metric([end], getattr(counts, end))
        yield ends
        for name, value, help_text in (
            ("prompt_tokens", counts.prompt_tokens, "Prompt tokens read; equal prompts once."),
            ("generated_tokens", counts.new_tokens, "Tokens written."),
            ("decode_steps", counts.steps, "Decode steps over the whole batch."),
        ):
            yield CounterMetricFamily(f"assay_{name}", help_text, value)
        running, waiting = self._scheduler.running, self._scheduler.waiting
        yield GaugeMetricFamily("assay_requests_running", "Answers being written.", running)
        yield GaugeMetricFamily("assay_requests_waiting", "Requests that wait for a place.", waiting)
        for own in (self._responses, self._ttft, self._tpot, self._latency):
            for metric in own.collect():
                metric.samples = [s for s in metric.samples if not s.name.endswith("_created")]
                yield metric

    def render(self) -> tuple[bytes, str]:
        """Return the text of /metrics and its media type."""
        from prometheus_client import generate_latest
        from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4


@dataclass(frozen=True, slots=True)
class Served:
    """The served model and its name. Without an `api_key` no request needs one."""

    name: str
    render_chat: Callable[[list[dict[str, str]]], str]
    about: dict[str, Any]
    api_key: str | None = None
    created: int = field(default_factory=lambda: int(time.time()))


class Api:
    """The handlers over one scheduler; `app` is the Starlette application that routes to them."""

    def __init__(self, scheduler: Scheduler, served: Served, metrics: Metrics) -> None:
        self.scheduler, self.served, self.metrics = scheduler, served, metrics

    def app(self) -> Starlette:
        """Return the application."""
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
        """List the one model."""
        return _json({"object": "list", "data": [self._model()]})

    async def model(self, request: Request) -> Response:
        """Describe the model of the name in the path."""
        self._check_model(request.path_params["name"])
        return _json(self._model())

    async def health(self, request: Request) -> Response:
        """Answer 200 while answers are written, else 503."""
        alive = self.scheduler.alive
        body = {"status": "ok" if alive else "the generation thread is gone", "model": self.served.name}
        return _json(body, 200 if alive else 503)

    async def prometheus(self, request: Request) -> Response:
        """Answer with the metrics."""
        from starlette.responses import Response

        text, media_type = self.metrics.render()
        return Response(text, media_type=media_type)

    async def completions(self, request: Request) -> Response:
        """Answer /v1/completions, whole or as a stream."""
        body = await _read(request, protocol.CompletionRequest)
        self._check_model(body.model)
        prompts = [self.scheduler.encode(p) if isinstance(p, str) else tuple(p) for p in body.prompts]
        self._check_ids(prompts)
        limit = body.max_tokens or protocol.COMPLETION_TOKENS
        batch = submit(self.scheduler, self.served.name, "cmpl", body, prompts, limit)
        if body.stream:
            return stream(batch, "text_completion", completion_piece, body)
        texts = await collect(request, batch)
        choices = [protocol.completion_choice(i, text, finish) for i, (text, finish) in enumerate(texts)]
        return _json(batch.envelope("text_completion") | {"choices": choices, "usage": batch.usage})

    async def chat(self, request: Request) -> Response:
        """Answer /v1/chat/completions, whole or as a stream."""
        body = await _read(request, protocol.ChatRequest)
        self._check_model(body.model)
        try:
            prompt = self.served.render_chat([message.turn for message in body.messages])
        except BadInputError as error:
            raise protocol.bad_request(str(error), param="messages") from error
        limit = body.max_completion_tokens or body.max_tokens or self.scheduler.capacity
        prompts = [self.scheduler.encode(prompt)]
        batch = submit(self.scheduler, self.served.name, "chatcmpl", body, prompts, limit)
        if body.stream:
            return stream(batch, "chat.completion.chunk", chat_pieces(), body)
        texts = await collect(request, batch)
        choices = [protocol.chat_choice(i, text, finish) for i, (text, finish) in enumerate(texts)]
        return _json(batch.envelope("chat.completion") | {"choices": choices, "usage": batch.usage})

    def _check_model(self, name: str) -> None:
        own = self.served.name
        if name != own:
            message = f"the model {name!r} is not served here; this server has {own!r}"
            raise protocol.ApiError(404, message, "invalid_request_error", "model_not_found", "model")

    def _check_ids(self, prompts: list[tuple[int, ...]]) -> None:
        known = self.served.about["vocabulary"]
        for prompt in prompts:
            if prompt and max(prompt) >= known:
                raise protocol.bad_request(
                    f"token id {max(prompt)} is not below the vocabulary, {known}", param="prompt"
                )

    def _model(self) -> dict[str, Any]:
        name, created = self.served.name, self.served.created
        head = {"id": name, "object": "model", "created": created, "owned_by": "assay"}
        return head | self.served.about | {"max_model_len": self.scheduler.capacity}

    def _guarded(self, handler: Callable[[Request], Any]) -> Callable[[Request], Any]:
        """Put a handler behind the key, give its errors (the server's own too) OpenAI's form, and count its status."""
        from starlette.requests import ClientDisconnect

        async def answer(request: Request) -> Response:
            path = "/v1/models" if request.url.path.startswith("/v1/models") else request.url.path
            try:
                self._authorise(request)
                response: Response = await handler(request)
            except protocol.ApiError as error:
                headers = {"Retry-After": RETRY_AFTER_S} if error.status == 429 else None
                response = _json(error.to_json(), error.status, headers)
            except ClientDisconnect:
                response = _json(protocol.client_gone().to_json(), 499)
            except Exception as error:
                _log.exception("%s failed", path)
                message = f"the server failed: {type(error).__name__}: {error}"
                response = _json(protocol.ApiError(500, message, "server_error").to_json(), 500)
            self.metrics.responded(path, response.status_code)
            return response

        return answer

    def _authorise(self, request: Request) -> None:
        key = self.served.api_key
        if key is None:
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.encode(), key.encode()):
            raise protocol.ApiError(
                401, "a valid API key is required", "authentication_error", "invalid_api_key"
            )

    async def _no_route(self, request: Request, error: Exception) -> Response:
        status = getattr(error, "status_code", 404)
        message = f"no such endpoint: {request.method} {request.url.path}"
        self.metrics.responded("other", status)
        return _json(
            protocol.ApiError(status, message, "invalid_request_error", "not_found").to_json(), status
        )


async def _read(request: Request, model: type[T]) -> T:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise protocol.ApiError(
                413, f"the body is larger than {MAX_BODY_BYTES} bytes", "invalid_request_error"
            )
    return protocol.read_request(bytes(body), model)


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    from starlette.responses import JSONResponse

    return JSONResponse(value, status, headers)


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a server.

    `parallel` answers are written at a time, each of at most `context` tokens with its prompt (0: the model's, 4096 at
    most); `queue_limit` requests may wait.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    parallel: int = 8
    context: int = 0
    queue_limit: int = 256
    api_key: str | None = None


def bind(host: str, port: int) -> socket.socket:
    """Return a bound socket; port 0 takes a free one. Raises BadInputError that names the address that failed."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, proto)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
        except OSError:
            bound.close()
            raise
    except OSError as error:
        raise BadInputError(f"cannot listen on {host} port {port}: {error.strerror or error}") from error
    return bound


@contextmanager
def open_api(generator: MeasuredGenerator, artifact: Artifact, name: str, options: Options) -> Iterator[Api]:
    """Give the handlers over a loaded model; its scheduler ends with the block."""
    engine = generator.engine
    scheduler = Scheduler(
        engine,
        rows=options.parallel,
        capacity=options.context or min(engine.context, DEFAULT_CAPACITY),
        queue_limit=options.queue_limit,
    )
    about = {
        "kind": artifact.kind.value,
        "sha256": artifact.sha256,
        "backend": generator.backend,
        "vocabulary": generator.vocabulary,
    }
    try:
        metrics = Metrics(scheduler)
        scheduler.on_finished = metrics.finished
        yield Api(scheduler, Served(name, generator.render_chat, about, options.api_key), metrics)
    finally:
        scheduler.close()


def run(api: Api, listening: socket.socket, on_ready: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM; answers that are being written get a few seconds to end."""
    try:
        import uvicorn
    except ImportError as error:
        raise MissingToolError(
            f"{error.name} is not installed; install it with: pip install 'assay[serve]'"
        ) from error
    config = uvicorn.Config(
        api.app(), log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=5
    )
    server = uvicorn.Server(config)
    # a client that connects from here on waits for the server's loop, and is not refused
    listening.listen(_BACKLOG)
    on_ready()
    server.run(sockets=[listening])
