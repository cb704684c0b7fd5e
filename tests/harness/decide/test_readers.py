"""Every format that is read: what a verdict is in it, and an error, not a guess, for what is none."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from assay.harness.decide import READERS, Results, read_results
from assay.harness.errors import BadInputError
from tests.harness.decide.files import (
    evalplus,
    humaneval,
    inspect_header,
    inspect_sample,
    write_csv,
    write_eval_log,
    write_json,
    write_lines,
    write_parquet,
)


def counts(results: Results) -> dict[str, tuple[int, int, int]]:
    """(samples, passed, without a verdict) of each problem."""
    rows = zip(results.samples.tolist(), results.passed.tolist(), results.unmeasured.tolist(), strict=True)
    return dict(zip(results.problems, rows, strict=True))


def one(path: Path, **options: Any) -> Results:
    results = read_results(str(path), **options)
    assert len(results) == 1
    return results[0]


# Tables.


def test_our_own_results_have_no_verdict_where_the_outcome_is_infra(tmp_path: Path) -> None:
    results = one(write_lines(tmp_path / "tuned.jsonl_results.jsonl", humaneval("10-")))
    assert (results.model, results.suite, results.format) == ("tuned", "humaneval", "table")
    assert counts(results) == {"HumanEval/0": (1, 1, 0), "HumanEval/1": (1, 0, 0), "HumanEval/2": (0, 0, 1)}


def test_a_plus_suite_has_its_base_checks_beside_it(tmp_path: Path) -> None:
    rows = [row | {"base_passed": i < 2} for i, row in enumerate(humaneval("100"))]
    base, plus = read_results(str(write_lines(tmp_path / "m_results.jsonl", rows)))
    assert (base.suite, int(base.passed.sum())) == ("humaneval", 2)
    assert (plus.suite, int(plus.passed.sum())) == ("humaneval+", 1)


def test_human_evals_results_count_several_samples_of_a_problem(tmp_path: Path) -> None:
    rows = [
        {"task_id": "HumanEval/0", "completion": "    return 1", "result": "passed", "passed": True},
        {"task_id": "HumanEval/0", "completion": "    return 2", "result": "failed: ", "passed": False},
    ]
    results = one(write_lines(tmp_path / "samples.jsonl_results.jsonl", rows), answers=True)
    assert counts(results) == {"HumanEval/0": (2, 1, 0)}
    assert [a.text for a in results.answers["HumanEval/0"]] == ["    return 1", "    return 2"]


def test_answers_come_from_the_samples_beside_our_verdicts(tmp_path: Path) -> None:
    write_lines(tmp_path / "s.jsonl", [{"task_id": "HumanEval/0", "solution": "def f(): ..."}])
    rows = [row | {"line": 1} for row in humaneval("1")]
    path = write_lines(tmp_path / "s.jsonl_results.jsonl", rows)
    assert one(path, answers=True).answers["HumanEval/0"][0].text == "def f(): ..."
    assert not one(path).answers  # what nobody asked for is not kept


def test_a_csv_holds_several_models_and_one_is_chosen(tmp_path: Path) -> None:
    rows = [
        {"model": m, "problem": f"HumanEval/{i}", "passed": p, "sample": s}
        for m, i, s, p in [("a", 0, 0, "1"), ("a", 0, 1, "0"), ("b", 0, 0, "true"), ("b", 0, 1, "")]
    ]
    path = write_csv(tmp_path / "v.csv", rows)
    a, b = read_results(str(path))
    assert (a.model, counts(a)) == ("a", {"HumanEval/0": (2, 1, 0)})
    assert (b.model, counts(b)) == ("b", {"HumanEval/0": (1, 1, 1)})
    assert [r.model for r in read_results(f"{path}:b")] == ["b"]
    with pytest.raises(BadInputError, match=r"has no model 'c'.*a, b"):
        read_results(f"{path}:c")


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_csv_may_be_separated_otherwise_and_begin_with_a_mark(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "v.csv"
    path.write_text(f"\ufeffproblem{separator}passed\nMbpp/2{separator}yes\n", encoding="utf-8")
    assert counts(one(path)) == {"Mbpp/2": (1, 1, 0)}


def test_the_same_sample_twice_is_an_error(tmp_path: Path) -> None:
    row = {"model": "a", "problem": "HumanEval/0", "sample": 0, "passed": True}
    with pytest.raises(BadInputError, match="a second time"):
        read_results(str(write_csv(tmp_path / "v.csv", [row, row])))
    with pytest.raises(BadInputError, match="a second time"):
        read_results(str(write_parquet(tmp_path / "v.parquet", [row, row])))


@pytest.mark.parametrize("value", ["maybe", "0.5", "2", "-1"])
def test_what_is_no_verdict_is_an_error_that_names_its_place(tmp_path: Path, value: str) -> None:
    path = write_csv(tmp_path / "v.csv", [{"problem": "HumanEval/0", "passed": value}])
    with pytest.raises(BadInputError, match=rf"line 2: column 'passed' is no verdict.*{value}"):
        read_results(str(path))


def test_a_row_without_a_problem_or_a_verdict_names_the_columns(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="has no problem: none of problem, task_id"):
        read_results(str(write_lines(tmp_path / "v.jsonl", [{"name": "x", "passed": True}])))
    with pytest.raises(BadInputError, match="has no verdict: none of outcome, passed"):
        read_results(str(write_lines(tmp_path / "w.jsonl", [{"task_id": "HumanEval/0", "score": 1}])))


def test_rows_of_eval_arena_count_samples(tmp_path: Path) -> None:
    rows = [
        {
            "benchmark_id": "humaneval",
            "model": "m",
            "example_id": "HumanEval4",
            "pass1": 0.5,
            "correct": 1,
            "count": 2,
        },
        {"benchmark_id": "humaneval", "model": "m", "example_id": "HumanEval5", "pass1": 0.8, "count": 5},
    ]
    results = one(write_lines(tmp_path / "rows.jsonl", rows))
    assert counts(results) == {"HumanEval/4": (2, 1, 0), "HumanEval/5": (5, 4, 0)}
    with pytest.raises(BadInputError, match="impossible of 2 samples"):
        read_results(str(write_lines(tmp_path / "bad.jsonl", [rows[0] | {"correct": 3}])))


def test_a_table_of_problems_counts_what_passed_of_n(tmp_path: Path) -> None:
    """`assay score --per-problem-file` writes how many of a problem's n samples passed: 1 of 10 is no pass."""
    row = {"task_id": "HumanEval/0", "n": 10, "passed": 1, "pass@1": 0.1, "pass": 1, "fail": 9}
    for path in (write_csv(tmp_path / "p.csv", [row]), write_lines(tmp_path / "p.jsonl", [row])):
        assert counts(one(path)) == {"HumanEval/0": (10, 1, 0)}
    with pytest.raises(BadInputError, match="counts several samples"):
        read_results(str(write_parquet(tmp_path / "p.parquet", [row])))


