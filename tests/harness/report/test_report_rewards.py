"""What paid, in the report: a reward model's accuracy, margins and calibration, and answers with their rewards."""

from __future__ import annotations

import re
from typing import Any

import pytest

from assay.harness.errors import BadInputError
from assay.harness.leaderboard.schema import Bar, Bin, Interval, RewardModelRun, read_leaderboard
from assay.harness.report import charts, render_markdown, reward_model_lines
from assay.harness.report.html import render_page
from assay.harness.report.sample_browser import page_data
from assay.harness.report.sections import rewards
from tests.harness.report.conftest import SyntheticRun
from tests.harness.report.synthetic_run import paid_answers, reward_model, training_row


@pytest.fixture
def board(run: SyntheticRun) -> dict[str, Any]:
    """`merged` was trained by PPO; `judge` paid it, and has no row of its own."""
    given = run.leaderboard
    given |= {
        "reward_models": {"judge": reward_model("merged")},
        "answers": {"merged": paid_answers()},
        "trainings": [training_row("merged", "ppo", gap=0.0), training_row("judge", "reward", accuracy=0.8)],
    }
    return given


def page(run: SyntheticRun, given: dict[str, Any]) -> str:
    board = read_leaderboard(given)
    return render_page(board, page_data(board, run.samples, run.problems))


def test_a_reward_models_worth_is_in_page_markdown_and_terminal(
    run: SyntheticRun, board: dict[str, Any]
) -> None:
    html, text = page(run, board), render_markdown(read_leaderboard(board))
    (line,) = reward_model_lines(read_leaderboard(board))
    assert '80.0<small class="range">71.0–88.0</small>' in html
    assert "better than a coin" in html
    assert line.plain == (
        "reward model judge: held-out accuracy 80.0 % (71.0–88.0) on 40 pairs of 25 problems, better than a coin; "
        "mean margin 0.8; calibration error 12.5 points"
    )
    assert "| judge | 0 | 80.0 (71.0–88.0) | better than a coin | 40 | 25 | 0.8 | 12.5 | merged |" in text
    assert "| 80–85 | 10 | 82.0 | 90.0 |" in text


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.51, 0.7, "better than a coin"), (0.5, 0.7, "not told from a coin"), (0.2, 0.49, "worse than a coin")],
)
def test_an_accuracy_is_held_against_a_coin_by_its_interval(low: float, high: float, said: str) -> None:
    assert rewards.against_a_coin(Interval(value=0.6, low=low, high=high)) == said


def test_a_reward_model_without_held_out_pairs_says_why(run: SyntheticRun, board: dict[str, Any]) -> None:
    board["reward_models"]["judge"]["runs"] = [{"seed": 0, "unmeasured": "no pairs were held out"}]
    (line,) = reward_model_lines(read_leaderboard(board))
    assert line.plain == "reward model judge: held-out accuracy unmeasured: no pairs were held out"
    missing = "held-out accuracy, mean margin and calibration error unmeasured: no pairs were held out"
    assert f"- {missing}" in render_markdown(read_leaderboard(board))
    html = page(run, board)
    assert f">{missing}</li>" in html
    assert 'class="column"' not in html


def test_every_seed_is_drawn_and_named(run: SyntheticRun, board: dict[str, Any]) -> None:
    first = board["reward_models"]["judge"]["runs"][0]
    board["reward_models"]["judge"]["runs"] = [first, first | {"seed": 1}]
    html = page(run, board)
    for seed in (0, 1):
        assert html.count(f'aria-label="judge, seed {seed}: ') == 2
    assert [line.plain[:36] for line in reward_model_lines(read_leaderboard(board))] == [
        f"reward model judge, training seed {seed}:" for seed in (0, 1)
    ]


def test_the_histogram_has_a_column_a_bin_as_high_as_its_pairs() -> None:
    drawn = charts.histogram(
        [Bar(low=-1.0, high=0.0, pairs=2), Bar(low=0.0, high=1.0, pairs=6), Bar(low=1.0, high=2.0, pairs=0)],
        "it",
    )
    heights = [float(h) for h in re.findall(r'<rect [^>]*? height="([\d.]+)"', drawn)]
    assert heights[1] == pytest.approx(3 * heights[0], abs=0.3)
    assert heights[2] == 0
    assert "2 pairs with a margin of −1 to 0" in drawn
    starts = [float(x) for x in re.findall(r'<rect x="([\d.]+)"', drawn)]
    (zero,) = re.findall(r'class="mark" x1="([\d.]+)"', drawn)
    assert starts[0] < float(zero) <= starts[1]


