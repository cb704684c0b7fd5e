"""`assay profile`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.harness.cli.app import Json, Quiet, app, print_json
from assay.harness.cli.options import fresh_path

if TYPE_CHECKING:
    from assay.harness.profiling.measure import Job
    from assay.harness.profiling.memory import Architecture

GIB = 1 << 30


@app.command(name="profile")
def profile_(
    context: typer.Context,
    model: Annotated[
        str | None,
        typer.Argument(help="A tier, a folder, a .gguf file or a hub id; with --random-weights a tier."),
    ] = None,
    tier: Annotated[
        str | None,
        typer.Option("--tier", help="pocket, tiny, small, medium or large: the same as naming it."),
    ] = None,
    random_weights: Annotated[
        bool,
        typer.Option(
            "--random-weights", help="The tier's architecture with random weights: nothing is fetched."
        ),
    ] = False,
    phases: Annotated[
        str, typer.Option("--phases", help="Comma list of load, prefill, decode, generate.")
    ] = "load,prefill,decode,generate",
    batch: Annotated[
        int, typer.Option("--batch", help="Sequences (of dpo and orpo: pairs; of ppo: prompts).")
    ] = 1,
    prompt_tokens: Annotated[
        int,
        typer.Option("--prompt-tokens", help="Tokens of each prompt; of --train but ppo, of each sequence."),
    ] = 512,
    new_tokens: Annotated[
        int, typer.Option("--new-tokens", help="Tokens written to each prompt; of ppo, of each answer.")
    ] = 128,
    samples: Annotated[
        int, typer.Option("--samples", help="Of generate and ppo: answers to each prompt.")
    ] = 1,
    repeats: Annotated[int, typer.Option("--repeats", help="Repeats of each phase that count.")] = 6,
    warmup: Annotated[int, typer.Option("--warmup", help="Repeats before them, dropped and counted.")] = 1,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    dtype: Annotated[
        str,
        typer.Option("--dtype", help="fp32, bf16, fp16; auto: as stored, of --train what the device has."),
    ] = "auto",
    weights: Annotated[
        str, typer.Option("--weights", help="Of inference: stored, or quantised to int8, nf4 or fp4.")
    ] = "stored",
    threads: Annotated[int, typer.Option("--threads", help="CPU threads; 0 is the library's choice.")] = 0,
    train: Annotated[
        str | None,
        typer.Option(
            "--train",
            help="Training steps in place of inference: lora, qlora, int8, full, dpo, kto, orpo or ppo.",
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--method", help="Of --train dpo, kto, orpo and ppo: on lora (the default), qlora, int8 or full."
        ),
    ] = None,
    rank: Annotated[int, typer.Option("--rank", help="Of --train: the adapter's rank.")] = 16,
    optimizer: Annotated[
        str, typer.Option("--optimizer", help="Of --train: as in a training table.")
    ] = "adamw_torch",
    checkpointing: Annotated[
        bool | None,
        typer.Option(
            "--checkpointing/--no-checkpointing",
            help="Of --train: activations are computed again; on for qlora and int8 on a GPU.",
        ),
    ] = None,
    attention: Annotated[
        str, typer.Option("--attention", help="Of --train: auto (the trainer's choice), sdpa or eager.")
    ] = "auto",
    base: Annotated[
        str,
        typer.Option(
            "--base",
            help="Of --train on lora: the frozen base's type; auto: the arithmetic's.",
        ),
    ] = "auto",
    upcast: Annotated[
        bool,
        typer.Option("--upcast/--no-upcast", help="Of --train: the unquantised rest in fp32, as PEFT does."),
    ] = True,
    lengths: Annotated[
        str | None,
        typer.Option(
            "--lengths", help="Comma list in place of --prompt-tokens: the peak against the length."
        ),
    ] = None,
    memory_limit: Annotated[
        float | None,
        typer.Option(
            "--memory-limit", help="GiB that torch's CUDA allocator may take; without CUDA refused."
        ),
    ] = None,
    within: Annotated[
        float | None,
        typer.Option(
            "--within", help="Per cent of the prediction: exit with 1 where the peak misses it by more."
        ),
    ] = None,
    concurrency: Annotated[
        str, typer.Option("--concurrency", help="Of a server: comma list of requests in flight.")
    ] = "1,4,16",
    requests: Annotated[
        int, typer.Option("--requests", help="Of a server: requests that count at each concurrency.")
    ] = 64,
    timeout: Annotated[
        float, typer.Option("--timeout", help="Of a server: seconds of silence that end a request.")
    ] = 60.0,
    suite: Annotated[
        str, typer.Option("--suite", help="Of a server: whose problems it is asked.")
    ] = "humaneval",
    exact_memory: Annotated[
        bool,
        typer.Option("--exact-memory", help="On a CPU: freed memory goes back at once; exact, and slower."),
    ] = False,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of the raw record and its summary.")
    ] = Path("results/profiles"),
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure a model's memory and speed in a process of its own, each component beside what was predicted."""
    from assay.harness.cli.loadtest import check_options, is_address, profile_endpoint

    check_options(context, of_a_server=is_address(model))
    if model is not None and is_address(model):
        profile_endpoint(
            model,
            concurrency=concurrency,
            requests=requests,
            timeout=timeout,
            suite=suite,
            new_tokens=new_tokens,
            warmup=warmup,
            out=out,
            as_json=as_json,
            quiet=quiet,
        )
        return
    from assay.harness.errors import UNMEASURED, BadInputError, UnmeasuredError

    training = None
    if train is not None:
        training = _training(train, method) | {
            "rank": rank,
            "optimizer": optimizer,
            "checkpointing": checkpointing,
            "attention": attention,
            "base": base,
            "upcast": upcast,
        }
    elif method is not None:
        raise BadInputError("--method says what dpo, kto, orpo or ppo trains on; give --train too")
    wanted = tuple(p.strip() for p in phases.split(",") if p.strip())
    job, architecture = _job(
        model,
        tier,
        random_weights,
        phases=wanted if train is None else ("load", "train"),
        training=training,
        batch_size=batch,
        prompt_tokens=prompt_tokens,
        new_tokens=new_tokens,
        samples=samples,
        repeats=repeats,
        warmup=warmup,
        device=device,
        dtype=dtype,
        weights=weights,
        threads=threads,
        exact_memory=exact_memory,
        memory_limit_bytes=None if memory_limit is None else round(memory_limit * GIB),
    )
    if job.memory_limit_bytes is not None:
        from assay.harness.profiling.measure.job import check_limit

        check_limit(job)
    if job.training is not None:
        from assay.harness.profiling.measure.training import training_config

        training_config(job, 1)  # what cannot be is said before a process is started
    if within is not None and (within <= 0 or lengths is not None):
        raise BadInputError(
            f"--within takes a percentage above 0, of one profile; got {within:g}"
            + (" with --lengths" if lengths is not None else "")
        )
    if lengths is not None:
        _lengths(job, architecture, lengths, out, as_json=as_json, quiet=quiet)
        return
    summary, raw = _measured(job, architecture, out, quiet=quiet, within=within)
    if as_json:
        print_json(summary)
    else:
        from rich.console import Console

        from assay.harness.profiling.measure import llama_bench
        from assay.harness.profiling.measure.table import render

        Console(width=None).print(render(summary))
        if "llama_bench" in summary:
            Console(width=None).print(llama_bench.render(summary["llama_bench"]))
        print(f"raw record: {raw}")
    if summary["status"] == "failed":
        raise UnmeasuredError(f"the measured process failed: {summary['detail']}; its record is {raw}")
    if summary["unmeasured"] or "unmeasured" in summary.get("llama_bench", {}):
        raise typer.Exit(UNMEASURED)
    if within is not None:
        _gate(summary)


