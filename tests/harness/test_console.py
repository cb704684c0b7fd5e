"""What users name is printed as they named it, also where it looks like rich's markup."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from assay.harness.console import terminal
from assay.harness.profiling.measure.summary import render
from tests.harness.evaluation.test_samples_file import assay, write


def test_brackets_in_cells_titles_and_lines_are_text(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.table import Table

    table = Table("[/a]", title="[b]t[/c]")
    table.add_row("x[temp=0.8] :ok:")
    console = terminal(plain_width=100)
    console.print(table)
    console.print("[/data]/s.jsonl")
    out = capsys.readouterr().out
    assert all(text in out for text in ("[/a]", "[b]t[/c]", "x[temp=0.8] :ok:", "[/data]/s.jsonl"))


@pytest.mark.isolated
def test_an_evaluation_prints_file_family_and_task_as_they_are(tmp_path: Path) -> None:
    row = {
        "id": "[/t]",
        "prompt": "def f(x):\n",
        "entry_point": "f",
        "checks": ["assert f(1)"],
        "family": "[/data]",
    }
    suite = write(tmp_path / "suite.jsonl", [row])
    samples = write(tmp_path / "s[temp=0.8].jsonl", [{"task_id": "[/t]", "completion": "    return x\n"}])
    done = assay(
        "eval", "--suite", "jsonl", "--suite-path", suite, "--samples", samples, "--per-problem", "-q"
    )
    assert done.returncode == 0, done.stderr
    for text in ("[/data]", "[/t]", "s[temp=0.8].jsonl_results.jsonl"):
        assert text in done.stdout
    training = tmp_path / "train.jsonl"
    training.write_text(json.dumps({"prompt": "def f(x):\n", "completion": "    return x\n"}) + "\n")
    found = assay("contamination", training, "--suite", "jsonl", "--suite-path", suite, "-q")
    assert found.returncode == 0, found.stderr
    assert "[/t] 100.0 %" in found.stdout


def test_progress_and_profiles_take_any_name() -> None:
    from rich.console import Console

    from assay.harness.console import _live

    with _live("overlap of [/data]", 1, "samples") as task:
        task.update(1, "[/note]")
    summary = {
        "name": "[/model]",
        "random_weights": True,
        "workload": {"batch_size": 1, "prompt_tokens": 1, "new_tokens": 1, "training": None},
        "machine": {"cpu": "c", "cores": 1, "gpu": None},
        "load_average": [0.0],
        "speed": {},
        "memory": {},
        "unmeasured": {"load": "[/reason]"},
        "predicted": None,
        "unpredicted": "[/why]",
        "comparison": [],
        "allocator_cap_bytes": None,
        "prediction": {"beyond": None, "within": 0.2, "verdict": "unmeasured"},
        "energy_j": {},
        "foreign_pids": [],
        "status": "failed",
        "detail": "[/detail]",
    }
    out = io.StringIO()
    Console(file=out, width=140).print(render(summary))
    assert all(text in out.getvalue() for text in ("[/model]", "[/reason]", "[/detail]", "[/why]"))
