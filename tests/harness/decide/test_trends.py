"""Change over time: steps that are there are found, and equal runs seldom show one."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from assay.harness.cli import app
from assay.harness.decide.results import Results
from assay.harness.decide.trends import find_steps, series_of
from assay.harness.errors import BadInputError
from tests.harness.decide.files import write_run

N = 120


def results(passed: np.ndarray) -> Results:
    n = len(passed)
    ids = tuple(f"HumanEval/{i}" for i in range(n))
    return Results(
        "m", "humaneval", ids, np.ones(n, int), passed.astype(int), np.zeros(n, int), Path("x"), "run"
    )


def drawn(rng: np.random.Generator, *means: float) -> list[Results]:
    """Runs whose problems pass with the same chances, moved to each run's mean."""
    ease = rng.random(N) - 0.5
    return [results(rng.random(N) < np.clip(mean + ease, 0, 1)) for mean in means]


def test_a_fall_and_a_recovery_are_two_steps_with_their_intervals() -> None:
    steps = find_steps(drawn(np.random.default_rng(1), 0.7, 0.7, 0.7, 0.35, 0.35, 0.7), "m")
    assert [(s.place, s.since, s.comparison.verdict) for s in steps] == [(3, 0, "worse"), (5, 3, "better")]
    for step in steps:
        assert step.comparison.low <= step.comparison.difference <= step.comparison.high
        assert step.comparison.low * step.comparison.high > 0


@pytest.mark.slow
def test_equal_runs_seldom_show_a_step() -> None:
    rng = np.random.default_rng(2)
    series = 60
    alarms = sum(bool(find_steps(drawn(rng, *[0.6] * 5), "m")) for _ in range(series))
    assert alarms <= 0.05 * series + 2 * math.sqrt(0.05 * series)


def test_a_problem_that_a_run_did_not_measure_is_left_out_of_its_comparison() -> None:
    one, other = drawn(np.random.default_rng(3), 0.5, 0.5)
    other.samples[:N] = 0
    assert find_steps([one, other], "m") == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for place, rate in enumerate((40, 39, 5)):
        passed = {"base": "1" * rate + "0" * (40 - rate), "other": "10" * 20}
        write_run(
            tmp_path / "exp",
            passed,
            run=f"r{place}",
            created=f"2026-0{place + 1}-02T00:00:00Z",
            tok_per_s=9.0,
        )
    return tmp_path


def test_series_are_read_from_runs_on_disk(folder: Path) -> None:
    base, other = series_of([folder])
    assert (base.variant, len(base.points), base.points[0].tok_per_s) == ("base", 3, 9.0)
    assert [p.score.value for p in base.points] == [1.0, 0.975, 0.125]
    assert [s.place for s in base.steps] == [2]
    assert other.steps == ()
    assert [s.variant for s in series_of([folder], variant="other")] == ["other"]
    with pytest.raises(BadInputError, match="no run of suite 'mbpp' in"):
        series_of([folder], suite="mbpp")


def test_runs_of_another_version_of_the_suite_or_machine_are_another_series(folder: Path) -> None:
    path = folder / "exp" / "r2" / "leaderboard.json"
    board = json.loads(path.read_text())
    board["suite"]["revision"] = "v2"
    path.write_text(json.dumps(board))
    assert [(s.variant, s.revision, len(s.points)) for s in series_of([folder], variant="base")] == [
        ("base", "v1", 2), ("base", "v2", 1),
    ]  # fmt: skip
    board["suite"]["revision"], board["machine"] = "v1", {"device": "H200"}
    path.write_text(json.dumps(board))
    assert [s.machine for s in series_of([folder], variant="base")] == ["", "H200"]


def test_steps_that_cannot_be_looked_for_say_why(folder: Path) -> None:
    for file in (folder / "exp" / "steps").rglob("verdicts.parquet"):
        file.unlink()
    assert "was the step removed?" in series_of([folder])[0].reason
    seeds = folder / "seeds"
    for run in ("a", "b"):
        write_run(seeds, {"tuned": "10"}, run=run, training_seeds=[0, 1])
    assert "several seeds" in series_of([seeds])[0].reason
    write_run(folder / "once", {"base": "10"})
    assert series_of([folder / "once"])[0].reason == "there is one run"


def test_the_command_names_the_step_and_draws_the_series(folder: Path) -> None:
    page, text = folder / "t.html", folder / "t.md"
    done = CliRunner().invoke(app, ["report", str(folder), "--html", str(page), "--markdown", str(text)])
    assert done.exit_code == 0, done.exception
    assert "One step; the last: base on humaneval, −" in done.stdout
    assert "2 March 2026" in done.stdout
    assert page.read_text().count("<polyline") >= 4  # scores and speeds of two variants
    assert "| 2026-03-02T00:00:00Z | base |" in text.read_text()
    (folder / "broken").mkdir()
    (folder / "broken" / "leaderboard.json").write_text("{")
    assert "broken cannot be read" in CliRunner().invoke(app, ["report", str(folder)]).stdout
    value = json.loads(CliRunner().invoke(app, ["report", str(folder), "--json"]).stdout)
    assert list(value["unreadable"]) == [str(folder / "broken")]
    assert value["series"][0]["steps"][0]["place"] == 2