def _gate(summary: dict[str, Any]) -> None:
    """`--within`: the verdict on the prediction as an exit code."""
    from assay.harness.errors import CheckFailedError, UnmeasuredError

    found = summary["prediction"]
    match found["verdict"]:
        case "missed":
            raise CheckFailedError(
                f"the peak misses its prediction: {100 * found['beyond']:+.1f} %, --within {100 * found['within']:g}"
            )
        case "unmeasured":
            why = summary.get("unpredicted", "the peak was not measured")
            raise UnmeasuredError(f"--within: nothing to hold the prediction against: {why}")


def _measured(
    job: Job, architecture: Architecture | None, out: Path, *, quiet: bool, within: float | None = None
) -> tuple[dict[str, Any], Path]:
    """The summary, which is written beside the raw record, and the raw record's path."""
    from assay.harness.console import Progress
    from assay.harness.profiling.measure import llama_bench, profile, summarise, with_prediction
    from assay.harness.profiling.measure.predicted import HELD
    from assay.harness.profiling.measure.table import write_summary

    raw = fresh_path(out, job.name)
    with Progress(enabled=not quiet).task(f"profile {job.name}") as task:

        def on_event(event: dict[str, Any]) -> None:
            if event["event"] in ("begin", "time"):
                task.update(event.get("repeat", 0), event["phase"])

        record = profile(job, raw, on_event)
    allowed = HELD if within is None else within / 100
    summary = with_prediction(summarise(record), job, architecture, allowed)
    if llama_bench.applies(job) and summary["status"] == "done":
        summary["llama_bench"] = llama_bench.llama_bench(job, raw)
    write_summary(raw.with_suffix(".json"), summary)
    return summary, raw


