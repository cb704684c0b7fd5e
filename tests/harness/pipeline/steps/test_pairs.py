"""`assay pairs`: from a model to a file of preferences, every line of which can be found again in the run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from assay.harness.cli import app
from assay.harness.errors import BadInputError, UnmeasuredError
from assay.trainers.data.preferences import PreferenceDataConfig, load_preferences

pytestmark = [pytest.mark.train, pytest.mark.isolated]
pytest.importorskip("torch", reason="needs the train extra")


def pairs(folder: Path, *more: str) -> dict[str, Any]:
    common = ["pairs", "pocket", "--limit", "8", "--n", "4", "--max-new-tokens", "96", "--threads", "1"]
    rest = ["--workers", "1", "--results", str(folder / "runs"), "--quiet", "--json"]
    found = CliRunner().invoke(app, [*common, *rest, *more], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    said: dict[str, Any] = json.loads(found.stdout)
    return said


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pairs")


def test_every_line_says_where_it_comes_from_and_holds(folder: Path) -> None:
    out = folder / "pairs.jsonl"
    said = pairs(folder, "-o", str(out))
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert said["lines"] == len(lines) > 0
    assert said["problems"] == 8
    assert "fewer than 50" in said["warnings"][0]
    for line in lines:
        assert line["model_sha256"] == said["model_sha256"]
        assert (line["suite"], line["split"], line["style"], line["seed"]) == ("pocket", "train", "chat", 0)
        chosen, rejected = line["chosen_sample"], line["rejected_sample"]
        assert chosen["outcome"] == "pass" != rejected["outcome"]
        assert chosen["seed"] != rejected["seed"]
        assert line["chosen"][0]["content"] != line["rejected"][0]["content"]
    read = load_preferences(PreferenceDataConfig(file=out))
    assert len(read.kept) == len(lines)


def test_other_preferences_of_the_same_samples_draw_nothing_anew(folder: Path) -> None:
    samples = next((folder / "runs").rglob("samples.parquet")) if (folder / "runs").exists() else None
    if samples is None:
        pairs(folder, "-o", str(folder / "first.jsonl"))
        samples = next((folder / "runs").rglob("samples.parquet"))
    before = samples.stat().st_mtime_ns
    said = pairs(folder, "-o", str(folder / "single.jsonl"), "--single", "--match", "random")
    assert samples.stat().st_mtime_ns == before
    read = load_preferences(PreferenceDataConfig(file=folder / "single.jsonl"), paired=False)
    assert {o.good for o in read.opinions()} == {True, False}
    assert said["kind"] == "single"


def test_quality_prefers_among_passes_and_is_held_against_execution(folder: Path) -> None:
    """The same samples paired in both ways: quality pairs are of two passes, and say in what one is better."""
    out = folder / "both.jsonl"
    said = pairs(folder, "-o", str(out), "--kind", "execution, quality", "--n", "8")
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    by_kind = {k: [x for x in lines if x["kind"] == k] for k in ("execution", "quality")}
    assert said["by_kind"] == {k: len(found) for k, found in by_kind.items() if found}
    assert by_kind["execution"]
    for line in by_kind["quality"]:
        assert line["chosen_sample"]["outcome"] == line["rejected_sample"]["outcome"] == "pass"
        assert any(word in line["why"] for word in ("lint", "complexity", "docstring", "CPU"))
    agreement = said["quality_agreement"]
    assert (agreement is None) == (said["quality_compared"] == 0)
    assert agreement is None or 0 <= agreement <= 1
    with pytest.raises(
        BadInputError, match="--kind 'beauty' is not allowed: it must be 'execution' or 'quality'"
    ):
        CliRunner().invoke(app, ["pairs", "pocket", "-o", "x", "--kind", "beauty"], catch_exceptions=False)


def test_what_cannot_give_a_preference_is_refused(folder: Path) -> None:
    runner = CliRunner()
    with pytest.raises(
        BadInputError, match="--match 'best' is not allowed: it must be 'nearest' or 'random'"
    ):
        runner.invoke(app, ["pairs", "pocket", "-o", "x", "--match", "best"], catch_exceptions=False)
    with pytest.raises(BadInputError, match="--n 1 gives nothing to prefer: give at least 2"):
        runner.invoke(app, ["pairs", "pocket", "-o", "x", "--n", "1"], catch_exceptions=False)
    with pytest.raises(BadInputError, match="--split test: learning from it would make"):
        runner.invoke(app, ["pairs", "pocket", "-o", "x", "--split", "test"], catch_exceptions=False)
    target = folder / "none.jsonl"
    args = [
        "pairs",
        "pocket",
        "-o",
        str(target),
        "--limit",
        "1",
        "--n",
        "2",
        "--max-new-tokens",
        "2",
        "--quiet",
    ]
    with pytest.raises(UnmeasuredError, match="0 of 1 problems have answers that pass and answers that fail"):
        runner.invoke(app, [*args, "--results", str(folder / "none")], catch_exceptions=False)
    assert not target.exists()
