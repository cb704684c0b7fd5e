"""The chain of a run, from the experiment file to the report; and the command line's exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from assay.harness.cli import app
from assay.harness.console import Progress
from assay.harness.experiment import Experiment
from assay.harness.leaderboard.build import build_leaderboard
from assay.harness.models.resolve import resolve_model
from assay.harness.pipeline.plan import make_plan
from assay.harness.pipeline.runner import run
from assay.harness.pipeline.steps.compare import linked_steps, read_links
from assay.harness.pipeline.steps.execute import load_tables
from assay.harness.report import write_report
from assay.trainers.artifact import identify
from assay.trainers.gguf import export_gguf
from tests.harness.equivalence.conftest import edited

pytestmark = [pytest.mark.train, pytest.mark.gguf]
EXPERIMENT: dict[str, Any] = {
    "name": "chain",
    "suite": {"name": "pocket", "limit": 6},
    "sampling": {"max_new_tokens": 24},
    "engine": {"dtype": "fp32", "threads": 1},
    "compare": {"texts": 4, "greedy_tokens": 8},
    "variant": [
        {"name": "base", "model": "pocket"},
        {"name": "f16", "export": "base", "quantize": "f16"},
        {"name": "nf4", "compress": "base", "quantization": "nf4"},
        {"name": "other", "model": "pocket"},
    ],
}


@pytest.mark.slow
def test_a_run_measures_its_links_once_and_reports_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []

    def identified(path: Path, **more: Any) -> Any:
        hashed.append(path.name)
        return identify(path, **more)

    monkeypatch.setattr("assay.harness.pipeline.steps.identify", identified)
    plan = make_plan(Experiment.model_validate(EXPERIMENT))
    assert [(a.variant, b.variant) for a, b in linked_steps(plan.steps)] == [("base", "f16"), ("base", "nf4")]
    done = run(plan, tmp_path, Progress(enabled=False), allow_weak=True)
    assert hashed == []  # what made a model has hashed it
    tables = load_tables(done.store, plan)
    leaderboard = build_leaderboard(done, tables)
    found = {link["b"]: link for link in leaderboard.to_json()["links"]}
    assert found["f16"]["verdict"] == "equivalent"
    assert found["f16"]["pass@1"]["comparison"]["n"] == 6
    assert found["nf4"]["faults"] == []
    assert found["nf4"]["distribution"]["kl_mean"] > found["f16"]["distribution"]["kl_mean"]
    assert len(found["nf4"]["weights"]["tensors"]) == 5
    rounding = found["nf4"]["weights"]["rounding"]
    assert rounding["tensors"] == 7 * 4  # every linear layer but the head
    assert 0.07 < rounding["relative_mean"] <= rounding["relative_worst"] < 0.12
    write_report(done.folder, leaderboard, tables, plan.suite.by_id())
    cell = f"{rounding['relative_mean']:.2%}, worst {rounding['relative_worst']:.2%}"
    for file in ("report.html", "leaderboard.md"):
        assert "base → nf4" in (done.folder / file).read_text()
        assert cell in (done.folder / file).read_text()
    assert "## Chain" in (done.folder / "leaderboard.md").read_text()
    files = {f: f.stat().st_mtime_ns for f in tmp_path.glob("chain/steps/compare-*/link.json")}
    assert len(files) == 2
    again = run(plan, tmp_path, Progress(enabled=False), allow_weak=True)
    assert again.did == ()
    assert {f: f.stat().st_mtime_ns for f in tmp_path.glob("chain/steps/compare-*/link.json")} == files
    assert hashed == []
    for kind in ("generate", "compare"):
        step = plan.step(f"{kind}-f16")
        done.store.discard(step.name, step.id)
    assert set(run(plan, tmp_path, Progress(enabled=False), allow_weak=True).did) == {
        "generate-f16",
        "execute-f16",
        "compare-f16",
    }
    assert hashed == ["f16.gguf"]  # by a later process once, however many steps take it


def test_without_compare_nothing_is_measured(tmp_path: Path) -> None:
    plan = make_plan(Experiment.model_validate({k: v for k, v in EXPERIMENT.items() if k != "compare"}))
    from assay.harness.pipeline.store import Store

    assert read_links(Store(tmp_path), plan, {}) == []


def test_merges_of_several_adapters_are_no_links() -> None:
    train = {"train": "base", "config": {"method": "sft"}, "data": {"suite": "pocket", "n": 4}}
    variants = [
        {"name": "base", "model": "pocket"},
        {"name": "a", **train},
        {"name": "b", **train},
        {"name": "one", "merge": "a"},
        {"name": "half", "merge": "a", "weights": [0.5]},
        {"name": "both", "merge": ["a", "b"], "strategy": "cat"},
    ]
    plan = make_plan(Experiment.model_validate(EXPERIMENT | {"variant": variants}))
    assert [(a.variant, b.variant) for a, b in linked_steps(plan.steps)] == [("a", "one")]


@pytest.mark.slow
def test_exit_codes_say_the_verdict(tmp_path: Path) -> None:
    """0 equivalent, 1 worse, 2 undecided, in a chain the worst of its links."""
    pocket = resolve_model("pocket")
    good = export_gguf(pocket, tmp_path / "f16.gguf", "f16").path
    coarse = export_gguf(pocket, tmp_path / "q2.gguf", "q2_k").path
    rope = {"rope_type": "default", "rope_theta": 500.0}
    bad = export_gguf(edited(pocket, tmp_path / "m", rope_parameters=rope), tmp_path / "bad.gguf", "f16").path
    flags = ["--texts", "4", "--greedy-tokens", "8", "--threads", "1", "--json", "-q"]

    def compared(*models: Path) -> tuple[int, list[dict[str, Any]]]:
        done = CliRunner().invoke(app, ["compare", "pocket", *map(str, models), *flags])
        return done.exit_code, json.loads(done.stdout)["links"]

    code, links = compared(good, coarse)
    assert code == 2
    assert [link["verdict"] for link in links] == ["equivalent", "undecided"]
    errors = {t["name"]: t["rmse"] for t in links[1]["weights"]["tensors"]}
    assert errors["blk.0.ffn_up.weight"] > 0 == errors["output_norm.weight"]
    assert links[1]["weights"]["rounding"]["rmse_worst"] in errors.values()
    assert compared(good)[0] == 0
    code, links = compared(bad)
    assert code == 1
    assert "rope base is 500.0 instead of 10000.0" in links[0]["faults"]
