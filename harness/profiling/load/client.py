"""One streamed answer, with the time of everything that came.

http.client and a connection of its own for each request: what a pooled client does between a request and the socket
(waiting for a connection, retrying, decompressing) would be measured as the server's latency.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from assay.harness.models.keys import headers, hide_key
from assay.harness.models.resolve import Endpoint

DONE = "done"
_READ_BYTES = 1 << 16
_MESSAGE_CHARACTERS = 300  # characters of a server's words that are kept


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds that a server may take to accept a connection, to send anything more, and for the whole answer."""

    connect_s: float = 10.0
    stall_s: float = 60.0
    total_s: float = 600.0


class _Failed(Exception):  # noqa: N818  # its name is what a trace's status says
    def __init__(self, status: str, detail: str = "") -> None:
        super().__init__(status)
        self.status, self.detail = status, detail


class Events:
    """Server-sent events out of the bytes of a body, wherever these are cut."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[str]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].strip().decode("utf-8", errors="replace")


@dataclass(slots=True)
class Trace:
    """The result of one request, filled in as it is followed. `status` is "done" or the kind of its failure.

    `sent` is on time.perf_counter's clock, when the connection stood and the request was written. Seconds since then:
    `pieces_s` of every event that brought text, `end_s` of the last event that brought text or the finish reason.
    Token counts are the server's own `usage`, None where it gives none.
    """

    sent: float
    status: str = DONE
    detail: str = ""
    pieces_s: list[float] = field(default_factory=list)
    end_s: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    finish_reason: str | None = None

    def fail(self, status: str, detail: str) -> None:
        self.status, self.detail = status, hide_key(detail)

    def take(self, data: str, now: float) -> bool:
        """Add one event that came `now`, and return whether it ends the stream. _Failed where its shape is unknown."""
        if data == "[DONE]":
            return True
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):
            raise _Failed("no JSON in an event", data[:_MESSAGE_CHARACTERS]) from None
        if not isinstance(event, dict):
            raise _Failed("no object in an event", data[:_MESSAGE_CHARACTERS])
        if event.get("error"):
            raise _Failed("error within the stream", json.dumps(event["error"])[:_MESSAGE_CHARACTERS])
        if isinstance(usage := event.get("usage"), dict):
            self.prompt_tokens = _count(usage.get("prompt_tokens"))
            self.completion_tokens = _count(usage.get("completion_tokens"))
        for choice in _choices(event, data):
            if text_of(choice):
                self.end_s = now - self.sent
                self.pieces_s.append(self.end_s)
            if choice.get("finish_reason"):
                self.finish_reason, self.end_s = str(choice["finish_reason"]), now - self.sent
        return False


def _choices(event: dict[str, Any], data: str) -> list[dict[str, Any]]:
    """Return an event's choices; it may have none. _Failed where they or their deltas are of another shape."""
    choices = event.get("choices") or []
    if not isinstance(choices, list) or not all(
        isinstance(choice, dict) and isinstance(choice.get("delta") or {}, dict) for choice in choices
    ):
        raise _Failed("no choices in an event", data[:_MESSAGE_CHARACTERS])
    return choices


def text_of(choice: dict[str, Any]) -> str:
    """Return the text that a choice of a streamed event brings, thoughts of a reasoning model included."""
    delta = choice.get("delta") or {}
    return str(delta.get("content") or delta.get("reasoning_content") or choice.get("text") or "")


def ask(endpoint: Endpoint, body: dict[str, Any], limits: Limits) -> Trace:
    """Send one streamed chat request and follow its answer. Whatever the server does is a trace, nothing raises."""
    connection = _connection(endpoint, limits)
    trace = Trace(time.perf_counter())
    try:
        try:
            connection.connect()
        except OSError as error:
            raise _Failed("no connection", f"{type(error).__name__}: {error}") from None
        connection.sock.settimeout(limits.stall_s)
        trace.sent = time.perf_counter()
        _follow(connection, endpoint, body, trace, limits)
    except _Failed as failed:
        trace.fail(failed.status, failed.detail)
    except TimeoutError:
        trace.fail("stalled", f"nothing came for {limits.stall_s:g} s")
    except (OSError, http.client.HTTPException) as error:
        trace.fail("connection broken", f"{type(error).__name__}: {error}")
    finally:
        connection.close()
    return trace


def _follow(
    connection: http.client.HTTPConnection,
    endpoint: Endpoint,
    body: dict[str, Any],
    trace: Trace,
    limits: Limits,
) -> None:
    sent = {"Content-Type": "application/json", "Accept": "text/event-stream"} | headers(endpoint.url)
    target = f"{urlsplit(endpoint.url).path}/chat/completions"
    connection.request("POST", target, json.dumps(body).encode(), sent)
    response = connection.getresponse()
    if response.status != 200:
        raise _Failed(f"status {response.status}", _message_of(response))
    if "text/event-stream" not in (response.getheader("content-type") or ""):
        raise _Failed("not streamed", f"the answer is {response.getheader('content-type')!r}")
    events, closed = Events(), False
    while not closed:
        data = response.read1(_READ_BYTES)
        now = time.perf_counter()
        if not data:
            break
        for event in events.feed(data):
            closed = trace.take(event, now) or closed
        if now - trace.sent > limits.total_s and not closed:
            raise _Failed("too long", f"not done after {limits.total_s:g} s")
    if trace.finish_reason is None and not closed:
        raise _Failed("cut off", "the stream ended without a finish reason")


def _connection(endpoint: Endpoint, limits: Limits) -> http.client.HTTPConnection:
    parts = urlsplit(endpoint.url)
    assert parts.hostname is not None
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname, parts.port, timeout=limits.connect_s)


def _message_of(response: http.client.HTTPResponse) -> str:
    text = response.read(1 << 14).decode("utf-8", errors="replace")
    try:
        return str(json.loads(text)["error"]["message"])[:_MESSAGE_CHARACTERS]
    except (ValueError, KeyError, TypeError, RecursionError):
        return text[:_MESSAGE_CHARACTERS]


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
