"""`assay eval` and `assay score`: one JSON shape for models and files, and the old spelling beside the new one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from assay.harness.cli import app
from assay.sandbox import Outcome

pytestmark = pytest.mark.isolated

# design.md's contract of `assay eval --json`.
CONTRACT = {"suite", "n_problems", "n_samples", "outcomes", "pass@k", "modes", "isolation", "seconds"}


def run(*arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, [*arguments, "--json", "-q"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, ...]:
    problem = {
        "id": "a/0",
        "prompt": "def f():\n",
        "entry_point": "f",
        "checks": ["assert f() == 1"],
        "family": "x",
    }
    (tmp_path / "p.jsonl").write_text(json.dumps(problem))
    (tmp_path / "s.jsonl").write_text('{"task_id": "a/0", "completion": "    return 1"}\n')
    return (
        str(tmp_path / "s.jsonl"),
        "--suite",
        "jsonl",
        "--suite-path",
        str(tmp_path / "p.jsonl"),
        "--workers",
        "1",
    )


def test_score_is_what_eval_of_samples_was(files: tuple[str, ...]) -> None:
    new, old = run("score", *files), run("eval", "--samples", *files)
    changing = {"seconds", "cached"}
    assert {k: v for k, v in new.items() if k not in changing} == {
        k: v for k, v in old.items() if k not in changing
    }
    assert new.keys() >= CONTRACT
    assert new["pass@k"]["1"]["value"] == 1.0


@pytest.mark.train
def test_a_model_has_the_shape_of_a_file(files: tuple[str, ...], tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="needs the train extra: pip install 'assay[train]'")
    model = ("eval", "pocket", *files[1:], "--max-new-tokens", "4", "--results", str(tmp_path / "runs"))
    of_model, of_file = run(*model), run("score", *files)
    shared = CONTRACT | {"suite_revision", "n_problems_in_suite", "cached", "backend", "families"}
    assert shared <= of_model.keys() & of_file.keys()
    for key in shared:
        assert type(of_model[key]) is type(of_file[key]), key
    for key in ("suite", "suite_revision", "n_problems", "n_samples", "isolation", "backend"):
        assert of_model[key] == of_file[key]
    assert set(of_model["outcomes"]) == {o.value for o in Outcome} == set(of_file["outcomes"])
    assert of_model["pass@k"]["1"].keys() >= {"value", "low", "high"}
    assert of_model["modes"].keys() == of_file["modes"].keys()
    assert of_model["families"]["x"].keys() == of_file["families"]["x"].keys()
    # the keys of version 0.1 stay beside it
    assert Path(of_model["run"]).is_dir()
    assert [row["variant"] for row in of_model["rows"]] == ["model"]
    assert of_model["reward_models"] == {}


@pytest.mark.isolated
@pytest.mark.parametrize(("floor", "code"), [("0.2", 0), ("0.5", 2), ("0.9", 1)])
def test_a_floor_is_held_by_the_interval(tmp_path: Path, floor: str, code: int) -> None:
    """Half of 30 problems are right: 33.2 to 66.8 %."""
    problems = [
        {"id": f"p/{i}", "prompt": "def f():\n", "entry_point": "f", "checks": [f"assert f() == {i}"]}
        for i in range(30)
    ]
    suite, samples = tmp_path / "suite.jsonl", tmp_path / "samples.jsonl"
    suite.write_text("".join(json.dumps(p) + "\n" for p in problems))
    rows = [{"task_id": f"p/{i}", "solution": f"def f(): return {i if i % 2 else -1}"} for i in range(30)]
    samples.write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ["score", str(samples), "--suite", "jsonl", "--suite-path", str(suite), "--fail-under", floor]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == code, done.output
    assert "the floor is" in done.stderr
