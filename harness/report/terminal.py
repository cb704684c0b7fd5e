"""The leaderboard in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from harness.report import words
from harness.report.model import Difference, Estimate, Leaderboard, Row, headline, read_leaderboard
from harness.report.text import visible
from sandbox.model import Outcome

_COLOURS = {"better": "green", "worse": "red", "equivalent": "cyan", "undecided": "yellow"}


def render_terminal(leaderboard: Mapping[str, Any]) -> Table:
    """A rich table, best variant first. Raises BadInputError when the leaderboard is malformed."""
    board = read_leaderboard(leaderboard)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=None)
    table.add_column("rank", justify="right")
    table.add_column("variant", overflow="fold")
    for k in board.shown_k:
        table.add_column(f"pass@{k} %", justify="right")
    table.add_column(Text(visible(f"vs {board.reference}, points")), justify="right")
    for name in ("p", "outcomes", "size", "tok/s", "made in"):
        table.add_column(name, justify="left" if name == "outcomes" else "right")
    for row in board.ranked:
        table.add_row(*_cells(board, row))
    return table


def _cells(board: Leaderboard, row: Row) -> list[Text]:
    outcomes = " ".join(f"{words.count(n)} {name.value}" for name in Outcome if (n := row.outcomes.get(name)))
    return [
        Text(words.rank(board, row)),
        Text(visible(row.variant), style="bold"),
        *(_estimate(headline(row, k)) for k in board.shown_k),
        *_difference(board, row),
        Text(outcomes),
        _figure(row.size_bytes, words.size),
        _figure(row.tok_per_s, words.rate),
        Text(words.GIVEN, style="dim") if row.given else _figure(row.make_s, words.seconds),
    ]


def _figure(value: float | None, show: words.Show) -> Text:
    return Text(words.UNMEASURED, style="dim") if value is None else Text(show(value))


def _estimate(e: Estimate) -> Text:
    text = _figure(e.value, words.percent)
    if e.value is not None and e.low is not None and e.high is not None:
        text.append(f"  {words.percent(e.low)}{words.DASH}{words.percent(e.high)}", style="dim")
    return text


def _difference(board: Leaderboard, row: Row) -> list[Text]:
    if row.variant == board.reference:
        return [Text("reference", style="dim"), Text("")]
    d = row.vs_reference or Difference()
    text = _figure(d.difference, words.points)
    if d.difference is not None and d.verdict is not None:
        text.stylize(_COLOURS[d.verdict])
    if d.difference is not None and d.low is not None and d.high is not None:
        text.append(f"  {words.points(d.low)} to {words.points(d.high)}", style="dim")
    return [text, _figure(d.shown_p, words.p_value)]
