"""A plain table of the report: a heading a column, a heading a row, figures on the right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from assay.harness.formatting import UNMEASURED
from assay.harness.report.wording import attribute, escape


def plain_table(
    head: Sequence[str], align: str, rows: Iterable[Sequence[str]], *, about: str = "", css: str = "plain"
) -> str:
    """`head` is plain text; `rows` are cells as HTML, of which the first names its row. `align` has an l or an r for
    each column, `about` is the id of the note that explains the table."""
    sides = ["num" if side == "r" else "" for side in align]
    top = "".join(f'<th scope="col" class="{c}">{escape(h)}</th>' for h, c in zip(head, sides, strict=True))
    body = "".join(
        f'<tr><th scope="row">{first}</th>'
        + "".join(f'<td class="{c}">{cell}</td>' for cell, c in zip(rest, sides[1:], strict=True))
        + "</tr>"
        for first, *rest in rows
    )
    described = f' aria-describedby="{about}"' if about else ""
    return (
        f'<div class="scroll"><table class="{css}"{described}>'
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


# Notes below a table: why a figure in it is missing. On paper and under a thumb there are no tooltips.


class Footnotes:
    """Numbers reasons in the order they are first needed; the same reason keeps its number."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._reasons: dict[str, int] = {}

    def unmeasured(self, reason: str) -> str:
        """What a cell without a figure says, as HTML."""
        number = self._reasons.setdefault(reason, len(self._reasons) + 1)
        return (
            f'<span class="unmeasured" title="{attribute(reason)}">{UNMEASURED}'
            f'<sup><a href="#{self._prefix}-{number}">{number}</a></sup></span>'
        )

    def cells(self, row: Sequence[str], reasons: Iterable[str]) -> list[str]:
        """A row's cells as HTML: of those without a figure, each takes the next reason. The first names the row."""
        why = iter(reasons)

        def cell(text: str) -> str:
            reason = next(why, None) if text == UNMEASURED else None
            return escape(text) if reason is None else self.unmeasured(reason)

        return [escape(row[0]), *map(cell, row[1:])]

    def html(self) -> str:
        """The notes themselves; empty when nothing was missing."""
        if not self._reasons:
            return ""
        items = "".join(
            f'<li id="{self._prefix}-{number}">{escape(reason)}</li>'
            for reason, number in self._reasons.items()
        )
        return f'<ol class="footnotes" aria-label="Why figures are missing">{items}</ol>'
