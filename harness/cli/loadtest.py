"""`assay loadtest`: an OpenAI-compatible server under load."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from assay.harness.cli import options
from assay.harness.cli.app import Json, Quiet, app, print_json


def is_address(text: str) -> bool:
    """Whether a model is named by the address of a server."""
    from assay.harness.models.keys import ADDRESS

    return ADDRESS.match(text) is not None


@app.command()
def loadtest(
    address: Annotated[
        str, typer.Argument(metavar="URL", help="The server, such as http://host:port/v1#model.")
    ],
    concurrency: Annotated[
        str, typer.Option("--concurrency", help="Requests in flight, one measurement for each: a comma list.")
    ] = "1,4,16",
    requests: Annotated[
        int, typer.Option("--requests", help="Requests that count at each concurrency.")
    ] = 64,
    warmup: options.Warmup = 1,
    suite: Annotated[str, typer.Option("--suite", help="The suite whose problems are asked.")] = "humaneval",
    new_tokens: Annotated[int, typer.Option("--new-tokens", help="Tokens of an answer at most.")] = 128,
    timeout: Annotated[
        float, typer.Option("--timeout", help="Seconds of silence after which a request has failed.")
    ] = 60.0,
    out: options.ProfileOut = options.PROFILES,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure a server's throughput and latency under load (was: assay profile URL, which still works)."""
    from assay.harness.console import Progress
    from assay.harness.errors import UNMEASURED, BadInputError
    from assay.harness.models.resolve import endpoint_of, resolve_model
    from assay.harness.profiling.load import Workload, measure, summarise
    from assay.harness.profiling.load.client import Limits
    from assay.harness.profiling.load.drive import read_events
    from assay.harness.profiling.load.figures import render
    from assay.harness.profiling.measure.summary import write_summary
    from assay.suites import load_suite
    from assay.suites.model import chat_messages

    try:
        levels = tuple(int(part) for part in concurrency.split(",") if part.strip())
    except ValueError:
        raise BadInputError(f"--concurrency is a comma list of numbers, got {concurrency!r}") from None
    problems = load_suite(suite).problems
    if timeout <= 0:
        raise BadInputError(f"--timeout is a number of seconds above 0, got {timeout:g}")
    workload = Workload(
        prompts=tuple(chat_messages(problem)[0]["content"] for problem in problems),
        levels=levels,
        requests=requests,
        warmup=warmup,
        new_tokens=new_tokens,
        limits=Limits(stall_s=timeout, total_s=10 * timeout),
    )
    artifact = resolve_model(address)
    endpoint = endpoint_of(artifact)
    raw = options.fresh_path(out, options.slug(endpoint.model))
    total = sum(requests + warmup * level for level in levels)
    with Progress(enabled=not quiet).task(f"load {endpoint.model}", total=total, unit="requests") as task:
        seen = 0

        def on_event(event: dict[str, Any]) -> None:
            nonlocal seen
            if event["event"] == "request":
                seen += 1
                task.update(seen, f"{event['concurrency']} in flight")

        measure(endpoint, workload, raw, on_event)
    summary = summarise(read_events(raw), str(raw)) | {"sha256": artifact.sha256, "suite": suite}
    write_summary(raw.with_suffix(".json"), summary)
    if as_json:
        print_json(summary)
    else:
        from rich.console import Console

        Console(width=None).print(render(summary))
        print(f"raw record: {raw}")
    if summary["unmeasured"]:
        raise typer.Exit(UNMEASURED)
