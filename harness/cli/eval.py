"""`assay eval`"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.app import AllowWeak, Json, Quiet, app, print_json

if TYPE_CHECKING:
    from harness.evaluation import Evaluation

SHOWN_FAULTS = 5


@app.command(name="eval")
def evaluate(
    samples: Annotated[
        Path, typer.Option("--samples", help="JSON Lines: task_id and completion, solution or reply.")
    ],
    suite: Annotated[
        str, typer.Option("--suite", help="humaneval, pocket, jsonl, or a plugin's.")
    ] = "humaneval",
    suite_path: Annotated[
        Path | None, typer.Option("--suite-path", help="The suite's file, where it reads one.")
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="train, dev or test, where the suite has them.")
    ] = None,
    backend: Annotated[str, typer.Option("--backend", help="embedded or docker.")] = "embedded",
    mode: Annotated[str, typer.Option("--mode", help="split or shared.")] = "split",
    workers: Annotated[int, typer.Option("--workers", help="Programs at a time; 0 is one per core.")] = 0,
    cpu_s: Annotated[float, typer.Option("--cpu-s", help="CPU seconds a program may use.")] = 5.0,
    memory_mb: Annotated[int, typer.Option("--memory-mb", help="MiB of memory a program may use.")] = 1024,
    k: Annotated[
        str, typer.Option("--k", help="Comma list for pass@k; default 1,10,100 as far as samples reach.")
    ] = "",
    as_json: Json = False,
    quiet: Quiet = False,
    allow_weak: AllowWeak = False,
) -> None:
    """Score a samples file. Verdicts are written beside it, in FILE_results.jsonl, in input order."""
    from pydantic import ValidationError

    from harness.errors import BadInputError
    from harness.evaluation import evaluate_file
    from harness.experiment import SandboxTable, explain
    from harness.progress import Progress
    from suites import SuiteError, UnknownNameError, load_suite

    raw: dict[str, Any] = {
        "backend": backend,
        "mode": mode,
        "workers": workers,
        "cpu_s": cpu_s,
        "wall_s": max(20.0, 4 * cpu_s),
        "memory_mb": memory_mb,
    }
    try:
        table = SandboxTable.model_validate(raw)
        problems = load_suite(suite, path=suite_path, split=split)
    except ValidationError as error:
        raise BadInputError(explain(error, SandboxTable)) from None
    except (SuiteError, UnknownNameError) as error:
        raise BadInputError(str(error)) from error
    faults = Faults()
    with Progress(enabled=not quiet).task("execute", unit="samples") as task:
        result = evaluate_file(
            problems,
            samples,
            table,
            k=parse_k(k),
            allow_weak=allow_weak,
            on_progress=task.update,
            on_malformed=faults.add,
        )
    faults.finish()
    if as_json:
        print_json(result.to_json())
    else:
        show(result)
    if result.malformed:
        raise typer.Exit(3)
    if result.tally.outcomes["infra"]:
        raise typer.Exit(2)


def parse_k(text: str) -> tuple[int, ...] | None:
    from harness.errors import BadInputError

    if not text:
        return None
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise BadInputError(f"--k takes numbers separated by commas, such as 1,10; got {text!r}") from None
    if min(found) < 1:
        raise BadInputError(f"--k: k must be at least 1, got {min(found)}")
    return found


class Faults:
    """Says the first malformed lines at once and counts the rest."""

    def __init__(self) -> None:
        self.seen = 0

    def add(self, message: str) -> None:
        self.seen += 1
        if self.seen <= SHOWN_FAULTS:
            print(f"assay: left out: {message}", file=sys.stderr)

    def finish(self) -> None:
        if self.seen > SHOWN_FAULTS:
            print(f"assay: and {self.seen - SHOWN_FAULTS} more malformed lines", file=sys.stderr)


def show(result: Evaluation) -> None:
    """A table for a person."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    problems, whole = len(result.tally.per_problem), len(result.suite.problems)
    table = Table(title=f"{result.suite.name}: {problems} of {whole} problems", title_justify="left")
    for column in ("", "value", "95 % interval", "method"):
        table.add_column(column)
    for k, estimate in result.scores.items():
        interval = f"{100 * estimate.low:.1f} to {100 * estimate.high:.1f}"
        table.add_row(f"pass@{k}", f"{100 * estimate.value:.1f} %", interval, estimate.method)
    console.print(table)
    outcomes: Counter[str] = result.tally.outcomes
    console.print(
        f"{sum(outcomes.values())} samples: " + ", ".join(f"{n} {name}" for name, n in outcomes.items() if n)
    )
    modes = ", ".join(f"{n} {mode}" for mode, n in result.tally.modes.items())
    console.print(f"judged: {modes}; isolation: {result.isolation}; {result.seconds:.1f} s", soft_wrap=True)
    if problems < whole:
        console.print(
            f"{whole - problems} problems have no sample: the score is over the {problems} that have one"
        )
    console.print(f"verdicts: {result.results}", soft_wrap=True)
