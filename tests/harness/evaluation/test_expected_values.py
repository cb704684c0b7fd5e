"""Reference answers: computed in the sandbox, kept by content, and computed again where what was kept is damaged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assay.harness.evaluation import time_limits
from assay.harness.evaluation.expected_values import with_checks
from assay.harness.evaluation.samples_file import evaluate_file
from assay.harness.experiment import SandboxTable
from assay.suites import Problem, Suite, load_suite

pytestmark = pytest.mark.isolated

ROW: dict[str, Any] = {
    "task_id": "Mbpp/4",
    "prompt": '"""\nSort.\n"""\n',
    "entry_point": "ordered",
    "canonical_solution": "def ordered(xs):\n    print('noise')\n    xs.sort()\n    return xs\n",
    "base_input": [[[2, 1]]],
    "plus_input": [[["b", "a"]], [[]]],
    "atol": 0,
}
TABLE = SandboxTable(workers=1)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "oracle"


def suite_of(tmp_path: Path, **change: Any) -> Suite:
    file = tmp_path / "m.jsonl"
    file.write_text(json.dumps({**ROW, **change}) + "\n")
    return load_suite("mbpp+", path=file)


def only(suite: Suite) -> Problem:
    (problem,) = suite.problems
    return problem


def test_answers_are_computed_once_and_damage_is_noticed(tmp_path: Path, cache: Path) -> None:
    suite = suite_of(tmp_path)
    asked: list[tuple[int, int]] = []
    said: list[str] = []

    def made() -> Suite:
        asked.clear()
        return with_checks(suite, TABLE, on_progress=lambda *n: asked.append(n), on_fault=said.append)[0]

    first = made()
    assert asked == [(0, 1), (1, 1)]
    assert (len(only(first).checks), only(first).base_checks, only(first).oracle) == (4, 2, None)
    assert made() == first
    assert asked == []
    (file,) = cache.glob("*/*.json")
    good = file.read_text()
    kept = json.loads(good)
    assert kept["answers"] == '[[1,2],["a","b"],[]]'
    for bad in ("", "{", "[]", good.replace("[[1,2]", "[[1,3]"), good.replace(kept["key"], "0" * 64)):
        file.write_text(bad)
        said.clear()
        assert made() == first
        assert said == [f"{file} is damaged; its answers are computed again"]
        assert json.loads(file.read_text())["answers"] == kept["answers"]


def test_one_evaluation_gives_both_scores(tmp_path: Path) -> None:
    suite = suite_of(tmp_path)
    samples = tmp_path / "s.jsonl"
    solutions = [
        ROW["canonical_solution"],
        "def ordered(xs):\n    return [1, 2]\n",
        "def ordered(xs):\n    return None\n",
    ]
    samples.write_text("".join(json.dumps({"task_id": "Mbpp/4", "solution": s}) + "\n" for s in solutions))
    result = evaluate_file(suite, samples, TABLE)
    rows = [json.loads(line) for line in result.results.read_text().splitlines()]
    assert [(row["passed"], row["base_passed"]) for row in rows] == [
        (True, True),
        (False, True),
        (False, False),
    ]
    assert [row["mode"] for row in rows] == ["split"] * 3
    assert [row["checks_passed"] for row in rows] == [4, 2, 1]
    found = result.to_json()
    assert found["pass@k"]["1"]["value"] == pytest.approx(1 / 3)
    assert found["base pass@k"]["1"]["value"] == pytest.approx(2 / 3)


def test_long_answers_come_in_parts(tmp_path: Path) -> None:
    body = "def ordered(n):\n    import random\n    return [random.Random(i).random() for i in range(n)]\n"
    suite = suite_of(tmp_path, canonical_solution=body, base_input=[[4000]], plus_input=[[9]])
    problem = only(with_checks(suite, TABLE)[0])
    assert len(problem.checks) == 3
    assert len(problem.checks[1]) > 70_000


def test_a_match_object_is_an_answer_where_that_is_what_is_asked(tmp_path: Path) -> None:
    body = "import re\ndef check_str(s):\n    return re.match('a', s)\n"
    suite = suite_of(
        tmp_path, entry_point="check_str", canonical_solution=body, base_input=[["ab"], ["b"]], plus_input=[]
    )
    samples = tmp_path / "s.jsonl"
    right, wrong = body, "def check_str(s):\n    return 'always'\n"
    samples.write_text(
        "".join(json.dumps({"task_id": "Mbpp/4", "solution": s}) + "\n" for s in (right, wrong))
    )
    result = evaluate_file(suite, samples, TABLE)
    rows = [json.loads(line) for line in result.results.read_text().splitlines()]
    assert [(row["passed"], row["mode"]) for row in rows] == [(True, "split"), (False, "split")]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "def ordered(xs):\n    raise ValueError('no')\n",
            "its reference gives no answers: error, ValueError: no",
        ),
        ("def ordered(xs):\n    return object()\n", "a object is not data"),
        ("def ordered(xs):\n    return (\n", "SyntaxError"),
    ],
)
def test_a_problem_whose_reference_gives_no_answers_is_unmeasured(
    tmp_path: Path, body: str, said: str
) -> None:
    problem = only(with_checks(suite_of(tmp_path, canonical_solution=body), TABLE)[0])
    assert said in problem.unmeasured
    assert problem.checks == ()


def test_inputs_beyond_the_memory_limit_are_named(tmp_path: Path) -> None:
    body = "def ordered(n):\n    return [0] * n\n"
    suite = suite_of(tmp_path, canonical_solution=body, base_input=[[3]], plus_input=[[10**9]])
    said: list[str] = []
    problem = only(with_checks(suite, SandboxTable(workers=1, memory_mb=256), on_fault=said.append)[0])
    assert (problem.left_out, len(problem.checks)) == (1, 2)
    assert said == [
        "1 inputs of 1 problems are not checked, since the reference itself raises or needs more than 256 MiB "
        "(--memory-mb) for them: Mbpp/4 (1)"
    ]


def test_a_suite_with_checks_of_its_own_is_left_as_it_is() -> None:
    suite = load_suite("humaneval", limit=2)
    assert with_checks(suite, TABLE) == (suite, {})
    assert replace(suite) == suite


@pytest.mark.slow
def test_a_slow_reference_is_shared_among_workers(tmp_path: Path) -> None:
    """What its first program leaves over goes to others; answers and times come together in the inputs' order."""
    body = "def ordered(n):\n    for _ in range(n * 10**6):\n        pass\n    return n\n"
    values = [[30 + i] for i in range(5)] + [[0]]
    suite = suite_of(tmp_path, canonical_solution=body, base_input=values, plus_input=[[7]])
    checked, times = with_checks(suite, SandboxTable(workers=2))
    problem = only(checked)
    seconds = [each for each in times["Mbpp/4"] if each is not None]
    assert len(seconds) == 7
    assert seconds[5] == min(seconds)
    assert len(problem.check_cpu_s) == len(problem.checks) == 8
    assert problem.cpu_s >= sum(problem.check_cpu_s)
    assert problem.check_cpu_s[6] == time_limits.FLOOR_S
    assert problem.check_cpu_s[5] >= time_limits.FACTOR * seconds[4]


def test_only_references_of_problems_with_a_sample_are_asked(tmp_path: Path, cache: Path) -> None:
    file = tmp_path / "m.jsonl"
    rows = [{**ROW, "task_id": f"Mbpp/{number}"} for number in (4, 5, 6)]
    rows[1]["canonical_solution"] = "def ordered(xs):\n    raise ValueError\n"
    rows[2]["canonical_solution"] += "    # another\n"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    suite = load_suite("mbpp+", path=file)
    samples = tmp_path / "s.jsonl"
    samples.write_text(json.dumps({"task_id": "Mbpp/4", "solution": ROW["canonical_solution"]}) + "\n")
    totals: list[int] = []
    result = evaluate_file(
        suite, samples, TABLE, on_references=lambda what, done, total: totals.append(total)
    )
    assert set(totals) == {1}
    assert len(list(cache.rglob("*.json"))) == 1
    assert (result.scores[1].value, result.base[1].value) == (1.0, 1.0)
    assert (result.to_json()["n_problems"], result.to_json()["unmeasured"]) == (1, {})
