"""Runs of different versions in one table, with what made each figure in its row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

import assay
from assay.harness.cli import app
from assay.harness.errors import BadInputError
from tests.harness.decide.files import write_json


def board(created: str, version: str, rate: float, **changes: Any) -> dict[str, Any]:
    machine = {"device": "cpu", "cpu": "x", "cores": 2, "packages": {"assay": version, "torch": "2.13.0"}}
    rows = [
        {"variant": name, "kind": "base", "sha256": f"{name}-{version}", "rank": 1, "n_problems": 4, "n_samples": 4,
         "backend": "transformers", "pass@k": {"1": {"value": value, "low": 0.1, "high": 0.9, "n": 4}},
         "outcomes": {"pass": 2, "fail": 1, "infra": 1}, "unmeasured": {"vram_bytes": "no CUDA device"}}
        for name, value in (("base", 0.5), ("tuned", rate))
    ]  # fmt: skip
    return {
        "schema": 1, "experiment": "e", "run": f"r{version}", "created": created, "seed": 7, "reference": "base",
        "suite": {"name": "humaneval", "revision": "v1"}, "machine": machine, "rows": rows,
        "sampling": {"samples": 1, "temperature": 0.0}, "isolation": {"label": "full"},
    } | changes  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three runs of two versions; the older version knew fewer fields."""
    old = board("2026-01-02T03:04:05Z", "0.1.0", 0.25)
    for row in old["rows"]:
        del row["unmeasured"], row["backend"]
    del old["isolation"], old["sampling"]
    write_json(tmp_path / "e" / "old" / "leaderboard.json", old)
    write_json(tmp_path / "e" / "new" / "leaderboard.json", board("2026-03-02T03:04:05Z", "0.2.0", 0.75))
    other = board("2026-02-02T03:04:05Z", "0.2.0", 0.5, suite={"name": "mbpp", "revision": "v2"})
    write_json(tmp_path / "f" / "leaderboard.json", other | {"of_a_later_version": 1})
    return tmp_path


def test_three_runs_of_two_versions_are_one_table(folder: Path) -> None:
    frame = assay.load_results(folder)
    assert len(frame) == 6
    assert frame["created"].is_monotonic_increasing
    tuned = frame[(frame["variant"] == "tuned") & (frame["suite"] == "humaneval")]
    assert tuned["pass@1"].tolist() == [0.25, 0.75]
    assert tuned["version_assay"].tolist() == ["0.1.0", "0.2.0"]
    assert tuned["sha256"].tolist() == ["tuned-0.1.0", "tuned-0.2.0"]
    assert set(tuned["seed"]) == {7}
    assert set(tuned["device"]) == {"cpu"}
    assert tuned["outcome_infra"].tolist() == [1, 1]
    assert tuned["backend"].tolist() == ["", "transformers"]
    assert pd.isna(tuned["vram_bytes"]).all()
    assert tuned["unmeasured"].tolist() == ["", "vram_bytes: no CUDA device"]
    assert set(frame["withdrawn"]) == {""}
    assert list(frame.columns[:4]) == ["experiment", "run", "created", "suite"]


def test_a_run_that_cannot_be_read_is_an_error_or_left_out(folder: Path) -> None:
    write_json(folder / "g" / "leaderboard.json", {"schema": 1})
    with pytest.raises(BadInputError, match=r"g/leaderboard\.json: leaderboard: "):
        assay.load_results(folder)
    assert len(assay.load_results(folder, skip_unreadable=True)) == 6


def test_a_folder_without_runs_is_an_empty_table_and_no_folder_is_an_error(tmp_path: Path) -> None:
    frame = assay.load_results(tmp_path)
    assert frame.empty
    assert "sha256" in frame.columns
    with pytest.raises(BadInputError, match="is no folder of results"):
        assay.load_results(tmp_path / "absent")


def test_the_command_lists_the_newest_first_and_gives_every_row_to_programs(folder: Path) -> None:
    write_json(folder / "g" / "leaderboard.json", {"schema": 1})
    listed = CliRunner().invoke(app, ["runs", str(folder)]).stdout
    assert (
        listed.index("2026-03-02 03:04") < listed.index("2026-02-02 03:04") < listed.index("2026-01-02 03:04")
    )
    assert "cannot be read" in listed
    value = json.loads(
        CliRunner().invoke(app, ["runs", str(folder), "--json", "--suite", "humaneval"]).stdout
    )
    assert [(row["variant"], row["pass@1"]) for row in value["runs"]] == [
        ("base", 0.5), ("tuned", 0.25), ("base", 0.5), ("tuned", 0.75),
    ]  # fmt: skip
    assert value["runs"][0]["created"] == "2026-01-02T03:04:05Z"
    assert value["runs"][0]["vram_bytes"] is None
    assert list(value["unreadable"]) == [str(folder / "g")]
    empty = json.loads(
        CliRunner().invoke(app, ["runs", str(folder / "e" / "old"), "--json", "--suite", "x"]).stdout
    )
    assert empty == {"runs": [], "unreadable": {}}


def test_an_empty_folder_lists_nothing(tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["runs", str(tmp_path)]).exit_code == 0
    assert json.loads(CliRunner().invoke(app, ["runs", str(tmp_path), "--json"]).stdout)["runs"] == []
