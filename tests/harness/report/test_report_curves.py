"""How trainings went, in the report: every curve has axes and units, and what is missing says why."""

from __future__ import annotations

import re
from typing import Any

import pytest

from assay.harness.errors import BadInputError
from assay.harness.leaderboard.schema import read_leaderboard
from assay.harness.report import charts, render_markdown
from assay.harness.report.blocks import Table
from assay.harness.report.html import render_page
from assay.harness.report.sample_browser import page_data
from assay.harness.report.sections.curves import missing
from assay.harness.report.sections.trainings import learned
from tests.harness.report.conftest import SyntheticRun
from tests.harness.report.synthetic_run import ppo_curves, training_row

NO_METHOD = "the method is not paid by checks"


@pytest.fixture
def board(run: SyntheticRun) -> dict[str, Any]:
    """An SFT training, and two PPO ones of three seeds, of which the second can be hacked."""
    given = run.leaderboard
    given["curves"] |= {"merged": ppo_curves(honest=True), "gguf-f16": ppo_curves(honest=False)}
    paid = {"gap": 0.03, "kl": 1.5, "generate_s": 84.0, "execute_s": 1.2, "learn_s": 168.0, "total_s": 253.2}
    given["trainings"] = [
        training_row(
            "adapter",
            "sft",
            kl=None,
            final_loss=0.35,
            learn_s=60.0,
            total_s=60.0,
            unmeasured={"kl": "no [compare] table", "gap": NO_METHOD}
            | dict.fromkeys(
                ("generate_s", "execute_s"), "the method draws no answers: it learns from given ones"
            ),
        ),
        training_row("merged", "ppo", final_loss=0.1, **paid),
        training_row("gguf-f16", "ppo", final_loss=0.1, **(paid | {"gap": 0.6})),
    ]
    return given


def page(run: SyntheticRun, given: dict[str, Any]) -> str:
    board = read_leaderboard(given)
    return render_page(board, page_data(board, run.samples, run.problems))


def figures(html: str) -> dict[str, str]:
    """Each drawing by what it is called aloud."""
    return {
        match[1]: match[0]
        for match in re.finditer(r'<figure>.*?aria-label="([^"]*)".*?</figure>', html, flags=re.DOTALL)
    }


def test_every_curve_has_its_axes_and_its_units(run: SyntheticRun, board: dict[str, Any]) -> None:
    found = figures(page(run, board))
    said = [name.partition(": ")[2].partition(",")[0] for name in found if name.startswith("merged: ")]
    assert said[:6] == [
        "Reward",
        "Reward by component",
        "Checks passed",
        "Hacking gap",
        "KL from the reference",
        "Entropy",
    ]
    for name, figure in found.items():
        unit = name.partition(": ")[2].partition(", ")[2].partition(":")[0]
        assert f">{unit}</text>" in figure
        assert re.search(r">(update|step)</text>", figure)
        assert len(re.findall(r'text-anchor="end">', figure)) >= 2  # figures on the y-axis


def test_what_ppos_critic_is_worth_is_not_folded_away(run: SyntheticRun, board: dict[str, Any]) -> None:
    shown, fold, _ = page(run, board).partition("<summary>More curves of merged</summary>")
    assert fold
    for title in ("Clip fraction", "Variance the critic explains"):
        assert f'aria-label="merged: {title}, ' in shown
    assert "0 or less: it adds nothing to the baseline" in shown
    assert 'aria-label="merged: Value loss, ' not in shown


def test_seeds_are_thin_lines_and_their_mean_a_strong_one(run: SyntheticRun, board: dict[str, Any]) -> None:
    found = figures(page(run, board))
    gap = next(f for name, f in found.items() if name.startswith("gguf-f16: Hacking gap"))
    assert len(re.findall(r'class="seed s0"', gap)) == 3
    assert len(re.findall(r'class="mean s0"', gap)) == 1
    loss = next(f for name, f in found.items() if name.startswith("adapter: Loss"))
    assert 'class="seed' not in loss
    assert 'class="mean s0"' in loss


def test_the_gap_of_two_rewards_stands_in_one_drawing(run: SyntheticRun, board: dict[str, Any]) -> None:
    found = figures(page(run, board))
    together = next(f for name, f in found.items() if name.startswith("together: Hacking gap"))
    assert "merged 3" in together  # the last figure of each, in points
    assert "gguf-f16 60" in together
    assert {'class="mean s0"', 'class="mean s1"'} <= set(re.findall(r'class="mean s\d"', together))