def test_a_dot_lies_where_its_bin_is_sure_and_right() -> None:
    """A model as right as it is sure lies on the line from (50 %, 50 %) to (100 %, 100 %)."""
    believed = [
        Bin(low=0.5, high=0.75, pairs=10, confidence=0.6, accuracy=0.6),
        Bin(low=0.75, high=1.0, pairs=40, confidence=0.9, accuracy=0.9),
        Bin(low=0.9, high=1.0, pairs=0),
    ]
    drawn = charts.reliability(believed, "it")
    (line,) = re.findall(r'class="mark" x1="([\d.]+)" y1="([\d.]+)" x2="([\d.]+)" y2="([\d.]+)"', drawn)
    x1, y1, x2, y2 = map(float, line)
    dots = [
        tuple(map(float, d)) for d in re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="([\d.]+)"', drawn)
    ]
    assert len(dots) == 2
    for x, y, _ in dots:
        assert (y - y1) / (y2 - y1) == pytest.approx((x - x1) / (x2 - x1), abs=0.01)
    assert dots[1][2] == pytest.approx(2 * dots[0][2], abs=0.2)  # four times the pairs, four times the area


def test_drawings_of_one_pair_are_whole() -> None:
    one = RewardModelRun(margins=(Bar(low=0.3, high=1.3, pairs=1),))
    assert "nan" not in charts.histogram(one.margins, "one").lower()


def test_an_answers_components_add_up_to_its_reward(run: SyntheticRun, board: dict[str, Any]) -> None:
    html, text = page(run, board), render_markdown(read_leaderboard(board))
    assert (
        "3 of the 128 answers of update 40; all answers of all updates are in steps/x/rollouts.jsonl" in html
    )
    head = next(line for line in text.split("\n") if line.startswith("| problem | verdict"))
    assert head == (
        "| problem | verdict | held-out checks | passed × 1 | fraction × 0.2 | model × 0.5 | reward | remark |"
    )
    lines = text.split("\n")
    lines = lines[lines.index(head) + 2 :][:3]
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["pocket-train/1", "pass", "passed", "+1.000", "+0.200", "−0.300", "+0.900", "–"]
    assert sum(float(c.replace("−", "-")) for c in cells[0][3:6]) == pytest.approx(0.9)
    assert cells[1][3:] == ["0", "+0.100", "0", "0", "tampering: reads the checks"]
    assert cells[2][1:] == ["infra", "–", *["unmeasured"] * 4, "infra: not measured"]
    assert "def double" in html
    assert "cut here; the file has it whole" in html


def test_answers_that_are_missing_say_why(run: SyntheticRun, board: dict[str, Any]) -> None:
    board["answers"]["merged"] = {
        "weights": {"passed": 1.0},
        "unmeasured": "the training left no rollouts.jsonl",
    }
    for said in (page(run, board), render_markdown(read_leaderboard(board))):
        assert "merged: answers unmeasured: the training left no rollouts.jsonl." in said


def test_a_reward_model_has_what_it_took_and_no_pass_rate(board: dict[str, Any]) -> None:
    text = render_markdown(read_leaderboard(board))
    (row,) = (line for line in text.split("\n") if line.startswith("| judge | reward |") and "80.0" in line)
    assert row.rstrip(" |").endswith("– | –")


def test_names_that_fit_nothing_are_refused(board: dict[str, Any]) -> None:
    board["reward_models"]["judge"]["pays"] = ["nobody"]
    with pytest.raises(BadInputError, match="'nobody' has no row"):
        read_leaderboard(board)
    board["reward_models"]["judge"]["pays"] = []
    del board["answers"]["merged"]["shown"][0]["components"]["model"]
    with pytest.raises(BadInputError, match="has no component 'model'"):
        read_leaderboard(board)
    del board["reward_models"], board["answers"]
    with pytest.raises(BadInputError, match="'judge' has no row"):
        read_leaderboard(board)


def test_a_board_without_rewards_has_no_such_section(run: SyntheticRun) -> None:
    html = page(run, run.leaderboard)
    assert "Reward models" not in html
    assert "what they were paid" not in html
    assert reward_model_lines(run.board) == []
