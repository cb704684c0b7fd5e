"""A model behind a port: load, listen, stop in good order."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from assay.harness.errors import BadInputError, MissingToolError
from assay.harness.generation.load import MeasuredGenerator
from assay.harness.serving.api import Api, Served
from assay.harness.serving.metrics import Metrics
from assay.harness.serving.scheduler import Scheduler
from assay.trainers.artifact import Artifact

DEFAULT_CAPACITY = 4096
_BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class Options:
    """`parallel` answers at a time, each of at most `context` tokens with its prompt (0: the model's, 4096 at most);
    `queue_limit` requests may wait."""

    host: str = "127.0.0.1"
    port: int = 8000
    parallel: int = 8
    context: int = 0
    queue_limit: int = 256
    api_key: str | None = None


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. BadInputError names the address that is taken or is none."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, proto)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(address)
        except OSError:
            found.close()
            raise
    except OSError as error:
        raise BadInputError(f"cannot listen on {host} port {port}: {error.strerror or error}") from error
    return found


@contextmanager
def open_api(generator: MeasuredGenerator, artifact: Artifact, name: str, options: Options) -> Iterator[Api]:
    """The application over a loaded model; its scheduler ends with the block."""
    engine = generator.engine
    metrics = Metrics()
    scheduler = Scheduler(
        engine,
        rows=options.parallel,
        capacity=options.context or min(engine.context, DEFAULT_CAPACITY),
        queue_limit=options.queue_limit,
        on_finished=metrics.finished,
    )
    about = {
        "kind": artifact.kind.value,
        "sha256": artifact.sha256,
        "backend": generator.backend,
        "vocabulary": generator.vocabulary,
    }
    try:
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
    listening.listen(_BACKLOG)  # who connects from here on waits for the server's loop, and is not refused
    on_ready()
    server.run(sockets=[listening])
