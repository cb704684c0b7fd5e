"""Render the leaderboard's table in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from assay.harness.leaderboard.schema import Leaderboard
from assay.harness.report.blocks import QUIET, Cell, Column, Table
from assay.harness.report.sections.board import leaderboard_table
from assay.harness.report.sections.rewards import in_words
from assay.harness.report.wording import SHOWN_PROBLEMS, taken_over, unmeasured_problems, visible

WIDE = 120  # columns that hold the whole table, with pass@k for two k
K_WIDTH = 18  # of one more
NARROW = 62  # of a table without pass@k and costs
LEGIBLE = 12  # columns of a name, at least, before it is broken
_COLOURS = {"v-better": "green", "v-worse": "red", "v-equivalent": "cyan", "v-undecided": "yellow"}


def render_terminal(board: Leaderboard, width: int = WIDE) -> RichTable:
    """Return a rich table, best variant first.

    Where `width` columns do not hold it all, the figures that decide are kept and the costs left to the report.
    """
    fits = width >= WIDE + K_WIDTH * max(0, len(board.shown_k) - 2)
    shown_k = board.shown_k if fits else board.shown_k[: max(1, (width - NARROW) // K_WIDTH)]
    table = leaderboard_table(board, shown_k)
    rich = render_table(table, [i for i in table.shown("text") if fits or not table.columns[i].cost])
    below = table.left_out if fits else _ended(table)
    if below:
        rich.caption, rich.caption_justify = Text("\n".join(map(visible, below)), style="dim"), "left"
    return rich


def render_table(table: Table, places: Sequence[int] | None = None, *, width: int | None = None) -> RichTable:
    """Return a table for the terminal: the columns at `places`, or all that a text has.

    Of less than WIDE columns (`width`), intervals stand below their figures and the costs are left out.
    """
    narrow = width is not None and width < WIDE
    if narrow and places is None:
        places = [i for i in table.shown("text") if not table.columns[i].cost]
    rich = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, title=None)
    places = table.shown("text") if places is None else places
    for i in places:
        column = table.columns[i]
        longest = max((len(visible(row[i].text)) for row in table.rows), default=0)
        rich.add_column(
            Text(visible(column.heading)),
            justify="right" if column.align == "r" else "left",
            no_wrap=column.align == "r" and not column.cost,
            overflow="fold",
            min_width=min(longest, LEGIBLE) if column.align == "l" and not column.cost else None,
        )
    for row in table.rows:
        rich.add_row(*(_text(table.columns[i], row[i], stacked=narrow) for i in places))
    return rich


def note_lines(board: Leaderboard) -> list[Text]:
    """Return what a reader of the scores should know of the problems and samples they rest on, a line each."""
    lines = []
    if board.suite.unmeasured:
        lines.append(
            f"{len(board.suite.unmeasured)} problems are unmeasured, so that their samples count in no score: "
            f"{unmeasured_problems(board)}"
        )
    if board.taken_over:
        lines.append(f"steps that were taken as they are: {taken_over(board)}")
    for row in board.rows:
        if row.near_limit:
            lines.append(
                f"{row.variant}: {row.near_limit} samples ended near a limit of time, and were judged in quiet"
            )
        if row.not_data:
            named = ", ".join(
                f"{problem} ({n})" for problem, n in list(row.not_data.items())[:SHOWN_PROBLEMS]
            )
            lines.append(
                f"{row.variant}: samples of these problems met what is no data: {named}; "
                "give the problems a canonical_solution, which decides how they are judged"
            )
    return [Text(visible(line)) for line in lines]


def reward_model_lines(board: Leaderboard) -> list[Text]:
    """Return a line for each reward model's training: a leaderboard has no row for them."""
    lines = []
    for name, model in board.reward_models.items():
        for run in model.runs:
            seed = f", training seed {run.seed}" if len(model.runs) > 1 else ""
            lines.append(Text(visible(f"reward model {name}{seed}: {in_words(run)}")))
    return lines


def _ended(table: Table) -> list[str]:
    """Return n and outcomes of each variant, a line each: a score at any width shows what it rests on."""
    heads = {column.head: place for place, column in enumerate(table.columns)}

    def part(row: Sequence[Cell], head: str) -> str:
        return _text(table.columns[heads[head]], row[heads[head]]).plain if head in heads else ""

    return [
        f"{row[heads['variant']].text}: n {part(row, 'n')}: {part(row, 'outcomes')}" for row in table.rows
    ]


def _text(column: Column[Any], cell: Cell, *, stacked: bool = False) -> Text:
    quiet = cell.css == QUIET or cell.unmeasured
    style = "bold" if column.names_row else "dim" if quiet else _COLOURS.get(cell.css, "")
    text = cell.text.replace(", ", " ") if cell.counts else cell.text
    between = "\n" if column.cost or stacked else "  "
    return Text(visible(text), style=style).append(
        f"{between}{cell.range}" if cell.range else "", style="dim"
    )
