"""A [profile] table: each variant's peak memory and speed beside its score, measured in a process of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from assay.harness.console import Progress
from assay.harness.experiment import Experiment
from assay.harness.leaderboard.build import build_leaderboard
from assay.harness.pipeline.plan import Plan, make_plan
from assay.harness.pipeline.runner import Run, run
from assay.harness.pipeline.steps.execute import load_tables
from assay.harness.pipeline.steps.profile import NOT_REQUESTED, figures, unsettled
from assay.harness.report.markdown import render_markdown
from assay.harness.report.sections.board import profiles

pytest.importorskip("torch", reason="needs the train extra: pip install 'assay[train]'")
pytestmark = [pytest.mark.train, pytest.mark.slow]


def experiment(folder: Path, **more: Any) -> Experiment:
    return Experiment.model_validate(
        {
            "name": "tiny",
            "suite": {"name": "jsonl", "path": folder / "suite.jsonl"},
            "sampling": {"max_new_tokens": 4, "style": "completion"},
            "engine": {"dtype": "fp32", "threads": 1, "device": "cpu"},
            "score": {"reference": "base"},
            "variant": [{"name": "base", "model": str(folder / "model")}],
            **more,
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.tiny import make_tiny_model

    folder = tmp_path_factory.mktemp("tiny")
    row = {"id": "t/0", "prompt": "def f(x):\n", "entry_point": "f", "checks": ["assert f(1) == 2"]}
    (folder / "suite.jsonl").write_text(json.dumps(row) + "\n")
    make_tiny_model(folder / "model", ["def f(x):\n    return x + 1\n"] * 20)
    return folder


@pytest.fixture(scope="module")
def plan(folder: Path) -> Plan:
    table = {"prompt_tokens": 8, "new_tokens": 4, "repeats": 1, "warmup": 0}
    return make_plan(experiment(folder, profile=table))


@pytest.fixture(scope="module")
def done(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(plan, tmp_path_factory.mktemp("runs"), Progress(enabled=False))


@pytest.mark.isolated
def test_a_profile_fills_the_row_and_is_done_once(done: Run, plan: Plan) -> None:
    assert done.did[-1] == "profile-base"
    board = build_leaderboard(done, load_tables(done.store, plan))
    (row,) = board.to_json()["rows"]
    assert row["peak_rss_bytes"] > row["profile"]["added_rss_bytes"] > 0
    assert row["profile"]["decode_tok_per_s"] > 0
    assert row["profile"]["workload"]["prompt_tokens"] == 8
    assert "peak_rss_bytes" not in row["unmeasured"]
    assert row["unmeasured"]["vram_bytes"]  # the plan asks for the CPU
    assert "## Memory and speed alone" in render_markdown(board)
    assert profiles(board)
    assert run(plan, done.store.root.parent, Progress(enabled=False)).did == ()
    (raw,) = done.store.root.glob("steps/profile-base-*/profile.jsonl")
    assert raw.stat().st_size > 0


def test_the_workload_and_the_model_decide_the_step_and_the_score_does_not(folder: Path, plan: Plan) -> None:
    def step(**table: int) -> str:
        given = {"prompt_tokens": 8, "new_tokens": 4, "repeats": 1, "warmup": 0} | table
        return make_plan(experiment(folder, profile=given)).step("profile-base").id

    assert step() == plan.step("profile-base").id != step(new_tokens=5)


@pytest.mark.isolated
def test_without_the_table_nothing_is_profiled_and_the_row_says_why(folder: Path, done: Run) -> None:
    plain = make_plan(experiment(folder))
    assert "profile" not in {s.kind for s in plain.steps}
    without = run(plain, done.store.root.parent, Progress(enabled=False))
    board = build_leaderboard(without, load_tables(without.store, plain))
    assert board.rows[0].unmeasured["peak_rss_bytes"] == NOT_REQUESTED
    assert board.rows[0].profile is None
    assert profiles(board) == []


def test_one_training_seed_is_profiled(folder: Path) -> None:
    trained = [
        {"name": "base", "model": "pocket"},
        {"name": "sft", "train": "base", "config": {"method": "sft"}, "data": {"suite": "pocket", "n": 4}},
        {"name": "whole", "merge": "sft"},
        {"name": "file", "export": "whole"},
    ]
    planned = make_plan(
        experiment(folder, variant=trained, seeds=[3, 4], profile={}, sampling={"max_new_tokens": 4})
    )
    found = {s.name: s for s in planned.steps if s.kind == "profile"}
    assert list(found) == ["profile-base", "profile-sft.s3", "profile-whole.s3", "profile-file.s3"]
    assert found["profile-file.s3"].config["job"]["dtype"] == "auto"
    assert found["profile-sft.s3"].inputs == ("train-sft.s3",)


def test_what_failed_is_tried_again_and_what_did_not_fit_is_a_finding() -> None:
    machine = {"device": "cpu", "cpu": "one", "cores": 2}

    def record(status: str, **of: Any) -> dict[str, Any]:
        return {"profile": {"status": status, "detail": "why"}, "machine": machine | of}

    assert unsettled(record("failed")) == "it ended with failed (why)"
    assert unsettled(record("out of memory")) == unsettled(record("done")) == ""
    assert (
        figures(record("out of memory"), machine, "")["unmeasured"]["peak_rss_bytes"] == "out of memory: why"
    )
    elsewhere = figures(record("done", cpu="another"), machine, "")
    assert "profiled on another machine" in elsewhere["unmeasured"]["peak_rss_bytes"]