def test_columns_of_a_csv_may_have_capitals(tmp_path: Path) -> None:
    rows = [{"Model": "m", "Task_ID": "HumanEval/0", "Passed": "TRUE"}]
    assert counts(one(write_csv(tmp_path / "v.csv", rows))) == {"HumanEval/0": (1, 1, 0)}


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("tuned.jsonl_results.jsonl", "tuned"),
        ("tuned.generated_eval_results.jsonl", "tuned"),
        ("tuned_results.jsonl.gz", "tuned"),
        ("results.jsonl", "folder"),
        ("samples.jsonl_results.jsonl", "folder"),
        ("Scenario.codegeneration_1_0.2_eval_all.jsonl", "folder"),
    ],
)
def test_a_model_is_called_as_its_file_or_folder(tmp_path: Path, name: str, model: str) -> None:
    path = write_lines(tmp_path / "folder" / name, humaneval("1"))
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(path.read_bytes()))
    assert one(path).model == model


def test_lines_of_json_may_be_called_json(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "v.json", humaneval("10"))
    assert counts(one(path)) == {"HumanEval/0": (1, 1, 0), "HumanEval/1": (1, 0, 0)}
    listed = write_json(tmp_path / "w.json", humaneval("10"))
    assert counts(one(listed)) == counts(one(path))


def test_gzip_is_read_by_its_suffix(tmp_path: Path) -> None:
    plain = write_lines(tmp_path / "v.jsonl", humaneval("10"))
    packed = tmp_path / "v.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert counts(one(packed)) == counts(one(plain))
    packed.write_bytes(packed.read_bytes()[:-9])
    with pytest.raises(BadInputError, match="cannot be read"):
        read_results(str(packed))


