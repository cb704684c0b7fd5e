"""`assay suites check`: how each problem of a suite is judged, and which cannot be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from assay.harness.cli import options
from assay.harness.cli.app import app, new_table, print_json, screen, verb

if TYPE_CHECKING:
    from assay.harness.evaluation.ground_truth import Truth
    from assay.suites import Suite

SHOWN_ROWS = 40

suites_app = typer.Typer(name="suites", no_args_is_help=True)
app.add_typer(suites_app)


@suites_app.callback()
def suites() -> None:
    """Check suites and files of problems."""


@verb(within=suites_app)
def check(
    suite: Annotated[
        str, Argument(metavar="NAME|FILE", help="A suite, or a file of problems of your own (JSON Lines).")
    ],
    suite_path: options.SuitePath = None,
    split: options.Split = None,
    limit: options.Limit = None,
    suite_option: options.SuiteOption = None,
    backend: options.Backend = "embedded",
    workers: options.Workers = 0,
    cpu_s: options.CpuSeconds = None,
    memory_mb: Annotated[int, Option(help="MiB of memory that a program may use.")] = 1024,
    every: Annotated[
        bool,
        Option("--all", help="Print a row for every problem, not only for those that are not judged split."),
    ] = False,
    shown: options.Shown = options.SHOWN,
    allow_weak: options.AllowWeak = False,
) -> None:
    """Run each problem's reference solution, and show how the problem is judged.

    A problem is judged split or shared, or is unmeasured: then no answer to it is run or counted.

    `assay run`, `eval` and `score` do the same before they judge, and what is learned is kept.

    Exit code 2: some problem is unmeasured.
    """
    from assay.harness.evaluation.ground_truth import examine
    from assay.harness.experiment import SandboxTable
    from assay.suites import SUITES, load_suite

    settings = options.parse_options(suite_option)
    if suite not in SUITES.names() and Path(suite).is_file() and suite_path is None:
        suite, suite_path = "jsonl", Path(suite)
    problems = load_suite(suite, path=suite_path, split=split, limit=limit, options=settings)
    table = options.table(
        SandboxTable,
        backend=backend,
        workers=workers,
        cpu_s=cpu_s,
        wall_s=max(20.0, 4 * (cpu_s or 0)),
        memory_mb=memory_mb,
    )
    with shown.progress().task("check", total=len(problems.problems), unit="problems") as task:
        checked, truths = examine(
            problems,
            table,
            allow_weak=allow_weak,
            on_progress=lambda what, done, total: task.update(done, what),
        )
    if shown.as_json:
        print_json(_as_json(checked, truths))
    else:
        _show(checked, truths, every=every)
    if any(truth.mode is None for truth in truths.values()):
        raise typer.Exit(2)


def _totals(truths: Mapping[str, Truth]) -> dict[str, int]:
    counts = Counter(truth.mode or "unmeasured" for truth in truths.values())
    return {name: counts[name] for name in ("split", "shared", "unmeasured")}


def _as_json(suite: Suite, truths: Mapping[str, Truth]) -> dict[str, Any]:
    rows = [
        {
            "task_id": problem,
            "mode": truth.mode or "unmeasured",
            "reference_cpu_s": truth.cpu_s,
            "stateful": truth.stateful,
            "reason": truth.reason,
        }
        for problem, truth in truths.items()
    ]
    totals = _totals(truths)
    without = sum(truth.cpu_s is None and truth.mode is not None for truth in truths.values())
    return {
        "suite": suite.name,
        "suite_revision": suite.revision,
        "n_problems": len(truths),
        **totals,
        "stateful": sum(truth.stateful for truth in truths.values()),
        "without_reference": without,
        "reference_cpu_s": round(sum(truth.cpu_s or 0.0 for truth in truths.values()), 3),
        "problems": rows,
    }


def _show(suite: Suite, truths: Mapping[str, Truth], *, every: bool) -> None:
    from rich.text import Text

    console = screen()
    rows = {
        problem: truth
        for problem, truth in truths.items()
        if every or truth.mode != "split" or truth.stateful
    }
    shown = list(rows.items()) if every else list(rows.items())[:SHOWN_ROWS]
    if shown:
        table = new_table(suite.name, "problem", "mode", "reference, CPU s", "", right=("reference, CPU s",))
        colour = {None: "red", "shared": "yellow", "split": "green"}
        for problem, truth in shown:
            seconds = "–" if truth.cpu_s is None else f"{truth.cpu_s:.2f}"
            notes = (
                "stateful: its reference's answers hang on the order of the questions"
                if truth.stateful
                else ""
            )
            mode = Text(truth.mode or "unmeasured", style=colour[truth.mode])
            table.add_row(problem, mode, seconds, Text("; ".join(filter(None, (truth.reason, notes)))))
        console.print(table)
    if len(shown) < len(rows):
        console.print(f"and {len(rows) - len(shown)} more: --all, or --json")
    totals = _totals(truths)
    counts = ", ".join(f"{n} {name}" for name, n in totals.items())
    console.print(f"{suite.name}: {len(truths)} problems: {counts}", soft_wrap=True)
    bare = sum(truth.cpu_s is None and truth.mode is not None for truth in truths.values())
    if bare:
        console.print(f"{bare} problems have no reference solution: the form of their checks decided")
    total_s = sum(truth.cpu_s or 0.0 for truth in truths.values())
    console.print(f"the references took {total_s:.1f} s of CPU time")
    if totals["unmeasured"]:
        console.print(
            f"a score on this suite is over {len(truths) - totals['unmeasured']} of {len(truths)} problems: no answer "
            "to an unmeasured one is run or counted",
            soft_wrap=True,
        )
