"""`assay gate`: does a result hold against its baseline, with an exit code that noise does not flip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from assay.harness.cli import options
from assay.harness.cli.app import print_json, screen, verb
from assay.harness.errors import BadInputError

if TYPE_CHECKING:
    from assay.harness.decide.gate import GateResult
    from assay.harness.decide.results import Results

STYLES = {"pass": "green", "regression": "bold red", "undecided": "yellow", "unmeasured": "dim"}


@verb()
def gate(
    result: Annotated[
        str,
        Argument(metavar="RESULT", help="A result file or run of any evaluator, or FILE:MODEL of several."),
    ],
    baseline: Annotated[
        str | None,
        Option(help="What it is held against: a file of `assay baseline update`, or any result file or run."),
    ] = None,
    rules: Annotated[
        Path | None, Option(help="A TOML file of rules; left out, the default rule applies.")
    ] = None,
    margin: Annotated[
        float | None,
        Option(help="The loss of pass@1 that does not matter; 0.05 is 5 points. [default: 0.05]"),
    ] = None,
    fail_under: Annotated[
        float | None, Option(help="A floor of pass@1, which its interval's lower end has to reach.")
    ] = None,
    on_undecided: Annotated[
        str | None,
        Option(help="fail: an undecided gate exits with 2; pass: with 0 and a warning. [default: fail]"),
    ] = None,
    sequential: Annotated[
        int | None,
        Option(
            metavar="SEED",
            help="Take problems in this seed's order, and stop at the first that makes the verdict sure; RESULT may "
            "hold only the first of them.",
        ),
    ] = None,
    plan: Annotated[
        bool,
        Option(
            "--plan", help="Say how many samples or problems leave at most 10 % of equal models undecided."
        ),
    ] = False,
    benchmarks: Annotated[
        Path | None, Option(help="pytest-benchmark's JSON of the candidate, for speed.")
    ] = None,
    form: Annotated[
        str | None, Option("--format", help="The format of the result files; left out, it is detected.")
    ] = None,
    junit: Annotated[Path | None, Option(help="Write the checks as JUnit XML to this file.")] = None,
    markdown: Annotated[Path | None, Option(help="Write the checks as Markdown to this file.")] = None,
    history: Annotated[
        Path | None, Option(help="Write scores and speeds in github-action-benchmark's JSON to this file.")
    ] = None,
    shown: options.Shown = options.SHOWN,
) -> None:
    """Decide in CI whether a result holds against its baseline.

    Passed: a loss of the margin is ruled out. Regression: a loss is proven, and one of the margin not ruled out. Both
    by strict one-sided 95 % bounds of the paired difference, so that equal models fail in at most 5 % of runs. In
    GitHub Actions it also writes annotations and the step's summary.

    Exit code 0: passed; 1: regression; 2: it could not be decided; 3: bad input.
    """
    from assay.harness.decide import gate_run
    from assay.harness.decide.gate import plan_gate
    from assay.harness.decide.readers import read_results

    table = gate_run.read_rules(rules, margin=margin, fail_under=fail_under, on_undecided=on_undecided)
    if baseline is None and (table.quality.fail_under is None or plan):
        raise BadInputError("--baseline FILE: what is the result held against? (or --fail-under alone)")
    candidate = read_results(result, form=form)
    before = read_results(baseline, form=form) if baseline is not None else []
    if plan:
        plans = [plan_gate(one, table, sequential=sequential is not None) for one in before]
        if shown.as_json:
            print_json({"plans": [asdict(one) for one in plans]})
        else:
            for one in plans:
                screen().print(one.words(), soft_wrap=True)
        return
    now = gate_run.measured(result, benchmarks)
    known = None if baseline is None else gate_run.measured(baseline)
    outcome = gate_run.decide_gate(candidate, before, table, now=now, known=known, sequential=sequential)
    write_gate(outcome, candidate, junit=junit, markdown=markdown, history=history)
    if shown.as_json:
        print_json(outcome.to_json())
    else:
        show_gate(outcome)
    if outcome.exit_code:
        raise typer.Exit(outcome.exit_code)


def show_gate(outcome: GateResult) -> None:
    """Print each check, and what the gate as a whole says."""
    from rich.text import Text

    from assay.harness.report.wording import visible

    console = screen()
    for check in outcome.checks:
        line = Text(f"{check.state:<11}", style=STYLES[check.state])
        console.print(line + Text(visible(f"{check.name}: {check.words}"), style=""), soft_wrap=True)
    for note in outcome.notes:
        console.print(Text(visible(f"note: {note}"), style="yellow"), soft_wrap=True)
    verdict = f"{outcome.candidate} against {outcome.baseline}: {outcome.state}"
    if outcome.state == "undecided" and outcome.exit_code == 0:
        verdict += ', which passes by on_undecided = "pass"'
    console.print(Text(visible(verdict), style="bold"), soft_wrap=True)


def write_gate(
    outcome: GateResult,
    candidate: Sequence[Results],
    *,
    junit: Path | None,
    markdown: Path | None,
    history: Path | None,
) -> None:
    """Write the files that were asked for, and in GitHub Actions the step's summary and annotations."""
    import os
    import sys

    from assay.harness.decide import gate_files
    from assay.trainers.files import write_text

    if junit is not None:
        write_text(junit, gate_files.junit(outcome))
    if markdown is not None:
        write_text(markdown, gate_files.markdown(outcome))
    if history is not None:
        write_text(history, gate_files.history(outcome, candidate))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(gate_files.markdown(outcome))
        for line in gate_files.github_commands(outcome):
            print(line, file=sys.stderr)