def test_parquet_says_the_same_as_csv(tmp_path: Path) -> None:
    rows = [
        {"model": m, "problem": f"HumanEval/{i}", "sample": s, "passed": None if (i, s) == (2, 1) else (i + s) % 2 == 0}
        for m in ("a", "b") for i in range(4) for s in range(3)
    ]  # fmt: skip
    table, parquet = (
        read_results(str(path))
        for path in (
            write_lines(tmp_path / "v.jsonl", rows),
            write_parquet(tmp_path / "v.parquet", rows),
        )
    )
    assert [(r.model, r.suite, counts(r)) for r in table] == [(r.model, r.suite, counts(r)) for r in parquet]


def test_parquet_reads_outcomes_and_keeps_an_answer_of_each_kind(tmp_path: Path) -> None:
    rows = [
        {"problem_id": "pocket/0", "index": i, "outcome": o, "program": p, "detail": "why"}
        for i, (o, p) in enumerate([("timeout", "one"), ("pass", "two"), ("infra", "three")])
    ]
    path = write_parquet(tmp_path / "verdicts.parquet", rows)
    results = one(path, answers=True)
    assert counts(results) == {"pocket/0": (2, 1, 1)}
    assert [(a.text, a.outcome) for a in results.answers["pocket/0"]] == [("one", "timeout"), ("two", "pass")]
    assert counts(one(tmp_path)) == counts(results)  # the step's folder


# Other evaluators.


def test_evalplus_passes_the_plus_suite_only_after_the_base_checks(tmp_path: Path) -> None:
    value = evalplus(
        {
            "HumanEval/0": [("pass", "pass"), ("pass", "fail"), ("fail", "pass")],
            "HumanEval/1": [("timeout", "timeout")],
        }
    )
    base, plus = read_results(str(write_json(tmp_path / "model.generated_eval_results.json", value)))
    assert (base.model, base.suite, base.version) == ("model", "humaneval", "84f4")
    assert counts(base) == {"HumanEval/0": (3, 2, 0), "HumanEval/1": (1, 0, 0)}
    assert (plus.suite, counts(plus)["HumanEval/0"]) == ("humaneval+", (3, 1, 0))


def test_evalplus_first_form_is_read(tmp_path: Path) -> None:
    value = {
        "eval": {
            "HumanEval/0": {
                "nfiles": 2,
                "base": [["success", [True]], ["failed", []]],
                "plus": [["failed", []], ["failed", []]],
            }
        }
    }
    base, plus = read_results(str(write_json(tmp_path / "eval_results.json", value)))
    assert (int(base.passed.sum()), int(plus.passed.sum())) == (1, 0)


def test_bigcodebench_has_one_status(tmp_path: Path) -> None:
    row = {
        "task_id": "BigCodeBench/763",
        "solution": "x",
        "status": "fail",
        "details": {"test_case_1": "Traceback"},
    }
    path = write_json(
        tmp_path / "m_hard_eval_results.json", {"date": "", "eval": {"BigCodeBench/763": [row]}}
    )
    results = one(path, answers=True)
    assert (results.suite, results.format, counts(results)) == (
        "bigcodebench-hard", "bigcodebench", {"BigCodeBench/763": (1, 0, 0)},
    )  # fmt: skip
    assert results.answers["BigCodeBench/763"][0].detail == "test_case_1: Traceback"


def test_livecodebench_is_read_with_and_without_its_questions(tmp_path: Path) -> None:
    rows = [
        {
            "question_id": "abc301_a",
            "question_content": "Add.",
            "code_list": ["a", "b"],
            "graded_list": [True, False],
        }
    ]
    results = one(write_json(tmp_path / "Scenario.codegeneration_2_0.2_eval_all.json", rows), answers=True)
    assert (results.suite, counts(results)) == ("livecodebench", {"abc301_a": (2, 1, 0)})
    assert results.prompts == {"abc301_a": "Add."}
    figures: list[Any] = [
        {"pass@1": 0.5, "detail": {"pass@1": {"0": 0.5}}},
        {"0": [[True, True], [True, -2]]},
        [],
    ]
    short = one(write_json(tmp_path / "x_eval.json", figures))
    assert counts(short) == {"0": (2, 1, 0)}
    assert "known by their places" in short.notes[0]


def lm_eval_row(problem: Any, value: Any, **changes: Any) -> dict[str, Any]:
    return {
        "doc_id": 0, "doc": {"task_id": problem}, "target": "", "arguments": {}, "resps": [["    return 1"]],
        "filtered_resps": [["def f():\n    return 1"]], "filter": "create_test", "metrics": ["pass@1"],
        "doc_hash": "d", "prompt_hash": "p", "target_hash": "t", "pass@1": value,
    } | changes  # fmt: skip


