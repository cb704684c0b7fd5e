"""The leaderboard in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from assay.harness import formatting
from assay.harness.leaderboard.schema import (
    Difference,
    Estimate,
    Leaderboard,
    Row,
    headline,
    read_leaderboard,
)
from assay.harness.report import wording
from assay.harness.report.sections.rewards import in_words
from assay.harness.report.wording import visible
from assay.sandbox.model import Outcome

WIDE = 120  # columns that hold the whole table, with pass@k for two k
K_WIDTH = 18  # of one more
NARROW = 62  # what a table without pass@k and costs takes
_COSTS = ("n", "outcomes", "size", "tok/s", "made in")
_COLOURS = {"better": "green", "worse": "red", "equivalent": "cyan", "undecided": "yellow"}


def render_terminal(leaderboard: Mapping[str, Any], width: int = WIDE) -> Table:
    """A rich table, best variant first. Raises BadInputError when the leaderboard is malformed.

    Where `width` columns do not hold it all, the figures that decide are kept and the costs left to the report.
    """
    board = read_leaderboard(leaderboard)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=None)
    whole = width >= WIDE + K_WIDTH * max(0, len(board.shown_k) - 2)
    shown = board.shown_k if whole else board.shown_k[: max(1, (width - NARROW) // K_WIDTH)]
    table.add_column("rank", justify="right", no_wrap=True)
    table.add_column("variant", overflow="fold")
    for k in shown:
        table.add_column(f"pass@{k} %", justify="right", no_wrap=True)
    table.add_column(Text(visible(f"vs {board.reference}, points")), justify="right", no_wrap=True)
    table.add_column("p", justify="right", no_wrap=True)
    for name in _COSTS if whole else ():
        table.add_column(name, justify="left" if name == "outcomes" else "right")
    for row in board.ranked:
        costs = [*_ended(row), *_cost_cells(row)] if whole else []
        table.add_row(*_verdict_cells(board, row, shown), *costs)
    if not whole:
        table.caption, table.caption_justify = _below(board), "left"
    return table


def reward_model_lines(leaderboard: Mapping[str, Any]) -> list[Text]:
    """A line for each reward model's training: a leaderboard has no row for them."""
    lines = []
    for name, model in read_leaderboard(leaderboard).reward_models.items():
        for run in model.runs:
            seed = f", training seed {run.seed}" if len(model.runs) > 1 else ""
            lines.append(Text(visible(f"reward model {name}{seed}: {in_words(run)}")))
    return lines


def _verdict_cells(board: Leaderboard, row: Row, shown: Sequence[int]) -> list[Text]:
    return [
        Text(wording.rank(board, row)),
        Text(visible(row.variant), style="bold"),
        *(_estimate(headline(row, k)) for k in shown),
        *_difference(board, row),
    ]


def _ended(row: Row) -> list[Text]:
    """How many samples a score rests on, and how they ended: beside the score at any width."""
    outcomes = " ".join(
        f"{formatting.count(n)} {name.value}" for name in Outcome if (n := row.outcomes.get(name))
    )
    return [_figure(row.n_samples, lambda n: formatting.count(int(n))), Text(outcomes)]


def _below(board: Leaderboard) -> Text:
    """n and outcomes of each variant, a line each, where the table has no room for them."""
    lines = (f"{visible(row.variant)}: n {n}: {ended}" for row in board.ranked for n, ended in [_ended(row)])
    return Text("\n".join(lines), style="dim")


def _cost_cells(row: Row) -> list[Text]:
    """After n and outcomes, in the order of _COSTS."""
    return [
        _figure(row.size_bytes, formatting.size),
        _figure(row.tok_per_s, formatting.rate),
        Text(formatting.GIVEN, style="dim") if row.given else _figure(row.make_s, formatting.seconds),
    ]


def _figure(value: float | None, show: formatting.Show) -> Text:
    return Text(formatting.UNMEASURED, style="dim") if value is None else Text(show(value))


def _estimate(e: Estimate) -> Text:
    text = _figure(e.value, formatting.percent)
    if e.value is not None and e.low is not None and e.high is not None:
        text.append(
            f"  {formatting.percent(e.low)}{formatting.DASH}{formatting.percent(e.high)}", style="dim"
        )
    return text


def _difference(board: Leaderboard, row: Row) -> list[Text]:
    if row.variant == board.reference:
        return [Text("reference", style="dim"), Text("")]
    d = row.vs_reference or Difference()
    text = _figure(d.difference, formatting.points)
    if d.difference is not None and d.verdict is not None:
        text.stylize(_COLOURS[d.verdict])
    if d.difference is not None and d.low is not None and d.high is not None:
        text.append(f"  {formatting.points(d.low)} to {formatting.points(d.high)}", style="dim")
    return [text, _figure(d.shown_p, formatting.p_value)]
