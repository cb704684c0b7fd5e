"""What training sets have in common with the suite, as table rows and as HTML."""

from __future__ import annotations

from collections.abc import Iterator

from harness.report import words
from harness.report.model import Leaderboard
from harness.report.text import escape

HEAD = [
    "trained variant",
    "training texts",
    "n-grams",
    "problems flagged",
    "mean overlap %",
    "worst",
    "duplicates",
]
ALIGN = "lrlrrlr"
_WORST = 3


def rows(board: Leaderboard) -> Iterator[list[str]]:
    """A row for each trained variant and kind of n-gram, unescaped."""
    for variant, found in board.contamination.items():
        for name, method in found.methods.items():
            worst = ", ".join(f"{w['task_id']} {words.percent(w['share'])} %" for w in method.worst[:_WORST])
            yield [
                variant,
                words.count(found.n_texts),
                name,
                f"{words.count(method.n_flagged)} of {words.count(found.n_problems)}",
                words.percent(method.mean),
                worst or words.DASH,
                words.count(found.n_duplicates),
            ]


def section(board: Leaderboard) -> str:
    """The section's table; empty where nothing was trained."""
    if not board.contamination:
        return ""
    css = ["num" if a == "r" else "" for a in ALIGN]
    head = "".join(f'<th scope="col" class="{c}">{escape(h)}</th>' for h, c in zip(HEAD, css, strict=True))
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f'<td class="{c}">{escape(cell)}</td>' for cell, c in zip(row[1:], css[1:], strict=True))
        + "</tr>"
        for row in rows(board)
    )
    files = ", ".join(sorted({found.file for found in board.contamination.values() if found.file}))
    where = f" Every problem's overlap is in {escape(files)}." if files else ""
    return (
        '<p class="note" id="about-overlap">How much of each problem stands in the text that a variant was trained '
        f"on; what it means is said under the definitions.{where}</p>"
        '<div class="scroll"><table class="plain" aria-describedby="about-overlap">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
