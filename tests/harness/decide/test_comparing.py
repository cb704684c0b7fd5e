"""Two result files: the verdict, what turned, what cannot be compared, and what a reader has to know."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.harness.decide import Results, compare_results, read_results
from assay.harness.errors import BadInputError, UnmeasuredError
from tests.harness.decide.files import evalplus, humaneval, write_csv, write_json, write_lines, write_run


def read(path: Path, passed: str, **changes: Any) -> list[Results]:
    rows = [row | changes for row in humaneval(passed)]
    return read_results(str(write_lines(path, rows)))


def test_b_is_held_against_a(tmp_path: Path) -> None:
    strong, weak = (
        read(tmp_path / "s.jsonl", "1" * 38 + "0" * 2),
        read(tmp_path / "w.jsonl", "1" * 10 + "0" * 30),
    )
    result = compare_results(strong, weak)
    figures = result.suites[0].comparison
    assert result.verdict == "worse"
    assert (result.baseline, result.candidate) == ("s", "w")
    assert figures.difference == pytest.approx(-28 / 40)
    assert len(result.suites[0].lost) == 28
    assert not result.suites[0].gained
    assert compare_results(weak, strong).verdict == "better"


def test_the_same_file_is_as_good_as_itself(tmp_path: Path) -> None:
    results = read(tmp_path / "a.jsonl", "10" * 100)
    result = compare_results(results, results)
    assert result.verdict == "equivalent"
    assert result.baseline != result.candidate
    assert result.suites[0].alike == (100, 100)


def test_few_problems_decide_nothing(tmp_path: Path) -> None:
    result = compare_results(read(tmp_path / "a.jsonl", "1100"), read(tmp_path / "b.jsonl", "1000"))
    assert result.verdict == "undecided"
    assert [turn.problem for turn in result.suites[0].lost] == ["HumanEval/1"]


def test_ids_of_different_evaluators_meet(tmp_path: Path) -> None:
    a = read(tmp_path / "a.jsonl", "1010")
    rows = [
        {"suite": "humaneval", "problem": i, "passed": "1"}
        for i in ("0", "HumanEval_1_name", "HumanEval2", "003")
    ]
    b = read_results(str(write_csv(tmp_path / "b.csv", rows)))
    assert compare_results(a, b).suites[0].comparison.n == 4


def test_numbers_alone_match_the_ids_of_an_unknown_suite(tmp_path: Path) -> None:
    a = read_results(
        str(write_csv(tmp_path / "a.csv", [{"problem": f"mine/{i}", "passed": "1"} for i in range(4)]))
    )
    b = read_results(
        str(write_csv(tmp_path / "b.csv", [{"problem": str(i), "passed": "1"} for i in range(4)]))
    )
    result = compare_results(a, b)
    assert result.suites[0].comparison.n == 4
    assert any("by their numbers alone" in text for text in result.warnings)


def test_problems_that_do_not_match_are_an_error_that_lists_them(tmp_path: Path) -> None:
    a, b = read(tmp_path / "a.jsonl", "1" * 30), read(tmp_path / "b.jsonl", "1" * 5)
    with pytest.raises(
        BadInputError, match=r"\(5 are in all\).*a\.jsonl.*has 25.*HumanEval/5, .* and 5 more.*--common"
    ):
        compare_results(a, b)
    result = compare_results(a, b, common=True)
    assert (result.suites[0].comparison.n, result.suites[0].left_out) == (5, 25)
    assert any("25 problems are not in both" in text for text in result.warnings)


def test_files_without_a_problem_in_common_are_an_error_even_with_common(tmp_path: Path) -> None:
    a = read_results(str(write_csv(tmp_path / "a.csv", [{"problem": "x", "passed": "1"}])))
    b = read_results(str(write_csv(tmp_path / "b.csv", [{"problem": "y", "passed": "1"}])))
    with pytest.raises(BadInputError, match="no problem in common"):
        compare_results(a, b, common=True)


def test_infra_is_no_verdict_and_its_problem_is_named(tmp_path: Path) -> None:
    a, b = read(tmp_path / "a.jsonl", "11-0"), read(tmp_path / "b.jsonl", "1-00")
    suite = compare_results(a, b).suites[0]
    assert suite.comparison.n == 2
    assert suite.unmeasured == {"HumanEval/1": "no verdict of b", "HumanEval/2": "no verdict of a"}
    assert suite.scores[0].value == 0.5  # over the problems that both have, as the difference is
    assert any("A: 1 samples have no verdict" in text for text in compare_results(a, b).warnings)


def test_nothing_measured_in_both_is_unmeasured(tmp_path: Path) -> None:
    with pytest.raises(UnmeasuredError, match="no problem with a verdict in both"):
        compare_results(read(tmp_path / "a.jsonl", "1-"), read(tmp_path / "b.jsonl", "-1"))


def test_several_samples_a_problem_are_rates(tmp_path: Path) -> None:
    a = read_results(str(write_lines(tmp_path / "a.jsonl", [*humaneval("1100"), *humaneval("1000")])))
    result = compare_results(a, read(tmp_path / "b.jsonl", "1110"))
    suite = result.suites[0]
    assert suite.comparison.difference == pytest.approx((0 + 0.5 + 1 + 0) / 4)
    assert [(t.problem, t.baseline, t.candidate) for t in suite.gained] == [
        ("HumanEval/2", 0.0, 1.0), ("HumanEval/1", 0.5, 1.0),
    ]  # fmt: skip
    assert suite.noise.sampling is None


def test_versions_prompts_and_evaluators_that_differ_are_warned_of(tmp_path: Path) -> None:
    statuses = {f"HumanEval/{i}": [("pass", "pass")] for i in range(3)}
    a = read_results(str(write_json(tmp_path / "a_eval_results.json", evalplus(statuses, version="one"))))
    b = read_results(str(write_json(tmp_path / "b_eval_results.json", evalplus(statuses, version="two"))))
    warnings = compare_results(a, b, suite="humaneval").warnings
    assert warnings == ("the suite's versions differ: one in A, two in B",)
    c, d = (read(tmp_path / f"{name}.jsonl", "11", prompt=name) for name in "cd")
    assert any(
        "the prompts of 2 of 2 problems differ: HumanEval/0" in text
        for text in compare_results(c, d).warnings
    )
    assert not compare_results(c, c).warnings


def test_each_suite_that_both_have_is_compared_and_the_worst_decides(tmp_path: Path) -> None:
    n = 60
    base = {f"HumanEval/{i}": [("pass", "pass")] for i in range(n)}
    fell = {f"HumanEval/{i}": [("pass", "fail" if i % 2 else "pass")] for i in range(n)}
    a, b = (
        read_results(str(write_json(tmp_path / f"{name}_eval_results.json", evalplus(statuses))))
        for name, statuses in (("a", base), ("b", fell))
    )
    result = compare_results(a, b)
    assert {s.suite: s.comparison.verdict for s in result.suites}["humaneval+"] == "worse"
    assert result.verdict == "worse"
    plus = result.suites[1].comparison
    assert plus.p_adjusted == pytest.approx(min(1, 2 * plus.p))  # Holm over two suites
    assert compare_results(a, b, suite="humaneval").verdict != "worse"
    with pytest.raises(BadInputError, match="--suite 'mbpp'"):
        compare_results(a, b, suite="mbpp")


def test_a_suite_of_one_file_alone_is_said(tmp_path: Path) -> None:
    statuses = {f"HumanEval/{i}": [("pass", "pass")] for i in range(3)}
    a = read_results(str(write_json(tmp_path / "a_eval_results.json", evalplus(statuses))))
    result = compare_results(a, read(tmp_path / "b.jsonl", "111"))
    assert [s.suite for s in result.suites] == ["humaneval"]
    assert "only A has humaneval+, which is not compared" in result.warnings


def test_suites_of_other_names_are_compared_where_there_is_one_and_said(tmp_path: Path) -> None:
    a = read_results(str(write_csv(tmp_path / "a.csv", [{"suite": "x", "problem": "1", "passed": "1"}])))
    b = read_results(str(write_csv(tmp_path / "b.csv", [{"suite": "y", "problem": "1", "passed": "1"}])))
    assert "the suite is called 'x' in A and 'y' in B" in compare_results(a, b).warnings


def test_a_file_of_several_models_has_to_be_asked_for_one(tmp_path: Path) -> None:
    rows = [{"model": m, "problem": "HumanEval/0", "passed": "1"} for m in ("one", "two")]
    path = write_csv(tmp_path / "v.csv", rows)
    with pytest.raises(BadInputError, match=r"holds 2 models: choose one as .*v\.csv:NAME; it has one, two"):
        compare_results(read_results(str(path)), read(tmp_path / "b.jsonl", "1"))


def test_a_list_of_what_passed_needs_to_know_what_was_tried(tmp_path: Path) -> None:
    a, b = (
        read_results(str(write_json(tmp_path / f"{name}.json", {"resolved": [f"i-{x}" for x in ids]})))
        for name, ids in (("a", range(40)), ("b", range(10)))
    )
    with pytest.raises(BadInputError, match=r"40 problems.*give --total"):
        compare_results(a, b)
    with pytest.raises(BadInputError, match="--total 5"):
        compare_results(a, b, total=5)
    suite = compare_results(a, b, total=100).suites[0]
    assert (suite.comparison.n, suite.scores[0].value, suite.scores[1].value) == (100, 0.4, 0.1)
    assert suite.comparison.verdict == "worse"


def test_a_list_of_what_passed_is_completed_by_a_file_that_says_all(tmp_path: Path) -> None:
    report = {"resolved_ids": ["i-1"], "unresolved_ids": ["i-0", "i-2"]}
    full = read_results(str(write_json(tmp_path / "full.json", report)))
    short = read_results(str(write_json(tmp_path / "short.json", {"resolved": ["i-0"]})))
    assert compare_results(full, short).suites[0].comparison.n == 3


@pytest.mark.parametrize(
    "options", [{"margin": 0.0}, {"margin": 5.0}, {"confidence": 95.0}, {"confidence": 0.2}]
)
def test_levels_that_decide_nothing_are_refused(tmp_path: Path, options: dict[str, float]) -> None:
    results = read(tmp_path / "a.jsonl", "10")
    with pytest.raises(BadInputError, match="--"):
        compare_results(results, results, **options)  # type: ignore[arg-type]


@pytest.mark.slow
def test_equal_models_are_seldom_called_worse(tmp_path: Path) -> None:
    """120 pairs of equal models on 164 problems: no more than 5 %, and a margin for luck, are called worse."""
    rng = np.random.default_rng(5)
    chance = rng.random(164)
    verdicts = []
    for i in range(120):
        a, b = (
            read(tmp_path / f"{i}{x}.jsonl", "".join("01"[p] for p in (rng.random(164) < chance).astype(int)))
            for x in "ab"
        )
        verdicts.append(compare_results(a, b).verdict)
    assert verdicts.count("worse") <= 0.05 * 120 + 2 * math.sqrt(120 * 0.05)


def test_a_file_cannot_win_by_leaving_out_what_it_lost(tmp_path: Path) -> None:
    """B fails 20 of 60 problems: as failures it is worse, as "no verdict" it would be as good on the other 40."""
    a = read(tmp_path / "a.jsonl", "1" * 60)
    hidden = read(tmp_path / "b.jsonl", "1" * 40 + "-" * 20)
    assert compare_results(a, hidden, missing="fail").verdict == "worse"
    result = compare_results(a, hidden, margin=0.2)
    assert result.verdict == "undecided"
    assert result.suites[0].bounds == (pytest.approx(-20 / 60), 0.0)
    assert any(
        "equivalent by what has a verdict, but undecided: 20 samples have none" in w for w in result.warnings
    )
    assert compare_results(a, hidden, margin=0.2, missing="ignore").verdict == "equivalent"
    with pytest.raises(BadInputError, match="--missing 'skip' is none of bounds, ignore, fail"):
        compare_results(a, hidden, missing="skip")


def test_a_verdict_that_stands_whatever_is_missing_stays(tmp_path: Path) -> None:
    a, b = read(tmp_path / "a.jsonl", "1" * 58 + "--"), read(tmp_path / "b.jsonl", "0" * 40 + "1" * 19 + "-")
    assert compare_results(a, b).verdict == "worse"


def test_samples_of_a_measured_problem_may_be_missing_too(tmp_path: Path) -> None:
    a = read(tmp_path / "a.jsonl", "1" * 60)
    rows = [*humaneval("1" * 60), *humaneval("-" * 60)]
    b = read_results(str(write_lines(tmp_path / "b.jsonl", rows)))
    result = compare_results(a, b, margin=0.2)
    assert (result.verdict, result.suites[0].bounds) == ("undecided", (-0.5, 0.0))


def test_a_file_that_names_no_suite_is_compared_with_the_one_whose_problems_it_has(tmp_path: Path) -> None:
    rows = [{"problem": f"pocket-test/{i}", "passed": "1"} for i in range(3)]
    a = read_results(str(write_csv(tmp_path / "a.csv", [row | {"suite": "pocket"} for row in rows])))
    b = read_results(str(write_csv(tmp_path / "b.csv", rows)))
    for one, other in ((a, b), (b, a)):
        result = compare_results(one, other)
        assert result.suites[0].suite == "pocket"
        assert not result.warnings


def test_models_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    result = compare_results(read(tmp_path / "x" / "m.jsonl", "10"), read(tmp_path / "y" / "m.jsonl", "10"))
    assert (result.baseline, result.candidate) == ("m (x/m.jsonl)", "m (y/m.jsonl)")


def test_runs_whose_answers_were_drawn_differently_are_warned_of(tmp_path: Path) -> None:
    a, b = (
        read_results(str(write_run(tmp_path / f"{t}", {"base": "10"}, temperature=t))) for t in (0.0, 0.8)
    )
    text = "answers were drawn differently: samples 1, temperature 0.0 in A; samples 1, temperature 0.8 in B"
    assert text in compare_results(a, b).warnings
    assert not any("drawn" in warning for warning in compare_results(a, a).warnings)
