"""`assay eval`: a model's score on a suite; with `--samples FILE` the same as `assay score FILE`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from assay.harness.cli import options
from assay.harness.cli.app import app, print_json
from assay.harness.cli.score import (
    CpuS,
    Format,
    K,
    MemoryMb,
    Mode,
    Output,
    PerProblem,
    PerProblemFile,
    Repeat,
    sandbox_table,
    score_file,
    score_options,
    suite_table,
)


@app.command(name="eval")
def evaluate(
    model: Annotated[
        str | None, typer.Argument(help="A model: pocket, a folder, a .gguf file or a hub id.")
    ] = None,
    samples: Annotated[
        Path | None,
        typer.Option("--samples", help="Score this file of samples: the same as assay score FILE."),
    ] = None,
    suite: options.Suite = "humaneval",
    suite_path: options.SuitePath = None,
    suite_option: options.SuiteOption = None,
    split: options.Split = None,
    limit: options.Limit = None,
    n: options.OptionalN = None,
    temperature: options.OptionalTemperature = None,
    max_new_tokens: options.OptionalMaxNewTokens = None,
    style: options.OptionalStyle = None,
    seed: options.OptionalSeed = None,
    results: options.Results = options.RESULTS,
    backend: options.Backend = "embedded",
    mode: Mode = "split",
    isolation: options.Isolation = "cell",
    workers: options.Workers = 0,
    cpu_s: CpuS = 5.0,
    memory_mb: MemoryMb = 1024,
    k: K = "",
    form: Format = None,
    output: Output = None,
    per_problem: PerProblem = False,
    per_problem_file: PerProblemFile = None,
    repeat: Repeat = None,
    no_cache: options.NoCache = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    allow_weak: options.AllowWeak = False,
) -> None:
    """Score a model on a suite.

    The samples, verdicts and a report are kept in a run, which resumes after a kill. With --samples FILE this is
    `assay score FILE`.
    """
    from assay.harness.errors import BadInputError
    from assay.harness.experiment import Experiment

    if (model is None) == (samples is None):
        raise BadInputError("give a MODEL to evaluate, or --samples FILE to score; one of the two")
    if samples is not None:
        options.refuse(
            {"--n": n, "--temperature": temperature, "--style": style, "--seed": seed}
            | {"--max-new-tokens": max_new_tokens},
            "these options sample a model; --samples holds samples already",
        )
        score_file(
            suite_table(suite, suite_path, suite_option, split, limit),
            samples,
            sandbox_table(backend, mode, isolation, workers, cpu_s, memory_mb),
            score_options(k, form, output, repeat, no_cache=no_cache, allow_weak=allow_weak),
            as_json=as_json,
            quiet=quiet,
            per_problem=per_problem,
            per_problem_file=per_problem_file,
        )
        return
    options.refuse(
        {"--format": form, "--output": output, "--repeat": repeat, "--per-problem-file": per_problem_file}
        | {"--per-problem": per_problem or None},
        "these are for --samples; a model's own samples, verdicts and problems are in its run and report",
    )
    scored = options.parse_k(k) or tuple(i for i in (1, 10, 100) if i <= (n or 1))
    if max(scored) > (n or 1):
        raise BadInputError(f"--k {k} needs at least as many samples: give --n {max(scored)} or more")
    options.check_sampling(n or 1, temperature or 0)
    sampling = {"samples": n, "temperature": temperature, "max_new_tokens": max_new_tokens, "style": style}
    experiment = options.table(
        Experiment,
        name=options.slug(f"eval-{model}-{suite}"),
        seed=seed or 0,
        suite=suite_table(suite, suite_path, suite_option, split, limit),
        sampling={key: value for key, value in sampling.items() if value is not None},
        sandbox=sandbox_table(backend, mode, isolation, workers, cpu_s, memory_mb),
        score={"k": scored, "reference": "model"},
        variant=[{"name": "model", "model": model}],
    )
    from assay.harness.cli.run import conduct, finish

    started = time.perf_counter()
    leaderboard, folder = conduct(
        experiment, results, as_json=as_json, quiet=quiet, allow_weak=allow_weak, no_cache=no_cache
    )
    if as_json:
        print_json(_as_json(leaderboard, folder, time.perf_counter() - started))
    finish(leaderboard, quiet=quiet)


def _as_json(leaderboard: dict[str, Any], folder: Path, seconds: float) -> dict[str, Any]:
    """Return a model's score in the shape of a file's (docs/reference.md), with the keys of `assay run` beside it."""
    row, isolation = leaderboard["rows"][0], leaderboard["isolation"]
    return {
        "suite": leaderboard["suite"]["name"],
        "suite_revision": leaderboard["suite"]["revision"],
        "n_problems": row["n_problems"],
        "n_problems_in_suite": leaderboard["suite"]["n_problems"],
        "n_samples": row["n_samples"],
        "outcomes": row["outcomes"],
        "pass@k": row["pass@k"],
        "modes": {mode: row["modes"].get(mode, 0) for mode in ("split", "shared")},
        "cached": row["cached"],
        "isolation": isolation["label"],
        "backend": isolation["backend"],
        "families": {family: {"1": estimate} for family, estimate in row["families"].items()},
        "seconds": round(seconds, 3),
        "rows": leaderboard["rows"],
        "reward_models": leaderboard["reward_models"],
        "run": str(folder),
    }
