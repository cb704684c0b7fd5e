"""Two published verdict files, compared and ranked: they differ where, and by what, their published scores say.

Qwen2.5-Coder-1.5B's is EvalPlus' own file; CodeGen-Mono-16B's verdicts become the CSV that anybody could write.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from assay.harness.cli import app
from assay.harness.decide import compare_results, make_board, read_results
from tests.harness.decide.files import write_csv

DATA = Path(__file__).parents[3] / "shared" / "data" / "replays"
QWEN = DATA / "qwen2.5-coder-1.5b"
CODEGEN = DATA / "codegen-16b" / "human_eval_verdicts.jsonl"

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.skipif(not CODEGEN.exists(), reason=f"NOT REPLAYED: {CODEGEN} not there"),
]


def codegen_rows() -> Iterator[dict[str, Any]]:
    for line in CODEGEN.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        for index, passed in enumerate(row["passed"]):
            yield {"model": "CodeGen-Mono-16B", "problem": row["task_id"], "passed": passed, "sample": index}


@pytest.fixture(scope="module")
def codegen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_csv(tmp_path_factory.mktemp("codegen") / "codegen.csv", list(codegen_rows()))


def test_published_scores_are_read_from_published_files() -> None:
    published = {"humaneval": (72, 164), "humaneval+": (60, 164), "mbpp": (276, 399), "mbpp+": (234, 399)}
    for name in ("humaneval", "mbpp"):
        for results in read_results(str(QWEN / f"{name}.generated_eval_results.json")):
            assert (int(results.passed.sum()), len(results.problems)) == published[results.suite]
    hard = QWEN / "bigcodebench-hard" / "completion-sanitized-calibrated_hard_eval_results.json.gz"
    (results,) = read_results(str(hard))
    assert results.passed.sum() / len(results.problems) == pytest.approx(0.0945945945945946)
    (java,) = read_results(str(QWEN / "multipl-e" / "java.jsonl.gz"))
    assert (java.suite, round(100 * float(java.rates.mean()), 2)) == ("multipl-e", 38.61)


def test_two_published_files_differ_as_their_published_scores_do(codegen: Path) -> None:
    qwen = read_results(str(QWEN / "humaneval.generated_eval_results.json"))
    result = compare_results(read_results(str(codegen)), qwen)
    (suite,) = result.suites
    assert suite.comparison.n == 164
    assert suite.comparison.difference == pytest.approx(0.439024 - 0.221341, abs=1e-5)
    assert result.verdict == "better"
    assert "only B has humaneval+, which is not compared" in result.warnings
    back = compare_results(qwen, read_results(str(codegen)))
    assert back.verdict == "worse"
    assert len(back.suites[0].lost) == len(suite.gained)


def test_the_documentation_shows_what_the_command_says(
    codegen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    qwen = QWEN / "humaneval.generated_eval_results.json"
    shown = CliRunner().invoke(app, ["compare", str(codegen), f"Qwen={qwen}"]).stdout
    page = (Path(__file__).parents[2] / "docs" / "compare.md").read_text(encoding="utf-8").splitlines()
    lines = [line.rstrip() for line in shown.splitlines() if line.strip()]
    assert lines[0].startswith("Qwen is better than CodeGen-Mono-16B")
    assert all(line in page for line in lines[:4])  # the sentence and the table


def test_they_stand_on_one_board(codegen: Path) -> None:
    qwen = read_results(str(QWEN / "humaneval.generated_eval_results.json"))
    board = make_board([read_results(str(codegen)), qwen])
    assert [s.suite for s in board.suites] == ["humaneval", "humaneval+"]
    assert board.suites[0].ranks == (1, 2)
    assert board.suites[0].models == ("humaneval", "CodeGen-Mono-16B")
