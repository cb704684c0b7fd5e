"""`assay profile`: a model's memory and speed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from assay.harness.cli import options
from assay.harness.cli.app import Json, Quiet, app, print_json
from assay.harness.errors import UNMEASURED, BadInputError, CheckFailedError, UnmeasuredError

if TYPE_CHECKING:
    from assay.harness.profiling.measure import Job
    from assay.harness.profiling.memory import Architecture

GIB = 1 << 30


def _of_a_server(args: list[str], _: set[str]) -> bool:
    """Whether the arguments name a server, which `assay loadtest` measures."""
    from assay.harness.cli.loadtest import is_address

    return any(is_address(argument) for argument in args)


@app.command(name="profile", cls=options.moved_to("loadtest", _of_a_server))
def profile_(
    model: options.ProfiledModel = None,
    tier: options.TierName = None,
    random_weights: options.RandomWeights = False,
    phases: options.Phases = "load,prefill,decode,generate",
    batch: options.Sequences = 1,
    prompt_tokens: options.PromptTokens = 512,
    new_tokens: options.NewTokens = 128,
    samples: options.SamplesPerPrompt = 1,
    repeats: options.Repeats = 6,
    warmup: options.Warmup = 1,
    device: options.ProfileDevice = "auto",
    dtype: options.ProfileDtype = "auto",
    weights: options.WeightFormat = "stored",
    threads: options.Threads = 0,
    train: options.Train = None,
    method: options.TrainMethod = None,
    rank: options.Rank = 16,
    optimizer: options.Optimizer = "adamw_torch",
    checkpointing: options.Checkpointing = None,
    attention: options.TrainAttention = "auto",
    base: options.BaseDtype = "auto",
    upcast: options.Upcast = True,
    lengths: options.Lengths = None,
    memory_limit: options.MemoryLimit = None,
    within: options.Within = None,
    exact_memory: options.ExactMemory = False,
    out: options.ProfileOut = options.PROFILES,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure a model's memory and speed in a process of its own, each component next to its prediction.

    A server is measured by assay loadtest (assay profile URL works too).
    """
    given = dict(locals())  # the options by their names
    training = _training(train, method)
    if training is not None:
        of_training = ("rank", "optimizer", "checkpointing", "attention", "base", "upcast")
        training |= {name: given[name] for name in of_training}
    same = ("prompt_tokens", "new_tokens", "samples", "repeats", "warmup", "device", "dtype", "weights")
    chosen = tuple(name.strip() for name in phases.split(",") if name.strip())
    job, architecture = _job(
        model,
        tier,
        random_weights,
        phases=chosen if training is None else ("load", "train"),
        training=training,
        batch_size=batch,
        threads=threads,
        exact_memory=exact_memory,
        **{name: given[name] for name in same},
        memory_limit_bytes=None if memory_limit is None else round(memory_limit * GIB),
    )
    _check(job, within, lengths)
    if lengths is not None:
        _lengths(job, architecture, lengths, out, as_json=as_json, quiet=quiet)
        return
    summary, raw = _measured(job, architecture, out, quiet=quiet, within=within)
    if as_json:
        print_json(summary)
    else:
        _print(summary, raw)
    _end(summary, raw, within)


def _check(job: Job, within: float | None, lengths: str | None) -> None:
    """Raise BadInputError for what cannot be measured, before a process is started."""
    from assay.harness.profiling.measure.job import check_limit

    if job.memory_limit_bytes is not None:
        check_limit(job)
    if job.training is not None:
        job.config()
    if within is not None and (within <= 0 or lengths is not None):
        raise BadInputError(
            f"--within takes a percentage above 0, of one profile; got {within:g}"
            + (" with --lengths" if lengths is not None else "")
        )


def _print(summary: dict[str, Any], raw: Path) -> None:
    from rich.console import Console

    from assay.harness.profiling.measure import llama_bench
    from assay.harness.profiling.measure.summary import render

    console = Console(width=None)
    console.print(render(summary))
    if "llama_bench" in summary:
        console.print(llama_bench.render(summary["llama_bench"]))
    print(f"raw record: {raw}")


def _end(summary: dict[str, Any], raw: Path, within: float | None) -> None:
    """Raise what the profile came to: failed, unmeasured, or a peak that `--within` does not allow."""
    if summary["status"] == "failed":
        raise UnmeasuredError(f"the measured process failed: {summary['detail']}; its record is {raw}")
    if summary["unmeasured"] or "unmeasured" in summary.get("llama_bench", {}):
        raise typer.Exit(UNMEASURED)
    if within is not None:
        _gate(summary)


def _gate(summary: dict[str, Any]) -> None:
    """Raise CheckFailedError where the peak misses its prediction, UnmeasuredError where that cannot be said."""
    prediction = summary["prediction"]
    match prediction["verdict"]:
        case "missed":
            raise CheckFailedError(
                f"the peak misses its prediction: {100 * prediction['beyond']:+.1f} %, "
                f"--within {100 * prediction['within']:g}"
            )
        case "unmeasured":
            reason = summary.get("unpredicted", "the peak was not measured")
            raise UnmeasuredError(f"--within: nothing to hold the prediction against: {reason}")


def _measured(
    job: Job, architecture: Architecture | None, out: Path, *, quiet: bool, within: float | None = None
) -> tuple[dict[str, Any], Path]:
    """Measure the job and return its summary, also written next to the raw record, and the raw record's path."""
    from assay.harness.console import Progress
    from assay.harness.profiling.measure import llama_bench, profile, summarise, with_prediction
    from assay.harness.profiling.measure.predicted import HELD
    from assay.harness.profiling.measure.summary import write_summary

    raw = options.fresh_path(out, job.name)
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
    """Measure the same job at each length; the points are also written next to the records."""
    from assay.harness.profiling.measure.summary import (
        at_length,
        curve,
        parse_lengths,
        render_curve,
        write_summary,
    )

    jobs = [at_length(job, tokens) for tokens in parse_lengths(lengths)]
    points = curve(_measured(one, architecture, out, quiet=quiet)[0] for one in jobs)
    file = options.fresh_path(out, f"{job.name}-lengths").with_suffix(".json")
    workload = job.model_dump(mode="json", exclude={"random_config"})
    write_summary(file, {"name": job.name, "job": workload, "curve": points})
    if as_json:
        print_json({"name": job.name, "file": str(file), "curve": points})
    else:
        from rich.console import Console

        Console(width=None).print(render_curve(job.name, points))
        print(f"points: {file}")
    if any(point["measured_bytes"] is None for point in points):
        raise typer.Exit(UNMEASURED)


def _training(train: str | None, method: str | None) -> dict[str, Any] | None:
    """Return the objective and the method that `--train` and `--method` mean together; None without `--train`."""
    if train is None:
        if method is not None:
            raise BadInputError("--method says what dpo, kto, orpo or ppo trains on; give --train too")
        return None
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
        chosen = find_tier(tier or DEFAULT_TIER)
        workload |= {"random_config": published_config(chosen.name)}
        return options.table(Job, name=f"{chosen.name}-random", **workload), chosen.architecture
    name = model or find_tier(tier or DEFAULT_TIER).model
    artifact = resolve_model(name)
    slug = options.slug(model or tier or DEFAULT_TIER)
    job = options.table(Job, name=slug, source=Source.of(artifact), **workload)
    if artifact.kind is ArtifactKind.GGUF:
        return job, None
    try:
        return job, read_architecture(model_folder(artifact), name=name)
    except BadInputError:  # an architecture whose memory cannot be predicted can be measured all the same
        return job, None
