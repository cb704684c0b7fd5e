"""What each variant needs by itself: memory and speed of its profile, as table rows and as HTML."""

from __future__ import annotations

from itertools import repeat

from assay.harness import formatting
from assay.harness.leaderboard.schema import Leaderboard, Row
from assay.harness.report import wording
from assay.harness.report.blocks import Footnotes, plain_table
from assay.harness.report.wording import escape

HEAD = [
    "variant",
    "peak memory",
    "the model's part",
    "on the device",
    "reading, tok/s",
    "writing, tok/s",
    "load average",
]
ALIGN = "lrrrrrr"


def note(board: Leaderboard) -> str:
    """What the figures are of; empty where nothing was profiled."""
    found = [row.profile for row in board.rows if row.profile is not None]
    if not found:
        return ""
    work = found[0].workload
    return (
        "Each variant alone in a process of its own: peak memory is the largest resident set of that process, its "
        "libraries included, and the model's part is what came on top of them. Prompts of "
        f"{work.get('prompt_tokens')} random tokens are read and {work.get('new_tokens')} written to each, "
        f"{work.get('batch_size')} at a time; medians of {work.get('repeats')}. The load average is the machine's when "
        "the profile began: where it is not far below the number of cores, the speeds are too low."
    )


def rows(board: Leaderboard) -> list[tuple[list[str], str]]:
    """For each variant its cells, unescaped, and why it was not profiled; nothing where none was."""
    if not note(board):
        return []
    return [(_cells(row), wording.why_unmeasured(row, "peak_rss_bytes")) for row in board.ranked]


def _cells(row: Row) -> list[str]:
    found = row.profile
    if found is None:
        return [row.variant, *[formatting.UNMEASURED] * (len(HEAD) - 1)]
    return [
        row.variant,
        _shown(row.peak_rss_bytes, formatting.size),
        _shown(found.added_rss_bytes, formatting.size),
        "" if row.vram_bytes is None else formatting.size(row.vram_bytes),
        _shown(found.prefill_tok_per_s, formatting.rate),
        _shown(found.decode_tok_per_s, formatting.rate),
        _shown(found.load_average, lambda x: f"{x:.1f}"),
    ]


def _shown(value: float | None, show: formatting.Show) -> str:
    return formatting.UNMEASURED if value is None else show(value)


def section(board: Leaderboard) -> str:
    """The section's table; empty where nothing was profiled."""
    found = rows(board)
    if not found:
        return ""
    notes = Footnotes("why-profiles")
    cells = (notes.cells(row, repeat(why)) for row, why in found)
    table = plain_table(HEAD, ALIGN, cells, about="about-profiles")
    return f'<p class="note" id="about-profiles">{escape(note(board))}</p>{table}{notes.html()}'
