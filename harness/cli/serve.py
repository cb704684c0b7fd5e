"""`assay serve`: a model behind OpenAI's interface."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from typing import Annotated

from typer import Option

from assay.harness.cli.app import verb
from assay.harness.cli.options import ENGINE, Engine, Model, Quiet

KEY = "ASSAY_API_KEY"


@verb()
def serve(
    model: Model,
    host: Annotated[str, Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Option(min=0, max=65535, help="The port to listen on; 0 takes a free one.")] = 8000,
    name: Annotated[str | None, Option(help="The model's name in requests; left out, MODEL itself.")] = None,
    parallel: Annotated[int, Option(min=1, help="Answers that are generated at the same time.")] = 8,
    context: Annotated[
        int, Option(min=0, help="Tokens of a prompt with its answer; 0 is the model's limit, 4096 at most.")
    ] = 0,
    queue: Annotated[int, Option(min=1, help="Requests that may wait; further ones get status 429.")] = 256,
    engine: Engine = ENGINE,
    quiet: Quiet = False,
) -> None:
    """Serve a model with OpenAI's interface.

    The paths are /v1/models, /v1/completions, /v1/chat/completions, /health and /metrics. Requests must carry the key
    of the environment variable ASSAY_API_KEY, if it is set.
    """
    import importlib.util

    from assay.harness.errors import BadInputError, MissingToolError
    from assay.harness.models.resolve import resolve_model
    from assay.harness.serving.server import Options, bind, open_api, run

    for package in ("uvicorn", "starlette", "prometheus_client"):
        if importlib.util.find_spec(package) is None:
            raise MissingToolError(f"{package} is not installed; install it with: pip install 'assay[serve]'")
    key = os.environ.get(KEY)
    if key is not None and not key.strip():
        raise BadInputError(f"{KEY} = {key!r} is empty: give it a key, or unset it to serve without one")
    options = Options(host, port, parallel, context, queue, key)
    artifact = resolve_model(model)
    with closing(bind(host, port)) as listening:  # before the model is loaded, which may take long
        generator = engine.load(artifact, batch_size=parallel)
        with closing(generator), open_api(generator, artifact, name or model, options) as api:
            address, keyed = listening.getsockname(), ", key required" if key else ""

            def ready() -> None:
                if not quiet:
                    served = f"{name or model} ({artifact.kind.value}; {generator.backend})"
                    places = f"{parallel} answers of {api.scheduler.capacity} tokens at a time"
                    line = f"serving {served} at {url_of(address)}, {places}{keyed}"
                    print(line, file=sys.stderr, flush=True)

            run(api, listening, ready)


def url_of(address: tuple[str, int]) -> str:
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"http://{host}:{address[1]}/v1"
