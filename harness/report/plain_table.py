"""A plain table of the report: a heading a column, a heading a row, figures on the right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.report.text import escape


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
