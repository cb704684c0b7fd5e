"""Figures in words: one format a quantity, the same in HTML, Markdown and terminal.

Plain text without markup; each renderer escapes it for its own medium.
"""

from __future__ import annotations

import html
import json
import re
from typing import Any

from assay.harness.formatting import DASH, UNMEASURED, points
from assay.harness.leaderboard.schema import Difference, Leaderboard, Row


def confidence(board: Leaderboard) -> str:
    return f"{board.confidence * 100:g} %"


def in_words(board: Leaderboard, variant: str, d: Difference, *, other: str | None = None) -> str:
    """A difference as one spoken line, for those who do not see its plot."""
    other = board.reference if other is None else other
    if d.difference is None:
        return f"{variant} against {other}: {UNMEASURED}"
    between = "" if d.low is None or d.high is None else f", {points(d.low)} to {points(d.high)}"
    return f"{variant} against {other}: {points(d.difference)} points{between}"


def rank(board: Leaderboard, row: Row) -> str:
    """The rank, with `=` where it is shared."""
    if row.rank is None:
        return DASH
    return f"{row.rank}=" if board.tied(row) else str(row.rank)


def why_unmeasured(row: Row, field: str, reason: str = "") -> str:
    """The recorded reason for a missing figure, or that none was recorded."""
    return reason or row.unmeasured.get(field, "") or "no reason was recorded"


# Making hostile text safe to print.
#
# A completion can hold anything: markup, terminal escapes, characters that reverse the reading direction so that a
# program reads as something it is not (CVE-2021-42574), lone surrogates that no file can encode. Every string from
# outside passes through one of these on its way into a page.

# C0 and C1 controls except tab and newline, bidirectional overrides and isolates, line and paragraph separators,
# zero-width characters, byte-order mark, lone surrogates.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|#~&])")


def visible(text: str) -> str:
    """The text with every character that cannot be seen, or that moves others about, spelled as ⟨U+XXXX⟩."""
    return _UNPRINTABLE.sub(lambda m: f"⟨U+{ord(m.group()):04X}⟩", text)


def escape(text: object) -> str:
    """For HTML text and quoted attributes alike."""
    return html.escape(visible(str(text)), quote=True)


def attribute(text: object) -> str:
    """For a quoted HTML attribute; newlines become spaces."""
    return escape(" ".join(str(text).split()))


def markdown(text: object) -> str:
    """For one cell of a Markdown table: no markup, no line break, no column separator."""
    return _MARKDOWN.sub(r"\\\1", visible(" ".join(str(text).split())))


def script_json(value: Any) -> str:
    """JSON for a `<script type="application/json">` element.

    Angle brackets and ampersands are written as escapes, so that no string can close the element or open a
    comment; everything beyond ASCII too, which makes lone surrogates harmless. NaN raises ValueError.
    """
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
