"""`assay eval --samples FILE`: other people's samples, judged and scored."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from assay.harness.cli.app import print_json

if TYPE_CHECKING:
    from rich.console import Console

    from assay.harness.evaluation.samples_file import Evaluation, Options
    from assay.harness.experiment import SandboxTable, SuiteTable
    from assay.harness.stats.pass_at_k import Estimate

SHOWN_FAULTS = 5
SHOWN_FLAKY = 10


def evaluate_samples(
    suite: SuiteTable,
    samples: Path,
    sandbox: SandboxTable,
    options: Options,
    *,
    as_json: bool,
    quiet: bool,
    per_problem: bool,
    per_problem_file: Path | None,
) -> None:
    """Evaluate, print, and end with 3 after malformed lines, 2 after samples that could not be measured, and 1
    after verdicts that differed between repetitions."""
    from assay.harness.console import Progress
    from assay.harness.errors import BadInputError
    from assay.harness.evaluation.formats.read import table_in
    from assay.harness.evaluation.samples_file import evaluate_file, outputs_of, refuse_overwrite
    from assay.suites import SuiteError, UnknownNameError, load_suite

    read = {"the samples": table_in(samples)} | ({"the suite's file": suite.path} if suite.path else {})
    table = {"the problems' file": per_problem_file} if per_problem_file else {}
    refuse_overwrite(read, outputs_of(samples, options) | table)
    try:
        problems = load_suite(
            suite.name, path=suite.path, split=suite.split, limit=suite.limit, options=suite.options
        )
    except (SuiteError, UnknownNameError) as error:
        raise BadInputError(str(error)) from error
    faults = Faults()
    progress = Progress(enabled=not quiet)

    def on_references(done: int, total: int) -> None:
        if done == 0:
            progress.say(f"making the expected answers of {total} problems with their references, once")

    with progress.task("execute", unit="samples") as task:
        result = evaluate_file(
            problems,
            samples,
            sandbox,
            options,
            on_progress=task.update,
            on_malformed=faults.add,
            on_references=on_references,
        )
    faults.finish(result.faults.path)
    if per_problem_file:
        write_problems(result, per_problem_file)
    if as_json:
        print_json(result.to_json())
    else:
        show(result, per_problem=per_problem)
    if result.faults.count:
        raise typer.Exit(3)
    if result.tally.outcomes["infra"]:
        raise typer.Exit(2)
    if result.repeats and result.repeats.n_differing:
        raise typer.Exit(1)


class Faults:
    """Says the first malformed lines at once and counts the rest."""

    def __init__(self) -> None:
        self.seen = 0

    def add(self, message: str) -> None:
        self.seen += 1
        if self.seen <= SHOWN_FAULTS:
            print(f"assay: left out: {message}", file=sys.stderr)

    def finish(self, listed: Path | None = None) -> None:
        if self.seen > SHOWN_FAULTS:
            where = f", all in {listed}" if listed else ""
            print(f"assay: and {self.seen - SHOWN_FAULTS} more malformed lines{where}", file=sys.stderr)


def write_problems(result: Evaluation, path: Path) -> None:
    """The per-problem table as CSV, or as JSON Lines where the name ends so."""
    import csv
    import io
    import json

    from assay.harness.files import write_text
    from assay.sandbox import Outcome

    rows = result.tally.table(tuple(result.scores))
    if path.suffix == ".jsonl":
        write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
        return
    text = io.StringIO(newline="")
    names = [outcome.value for outcome in Outcome]
    writer = csv.writer(text)
    writer.writerow(["task_id", "n", "passed", *(f"pass@{k}" for k in result.scores), *names])
    for row in rows:
        figures = [row["pass@k"].get(str(k), "") for k in result.scores]
        counts = [row["outcomes"].get(name, 0) for name in names]
        writer.writerow([row["task_id"], row["n"], row["passed"], *figures, *counts])
    write_text(path, text.getvalue())


def show(result: Evaluation, *, per_problem: bool) -> None:
    """Tables for a person: every score beside the n it rests on and how its samples ended."""
    from assay.harness.console import PLAIN_WIDTH, terminal

    console = terminal(plain_width=PLAIN_WIDTH)
    _scores(console, result)
    _families(console, result)
    if per_problem:
        _problems(console, result)
    problems, whole = len(result.tally.measured()), len(result.suite.problems)
    console.print(f"{result.tally.n_samples} samples: {_counts(result.tally.outcomes.items())}")
    modes = ", ".join(f"{n} {mode}" for mode, n in result.tally.modes.items())
    executed = "" if result.repeats else f"; {result.cached} verdicts from the cache"
    console.print(
        f"judged: {modes}{executed}; isolation: {result.isolation}; {result.seconds:.1f} s", soft_wrap=True
    )
    if problems < whole:
        console.print(
            f"{whole - problems} problems have no sample: the score is over the {problems} that have one"
        )
    _repeats(console, result)
    console.print(f"read as {result.samples.format}; verdicts: {result.results}", soft_wrap=True)


def _counts(pairs: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{n} {name}" for name, n in pairs if n)


def _interval(estimate: Estimate) -> str:
    return f"{100 * estimate.low:.1f} to {100 * estimate.high:.1f}"


def _scores(console: Console, result: Evaluation) -> None:
    from rich.table import Table

    problems, whole = len(result.tally.measured()), len(result.suite.problems)
    table = Table(title=f"{result.suite.name}: {problems} of {whole} problems", title_justify="left")
    for column in ("", "value", "95 % interval", "problems", "samples", "method"):
        table.add_column(column, justify="right" if column in ("problems", "samples") else "left")
    samples = str(result.tally.n_samples - result.tally.outcomes["infra"])
    for name, found in (("pass", result.scores), ("base pass", result.base)):
        for k, estimate in found.items():
            value = f"{100 * estimate.value:.1f} %"
            table.add_row(
                f"{name}@{k}", value, _interval(estimate), str(estimate.n), samples, estimate.method
            )
    console.print(table)


def _families(console: Console, result: Evaluation) -> None:
    if not result.families:
        return
    from rich.table import Table

    table = Table(title="by family", title_justify="left")
    table.add_column("family")
    table.add_column("problems", justify="right")
    for k in result.scores:
        table.add_column(f"pass@{k}, 95 % interval")
    for family, found in result.families.items():
        n = max((e.n for e in found.values()), default=0)
        cells = [
            f"{100 * e.value:.1f} %, {_interval(e)}" if (e := found.get(k)) else "unmeasured"
            for k in result.scores
        ]
        table.add_row(family, str(n), *cells)
    console.print(table)


def _problems(console: Console, result: Evaluation) -> None:
    from rich.table import Table

    table = Table(title="by problem", title_justify="left")
    for column in ("problem", "n", "passed", *(f"pass@{k}" for k in result.scores), "outcomes"):
        table.add_column(column, justify="left" if column in ("problem", "outcomes") else "right")
    for row in result.tally.table(tuple(result.scores)):
        scores = [
            f"{100 * row['pass@k'][str(k)]:.1f}" if str(k) in row["pass@k"] else "unmeasured"
            for k in result.scores
        ]
        counts = _counts(row["outcomes"].items())
        table.add_row(row["task_id"], str(row["n"]), str(row["passed"]), *scores, counts)
    console.print(table)


def _repeats(console: Console, result: Evaluation) -> None:
    found = result.repeats
    if found is None:
        return
    if not found.n_differing:
        console.print(f"executed {found.n} times: every sample had the same verdict each time")
        return
    console.print(f"executed {found.n} times: {found.n_differing} samples had more than one verdict")
    for row in found.first[:SHOWN_FLAKY]:
        console.print(f"  {row['task_id']}, sample {row['index']}: {', '.join(row['outcomes'])}")
    if found.n_differing > SHOWN_FLAKY:
        console.print(f"  all of them: {found.path}", soft_wrap=True)
