"""`assay profile http://…`: a server under load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from assay.harness.cli.app import print_json

# Of `assay profile`'s options, those that say something about a server; any other one given is refused.
_TAKEN = frozenset(
    {
        "model",
        "new_tokens",
        "warmup",
        "out",
        "as_json",
        "quiet",
        "concurrency",
        "requests",
        "timeout",
        "suite",
    }
)
_OWN = frozenset({"concurrency", "requests", "timeout", "suite"})


def is_address(model: str | None) -> bool:
    from assay.harness.models.resolve import ADDRESS

    return model is not None and ADDRESS.match(model) is not None


def profile_endpoint(
    address: str,
    *,
    concurrency: str,
    requests: int,
    timeout: float,
    suite: str,
    new_tokens: int,
    warmup: int,
    out: Path,
    as_json: bool,
    quiet: bool,
) -> None:
    from assay.harness.cli.options import fresh_path, slug
    from assay.harness.console import Progress
    from assay.harness.errors import UNMEASURED, BadInputError
    from assay.harness.models.resolve import endpoint_of, resolve_model
    from assay.harness.profiling.load import Workload, measure, summarise
    from assay.harness.profiling.load.client import Limits
    from assay.harness.profiling.load.drive import read_events
    from assay.harness.profiling.load.figures import render
    from assay.harness.profiling.measure.table import write_summary
    from assay.suites import SuiteError, UnknownNameError, load_suite
    from assay.suites.model import chat_messages

    try:
        levels = tuple(int(part) for part in concurrency.split(",") if part.strip())
    except ValueError:
        raise BadInputError(f"--concurrency is a comma list of numbers, got {concurrency!r}") from None
    try:
        problems = load_suite(suite).problems
    except (SuiteError, UnknownNameError) as error:
        raise BadInputError(str(error)) from error
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
    raw = fresh_path(out, slug(endpoint.model))
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


def check_options(context: Any, *, of_a_server: bool) -> None:
    """BadInputError names an option that was given and means nothing here."""
    from assay.harness.errors import BadInputError

    for parameter in context.command.params:
        name = parameter.name
        source = context.get_parameter_source(name)
        if source is None or source.name != "COMMANDLINE":
            continue
        if of_a_server and name not in _TAKEN:
            raise BadInputError(
                f"{parameter.opts[0]} is of a model that is loaded here; a server is asked as it is"
            )
        if not of_a_server and name in _OWN:
            raise BadInputError(
                f"{parameter.opts[0]} is of a server (http://host:port/v1), not of a model loaded here"
            )
