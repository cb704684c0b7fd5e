"""The chain's cells, and what the report of a trained variant says about its training set and the suite."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from assay.harness.errors import BadInputError
from assay.harness.evaluation.contamination import overlap
from assay.harness.leaderboard.schema import LinkRow, read_leaderboard
from assay.harness.report import render_markdown, render_terminal, write_report
from assay.harness.report.sections.chain import _rounding
from assay.suites import Suite
from tests.harness.report.synthetic_run import make_leaderboard, make_problems, make_samples

ROUNDING = {"tensors": 28, "rmse_mean": 0.01, "relative_mean": 0.0912, "relative_worst": 0.0958, "worst": "w"}


@pytest.mark.parametrize(
    ("weights", "cell"),
    [
        (None, "unmeasured"),
        ({"relative": 0.1}, "unmeasured"),  # of a version that did not measure it
        ({"relative": 0.0, "rounding": None}, "–"),
        ({"relative": 0.1, "rounding": ROUNDING}, "9.12%, worst 9.58%"),
    ],
)
def test_rounding_is_a_column(weights: dict[str, Any] | None, cell: str) -> None:
    link = LinkRow.model_validate(
        {"a": "x", "b": "y", "verdict": "undecided", "tokens": {"equal": 1, "texts": 1}, "weights": weights}
    )
    assert _rounding(link).text == cell


@pytest.fixture(scope="module")
def board() -> dict[str, Any]:
    problems = make_problems(14)
    samples = make_samples(problems, n=2)
    suite = Suite("synthetic", "0", tuple(problems.values()))
    first = suite.problems[0]
    found = overlap(suite, [("train.jsonl:1", first.prompt + first.canonical_solution)])
    assert "code-10" in found.shares
    return make_leaderboard(problems, samples) | {
        "contamination": {"adapter": found.summary() | {"file": "c/a.json"}}
    }


def test_all_formats_show_it_with_its_meaning(tmp_path: Path, board: dict[str, Any]) -> None:
    problems = make_problems(14)
    write_report(tmp_path, read_leaderboard(board), make_samples(problems, n=2), problems)
    method = board["contamination"]["adapter"]["methods"]["words-13"]
    assert method["n_flagged"] > 0
    for name in ("report.html", "leaderboard.md"):
        text = (tmp_path / name).read_text()
        for said in (
            f"{method['n_flagged']} of 14",
            "words-13",
            "100.0 %",
            "overlap of text, not of problems",
        ):
            assert said in text, (name, said)
    assert "c/a.json" in (tmp_path / "report.html").read_text()


def test_a_run_without_training_has_no_such_section(board: dict[str, Any]) -> None:
    assert "Training set and suite" in render_markdown(read_leaderboard(board))
    assert "Training set and suite" not in render_markdown(read_leaderboard(board | {"contamination": {}}))


def test_an_overlap_of_a_variant_that_has_no_row_is_refused(board: dict[str, Any]) -> None:
    with pytest.raises(BadInputError, match="'stranger' has no row"):
        read_leaderboard(board | {"contamination": {"stranger": board["contamination"]["adapter"]}})


@pytest.mark.parametrize("width", [70, 160])
def test_n_and_outcomes_stand_beside_the_score_at_any_width(board: dict[str, Any], width: int) -> None:
    out = io.StringIO()
    Console(width=width, file=out).print(render_terminal(read_leaderboard(board), width))
    words = out.getvalue().replace(":", " ").split()
    for row in board["rows"]:
        assert str(row["n_samples"]) in words
        assert str(row["outcomes"]["pass"]) in words
    assert "pass" in words
