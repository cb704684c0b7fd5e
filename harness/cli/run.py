"""`assay run`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.harness.cli.app import AllowWeak, Json, NoCache, Quiet, app, print_json

if TYPE_CHECKING:
    from assay.harness.experiment import Experiment

Results = Annotated[Path, typer.Option("--results", help="Where runs are kept.")]


@app.command()
def run(
    experiment: Annotated[str, typer.Argument(help="An experiment file (TOML), or the name of a lab.")],
    results: Results = Path("results/runs"),
    no_cache: NoCache = False,
    as_json: Json = False,
    quiet: Quiet = False,
    allow_weak: AllowWeak = False,
) -> None:
    """Do an experiment: train, merge, export, generate, execute, score, report. Resumes after a kill."""
    from assay.harness.experiment import find_experiment, load_experiment

    checked = load_experiment(find_experiment(experiment))
    conduct(checked, results, as_json=as_json, quiet=quiet, allow_weak=allow_weak, no_cache=no_cache)


def conduct(
    experiment: Experiment,
    results: Path,
    *,
    as_json: bool,
    quiet: bool,
    allow_weak: bool,
    no_cache: bool = False,
) -> None:
    """Plan, run, score and report, and print what came out."""
    from assay.harness.console import PLAIN_WIDTH, Progress, terminal
    from assay.harness.evaluation.judge import CacheUse
    from assay.harness.leaderboard.build import build_leaderboard
    from assay.harness.leaderboard.seeds import pool_tables
    from assay.harness.pipeline.plan import make_plan
    from assay.harness.pipeline.runner import run as do
    from assay.harness.pipeline.steps.execute import load_tables
    from assay.harness.report import render_terminal, reward_model_lines, write_report
    from assay.sandbox import Outcome

    progress = Progress(enabled=not quiet)
    plan = make_plan(experiment)
    cache = CacheUse(enabled=not no_cache)
    done = do(plan, results, progress, allow_weak=allow_weak, cache=cache)
    if not done.did:
        progress.say("every step was done before; the leaderboard is computed again from the samples on disk")
    tables = load_tables(done.store, plan)
    leaderboard = build_leaderboard(done, tables)
    write_report(done.folder, leaderboard, pool_tables(plan, tables), plan.suite.by_id())
    if as_json:
        as_dict = leaderboard.to_json()
        print_json({key: as_dict[key] for key in ("rows", "reward_models")} | {"run": str(done.folder)})
    else:
        console = terminal(plain_width=PLAIN_WIDTH)
        console.print(render_terminal(leaderboard, console.width))
        for line in reward_model_lines(leaderboard):
            console.print(line, soft_wrap=True)
        console.print(f"report: {done.folder / 'report.html'}", soft_wrap=True)
    unmeasured = sum(row.outcomes[Outcome.INFRA] for row in leaderboard.rows)
    if unmeasured:
        progress.say(f"{unmeasured} samples could not be measured (infra); they are left out of every figure")
        raise typer.Exit(2)


# `assay showcase`


@app.command()
def showcase(
    tier: Annotated[str, typer.Option("--tier", help="pocket, tiny, small, medium or large.")] = "small",
    auto_verify: Annotated[
        bool, typer.Option("--auto-verify", help="All steps, each with its gate.")
    ] = False,
    steps: Annotated[
        str,
        typer.Option(
            "--steps",
            help="Or some, with what they need: import,infer,train,merge,gguf,infer-gguf,profile,verify.",
        ),
    ] = "",
    model: Annotated[
        Path | None, typer.Option("--model", help="A local folder of the tier's model; nothing is fetched.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Only the suite's first problems.")
    ] = None,
    results: Results = Path("results/runs"),
    as_json: Json = False,
    quiet: Quiet = False,
    allow_weak: AllowWeak = False,
) -> None:
    """Import, infer, train, merge, GGUF, infer, profile, verify: each step passes, fails, or is unmeasured and why.

    Exit code 0: every step passed; 1: one failed; 2: one is unmeasured; 3: no step was chosen.
    """
    from assay.harness.console import Progress
    from assay.harness.pipeline.showcase import STEPS, check_steps, show
    from assay.harness.profiling.memory import find_tier

    wanted = check_steps(STEPS if auto_verify else [s.strip() for s in steps.split(",") if s.strip()])
    done = show(
        find_tier(tier),
        wanted,
        results,
        Progress(enabled=not quiet),
        model=model,
        limit=limit,
        allow_weak=allow_weak,
    )
    if as_json:
        print_json(done.to_json())
    else:
        from rich.table import Table
        from rich.text import Text

        from assay.harness.console import PLAIN_WIDTH, terminal

        table = Table(title=f"showcase of {done.tier}", title_justify="left", box=None)
        for column in ("step", "status", ""):
            table.add_column(column)
        colour = {"pass": "green", "fail": "red", "unmeasured": "yellow"}
        for result in done.results:
            table.add_row(result.step, Text(result.status, style=colour[result.status]), result.message)
        terminal(plain_width=PLAIN_WIDTH).print(table)
        if done.folder.exists():
            print(f"raw samples, report and profile: {done.folder}")
    raise typer.Exit(done.exit_code)
