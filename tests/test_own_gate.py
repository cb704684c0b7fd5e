"""The repository gates itself: the pocket model's evaluation is held against a baseline that was reviewed.

The draws have the baseline's seeds, so that the pass is not left to luck. Where a change is meant to change answers:

    assay eval pocket --suite pocket --split dev --temperature 0.8
    assay baseline update RUN -o .ci/pocket-baseline.json --note "why"
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from assay.harness.cli.app import app

pytestmark = [pytest.mark.slow, pytest.mark.train, pytest.mark.isolated]

BASELINE = Path(__file__).parent.parent / ".ci" / "pocket-baseline.json"
EVALUATION = ("eval", "pocket", "--suite", "pocket", "--split", "dev", "--temperature", "0.8", "--json")


def gate(results: Path, *changes: str) -> tuple[int, dict[str, Any]]:
    """Evaluate, hold the run against the baseline; return exit code and what the gate says."""
    done = CliRunner().invoke(app, [*EVALUATION, "--results", str(results), *changes])
    run = json.loads(done.stdout)["run"]
    done = CliRunner().invoke(app, ["gate", run, "--baseline", str(BASELINE), "--json"])
    return done.exit_code, json.loads(done.stdout)


def test_the_pocket_model_is_as_good_as_its_baseline(tmp_path: Path) -> None:
    code, verdict = gate(tmp_path)
    (check,) = verdict["checks"]
    assert code == 0, check
    assert check["n_problems"] == 400
    # The same draws: another processor's arithmetic may turn a few answers, a change of ours turns more.
    assert len(check["lost"]) + len(check["gained"]) <= 8, check


def test_answers_that_are_cut_off_are_a_regression(tmp_path: Path) -> None:
    code, verdict = gate(tmp_path, "--max-new-tokens", "16")
    (check,) = verdict["checks"]
    assert (code, check["state"]) == (1, "regression")
    assert check["difference"] < -0.2
