"""Names of suites and problems: what evaluators call them, and what must stay apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.harness.decide.naming import numbered, place, problem_id, suite_name, suite_of_id


@pytest.mark.parametrize(
    ("suite", "text", "expected"),
    [
        ("humaneval", "HumanEval/0", "HumanEval/0"),
        ("humaneval", "HumanEval_0_has_close_elements", "HumanEval/0"),
        ("humaneval", "HumanEval0", "HumanEval/0"),
        ("humaneval", "humaneval-007", "HumanEval/7"),
        ("humaneval+", "12", "HumanEval/12"),
        ("mbpp", "MBPP/2", "Mbpp/2"),
        ("mbpp-sanitized", "602", "Mbpp/602"),
        ("bigcodebench-hard", "BigCodeBench/763", "BigCodeBench/763"),
        ("livecodebench", "12", "12"),
        ("swe-bench", "astropy__astropy-12907", "astropy__astropy-12907"),
        ("mine", "HumanEval/0/again", "HumanEval/0/again"),
    ],
)
def test_a_problem_has_one_id(suite: str, text: str, expected: str) -> None:
    assert problem_id(suite, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("openai_humaneval", "humaneval"),
        ("inspect_evals/humaneval", "humaneval"),
        ("humaneval_plus", "humaneval+"),
        ("HumanEval+", "humaneval+"),
        ("mbpp_plus", "mbpp+"),
        ("MBPP", "mbpp"),
        ("BigCodeBench-Hard", "bigcodebench-hard"),
        ("gsm8k", "gsm8k"),
        ("inspect_evals/swe_bench", "swe-bench"),
        ("LCB", "livecodebench"),
    ],
)
def test_a_suite_has_one_name(text: str, expected: str) -> None:
    assert suite_name(text) == expected


def test_a_suite_is_known_by_its_ids_and_a_bare_number_is_nobodys() -> None:
    assert [suite_of_id(i) for i in ("HumanEval/3", "mbpp_4", "BigCodeBench/5")] == [
        "humaneval",
        "mbpp",
        "bigcodebench",
    ]
    assert suite_of_id("17") == suite_of_id("abc/1") == ""


def test_a_translated_humaneval_is_not_humaneval() -> None:
    assert suite_of_id("HumanEval_89_encrypt") == "multipl-e"


@given(st.integers(0, 10**6))
def test_every_spelling_of_a_number_meets(n: int) -> None:
    spellings = (f"HumanEval/{n}", f"HumanEval_{n}", f"humaneval{n}", f"HumanEval_{n}_some_name", f"00{n}")
    assert {problem_id("humaneval", text) for text in spellings} == {f"HumanEval/{n}"}


def test_numbers_stand_for_ids_only_where_nothing_is_confused() -> None:
    assert numbered(["sample_0", "sample_12"]) == {"0": "sample_0", "12": "sample_12"}
    assert numbered(["a/1", "b/2"]) is None  # two prefixes
    assert numbered(["a/1", "a/01"]) is None  # one number twice
    assert numbered(["a/1", "a/x"]) is None


def test_problems_are_put_in_the_order_of_their_numbers() -> None:
    assert sorted(["Mbpp/10", "Mbpp/9", "other"], key=place) == ["Mbpp/9", "Mbpp/10", "other"]
