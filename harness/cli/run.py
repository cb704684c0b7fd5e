"""`assay run`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.app import AllowWeak, Json, NoCache, Quiet, app, print_json

if TYPE_CHECKING:
    from harness.experiment import Experiment

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
    from harness.experiment import find_experiment, load_experiment

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
    from harness.cache import CacheUse
    from harness.leaderboard import build_leaderboard, load_tables
    from harness.plan import make_plan
    from harness.progress import Progress
    from harness.report import render_terminal, reward_model_lines, write_report
    from harness.run import run as do
    from harness.seeds import pool_tables
    from harness.terminal import PLAIN_WIDTH, terminal

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
        print_json({key: leaderboard[key] for key in ("rows", "reward_models")} | {"run": str(done.folder)})
    else:
        console = terminal(plain_width=PLAIN_WIDTH)
        console.print(render_terminal(leaderboard, console.width))
        for line in reward_model_lines(leaderboard):
            console.print(line, soft_wrap=True)
        console.print(f"report: {done.folder / 'report.html'}", soft_wrap=True)
    unmeasured = sum(row["outcomes"]["infra"] for row in leaderboard["rows"])
    if unmeasured:
        progress.say(f"{unmeasured} samples could not be measured (infra); they are left out of every figure")
        raise typer.Exit(2)
