"""`assay samples`"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.harness.cli.app import Json, app, print_json

if TYPE_CHECKING:
    from assay.harness.evaluation.formats import Sample, SampleFile


@app.command()
def samples(
    source: Annotated[
        Path,
        typer.Argument(help="A run's folder (with --variant), or samples in any format that eval reads."),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Where to write; gzip where it ends in .gz.")
    ],
    to: Annotated[str, typer.Option("--to", help="jsonl, human-eval, evalplus or bigcode.")] = "jsonl",
    variant: Annotated[str | None, typer.Option("--variant", help="Of a run: whose samples.")] = None,
    suite: Annotated[
        str | None, typer.Option("--suite", help="What the samples answer; humaneval, or the run's own.")
    ] = None,
    suite_path: Annotated[
        Path | None, typer.Option("--suite-path", help="The suite's file, where it reads one.")
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="train, dev or test, where the suite has them.")
    ] = None,
    suite_option: Annotated[
        list[str] | None, typer.Option("--suite-option", help="KEY=VALUE, the suite's own, as of eval.")
    ] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="The format of the source, where it is not to be detected.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write samples in another evaluator's format, from a run or from any samples file."""
    from assay.harness.cli.options import parse_options
    from assay.harness.errors import BadInputError
    from assay.harness.evaluation.formats import open_samples, write_samples
    from assay.harness.evaluation.formats.read import table_in
    from assay.harness.evaluation.samples_file import refuse_overwrite
    from assay.suites import SuiteError, UnknownNameError, load_suite

    table: dict[str, Any] = {
        "name": suite or "humaneval",
        "path": suite_path,
        "split": split,
        "options": parse_options(suite_option),
    }
    if (source / "plan.json").is_file():
        own = {"--suite-path": suite_path, "--split": split, "--suite-option": suite_option}
        if suite is None and (given := [name for name, value in own.items() if value]):
            raise BadInputError(f"{given[0]}: the run names its own suite; give --suite too, or leave it out")
        source, table = _of_run(source, variant, table if suite else None)
    elif variant is not None:
        raise BadInputError(f"--variant {variant}: {source} is no run's folder (it holds no plan.json)")
    try:
        problems = load_suite(**table)
    except (SuiteError, UnknownNameError) as error:
        raise BadInputError(str(error)) from error
    refuse_overwrite({"the samples": table_in(source)}, {"--output": output})
    file = open_samples(source, problems, form)
    faults: list[str] = []
    written = write_samples(_good(file, faults), problems, output, to)
    if as_json:
        print_json(
            {
                "written": written,
                "format": to,
                "output": str(output),
                "read_as": file.format,
                "malformed": faults,
            }
        )
    else:
        print(f"{written} samples, read as {file.format}, written as {to}: {output}")
    if faults:
        raise typer.Exit(3)


def _good(file: SampleFile, faults: list[str]) -> Iterator[Sample]:
    from assay.harness.cli.score import Faults
    from assay.harness.evaluation.formats import MalformedRow

    said = Faults()
    for found in file.read():
        if isinstance(found, MalformedRow):
            said.add(str(found))
            if len(faults) < 100:
                faults.append(str(found))
        else:
            yield found
    said.finish()


def _of_run(folder: Path, variant: str | None, suite: dict[str, Any] | None) -> tuple[Path, dict[str, Any]]:
    """The folder of the variant's generate step, and the suite it answers."""
    from assay.harness.errors import BadInputError
    from assay.harness.files import read_json
    from assay.harness.pipeline.store import Store

    plan = read_json(folder / "plan.json")
    steps = {s["name"].removeprefix("generate-"): s for s in plan["steps"] if s["kind"] == "generate"}
    if variant not in steps:
        given = "say whose samples with --variant" if variant is None else f"no variant {variant!r}"
        raise BadInputError(f"{folder}: {given}; there are: {', '.join(steps)}")
    path = Store(folder.parent).path(steps[variant]["name"], steps[variant]["id"])
    own = plan["experiment"]["suite"]
    given_path = Path(own["path"]) if own.get("path") else None
    return path, suite or {
        "name": own["name"],
        "path": given_path,
        "split": own.get("split"),
        "limit": own.get("limit"),
        "options": own.get("options"),
    }
