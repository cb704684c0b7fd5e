"""`assay baseline update`: the file that a gate holds results against."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from assay.harness.cli import options
from assay.harness.cli.app import app, print_json, screen, verb
from assay.harness.errors import BadInputError

baseline_app = typer.Typer(name="baseline", no_args_is_help=True)
app.add_typer(baseline_app)


@baseline_app.callback()
def baseline() -> None:
    """Write the reviewed file that `assay gate` holds results against."""


@verb(within=baseline_app)
def update(
    result: Annotated[
        str,
        Argument(metavar="RESULT", help="A result file or run of any evaluator, or FILE:MODEL of several."),
    ],
    output: Annotated[Path, Option("-o", "--output", help="The baseline file to write.")] = Path(
        "baseline.json"
    ),
    benchmarks: Annotated[
        Path | None, Option(help="pytest-benchmark's JSON with raw samples, for rules of speed.")
    ] = None,
    note: Annotated[str, Option(help="Why the baseline changes, for whoever reviews it.")] = "",
    form: Annotated[
        str | None, Option("--format", help="The format of the result file; left out, it is detected.")
    ] = None,
    shown: options.Shown = options.SHOWN,
) -> None:
    """Write what was measured, where and by which version, one line a problem; commit the file after a review."""
    from assay.harness.decide.baseline import write_baseline
    from assay.harness.decide.gate_run import measured
    from assay.harness.decide.readers import read_results

    if output.is_dir():
        raise BadInputError(f"-o {output} is a folder: name the baseline file")
    results = read_results(result, form=form)
    write_baseline(output, results, measured(result, benchmarks), note)
    problems = sum(len(one.problems) for one in results)
    if shown.as_json:
        print_json({"baseline": str(output), "model": results[0].model, "problems": problems})
    elif not shown.quiet:
        screen().print(f"{output}: {results[0].model}, {problems} problems; review it, then commit it")
