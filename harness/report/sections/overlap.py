"""What training sets have in common with the suite, as table rows and as HTML."""

from __future__ import annotations

from collections.abc import Iterator

from assay.harness import formatting
from assay.harness.leaderboard.schema import Leaderboard
from assay.harness.report.blocks import plain_table
from assay.harness.report.wording import escape

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
            worst = ", ".join(
                f"{w['task_id']} {formatting.percent(w['share'])} %" for w in method.worst[:_WORST]
            )
            yield [
                variant,
                formatting.count(found.n_texts),
                name,
                f"{formatting.count(method.n_flagged)} of {formatting.count(found.n_problems)}",
                formatting.percent(method.mean),
                worst or formatting.DASH,
                formatting.count(found.n_duplicates),
            ]


def section(board: Leaderboard) -> str:
    """The section's table; empty where nothing was trained."""
    if not board.contamination:
        return ""
    table = plain_table(
        HEAD, ALIGN, ([escape(cell) for cell in row] for row in rows(board)), about="about-overlap"
    )
    files = ", ".join(sorted({found.file for found in board.contamination.values() if found.file}))
    where = f" Every problem's overlap is in {escape(files)}." if files else ""
    return (
        '<p class="note" id="about-overlap">How much of each problem stands in the text that a variant was trained '
        f"on; what it means is said under the definitions.{where}</p>{table}"
    )
