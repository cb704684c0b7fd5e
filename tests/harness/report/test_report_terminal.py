"""The terminal table keeps what decides, at any width."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from harness.report import render_terminal
from tests.harness.report.conftest import SyntheticRun


@pytest.mark.parametrize("width", [80, 100, 140])
def test_every_variant_stands_whole_with_its_figures(run: SyntheticRun, width: int) -> None:
    out = io.StringIO()
    console = Console(width=width, file=out)
    console.print(render_terminal(run.leaderboard, console.width))
    text = out.getvalue()
    assert "…" not in text
    for row in run.leaderboard["rows"]:
        line = next(line for line in text.splitlines() if f" {row['variant']} " in line)
        assert f"{100 * row['pass@k']['1']['value']:.1f}" in line
    assert ("made in" in text) == (width >= 120)
