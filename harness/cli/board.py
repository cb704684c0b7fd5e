"""`assay board`: one leaderboard from any number of result files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from typer import Argument

from assay.harness.cli import options
from assay.harness.cli.app import print_json, screen, verb

if TYPE_CHECKING:
    from assay.harness.decide import Board


@verb()
def board(
    files: Annotated[
        list[str],
        Argument(
            metavar="FILES",
            help="Result files or runs of any evaluator: FILE, FILE:MODEL, NAME=FILE or RUN:VARIANT.",
        ),
    ],
    suite: options.OptionalSuite = None,
    reading: options.ResultFiles = options.RESULT_FILES,
    shown: options.Shown = options.SHOWN,
) -> None:
    """Rank models by their result files, a column a suite.

    Models share a rank unless an exact paired test parts them. Problems that hardly any model solves are listed, and
    those that better models fail and worse ones pass.
    """
    from assay.harness.decide import make_board
    from assay.harness.decide.board_page import board_document

    with shown.progress().task("read", total=len(files), unit="files") as task:
        read = []
        for number, name in enumerate(files, start=1):
            read.append(reading.read(name))
            task.update(number)
    result = make_board(
        read, suite=suite, confidence=reading.confidence, common=reading.common, total=reading.total
    )
    reading.write(board_document(result))
    if shown.as_json:
        print_json(result.to_json())
    else:
        show_board(result)


def show_board(result: Board) -> None:
    """Print the leaderboard, the problems to look at, and what to know of the files."""
    from rich.text import Text

    from assay.harness.decide.board_page import board_document
    from assay.harness.report import render_table
    from assay.harness.report.blocks import Heading, Listing, Note, Table
    from assay.harness.report.wording import visible

    console = screen()
    document = board_document(result)
    console.print(Text(visible(document.verdict), style="bold"), soft_wrap=True)
    for section in document.shown:
        for block in section.blocks:
            if isinstance(block, Table):
                if block.note and section.anchor != "board":
                    console.print(Text(visible(block.note)), soft_wrap=True)
                console.print(render_table(block, width=console.width))
            elif isinstance(block, Heading):
                console.print(Text(visible(block.text), style="bold"))
            elif isinstance(block, Note):
                console.print(Text(visible(block.text)), soft_wrap=True)
            elif isinstance(block, Listing):
                for line in block.items:
                    console.print(Text(visible(f"note: {line}"), style="yellow"), soft_wrap=True)
