"""Outputs that a real model gave, with verdicts that another evaluator gave them: ours must be the same, one by one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.evaluation import evaluate_file
from harness.experiment import SandboxTable
from suites import load_suite

REPLAYS = Path(__file__).parents[3] / "shared" / "data" / "replays"
QWEN = REPLAYS / "qwen2.5-coder-1.5b"


@pytest.mark.skipif(not QWEN.is_dir(), reason=f"the replay data {QWEN.name} is not beside this checkout")
def test_qwen_1_5b_on_humaneval_as_evalplus_judged_it(tmp_path: Path) -> None:
    """Published: 72 of 164 (QwenLM/Qwen2.5-Coder, its EvalPlus outputs; base tests)."""
    samples = tmp_path / "samples.jsonl"
    samples.write_bytes((QWEN / "humaneval.generated.jsonl").read_bytes())
    theirs = json.loads((QWEN / "humaneval.generated_eval_results.json").read_text())["eval"]
    result = evaluate_file(load_suite("humaneval"), samples, SandboxTable())
    ours = {row["task_id"]: row["passed"] for row in map(json.loads, result.results.read_text().splitlines())}
    assert ours == {task: entries[0]["base_status"] == "pass" for task, entries in theirs.items()}
    assert sum(ours.values()) == 72
