"""`assay runs`: the runs in a folder, over time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument

from assay.harness.cli.app import print_json, screen, verb
from assay.harness.cli.options import RESULTS, SHOWN, OptionalSuite, Shown

if TYPE_CHECKING:
    from assay.harness.decide.history import SavedRun
    from assay.harness.report.blocks import Table


@verb()
def runs(
    folder: Annotated[Path, Argument(metavar="[DIR]", help="A folder of results.")] = RESULTS,
    suite: OptionalSuite = None,
    shown: Shown = SHOWN,
) -> None:
    """List the runs in a folder, the newest first.

    With --json every variant of every run, each with what made it: hash, seeds, device, backend and versions. In Python
    the same rows are a pandas table: assay.load_results(DIR).
    """
    from assay.harness.cli.report import show_unreadable
    from assay.harness.decide.history import find_runs, load_results
    from assay.harness.report import render_table

    if shown.as_json:
        frame = load_results(folder, skip_unreadable=True)
        frame["created"] = frame["created"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")
        values: Any = frame.astype(object).where(frame.notna(), None).to_dict("records")
        rows = [row for row in values if suite in (None, row["suite"])]
        unreadable = {str(run.folder): run.reason for run in find_runs(folder) if run.board is None}
        print_json({"runs": rows, "unreadable": unreadable})
        return
    saved = find_runs(folder)
    console = screen()
    console.print(render_table(runs_table(saved, suite), width=console.width))
    show_unreadable({str(run.folder): run.reason for run in saved if run.board is None})


def runs_table(saved: list[SavedRun], suite: str | None) -> Table:
    """Return a row a run, the newest first."""
    from assay.harness import formatting
    from assay.harness.decide.history import suite_of
    from assay.harness.leaderboard.schema import Leaderboard, headline
    from assay.harness.report.blocks import Cell, Column, figure, tabulate

    boards = {id(run.board): (run.board, run.folder) for run in reversed(saved) if run.board is not None}
    shown = [board for board, _ in boards.values() if suite in (None, suite_of(board))]

    def best(board: Leaderboard) -> Cell:
        row = board.ranked[0]
        e = headline(row, board.headline_k)
        return figure(e.value, formatting.percent, e.reason, low=e.low, high=e.high)

    columns: list[Column[Leaderboard]] = [
        Column("made", lambda b: b.created.replace("T", " ").removesuffix("Z")[:16], "l"),
        Column("experiment", lambda b: b.experiment, "l", names_row=True),
        Column("suite", suite_of, "l"),
        Column("variants", lambda b: formatting.count(len(b.rows))),
        Column("first", lambda b: b.ranked[0].variant, "l"),
        Column("pass@k", best, unit="%"),
        Column("device", lambda b: str(b.machine.get("device") or formatting.DASH), "l", cost=True),
        Column(
            "assay",
            lambda b: str(b.machine.get("packages", {}).get("assay") or formatting.DASH),
            "l",
            cost=True,
        ),
        Column("folder", lambda b: str(boards[id(b)][1]), "l"),
    ]
    return tabulate(columns, shown, name="runs")