def test_alarms_and_targets_are_drawn_where_they_are_near(run: SyntheticRun, board: dict[str, Any]) -> None:
    found = figures(page(run, board))
    hacked = next(f for name, f in found.items() if name.startswith("gguf-f16: KL"))
    alarms = sum(len(r["alarms"]) for r in board["curves"]["gguf-f16"]["runs"])
    assert len(re.findall(r'class="alarm"', hacked)) == alarms > 0
    assert ">target 2</text>" in hacked
    assert ">alarm 4</text>" in hacked
    assert f"{alarms} alarms, the filled dots" in hacked
    for one in board["curves"]["merged"]["runs"]:
        one["train"]["series"]["kl"] = [0.01 * v for v in one["train"]["series"]["kl"]]
        one["alarms"] = {}
    honest = next(f for name, f in figures(page(run, board)).items() if name.startswith("merged: KL"))
    assert "target 2 and alarm 4 above the drawing" in honest
    assert ">target 2</text>" not in honest


def test_a_missing_curve_says_why(run: SyntheticRun, board: dict[str, Any]) -> None:
    why = 'every check pays (reward.checks = "all"), so that none is held out'
    for one in board["curves"]["merged"]["runs"]:
        del one["train"]["series"]["gap"], one["train"]["series"]["held_pass_rate"]
    board["curves"]["merged"]["unmeasured"] = {"held_pass_rate": why, "gap": why, "kl": "beta = 0"}
    said = missing("merged", read_leaderboard(board).curves["merged"])
    assert said == [
        f"merged: checks passed (checks held out) and hacking gap unmeasured: {why}.",
        "merged: KL from the reference unmeasured: beta = 0.",
    ]
    assert "every check pays" in page(run, board)
    assert "every check pays" in render_markdown(read_leaderboard(board))
    assert "loss (held out) unmeasured: nothing was held out" in page(run, board)


def test_markdown_says_where_each_curve_began_and_ended(board: dict[str, Any]) -> None:
    text = render_markdown(read_leaderboard(board))
    line = next(x for x in text.split("\n") if x.startswith("| gguf-f16 | Hacking gap |"))
    cells = [c.strip() for c in line.strip("|").split("|")]
    assert cells[2] == "points"
    assert float(cells[3]) == pytest.approx(11.25)
    assert float(cells[4]) == pytest.approx(60)
    assert cells[7:] == ["40", "3"]


def test_method_stands_beside_method_with_its_cost(run: SyntheticRun, board: dict[str, Any]) -> None:
    tables = [block for block in learned(read_leaderboard(board)) if isinstance(block, Table)]
    what, cost = (
        {
            row[0].text: {c.heading: cell for c, cell in zip(table.columns, row, strict=True)}
            for row in table.rows
        }
        for table in tables
    )
    assert "gap, points" in what["merged"]
    assert "β or price of KL" not in what["merged"]
    assert cost["merged"]["generating"].text == "84 s"
    assert cost["merged"]["generating"].range == "76 s–92 s"
    assert cost["merged"]["waiting for execution"].text == "1.2 s"
    assert cost["merged"]["together"].text == "4 min 13 s"
    assert cost["adapter"]["generating"].text == "–"
    for name in ("merged", "gguf-f16"):  # a policy's loss says nothing
        assert what[name]["last loss"].text == "–"
    assert what["adapter"]["last loss"].text == "0.35"
    assert what["adapter"]["KL from its start"].text == "unmeasured"
    html = page(run, board)
    assert "no [compare] table" in html
    assert "### What it cost" in render_markdown(read_leaderboard(board))


def test_a_figure_of_training_is_defined_where_it_is_shown(run: SyntheticRun, board: dict[str, Any]) -> None:
    assert "<dt>hacking gap</dt>" in page(run, board)
    assert "**KL from its start**" in render_markdown(read_leaderboard(board))
    board["curves"] = {"adapter": board["curves"]["adapter"]}
    assert "hacking gap" not in page(run, board)
    assert "**KL from its start**" not in render_markdown(read_leaderboard(board))


def test_plain_fine_tuning_alone_needs_no_comparison_of_methods(board: dict[str, Any]) -> None:
    board["trainings"] = board["trainings"][:1]
    assert learned(read_leaderboard(board)) == []


def test_a_curve_as_long_as_its_steps_or_refused(board: dict[str, Any]) -> None:
    board["curves"]["adapter"]["runs"][0]["train"]["series"]["loss"].pop()
    with pytest.raises(BadInputError, match="curve 'loss' has 93 values at 94 steps"):
        read_leaderboard(board)


def test_a_seed_that_ended_early_ends_the_mean_there() -> None:
    line = charts.Line("x", [[(1.0, 1.0), (2.0, 2.0)], [(1.0, 3.0)]])
    assert line.mean() == [(1.0, 2.0)]
    assert 'class="point s0"' in charts.draw(charts.Plot([line], "step", "loss", "x"))


def test_flat_and_single_points_can_be_drawn() -> None:
    for points in ([(5.0, 0.0)], [(1.0, 2.0), (2.0, 2.0)], [(1.0, -1e-9), (2.0, 1e-9)]):
        drawn = charts.draw(charts.Plot([charts.Line("x", [points])], "step", "loss", "x"))
        assert "nan" not in drawn.lower()
        assert drawn.count("<svg") == 1
