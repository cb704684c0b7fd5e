"""Render the leaderboard as Markdown, for a pull request or a README."""

from __future__ import annotations

from collections.abc import Sequence

from assay.harness.formatting import UNMEASURED
from assay.harness.leaderboard.schema import Leaderboard
from assay.harness.report.blocks import (
    Block,
    Cell,
    Column,
    Document,
    Fold,
    Heading,
    Listing,
    Note,
    Pairs,
    Table,
)
from assay.harness.report.sections import sections
from assay.harness.report.sections.findings import setting, verdict
from assay.harness.report.wording import markdown as md

_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def render_markdown(board: Leaderboard) -> str:
    """Return the report's tables in words and figures, without drawings and samples."""
    return document_markdown(
        Document(board.experiment, verdict(board), setting(board), tuple(sections(board)))
    )


def document_markdown(document: Document) -> str:
    """Return a document in words and figures, without drawings, samples and texts side by side."""
    parts = [f"# {md(document.title)}", f"**{md(document.verdict)}**", f"{md(document.setting)}."]
    for section in document.shown:
        parts += [f"## {section.title}", *(_block(block) for block in section.blocks)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _block(block: Block) -> str:
    if block.only == "html":
        return ""
    match block:
        case Table():
            return _table(block)
        case Note():
            return md(block.text)
        case Heading():
            return f"### {md(block.text)}"
        case Listing():
            return _list(block.items)
        case Pairs():
            return "\n".join(f"- **{md(term)}**: {md(text)}" for term, text in block.items)
        case Fold():
            parts = [f"{md(block.summary)}:", *(_block(inner) for inner in block.blocks)]
            return "\n\n".join(part for part in parts if part)
        case _:
            return ""


def _table(table: Table) -> str:
    """Return a pipe table with its note, its footnotes and the columns that were left out."""
    places = table.shown("text")
    columns = [table.columns[i] for i in places]
    lines = [
        [md(column.heading) for column in columns],
        ["---:" if column.align == "r" else "---" for column in columns],
        *(
            [_cell(table, column, row[i]) for i, column in zip(places, columns, strict=True)]
            for row in table.rows
        ),
    ]
    grid = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    footnotes = [
        f"{_raised(number)} {UNMEASURED}: {reason}" for number, reason in enumerate(table.reasons, start=1)
    ]
    parts = (grid, md(table.note), _list((*footnotes, *table.left_out)))
    return "\n\n".join(part for part in parts if part)


def _cell(table: Table, column: Column[object], cell: Cell) -> str:
    text = md(f"{cell.text} ({cell.range})" if cell.range else cell.text)
    if number := table.number(cell):
        return f"{text}{_raised(number)}"
    if "mono" in column.css:
        return f"`{text}`"
    return f"**{text}**" if column.names_row and column.strong else text


def _raised(number: int) -> str:
    return str(number).translate(_SUPERSCRIPTS)


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {md(line)}" for line in lines)
