"""MBPP: splits by task id, prompt styles, setup code, and what a bad file says; on rows written for this."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from assay.suites import SuiteError, load_suite
from assay.suites.model import chat_messages, completion_prompt


def row(number: int, **change: Any) -> dict[str, Any]:
    return {
        "task_id": number,
        "text": f"Write a function to add {number}.",
        "code": f"def helper(x):\r\n    return x\r\ndef add_{number}(x):\r\n    return helper(x) + {number}",
        "test_list": [f"assert add_{number}(1) == {number + 1}", f"assert add_{number}(0) == {number}"],
        "challenge_test_list": [f"assert add_{number}(-{number}) == 0"],
        "test_setup_code": "",
    } | change


def write(path: Path, *rows: object) -> Path:
    text = json.dumps(rows) if path.suffix == ".json" else "".join(json.dumps(r) + "\n" for r in rows)
    path.write_text(text)
    return path


@pytest.fixture
def full(tmp_path: Path) -> Path:
    return write(tmp_path / "mbpp.jsonl", *(row(n) for n in (1, 2, 3, 4, 10, 11, 510, 511, 600, 601, 974)))


@pytest.mark.parametrize(
    ("split", "ids"),
    [("prompt", [1, 2, 3, 4, 10]), (None, [11, 510]), ("validation", [511, 600]), ("train", [601, 974])],
)
def test_splits_are_the_papers(full: Path, split: str | None, ids: list[int]) -> None:
    assert [p.id for p in load_suite("mbpp", path=full, split=split).problems] == [f"Mbpp/{i}" for i in ids]


def test_a_problem_passes_with_its_own_solution(full: Path) -> None:
    for problem in load_suite("mbpp", path=full, split="all", options={"challenge": "yes"}).problems:
        assert len(problem.checks) == 3
        assert problem.entry_point.startswith("add_")
        namespace: dict[str, Any] = {}
        exec(problem.prompt + problem.canonical_solution, namespace)
        for check in problem.checks:
            exec(check, namespace)


def test_styles_tell_what_they_say(full: Path) -> None:
    asserts = "assert add_11(1) == 12\nassert add_11(0) == 11"
    paper = (
        "You are an expert Python programmer, and here is your task: Write a function to add 11. Your code should "
        f"pass these tests:\n\n{asserts}\n[BEGIN]\n"
    )
    wanted = {
        "docstring": '"""\nWrite a function to add 11.\nassert add_11(1) == 12\n"""\n',
        "paper": paper,
        "text": "Write a function to add 11.\n[BEGIN]\n",
        "name": "Write a function to add 11. The function is called `add_11`.\n[BEGIN]\n",
        "asserts": f"Write a function to add 11. Your code should pass these tests:\n\n{asserts}\n[BEGIN]\n",
    }
    revisions = set()
    for style, prompt in wanted.items():
        suite = load_suite("mbpp", path=full, options={"style": style})
        assert completion_prompt(suite.problems[0]) == prompt
        assert suite.problems[0].prompt == (
            prompt if style == "docstring" else ""
        )  # words are no part of a program
        revisions.add(suite.revision)
    assert len(revisions) == len(wanted)
    shots = completion_prompt(load_suite("mbpp", path=full, options={"style": "paper-3shot"}).problems[0])
    assert shots.endswith(paper)
    assert [shots.count(f"def add_{n}(x)") for n in (2, 3, 4, 11)] == [1, 1, 1, 0]
    assert shots.count("[DONE]") == 3


def test_a_chat_names_neither_function_nor_asserts_where_the_style_does_not(full: Path) -> None:
    told = {
        style: chat_messages(load_suite("mbpp", path=full, options={"style": style}).problems[0])[0][
            "content"
        ]
        for style in ("text", "name", "asserts")
    }
    assert "add_11" not in told["text"]
    assert "`add_11`" in told["name"]
    assert "assert" not in told["name"]
    assert "assert add_11(0) == 11" in told["asserts"]


def test_setup_code_and_imports_come_before_the_asserts(tmp_path: Path) -> None:
    setup = row(11, test_setup_code="BASE = 1\r\n", test_list=["assert add_11(BASE) == 12"])
    problem = load_suite("mbpp", path=write(tmp_path / "mbpp.jsonl", setup)).problems[0]
    namespace: dict[str, Any] = {}
    exec(problem.canonical_solution + "".join(f"\n{check}\n" for check in problem.checks), namespace)
    clean = {k: v for k, v in row(2).items() if k not in ("text", "test_setup_code", "challenge_test_list")}
    clean |= {
        "prompt": "Add two.",
        "test_imports": ["import math"],
        "test_list": ["assert math.isclose(add_2(1.0), 3)"],
    }
    suite = load_suite("mbpp-sanitized", path=write(tmp_path / "sanitized-mbpp.json", clean))
    assert suite.problems[0].checks == ("import math\nassert math.isclose(add_2(1.0), 3)",)
    exec(suite.problems[0].canonical_solution + suite.problems[0].checks[0], {})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"test_list": []}, "line 1: field 'test_list'"),
        ({"text": ""}, "line 1: the fields 'text' and 'prompt' are both missing or empty"),
        ({"test_list": ["assert other(1)"]}, "task 11: no function of its solution is called by its asserts"),
        ({"task_id": "11"}, "line 1: field 'task_id'"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(SuiteError, match=said):
        load_suite("mbpp", path=write(tmp_path / "mbpp.jsonl", row(11, **change)))


def test_what_is_asked_for_and_not_there_is_said(
    full: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_DATA", str(tmp_path / "none"))
    with pytest.raises(
        SuiteError, match=r"Fetch mbpp\.jsonl from https://.* --suite-path hub:google-research"
    ):
        load_suite("mbpp")
    with pytest.raises(SuiteError, match="no split 'dev'; known: all, prompt, test"):
        load_suite("mbpp", path=full, split="dev")
    with pytest.raises(SuiteError, match="no prompt style 'x'; known: docstring, paper"):
        load_suite("mbpp", path=full, options={"style": "x"})
    with pytest.raises(SuiteError, match="needs the problems"):
        load_suite("mbpp", path=write(tmp_path / "one.jsonl", row(11)), options={"style": "paper-3shot"})
    with pytest.raises(SuiteError, match="'task_id': '11' was used before"):
        load_suite("mbpp", path=write(tmp_path / "two.jsonl", row(11), row(11)))
    with pytest.raises(SuiteError, match="expected a JSON array"):
        file = tmp_path / "sanitized-mbpp.json"
        file.write_text("{}")
        load_suite("mbpp-sanitized", path=file)
