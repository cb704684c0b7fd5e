"""`assay serve`"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from assay.harness.cli.app import Quiet, app

KEY = "ASSAY_API_KEY"


@app.command()
def serve(
    model: Annotated[str, typer.Argument(help="pocket, a folder, a .gguf file or a hub id.")],
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 8000,
    name: Annotated[
        str | None, typer.Option("--name", help="The model's name in requests; MODEL itself.")
    ] = None,
    parallel: Annotated[int, typer.Option("--parallel", min=1, help="Answers at a time.")] = 8,
    context: Annotated[
        int,
        typer.Option(
            "--context", min=0, help="Tokens of a prompt and its answer; the model's, 4096 at most."
        ),
    ] = 0,
    queue: Annotated[int, typer.Option("--queue", min=1, help="Requests that may wait; more get 429.")] = 256,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    dtype: Annotated[str, typer.Option("--dtype", help="auto (as stored), fp32, bf16 or fp16.")] = "auto",
    threads: Annotated[int, typer.Option("--threads", help="CPU threads; 0 is one per core.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Serve a model with OpenAI's interface: /v1/models, /v1/completions, /v1/chat/completions, /health, /metrics.

    Requests must carry the key in the environment's ASSAY_API_KEY, where it is set.
    """
    import importlib.util

    from assay.harness.errors import BadInputError, MissingToolError
    from assay.harness.generation import load_generator
    from assay.harness.models.resolve import resolve_model
    from assay.harness.serving.server import Options, bind, open_api, run

    for package in ("uvicorn", "starlette", "prometheus_client"):
        if importlib.util.find_spec(package) is None:
            raise MissingToolError(f"{package} is not installed; install it with: pip install 'assay[serve]'")
    key = os.environ.get(KEY)
    if key is not None and not key.strip():
        raise BadInputError(f"{KEY} is set but empty: unset it to serve without a key")
    options = Options(host, port, parallel, context, queue, key)
    artifact = resolve_model(model)
    listening = bind(host, port)  # before the model is loaded, which may take long
    try:
        generator = load_generator(
            artifact,
            batch_size=parallel,
            threads=threads or len(os.sched_getaffinity(0)),
            device=device,
            dtype=dtype,
        )
        try:
            with open_api(generator, artifact, name or model, options) as api:
                address, keyed = listening.getsockname(), ", key required" if key else ""

                def ready() -> None:
                    if not quiet:
                        told = f"{name or model} ({artifact.kind.value}; {generator.backend})"
                        room = f"{parallel} answers of {api.scheduler.capacity} tokens at a time"
                        print(
                            f"serving {told} at {url_of(address)}, {room}{keyed}", file=sys.stderr, flush=True
                        )

                run(api, listening, ready)
        finally:
            generator.close()
    finally:
        listening.close()


def url_of(address: tuple[str, int]) -> str:
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"http://{host}:{address[1]}/v1"
