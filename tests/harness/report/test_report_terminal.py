"""The terminal table keeps what decides, at any width."""

from __future__ import annotations

import copy
import io

import pytest
from rich.console import Console

from assay.harness.leaderboard.schema import read_leaderboard
from assay.harness.report import render_terminal
from tests.harness.report.conftest import SyntheticRun


@pytest.mark.parametrize("width", [80, 100, 140])
def test_every_variant_stands_whole_with_its_figures(run: SyntheticRun, width: int) -> None:
    out = io.StringIO()
    console = Console(width=width, file=out)
    console.print(render_terminal(run.board, console.width))
    text = out.getvalue()
    assert "…" not in text
    for row in run.leaderboard["rows"]:
        line = next(line for line in text.splitlines() if f" {row['variant']} " in line)
        assert f"{100 * row['pass@k']['1']['value']:.1f}" in line
    assert ("made in" in text) == (width >= 120)


@pytest.mark.parametrize("width", [80, 120, 140, 200])
def test_many_k_leave_room_for_the_names(run: SyntheticRun, width: int) -> None:
    board = copy.deepcopy(run.leaderboard)
    board["k"] = [1, 2, 4, 8, 16]
    for row in board["rows"]:
        row["pass@k"] |= {str(k): row["pass@k"]["1"] for k in board["k"]}
    out = io.StringIO()
    console = Console(width=width, file=out)
    console.print(render_terminal(read_leaderboard(board), console.width))
    text = out.getvalue()
    assert "…" not in text
    assert "pass@1 %" in text
    assert ("pass@16 %" in text) == (width >= 154)
    for row in board["rows"]:
        assert f" {row['variant']} " in text