def test_lm_eval_samples_take_model_and_version_from_the_results_beside_them(tmp_path: Path) -> None:
    time = "2025-01-31T12-00-00.123456"
    folder = tmp_path / "org__model"
    samples = write_lines(
        folder / f"samples_humaneval_plus_{time}.jsonl",
        [
            lm_eval_row("HumanEval/0", 1.0),
            lm_eval_row("HumanEval/1", 0.0),
            lm_eval_row("HumanEval/0", 0.0, filter="other"),
        ],
    )
    results = one(samples, answers=True)
    assert (results.model, results.suite, results.format) == ("org__model", "humaneval+", "lm-eval")
    assert counts(results) == {"HumanEval/0": (1, 1, 0), "HumanEval/1": (1, 0, 0)}
    assert results.prompts == {"HumanEval/0": "p", "HumanEval/1": "p"}
    assert "filter 'create_test'" in results.notes[0]
    aggregate = write_json(
        folder / f"results_{time}.json",
        {
            "results": {"humaneval_plus": {"pass@1,create_test": 0.5}},
            "versions": {"humaneval_plus": 1.0},
            "model_name": "org/model",
        },
    )
    named = one(aggregate)
    assert (named.model, named.version, counts(named)) == ("org/model", "1.0", counts(results))


def test_lm_eval_scores_without_samples_say_what_to_do(tmp_path: Path) -> None:
    path = write_json(tmp_path / "results_2025-01-31T12-00-00.json", {"results": {"humaneval": {}}})
    with pytest.raises(BadInputError, match="--log_samples"):
        read_results(str(path))


def test_lm_eval_numbers_of_mbpp_are_its_own_ids(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "samples_mbpp_2025-01-31T12-00-00.1.jsonl", [lm_eval_row(11, 1.0)])
    assert counts(one(path)) == {"Mbpp/11": (1, 1, 0)}


def test_a_share_of_repeats_is_counted_and_another_share_is_no_verdict(tmp_path: Path) -> None:
    row = lm_eval_row("HumanEval/0", 0.25, resps=[["a", "b", "c", "d"]])
    assert counts(one(write_lines(tmp_path / "samples.jsonl", [row]))) == {"HumanEval/0": (4, 1, 0)}
    with pytest.raises(BadInputError, match=r"metric 'pass@1' is no verdict.*0.3"):
        read_results(str(write_lines(tmp_path / "bad.jsonl", [lm_eval_row("HumanEval/0", 0.3)])))


def inspect_samples() -> list[dict[str, Any]]:
    broken = {"scores": {}, "error": {"message": "sandbox"}}
    return [
        inspect_sample("HumanEval/0", 1, "C"),
        inspect_sample("HumanEval/0", 2, "I"),
        inspect_sample("HumanEval/1", 1, "P"),
        inspect_sample("HumanEval/1", 2, None, **broken),
    ]


def test_an_inspect_log_is_read_as_archive_and_as_json(tmp_path: Path) -> None:
    log = write_eval_log(tmp_path / "log.eval", inspect_header(), inspect_samples())
    as_json = write_json(tmp_path / "log.json", inspect_header(samples=inspect_samples()))
    for path in (log, as_json):
        results = one(path, answers=True)
        assert (results.model, results.suite, results.version) == ("vendor/model", "humaneval", "2")
        assert counts(results) == {"HumanEval/0": (2, 1, 0), "HumanEval/1": (1, 0, 1)}
        assert results.notes == ("1 samples scored P (partly correct) count as not passed",)
        assert results.answers["HumanEval/0"][0].text == "# HumanEval/0"


def test_an_inspect_log_that_broke_off_says_so_and_a_share_is_no_verdict(tmp_path: Path) -> None:
    path = write_json(tmp_path / "a.json", inspect_header(status="cancelled", samples=inspect_samples()[:1]))
    assert "'cancelled'" in one(path).notes[0]
    path = write_json(tmp_path / "b.json", inspect_header(samples=[inspect_sample("HumanEval/0", 1, 0.7)]))
    with pytest.raises(BadInputError, match=r"'verify' is no verdict.*0.7"):
        read_results(str(path))
    path = write_json(
        tmp_path / "c.json", inspect_header(samples=[inspect_sample("HumanEval/0", 1, None, scores=None)])
    )
    with pytest.raises(BadInputError, match="neither a score nor an error"):
        read_results(str(path))


