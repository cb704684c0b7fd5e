"""`assay run`: the whole path on a tiny random model, killed and resumed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("torch", reason="needs the train extra: pip install 'assay[train]'")
pytest.importorskip("trl", reason="needs the train extra: pip install 'assay[train]'")
pytest.importorskip("llama_cpp", reason="needs the gguf extra: pip install 'assay[gguf]'")

ROOT = Path(__file__).parents[3]
pytestmark = [pytest.mark.train, pytest.mark.gguf, pytest.mark.slow, pytest.mark.isolated]

EXPERIMENT = """
name = "tiny"
[suite]
name = "pocket"
split = "dev"
limit = 10
[sampling]
samples = 4
temperature = 0.8
max_new_tokens = 32
[engine]
dtype = "fp32"
batch_size = 4
[score]
k = [1, 4]
[[variant]]
name = "base"
model = "{model}"
[[variant]]
name = "adapter"
train = "base"
config = {{ method = "sft", max_steps = 2, batch_size = 2, save_steps = 1 }}
data = {{ suite = "pocket", n = 8 }}
[[variant]]
name = "merged"
merge = "adapter"
[[variant]]
name = "gguf-f16"
export = "merged"
quantize = "f16"
"""
NAMES = ("base", "adapter", "merged", "gguf-f16")


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from assay.suites.pocket import pocket_sft_records
    from tests.tiny import make_tiny_model

    folder = tmp_path_factory.mktemp("tiny")
    texts = [m["content"] for record in pocket_sft_records(100) for m in record["messages"]]
    make_tiny_model(folder / "model", texts)
    file = folder / "tiny.toml"
    file.write_text(EXPERIMENT.format(model=folder / "model"))
    return file


def command(experiment: Path, results: Path) -> list[str]:
    code = "from assay.harness.cli import main; main()"
    return [
        sys.executable,
        "-W",
        "error::UserWarning:pydantic",
        "-c",
        code,
        "run",
        str(experiment),
        "--results",
        str(results),
    ]


def run(experiment: Path, results: Path) -> dict[str, object]:
    done = subprocess.run(
        [*command(experiment, results), "--json"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found | {"stderr": done.stderr}


def steps(results: Path) -> dict[str, float]:
    """Finished steps and when each was finished."""
    return {
        p.parent.name: p.stat().st_mtime
        for p in (results / "tiny" / "steps").glob("*/step.json")
        if ".part" not in str(p)
    }


@pytest.fixture(scope="module")
def finished(experiment: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("finished")
    run(experiment, results)
    return results


def test_the_leaderboard_holds_every_variant_with_its_provenance(finished: Path) -> None:
    (folder,) = (p.parent for p in finished.glob("tiny/*/leaderboard.json"))
    board = json.loads((folder / "leaderboard.json").read_text())
    rows = {row["variant"]: row for row in board["rows"]}
    assert set(rows) == set(NAMES)
    for row in rows.values():
        assert row["n_samples"] == 40
        assert row["n_problems"] == 10
        assert sum(row["outcomes"].values()) == 40
        assert len(row["sha256"]) == 64
        assert set(row["pass@k"]) == {"1", "4"}
    assert rows["base"]["vs_reference"] is None
    assert rows["merged"]["vs_reference"]["n"] == 10
    assert rows["merged"]["parent"] == "adapter"
    assert len(board["comparisons"]) == 6
    assert board["isolation"]["label"]
    assert board["curves"]["adapter"]["runs"][0]["train"]["steps"] == [1, 2]
    overlap = board["contamination"]["adapter"]
    assert (overlap["n_problems"], overlap["n_texts"]) == (10, 8)
    assert set(overlap["methods"]) == {"words-13", "code-10"}
    assert (finished / "tiny" / overlap["file"]).is_file()
    assert all(0 <= row["cached"] <= row["n_samples"] for row in rows.values())
    assert (folder / "report.html").stat().st_size > 10_000
    assert "merged" in (folder / "leaderboard.md").read_text()


def test_variants_answer_with_the_same_seeds(finished: Path) -> None:
    tables = [
        pd.read_parquet(next(finished.glob(f"tiny/steps/generate-{name}-*")) / "samples.parquet")
        for name in NAMES
    ]
    for table in tables[1:]:
        assert table[["problem_id", "index", "seed"]].equals(tables[0][["problem_id", "index", "seed"]])
    assert tables[0]["seed"].nunique() == 40
    assert (
        tables[1]["completion"] == tables[2]["completion"]
    ).mean() > 0.9  # adapter and merged are one model


def test_a_second_run_redoes_nothing(experiment: Path, finished: Path) -> None:
    before = steps(finished)
    again = run(experiment, finished)
    assert steps(finished) == before
    assert "every step was done before" in str(again["stderr"])


def test_killed_anywhere_it_goes_on_where_it_was(experiment: Path, finished: Path, tmp_path: Path) -> None:
    kills = 0
    for _ in range(6):
        process = subprocess.Popen(
            command(experiment, tmp_path),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        done_before, lines_before = steps(tmp_path) if (tmp_path / "tiny").exists() else {}, partial(tmp_path)
        # Killed when it has made progress since the last kill: a new step, or samples of an unfinished one.
        while process.poll() is None and not progressed(tmp_path, done_before, lines_before):
            time.sleep(0.05)
        if process.poll() is not None:
            break
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
    assert kills >= 3
    kept, samples = steps(tmp_path), partial(tmp_path)
    run(experiment, tmp_path)
    after = steps(tmp_path)
    assert {name: after[name] for name in kept} == kept  # what was done was not done again
    for name, rows in samples.items():
        final = pd.read_parquet(tmp_path / "tiny" / "steps" / name / "samples.parquet")
        made = {(r["problem_id"], r["index"]): r["completion"] for r in final.to_dict("records")}
        assert all(made[(row["problem_id"], row["index"])] == row["completion"] for row in rows)
    for name in NAMES:  # and the killed run's samples are those of the run that nobody killed
        resumed, unbroken = (
            pd.read_parquet(next(root.glob(f"tiny/steps/generate-{name}-*")) / "samples.parquet")
            for root in (tmp_path, finished)
        )
        assert (resumed["completion"] == unbroken["completion"]).mean() > 0.95


def partial(results: Path) -> dict[str, list[dict[str, object]]]:
    """Samples on disk of unfinished generate steps."""
    found = {}
    for file in results.glob("tiny/steps/generate-*.part/samples.jsonl"):
        lines = file.read_text().splitlines(keepends=True)
        found[file.parent.name.removesuffix(".part")] = [
            json.loads(line) for line in lines if line.endswith("\n")
        ]
    return found


def progressed(results: Path, done: dict[str, float], lines: dict[str, list[dict[str, object]]]) -> bool:
    if set(steps(results)) - set(done):
        return True
    return any(len(rows) > len(lines.get(name, [])) for name, rows in partial(results).items())


def test_changed_weights_make_another_run(experiment: Path, finished: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed.toml"
    changed.write_text(experiment.read_text().replace("max_steps = 2", "max_steps = 1"))
    before = steps(finished)
    run(changed, finished)
    new = set(steps(finished)) - set(before)
    assert {name.rsplit("-", 1)[0] for name in new} == {
        "train-adapter",
        "merge-merged",
        "export-gguf-f16",
        *(f"{kind}-{variant}" for kind in ("generate", "execute") for variant in NAMES[1:]),
    }


def test_a_tampered_artifact_is_refused(experiment: Path, finished: Path) -> None:
    for weights in finished.glob("tiny/steps/merge-merged-*/model/model.safetensors"):
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(bytes(content))
    for folder in finished.glob("tiny/steps/generate-merged-*"):
        shutil.rmtree(folder)
    done = subprocess.run(
        command(experiment, finished), capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 3
    assert "has changed since it was made" in done.stderr
