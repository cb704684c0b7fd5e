"""The parts that a report is made of: sections build them as data, and HTML, Markdown and terminal render them.

A table is a list of columns, each a heading and a function from an item to its cell; a new column is one line. A column
in which no row has a figure is left out and named once below the table, and a reason for a missing figure is printed
once, as a numbered footnote: on paper and under a thumb there are no tooltips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any, Generic, Literal, TypeVar

from markupsafe import Markup

from assay.harness.formatting import DASH, UNMEASURED, Show, enumerate_names, span

T = TypeVar("T")
Drawing = Callable[[], Markup]  # an SVG, drawn when a page is rendered
Medium = Literal["", "html", "text"]  # where a part is shown; empty: everywhere; text: Markdown and terminal
QUIET = "quiet"


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell in plain text. `range` is its interval, `below` a second line of a page alone, `sort` the figure that a
    page sorts by, `reason` why it is unmeasured, `counts` parts of a whole by name, `fold` a long text to open."""

    text: str = ""
    range: str = ""
    below: str = ""
    sort: float | str | None = None
    reason: str = ""
    css: str = ""
    drawing: Drawing | None = None
    counts: tuple[tuple[str, int], ...] = ()
    fold: str = ""

    @property
    def unmeasured(self) -> bool:
        """Whether a figure is missing here."""
        return self.text == UNMEASURED

    @property
    def says_nothing(self) -> bool:
        """Whether the cell has neither a figure nor a word of its own."""
        nothing = self.text in ("", DASH, UNMEASURED) or self.css == QUIET
        return nothing and self.drawing is None and not self.fold


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """A heading, and what stands below it for each item. `first` is the order that a page sorts in at first, `axis` is
    drawn in place of the heading, `cost` marks what a narrow terminal leaves out."""

    head: str
    cell: Callable[[T], Cell | str]
    align: Literal["l", "r"] = "r"
    unit: str = ""
    css: str = ""
    only: Medium = ""
    names_row: bool = False
    strong: bool = False
    first: Literal["", "ascending", "descending"] = ""
    axis: Drawing | None = None
    cost: bool = False

    @property
    def heading(self) -> str:
        """The heading with its unit, in plain text."""
        return f"{self.head}{'' if self.unit in ('', '%') else ','} {self.unit}".strip()


@dataclass(frozen=True, slots=True)
class Table:
    """Columns that are shown and the rows' cells below them. `reasons` are numbered from 1; `left_out` are sentences
    about columns that no row has a figure in; `marked` is the row that the others are held against; `drawn` explains
    the drawings, which a page alone has."""

    columns: tuple[Column[Any], ...]
    rows: tuple[tuple[Cell, ...], ...]
    reasons: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    name: str = ""
    note: str = ""
    drawn: str = ""
    css: str = "plain"
    only: Medium = ""
    marked: int | None = None

    def number(self, cell: Cell) -> int | None:
        """The number of the footnote that says why the cell is unmeasured."""
        return self.reasons.index(cell.reason) + 1 if cell.unmeasured and cell.reason else None

    def shown(self, medium: Medium) -> tuple[int, ...]:
        """The places of the columns that are shown in a medium."""
        return tuple(i for i, column in enumerate(self.columns) if column.only in ("", medium))


