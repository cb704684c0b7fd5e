"""`assay report`: how scores changed from run to run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from assay.harness.cli.app import print_json, screen, verb
from assay.harness.cli.options import SHOWN, OptionalSuite, Shown

if TYPE_CHECKING:
    from assay.harness.report import Document


@verb()
def report(
    folders: Annotated[
        list[Path], Argument(metavar="RUNS", help="Runs, or folders of them, such as results/runs.")
    ],
    suite: OptionalSuite = None,
    variant: Annotated[str | None, Option(help="Take this variant alone.")] = None,
    margin: Annotated[float, Option(help="The difference of pass@1 that does not matter.")] = 0.05,
    confidence: Annotated[float, Option(help="The confidence level of intervals and tests.")] = 0.95,
    markdown: Annotated[Path | None, Option(help="Write the report as Markdown to this file.")] = None,
    html: Annotated[Path | None, Option(help="Write the report as a page to this file.")] = None,
    shown: Shown = SHOWN,
) -> None:
    """Show change over time: every variant's scores in run after run, and the runs at which they changed.

    Each run is held against the runs since the last change, problem by problem, and a change comes with its interval.
    """
    from assay.harness.decide.history import find_runs
    from assay.harness.decide.trends import series_of
    from assay.harness.decide.trends_page import trends_document
    from assay.harness.files import write_text
    from assay.harness.report import document_markdown, render_document

    series = series_of(folders, suite=suite, variant=variant, margin=margin, confidence=confidence)
    document = trends_document(series)
    if markdown is not None:
        write_text(markdown, document_markdown(document))
    if html is not None:
        write_text(html, render_document(document))
    broken = {
        str(run.folder): run.reason for folder in folders for run in find_runs(folder) if run.board is None
    }
    if shown.as_json:
        print_json({"series": [one.to_json() for one in series], "unreadable": broken})
    else:
        show(document)
        show_unreadable(broken)


def show_unreadable(broken: Mapping[str, str]) -> None:
    """Print the runs that cannot be read, each with the reason."""
    from rich.text import Text

    from assay.harness.report.wording import visible

    for folder, reason in broken.items():
        line = visible(f"note: {folder} cannot be read: {reason}")
        screen().print(Text(line, style="yellow"), soft_wrap=True)


def show(document: Document) -> None:
    """Print a document's sentence and its tables."""
    from rich.text import Text

    from assay.harness.report import render_table
    from assay.harness.report.blocks import Table
    from assay.harness.report.wording import visible

    console = screen()
    console.print(Text(visible(document.verdict), style="bold"), soft_wrap=True)
    for section in document.shown:
        console.print(Text(visible(section.title), style="bold"))
        for block in section.blocks:
            if isinstance(block, Table):
                console.print(render_table(block, width=console.width))
                for line in (*block.reasons, *block.left_out):
                    console.print(Text(visible(f"note: {line}"), style="dim"), soft_wrap=True)