def _lengths(
    job: Job, architecture: Architecture | None, lengths: str, out: Path, *, as_json: bool, quiet: bool
) -> None:
    """The same job at each length; the points are also written beside the records."""
    from assay.harness.errors import UNMEASURED
    from assay.harness.profiling.measure.summary import at_length, curve, parse_lengths, render_curve
    from assay.harness.profiling.measure.table import write_summary

    jobs = [at_length(job, tokens) for tokens in parse_lengths(lengths)]
    points = curve(_measured(one, architecture, out, quiet=quiet)[0] for one in jobs)
    file = fresh_path(out, f"{job.name}-lengths").with_suffix(".json")
    write_summary(
        file,
        {"name": job.name, "job": job.model_dump(mode="json", exclude={"random_config"}), "curve": points},
    )
    if as_json:
        print_json({"name": job.name, "file": str(file), "curve": points})
    else:
        from rich.console import Console

        Console(width=None).print(render_curve(job.name, points))
        print(f"points: {file}")
    if any(point["measured_bytes"] is None for point in points):
        raise typer.Exit(UNMEASURED)


def _training(train: str, method: str | None) -> dict[str, str]:
    """What `--train` and `--method` say together: an objective, and how the weights are trained."""
    from assay.harness.errors import BadInputError

    if train in ("dpo", "kto", "orpo", "ppo"):
        return {"objective": train, "method": method or "lora"}
    if method is not None:
        raise BadInputError(
            f"--train {train} names the method already; --method goes with --train dpo, kto, orpo or ppo"
        )
    return {"objective": "sft", "method": train}


def _job(
    model: str | None, tier: str | None, random_weights: bool, **workload: Any
) -> tuple[Job, Architecture | None]:
    from assay.harness.cli.options import slug, table
    from assay.harness.errors import BadInputError
    from assay.harness.models.resolve import resolve_model
    from assay.harness.profiling.measure.job import Job, Source
    from assay.harness.profiling.memory import (
        DEFAULT_TIER,
        find_tier,
        published_config,
        read_architecture,
        tier_names,
    )
    from assay.trainers.artifact import ArtifactKind, model_folder

    if model is not None and tier is not None:
        raise BadInputError("give a MODEL or --tier, not both")
    if model in tier_names() and not Path(model).exists():
        model, tier = None, model
    if random_weights:
        if model is not None:
            raise BadInputError(
                f"--random-weights fills a tier's published architecture; {model!r} is none of: "
                + ", ".join(tier_names())
            )
        found = find_tier(tier or DEFAULT_TIER)
        job = table(Job, name=f"{found.name}-random", random_config=published_config(found.name), **workload)
        return job, found.architecture
    name = model or find_tier(tier or DEFAULT_TIER).model
    artifact = resolve_model(name)
    job = table(Job, name=slug(model or tier or DEFAULT_TIER), source=Source.of(artifact), **workload)
    if artifact.kind is ArtifactKind.GGUF:
        return job, None
    try:
        return job, read_architecture(model_folder(artifact), name=name)
    except BadInputError:  # an architecture whose memory cannot be predicted can be measured all the same
        return job, None