@dataclass(frozen=True, slots=True)
class Note:
    """A paragraph; `keys` are outcomes whose colours it explains."""

    text: str
    only: Medium = ""
    css: str = "note"
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading inside a section, with a remark beside it."""

    text: str
    small: str = ""
    level: Literal[3, 4] = 3
    only: Medium = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing under its caption. `keys` are (place among the colours, label); without colours there is one line."""

    title: str
    drawing: Drawing
    text: str = ""
    keys: tuple[tuple[int, str], ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Figures:
    """Drawings side by side; Markdown has their figures in a table instead."""

    figures: tuple[Figure, ...]
    css: str = ""
    only: Medium = "html"


@dataclass(frozen=True, slots=True)
class Listing:
    """Short lines below something, for example why curves are missing."""

    items: tuple[str, ...]
    label: str
    only: Medium = ""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Terms with their descriptions."""

    items: tuple[tuple[str, str], ...]
    css: str
    only: Medium = ""


@dataclass(frozen=True, slots=True)
class Samples:
    """The sample browser, which the page's script fills; `note` says which samples the page left out."""

    note: str
    only: Medium = "html"


@dataclass(frozen=True, slots=True)
class Fold:
    """Blocks that a page shows on demand, and Markdown under the summary."""

    summary: str
    blocks: tuple[Block, ...]
    only: Medium = ""


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Two texts beside each other, line by line; a line is None where only the other side has one there. `marked` are
    the places of lines that differ."""

    titles: tuple[str, str]
    lines: tuple[tuple[str | None, str | None], ...]
    marked: frozenset[int]
    only: Medium = "html"


Block = Table | Note | Heading | Figures | Listing | Pairs | Samples | Fold | SideBySide


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the report; one without blocks is left out."""

    anchor: str
    title: str
    blocks: Sequence[Block] = field(default=())


@dataclass(frozen=True, slots=True)
class Document:
    """A page: its title, the one sentence that it says, what that rests on, sections, and small print at the top."""

    title: str
    verdict: str
    setting: str
    sections: tuple[Section, ...]
    stamp: tuple[str, ...] = ()

    @property
    def shown(self) -> tuple[Section, ...]:
        """The sections that have something to show."""
        return tuple(section for section in self.sections if section.blocks)


def figure(
    value: float | None,
    show: Show,
    reason: str = "",
    *,
    low: float | None = None,
    high: float | None = None,
    css: str = "",
) -> Cell:
    """Return the cell of a figure, with its interval where both ends are known, or of one that was not measured."""
    if value is None:
        return Cell(UNMEASURED, reason=reason)
    return Cell(show(value), span(low, high, show), sort=value, css=css)


def side_by_side(titles: tuple[str, str], left: str, right: str) -> SideBySide:
    """Put two texts beside each other, equal lines at the same height."""
    lines: list[tuple[str | None, str | None]] = []
    marked: set[int] = set()
    a, b = left.rstrip("\n").split("\n"), right.rstrip("\n").split("\n")
    for tag, a0, a1, b0, b1 in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        rows = list(zip_longest(a[a0:a1], b[b0:b1]))
        if tag != "equal":
            marked.update(range(len(lines), len(lines) + len(rows)))
        lines += rows
    return SideBySide(titles, tuple(lines), frozenset(marked))


def tabulate(
    columns: Iterable[Column[T]],
    items: Iterable[T],
    *,
    name: str,
    note: str = "",
    drawn: str = "",
    css: str = "plain",
    only: Medium = "",
    marked: T | None = None,
) -> Table:
    """Build the table of the items. `name` is unique in the report: the anchors of the note and footnotes have it."""
    items = list(items)
    kept: list[tuple[Column[T], list[Cell]]] = []
    missing: dict[str, list[str]] = {}
    for column in columns:
        cells = [c if isinstance(c := column.cell(item), Cell) else Cell(c) for item in items]
        if column.names_row or not all(cell.says_nothing for cell in cells):
            kept.append((column, cells))
        elif reasons := dict.fromkeys(cell.reason for cell in cells if cell.unmeasured and cell.reason):
            missing.setdefault("; ".join(reasons), []).append(column.head)
    rows = tuple(zip(*(cells for _, cells in kept), strict=True))
    return Table(
        columns=tuple(column for column, _ in kept),
        rows=rows,
        reasons=tuple(dict.fromkeys(c.reason for row in rows for c in row if c.unmeasured and c.reason)),
        left_out=tuple(
            f"{enumerate_names(heads)} {UNMEASURED}: {reasons}" for reasons, heads in missing.items()
        ),
        name=name,
        note=note,
        drawn=drawn,
        css=css,
        only=only,
        marked=None if marked is None else items.index(marked),
    )
