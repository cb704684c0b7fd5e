"""`assay contamination`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.harness.cli.app import Json, Quiet, app, print_json

if TYPE_CHECKING:
    from assay.harness.evaluation.contamination import Overlap
    from assay.trainers.data import Records

HUB = "hub:"


@app.command()
def contamination(
    training: Annotated[
        str,
        typer.Argument(
            help="A training set: a file (JSON Lines, JSON, Parquet), or a suite that makes records."
        ),
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
    n: Annotated[
        int | None,
        typer.Option("--n", help="Only the first records of a file; of a suite, how many it makes."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="Write every problem's overlap to this JSON file.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """How much of a suite's problems stands in a training set: n-gram overlap and whole duplicates, by problem."""
    from assay.harness.console import Progress
    from assay.harness.errors import BadInputError
    from assay.harness.evaluation.contamination import overlap
    from assay.harness.files import write_json
    from assay.harness.pipeline.steps.contamination import training_texts
    from assay.suites import SuiteError, UnknownNameError, load_suite

    try:
        problems = load_suite(suite, path=suite_path, split=split)
    except (SuiteError, UnknownNameError) as error:
        raise BadInputError(str(error)) from error
    records = _records(training, n)
    with Progress(enabled=not quiet).task("compare", total=len(records.kept), unit="records"):
        found = overlap(problems, training_texts(records))
    if output:
        write_json(output, found.to_json())
    if as_json:
        print_json(found.to_json())
    else:
        _show(found)


def _records(training: str, n: int | None) -> Records:
    from assay.harness.errors import BadInputError
    from assay.trainers.data import RECORDS, DataConfig, load_records
    from assay.trainers.errors import TrainersError

    made = training in RECORDS.names() and not Path(training).exists()
    if made and n is None:
        raise BadInputError(f"{training} makes its training records: say how many with --n")
    try:
        if training.startswith(HUB):
            return load_records(DataConfig(hub=training.removeprefix(HUB), n=n))
        return load_records(DataConfig(suite=training, n=n) if made else DataConfig(file=Path(training), n=n))
    except (TrainersError, ValueError) as error:
        raise BadInputError(str(error)) from error


def _show(found: Overlap) -> None:
    from rich.table import Table

    from assay.harness.console import PLAIN_WIDTH, terminal
    from assay.harness.evaluation.contamination import METHODS, THRESHOLD

    console = terminal(plain_width=PLAIN_WIDTH)
    whole = len(next(iter(found.shares.values())))
    table = Table(
        title=f"{found.suite}: {whole} problems, {found.n_texts} training texts", title_justify="left"
    )
    for column in ("n-grams", "flagged", "mean overlap", "worst"):
        table.add_column(column)
    for method, shares in found.shares.items():
        flagged = found.flagged(method)
        worst = ", ".join(f"{task} {100 * shares[task]:.1f} %" for task in flagged[:3])
        mean = 100 * sum(shares.values()) / max(1, len(shares))
        table.add_row(
            f"{method} (n = {METHODS[method]})", f"{len(flagged)} of {whole}", f"{mean:.2f} %", worst or "–"
        )
    console.print(table)
    for duplicate in found.duplicates[:10]:
        console.print(f"duplicate: {duplicate.task_id}, its {duplicate.part}, in {duplicate.source}")
    if len(found.duplicates) > 10:
        console.print(f"and {len(found.duplicates) - 10} more")
    console.print(
        f"Flagged from {THRESHOLD:.0%} of a problem's n-grams on (of statement and canonical solution). "
        "Overlap is of text: "
        "problems made from one template share n-grams without being the same."
    )
