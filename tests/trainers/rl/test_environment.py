"""Which problems a policy practises on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assay.trainers.data.problems import ProblemsConfig, load_environment
from assay.trainers.errors import DataError


def _pairs(path: Path, ids: list[str]) -> Path:
    path.write_text("".join(json.dumps({"problem_id": i, "chosen": "a"}) + "\n" for i in ids))
    return path


def test_only_the_problems_that_a_file_of_pairs_names(tmp_path: Path) -> None:
    only = _pairs(tmp_path / "pairs.jsonl", ["pocket-train/3", "pocket-train/3", "pocket-train/1999"])
    found = load_environment(ProblemsConfig(suite="pocket", only=only))
    assert [p.id for p in found.kept] == ["pocket-train/3", "pocket-train/1999"]
    assert found.counts() == "2 problems of pocket, split train; 1998 left out: not in pairs.jsonl"
    assert found.sha256 != load_environment(ProblemsConfig(suite="pocket", n=2)).sha256


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"problem_id": "pocket-test/1"}\n', "none of the 1 problems named"),
        ('{"problem_id": "pocket-train/1"}\n{"id": 3}\n', "line 2: no JSON object with a problem_id"),
        ("nonsense\n", "line 1"),
        ("[1]\n", "line 1"),
    ],
)
def test_a_file_that_names_no_problem_says_so(tmp_path: Path, content: str, said: str) -> None:
    only = tmp_path / "pairs.jsonl"
    only.write_text(content)
    with pytest.raises(DataError, match=said):
        load_environment(ProblemsConfig(suite="pocket", only=only))


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        load_environment(ProblemsConfig(suite="pocket", only=tmp_path / "none.jsonl"))
