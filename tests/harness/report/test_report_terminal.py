"""The terminal table keeps what decides, at any width."""

from __future__ import annotations

import copy
import io

import pytest
from rich.console import Console

from assay.harness.leaderboard.schema import read_leaderboard
from assay.harness.report import note_lines, render_markdown, render_terminal
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


def test_a_score_over_fewer_problems_than_the_suite_has_says_so(run: SyntheticRun) -> None:
    board = copy.deepcopy(run.leaderboard)
    text = render_markdown(read_leaderboard(board))
    total = board["suite"]["n_problems"]
    assert f" of {total}" not in text
    board["suite"]["unmeasured"] = {
        "p/1": "the package pandas is not in the sandbox",
        "p/2": "no reason | at all",
    }
    for row in board["rows"]:
        row["n_problems"] = total - 2
        row["near_limit"] = 3
        row["not_data"] = {"p/7": 9}
    for pair in board["comparisons"]:
        pair["n"] = total - 2
    read = read_leaderboard(board)
    text = render_markdown(read)
    assert text.count(f"{total - 2} of {total}") >= len(board["rows"]) + len(board["comparisons"])
    assert f"{total - 2} of {total} problems of" in text
    assert "p/1 (the package pandas is not in the sandbox)" in text
    for width in (80, 140):
        out = io.StringIO()
        Console(width=width, file=out).print(render_terminal(read, width))
        assert out.getvalue().count(f"{total - 2} of {total}") == len(board["rows"])
    lines = [line.plain for line in note_lines(read)]
    assert lines[0].startswith("2 problems are unmeasured")
    assert any("3 samples ended near a limit" in line for line in lines)
    assert any("p/7 (9)" in line for line in lines)
