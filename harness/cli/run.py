"""`assay run` and `assay showcase`: experiments, from a file or made for a tier."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from assay.harness.cli.app import new_table, print_json, screen, verb
from assay.harness.cli.options import RESULTS, SHOWN, AllowWeak, Limit, NoCache, Results, Shown

if TYPE_CHECKING:
    from assay.harness.experiment import Experiment


@verb()
def run(
    experiment: Annotated[str, Argument(help="An experiment file (TOML), or the name of a lab.")],
    results: Results = RESULTS,
    no_cache: NoCache = False,
    shown: Shown = SHOWN,
    allow_weak: AllowWeak = False,
) -> None:
    """Run an experiment: train, merge, export, generate, execute, score, report.

    A step that is done is not done again, so a run that was killed goes on where it was.
    """
    from assay.harness.experiment import find_experiment, load_experiment

    leaderboard, folder = conduct(
        load_experiment(find_experiment(experiment)),
        results,
        shown,
        allow_weak=allow_weak,
        no_cache=no_cache,
    )
    if shown.as_json:
        print_json({key: leaderboard[key] for key in ("rows", "reward_models")} | {"run": str(folder)})
    finish(leaderboard, shown)


def conduct(
    experiment: Experiment, results: Path, shown: Shown, *, allow_weak: bool, no_cache: bool = False
) -> tuple[dict[str, Any], Path]:
    """Plan, run, score and report an experiment, and print its leaderboard unless it is shown as JSON.

    Returns the leaderboard and the run's folder.
    """
    from assay.harness.evaluation.judge import CacheUse
    from assay.harness.leaderboard.build import build_leaderboard
    from assay.harness.leaderboard.seeds import pool_tables
    from assay.harness.pipeline.plan import make_plan
    from assay.harness.pipeline.runner import run as do
    from assay.harness.pipeline.steps.execute import load_tables
    from assay.harness.report import note_lines, render_terminal, reward_model_lines, write_report

    progress = shown.progress()
    plan = make_plan(experiment)
    cache = CacheUse(enabled=not no_cache)
    done = do(plan, results, progress, allow_weak=allow_weak, cache=cache)
    if not done.did:
        progress.say("every step was done before; the leaderboard is computed again from the samples on disk")
    tables = load_tables(done.store, plan)
    leaderboard = build_leaderboard(done, tables).model_copy(update={"taken_over": done.taken_over})
    write_report(done.folder, leaderboard, pool_tables(plan, tables), plan.suite.by_id())
    if not shown.as_json:
        console = screen()
        console.print(render_terminal(leaderboard, console.width))
        for line in (*note_lines(leaderboard), *reward_model_lines(leaderboard)):
            console.print(line, soft_wrap=True)
        console.print(f"report: {done.folder / 'report.html'}", soft_wrap=True)
    return leaderboard.to_json(), done.folder


def finish(leaderboard: dict[str, Any], shown: Shown) -> None:
    """End with exit code 2 where samples could not be measured."""

    if unmeasured := sum(row["outcomes"]["infra"] for row in leaderboard["rows"]):
        shown.progress().say(
            f"{unmeasured} samples could not be measured (infra); they are left out of every figure"
        )
        raise typer.Exit(2)


# `assay showcase`


@verb()
def showcase(
    tier: Annotated[str, Option(help="The tier: pocket, tiny, small, medium or large.")] = "small",
    auto_verify: Annotated[
        bool, Option("--auto-verify", help="Run every step, each with its check.")
    ] = False,
    steps: Annotated[
        str,
        Option(
            help="Run these steps and those they need: import,infer,train,merge,gguf,infer-gguf,profile,verify."
        ),
    ] = "",
    model: Annotated[
        Path | None, Option(help="A local folder with the tier's model, in place of fetching it.")
    ] = None,
    limit: Limit = None,
    results: Results = RESULTS,
    shown: Shown = SHOWN,
    allow_weak: AllowWeak = False,
) -> None:
    """Run every stage of a tier's model, each with its own check.

    The steps are import, infer, train, merge, gguf, infer-gguf, profile and verify; each passes, fails, or is
    unmeasured with a reason.

    Exit code 0: every step passed; 1: one failed; 2: one is unmeasured; 3: no step was chosen.
    """
    from assay.harness.pipeline.showcase import STEPS, check_steps, show
    from assay.harness.profiling.memory import find_tier

    chosen = check_steps(STEPS if auto_verify else [s.strip() for s in steps.split(",") if s.strip()])
    done = show(
        find_tier(tier),
        chosen,
        results,
        shown.progress(),
        model=model,
        limit=limit,
        allow_weak=allow_weak,
    )
    if shown.as_json:
        print_json(done.to_json())
    else:
        from rich.text import Text

        table = new_table(f"showcase of {done.tier}", "step", "status", "", box=None)
        colour = {"pass": "green", "fail": "red", "unmeasured": "yellow"}
        for result in done.results:
            table.add_row(result.step, Text(result.status, style=colour[result.status]), result.message)
        screen().print(table)
        if done.folder.exists():
            print(f"raw samples, report and profile: {done.folder}")
    raise typer.Exit(done.exit_code)
