"""What `assay results` writes, read by the tools that it is written for. One that is not installed is
skipped by name.

pip install inspect_ai lm_eval evalplus every_eval_ever        # in an environment of their own
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.harness.decide.test_writers import finished_run, write

pytestmark = pytest.mark.conformance
# Four problems of two samples; the first one's second sample failed, and one sample has no verdict.
OUTCOMES = ("pass", "fail", "infra", "pass", "timeout", "fail", "pass", "pass")
PASS_AT_1 = (1 / 2 + 1 + 0 + 1) / 4


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return finished_run(tmp_path, OUTCOMES, samples=2)


def test_evalplus_prints_the_same_score(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate = pytest.importorskip("evalplus.evaluate").evaluate
    write(run, "evalplus", tmp_path / "tuned_eval_results.json")
    (tmp_path / "tuned.jsonl").touch()
    evaluate(dataset="humaneval", samples=str(tmp_path / "tuned.jsonl"), base_only=True)
    printed = capsys.readouterr().out
    assert "Load from previous results" in printed
    assert f"pass@1:\t{PASS_AT_1:.3f}" in printed


def test_lm_eval_makes_its_table_of_the_results(run: Path, tmp_path: Path) -> None:
    utils = pytest.importorskip("lm_eval.utils")
    pytest.importorskip("pytablewriter")
    write(run, "lm-eval", tmp_path / "tuned")
    files = [str(path) for path in (tmp_path / "tuned").iterdir()]
    (results,), (samples,) = utils.get_results_filenames(files), utils.get_sample_results_filenames(files)
    assert utils.get_file_task_name(Path(samples).name) == "humaneval"
    assert utils.get_file_datetime(Path(samples).name) == "2026-01-01T02-03-04"
    value = json.loads(Path(results).read_text())
    table = utils.make_table(value)
    assert "humaneval" in table
    assert f"|{PASS_AT_1}|" in table
    rows = [json.loads(line) for line in Path(samples).read_text().splitlines()]
    for row in rows:
        assert row["doc_hash"] == utils.hash_string(json.dumps(row["doc"], indent=2, ensure_ascii=False))
        assert row["prompt_hash"] == utils.hash_string(row["arguments"]["gen_args_0"]["arg_0"])
    assert sum(row["pass@1"] for row in rows) / len(rows) == PASS_AT_1


def test_inspect_reads_the_log_and_every_sample(run: Path, tmp_path: Path) -> None:
    log_module: Any = pytest.importorskip("inspect_ai.log")
    path = tmp_path / "tuned.eval"
    write(run, "inspect", path)
    log = log_module.read_eval_log(str(path))
    assert (log.status, log.eval.task, log.eval.model, log.eval.config.epochs) == (
        "success",
        "humaneval",
        "tuned",
        2,
    )
    assert log.eval.metadata["assay"]["measured_by"] == "assay 0.0.9"
    assert log.results.scores[0].metrics["pass@1"].value == PASS_AT_1
    values = {(s.id, s.epoch): None if s.error else s.scores["assay"].value for s in log.samples}
    assert [values[f"HumanEval/{i // 2}", i % 2 + 1] for i in range(8)] == [
        "C",
        "I",
        None,
        "C",
        "I",
        "I",
        "C",
        "C",
    ]
    summaries = log_module.read_eval_log_sample_summaries(str(path))
    assert {(s.id, s.epoch) for s in summaries} == set(values)
    one = log_module.read_eval_log_sample(str(path), id="HumanEval/1", epoch=2)
    assert one.output.completion == "    return 1\n"
    assert one.scores["assay"].answer.endswith("    return 1\n")
    (listed,) = log_module.list_eval_logs(str(tmp_path))
    assert listed.name.endswith("tuned.eval")
    log_module.write_eval_log(log, str(tmp_path / "again.eval"))  # as inspect itself would have it
    assert len(log_module.read_eval_log(str(tmp_path / "again.eval")).samples) == len(log.samples)


def test_datasets_loads_the_samples(run: Path, tmp_path: Path) -> None:
    datasets: Any = pytest.importorskip("datasets")
    write(run, "hub", tmp_path / "hub", model="me/mine")
    loaded = datasets.load_dataset(str(tmp_path / "hub" / "samples"), cache_dir=str(tmp_path / "cache"))
    assert loaded["test"]["outcome"] == list(OUTCOMES)


def test_every_eval_ever_validates_record_and_samples(run: Path, tmp_path: Path) -> None:
    validate: Any = pytest.importorskip("every_eval_ever.validator.validate")
    write(run, "every-eval-ever", tmp_path / "eee", model="me/mine")
    files = sorted(str(path) for path in (tmp_path / "eee").rglob("*.json*"))
    assert len(files) == 2
    assert validate.main(files) == 0  # 1 would be errors, 2 warnings
