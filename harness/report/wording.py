"""Word parts of the leaderboard, and make text from outside safe to print in each medium.

A completion can hold anything: markup, terminal escapes, characters that reverse the reading direction so that a
program reads as something it is not (CVE-2021-42574), lone surrogates that no file can encode. Every string from
outside passes through `visible`, `escape` or `markdown` on its way into a report.
"""

from __future__ import annotations

import html
import re

from markupsafe import Markup

from assay.harness.formatting import DASH, UNMEASURED, count, points, span
from assay.harness.leaderboard.schema import Difference, Leaderboard, Row

# C0 and C1 controls except tab and newline, bidirectional overrides and isolates, line and paragraph separators,
# zero-width characters, byte-order mark, lone surrogates.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
NO_REASON = "no reason was recorded"
SHOWN_PROBLEMS = 5
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|#~&])")


def confidence(board: Leaderboard) -> str:
    """Return the level of the leaderboard's intervals: 95 %."""
    return f"{board.confidence * 100:g} %"


def of_problems(board: Leaderboard, n: int | None) -> str:
    """Return the number of problems that a figure is over, with that of the suite where it is less: "148 of 164"."""
    total = board.suite.n_problems
    if n is None:
        return DASH
    return count(n) if total is None or n >= total else f"{count(n)} of {count(total)}"


def taken_over(board: Leaderboard) -> str:
    """Return the steps that were taken as they are, with their reasons; empty where there are none."""
    reasons: dict[str, list[str]] = {}
    for step, reason in board.taken_over.items():
        reasons.setdefault(reason, []).append(step)
    return "; ".join(f"{', '.join(steps)}: {reason}" for reason, steps in reasons.items())


def unmeasured_problems(board: Leaderboard) -> str:
    """Return the problems with which nothing could be measured, the first with their reasons; empty without any."""
    reasons = board.suite.unmeasured
    named = [f"{problem} ({reason})" for problem, reason in list(reasons.items())[:SHOWN_PROBLEMS]]
    return ", ".join([*named, *(["…"] if len(reasons) > SHOWN_PROBLEMS else [])])


def in_words(board: Leaderboard, variant: str, d: Difference, *, other: str | None = None) -> str:
    """Return a difference as one spoken line, for those who do not see its plot."""
    other = board.reference if other is None else other
    if d.difference is None:
        return f"{variant} against {other}: {UNMEASURED}"
    interval = span(d.low, d.high, points)
    return f"{variant} against {other}: {points(d.difference)} points{f', {interval}' if interval else ''}"


def rank(board: Leaderboard, row: Row) -> str:
    """Return the rank, with `=` where it is shared."""
    if row.rank is None:
        return DASH
    return f"{row.rank}=" if board.tied(row) else str(row.rank)


def why_unmeasured(row: Row, field: str, reason: str = "") -> str:
    """Return the recorded reason for a missing figure, or that none was recorded."""
    return reason or row.unmeasured.get(field, "") or NO_REASON


def visible(text: str) -> str:
    """Spell every character that cannot be seen, or that moves others about, as ⟨U+XXXX⟩."""
    return _UNPRINTABLE.sub(lambda m: f"⟨U+{ord(m.group()):04X}⟩", text)


def escape(text: object) -> Markup:
    """Escape for HTML text and quoted attributes alike; markup passes as it is."""
    return text if isinstance(text, Markup) else Markup(html.escape(visible(str(text)), quote=True))


def one_line(text: object) -> str:
    """Put the text on one line, as an attribute or a table's cell needs it."""
    return " ".join(str(text).split())


def markdown(text: object) -> str:
    """Escape for one cell of a Markdown table: no markup, no line break, no column separator."""
    return _MARKDOWN.sub(r"\\\1", visible(one_line(text)))
