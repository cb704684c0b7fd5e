"""`assay eval --samples FILE`: other people's samples, executed and scored."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from harness.cli.app import print_json

if TYPE_CHECKING:
    from harness.evaluation import Evaluation
    from harness.experiment import SandboxTable, SuiteTable

SHOWN_FAULTS = 5


def evaluate_samples(
    suite: SuiteTable,
    samples: Path,
    sandbox: SandboxTable,
    k: Sequence[int] | None,
    *,
    as_json: bool,
    quiet: bool,
    allow_weak: bool,
) -> None:
    """Evaluate, print, and end with 3 after malformed lines and 2 after samples that could not be measured."""
    from harness.errors import BadInputError
    from harness.evaluation import evaluate_file
    from harness.progress import Progress
    from suites import SuiteError, UnknownNameError, load_suite

    try:
        problems = load_suite(suite.name, path=suite.path, split=suite.split, limit=suite.limit)
    except (SuiteError, UnknownNameError) as error:
        raise BadInputError(str(error)) from error
    faults = Faults()
    with Progress(enabled=not quiet).task("execute", unit="samples") as task:
        result = evaluate_file(
            problems,
            samples,
            sandbox,
            k=k,
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