def test_a_damaged_inspect_log_is_an_error(tmp_path: Path) -> None:
    path = write_eval_log(tmp_path / "log.eval", inspect_header(), inspect_samples())
    text = bytearray(path.read_bytes())
    text[80] ^= 0xFF
    path.write_bytes(bytes(text))
    with pytest.raises(BadInputError, match="cannot be read"):
        read_results(str(path))


def test_a_swe_bench_report_counts_what_broke_as_swe_bench_does(tmp_path: Path) -> None:
    report = {
        "total_instances": 5, "resolved_ids": ["a"], "unresolved_ids": ["b"], "empty_patch_ids": ["c"],
        "error_ids": ["d"], "incomplete_ids": ["e"], "submitted_ids": ["a", "b", "c", "d"], "schema_version": 2,
    }  # fmt: skip
    results = one(write_json(tmp_path / "model.run.json", report))
    assert (results.model, results.suite, results.only_passed) == ("model.run", "swe-bench", False)
    assert counts(results)["e"] == (0, 0, 1)
    assert (int(results.samples.sum()), int(results.passed.sum())) == (4, 1)
    assert "1 instances whose evaluation broke" in results.notes[0]


def test_a_swe_bench_leaderboard_entry_lists_what_passed(tmp_path: Path) -> None:
    value = {"no_generation": ["c"], "no_logs": [], "resolved": ["a", "b"]}
    results = one(write_json(tmp_path / "20240620_model" / "results" / "results.json", value))
    assert (results.model, results.only_passed) == ("20240620_model", True)
    assert counts(results) == {"a": (1, 1, 0), "b": (1, 1, 0), "c": (1, 0, 0)}
    complete = one(write_json(tmp_path / "m.json", value | {"generated": ["a", "b", "d"]}))
    assert (complete.only_passed, len(complete.problems)) == (False, 4)


def test_swe_bench_details_of_each_instance_are_verdicts(tmp_path: Path) -> None:
    value = {"a": {"resolved": True, "cost": 0.1}, "b": {"resolved": False}}
    results = one(write_json(tmp_path / "20250726_model" / "results" / "per_instance_details.json", value))
    assert (results.model, results.only_passed) == ("20250726_model", False)
    assert counts(results) == {"a": (1, 1, 0), "b": (1, 0, 0)}
    with pytest.raises(BadInputError, match="b: field 'resolved' is neither true nor false"):
        read_results(str(write_json(tmp_path / "x.json", value | {"b": {"resolved": "no"}})))


# Which format it is.


def test_what_is_no_result_file_is_an_error_that_says_what_is(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no such file"):
        read_results(str(tmp_path / "absent.json"))
    with pytest.raises(
        BadInputError, match=r"JSON of no format that is known here.*columns model, problem, passed"
    ):
        read_results(str(write_json(tmp_path / "x.json", {"a": 1})))
    with pytest.raises(BadInputError, match="neither a run's leaderboard"):
        read_results(str(tmp_path))
    with pytest.raises(BadInputError, match="holds no verdict"):
        read_results(str(write_json(tmp_path / "empty.json", {"eval": {}})))
    (tmp_path / "torn.json").write_text('{"eval": {')
    with pytest.raises(BadInputError, match="not JSON"):
        read_results(str(tmp_path / "torn.json"))
    (tmp_path / "nothing.csv").write_text("")
    with pytest.raises(BadInputError, match="holds no verdict"):
        read_results(str(tmp_path / "nothing.csv"))


def test_a_format_that_is_not_known_lists_those_that_are(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "v.jsonl", humaneval("1"))
    with pytest.raises(BadInputError, match=r"--format.*evalplu'"):
        read_results(str(path), form="evalplu")
    assert {"evalplus", "inspect", "lm-eval", "livecodebench", "bigcodebench", "swe-bench", "table"} <= set(
        READERS.names()
    )


@pytest.mark.parametrize(
    "form", ["evalplus", "bigcodebench", "livecodebench", "lm-eval", "inspect", "swe-bench"]
)
@pytest.mark.parametrize(
    "value", [[], {}, None, [1], {"eval": 1}, {"eval": {"a": 1}}, {"resolved_ids": 1}, [[], 3]]
)
def test_a_reader_that_is_given_another_shape_raises_bad_input(tmp_path: Path, form: str, value: Any) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(value))
    with pytest.raises(BadInputError):
        read_results(str(path), form=form)
