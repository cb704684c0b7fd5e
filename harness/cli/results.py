"""`assay results`: what Assay measured, in the form of another evaluator or of the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from assay.harness.cli.app import print_json, screen, verb
from assay.harness.cli.options import Json, OptionalSuite, SuitePath
from assay.harness.errors import BadInputError


@verb()
def results(
    source: Annotated[
        str,
        Argument(help="A run's folder (RUN or RUN:VARIANT), or a *_results.jsonl of assay score."),
    ],
    output: Annotated[Path, Option("-o", "--output", help="The file or folder to write.")],
    to: Annotated[
        str, Option(help="The format: human-eval, evalplus, lm-eval, inspect, hub or every-eval-ever.")
    ],
    model: Annotated[
        str | None, Option(help="The model's name in what is written; left out, the variant's or the file's.")
    ] = None,
    dataset: Annotated[
        str | None,
        Option(help="hub: OWNER/NAME of the data set that the samples go to, the results' source."),
    ] = None,
    suite: OptionalSuite = None,
    suite_path: SuitePath = None,
    as_json: Json = False,
) -> None:
    """Write the verdicts of a run or a results file in another evaluator's format.

    Nothing is judged anew, and what was not measured is left out. What the format cannot hold is said.
    """
    from dataclasses import replace

    from rich.text import Text

    from assay.harness.decide.writers import measured_model, write_results
    from assay.harness.report.wording import visible

    measured = measured_model(source, suite=suite, suite_path=suite_path)
    refuse_inputs(source, output)
    if dataset is not None and to != "hub":
        raise BadInputError(f"--dataset {dataset}: only --to hub names one")
    measured = replace(measured, model=model or measured.model, dataset=dataset or "")
    written = write_results(measured, output, to)
    notes = [*measured.notes, *written.notes]
    if as_json:
        about = {"model": measured.model, "suite": measured.suite, "format": to, "output": str(written.path)}
        counts = {"samples": written.samples, "problems": len(measured.by_problem())}
        print_json(about | counts | {"notes": notes} | measured.provenance())
        return
    console = screen()
    problems = f"{len(measured.by_problem())} problems of {measured.suite}"
    verdicts = f"{written.samples} verdicts of {measured.model} on {problems}, written as {to}"
    console.print(Text(visible(f"{verdicts}: {written.path}")), soft_wrap=True)
    for note in notes:
        console.print(Text(visible(f"note: {note}"), style="yellow"), soft_wrap=True)


def refuse_inputs(source: str, output: Path) -> None:
    """Raise BadInputError where the output is what is read, or the samples file beside it."""
    from assay.harness.decide.readers import split_name
    from assay.harness.evaluation.samples_file import RESULTS, refuse_overwrite

    path, _ = split_name(source)
    read = {"the results": path}
    if path.name.endswith(RESULTS):
        read["the samples"] = path.with_name(path.name.removesuffix(RESULTS))
    refuse_overwrite(read, {"--output": output})
