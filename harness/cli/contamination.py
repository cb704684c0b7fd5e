"""`assay contamination`: the overlap of a suite with a training set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from assay.harness.cli.app import new_table, print_json, screen, verb
from assay.harness.cli.options import SHOWN, Shown, Split, Suite, SuitePath
from assay.harness.errors import BadInputError

if TYPE_CHECKING:
    from assay.harness.evaluation.contamination import Overlap
    from assay.trainers.data import Records

HUB = "hub:"


@verb()
def contamination(
    training: Annotated[
        str,
        Argument(
            help="The training set: a file (JSON Lines, JSON, Parquet), hub:ORG/NAME, or a suite that makes records."
        ),
    ],
    suite: Suite = "humaneval",
    suite_path: SuitePath = None,
    split: Split = None,
    n: Annotated[
        int | None, Option(min=1, help="Records to take of a file, the first ones, or to make by a suite.")
    ] = None,
    output: Annotated[Path | None, Option(help="Write every problem's overlap to this JSON file.")] = None,
    shown: Shown = SHOWN,
) -> None:
    """Measure how much of a suite's problems is in a training set.

    Reported are n-gram overlap and complete duplicates, by problem.
    """
    from assay.harness.evaluation.contamination import overlap
    from assay.harness.files import write_json
    from assay.harness.pipeline.steps.contamination import training_texts
    from assay.suites import load_suite

    problems = load_suite(suite, path=suite_path, split=split)
    records = _records(training, n)
    with shown.progress().task("compare", total=len(records.kept), unit="records"):
        measured = overlap(problems, training_texts(records))
    if output:
        write_json(output, measured.to_json())
    if shown.as_json:
        print_json(measured.to_json())
    else:
        _show(measured)


def _records(training: str, n: int | None) -> Records:
    from assay.trainers.data import RECORDS, DataConfig, load_records

    is_suite = training in RECORDS.names() and not Path(training).exists()
    if is_suite and n is None:
        raise BadInputError(f"{training} makes its training records: give their number with --n")
    if training.startswith(HUB):
        return load_records(DataConfig(hub=training.removeprefix(HUB), n=n))
    return load_records(DataConfig(suite=training, n=n) if is_suite else DataConfig(file=Path(training), n=n))


def _show(measured: Overlap) -> None:
    from assay.harness.evaluation.contamination import METHODS, THRESHOLD

    console = screen()
    total = len(next(iter(measured.shares.values())))
    title = f"{measured.suite}: {total} problems, {measured.n_texts} training texts"
    table = new_table(title, "n-grams", "flagged", "mean overlap", "worst")
    for method, shares in measured.shares.items():
        flagged = measured.flagged(method)
        worst = ", ".join(f"{task} {100 * shares[task]:.1f} %" for task in flagged[:3])
        mean = 100 * sum(shares.values()) / max(1, len(shares))
        table.add_row(
            f"{method} (n = {METHODS[method]})", f"{len(flagged)} of {total}", f"{mean:.2f} %", worst or "–"
        )
    console.print(table)
    for duplicate in measured.duplicates[:10]:
        console.print(f"duplicate: {duplicate.task_id}, its {duplicate.part}, in {duplicate.source}")
    if len(measured.duplicates) > 10:
        console.print(f"and {len(measured.duplicates) - 10} more")
    console.print(
        f"Flagged from {THRESHOLD:.0%} of a problem's n-grams on (of statement and canonical solution). "
        "Overlap is of text: "
        "problems made from one template share n-grams without being the same."
    )
