"""What a stranger may put up: a server that writes down who asked it what, and markers that show code having run."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = Callable[["Asked"], tuple[int, dict[str, str], Any]]


@dataclass(frozen=True)
class Asked:
    """One request: its method, path, headers (names in lower case) and body."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Stranger:
    """A server on loopback; `asked` holds what it was asked, the connections that sent nothing included."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)

    @property
    def keys(self) -> set[str]:
        """Every value of an Authorization header that arrived."""
        return {one.headers["authorization"] for one in self.asked if "authorization" in one.headers}


def model_of(asked: Asked) -> tuple[int, dict[str, str], Any]:
    """Answer as a server of one model does."""
    if asked.path.endswith("/models"):
        return 200, {}, {"data": [{"id": "m", "sha256": "f" * 64}]}
    message = {"role": "assistant", "content": "pass"}
    return 200, {}, {"choices": [{"message": message, "finish_reason": "stop"}]}


@contextmanager
def stranger(reply: Reply = model_of) -> Iterator[Stranger]:
    """Serve as long as the block lasts."""
    at = Stranger()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            n = int(self.headers.get("content-length") or 0)
            names = {name.lower(): value for name, value in self.headers.items()}
            at.asked.append(Asked(self.command, self.path, names, self.rfile.read(n)))
            status, headers, value = reply(at.asked[-1])
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            for name, text in headers.items():
                self.send_header(name, text)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_POST = do_HEAD = do_CONNECT = _answer  # noqa: N815

        def log_message(self, format: str, *values: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    at.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield at
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
