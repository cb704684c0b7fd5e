"""Suites load with their provenance; what is wrong in a user's file is named by line and field."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from assay.suites import SuiteError, UnknownNameError, load_suite

ROW = {"id": "a/0", "prompt": "def f(x):\n", "entry_point": "f", "checks": ["assert f(1) == 1"]}


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_humaneval_is_the_published_file() -> None:
    suite = load_suite("humaneval")
    assert len(suite.problems) == 164
    assert suite.revision == "b796127e635a67f93fb35c04f4cb03cf06f38c8072ee7cee8833d7bee06979ef"
    assert suite.problems[0].id == "HumanEval/0"
    assert suite.problems[0].checks[0].endswith("check(has_close_elements)\n")


def test_limit_keeps_the_first_and_says_so_in_the_revision() -> None:
    suite = load_suite("humaneval", limit=3)
    assert [p.id for p in suite.problems] == ["HumanEval/0", "HumanEval/1", "HumanEval/2"]
    assert suite.revision.endswith(":first3")
    with pytest.raises(SuiteError, match="at least 1"):
        load_suite("humaneval", limit=0)


def test_an_unknown_suite_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'humaneval'"):
        load_suite("human_eval")


def test_a_users_file_loads_plain_and_gzipped(tmp_path: Path) -> None:
    plain = write(tmp_path / "mine.jsonl", ROW, {**ROW, "id": "a/1", "family": "x"})
    packed = tmp_path / "mine.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    suite = load_suite("jsonl", path=plain)
    assert [p.id for p in suite.problems] == ["a/0", "a/1"]
    assert suite.problems == load_suite("jsonl", path=packed).problems


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("{", "line 2: not JSON"),
        ("[1]", "line 2: expected a JSON object, got list"),
        ({**ROW, "id": "a/1", "cheks": []}, "line 2: field 'cheks'"),
        ({**ROW, "id": "a/1", "checks": []}, "line 2: field 'checks'"),
        ({**ROW, "id": "a/1", "checks": [1]}, "line 2: field 'checks.0'"),
        ({**ROW, "id": "a/1", "entry_point": "f()"}, "line 2: field 'entry_point'"),
        ({"id": "a/1"}, "line 2: field 'prompt'"),
        (ROW, "line 2: field 'id': 'a/0' was used before"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, bad: object, said: str) -> None:
    file = write(tmp_path / "mine.jsonl", ROW, bad)
    with pytest.raises(SuiteError) as error:
        load_suite("jsonl", path=file)
    assert said in str(error.value)
    assert str(file) in str(error.value)


def test_a_missing_file_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="give its path"):
        load_suite("jsonl")
    with pytest.raises(SuiteError, match="no such file"):
        load_suite("jsonl", path=tmp_path / "none.jsonl")
    with pytest.raises(SuiteError, match="only the split 'test'"):
        load_suite("humaneval", split="train")
