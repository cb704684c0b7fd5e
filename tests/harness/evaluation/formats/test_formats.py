"""Samples in and out: every format is read and written, and what cannot be read is named."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.harness.errors import BadInputError
from assay.harness.evaluation.formats import WRITERS, MalformedRow, Sample, open_samples, write_samples
from assay.suites import Problem, Suite
from assay.suites.extraction.extract import FORMS, extract

PROBLEMS = tuple(
    Problem(f"Mbpp/{i}", f'def f{i}(x):\n    """Number {i}."""\n', f"f{i}", (f"assert f{i}(1)",))
    for i in range(4)
)
SUITE = Suite("four", "0", PROBLEMS)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
GIVEN = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(FORMS), TEXT), max_size=12)


def made(rows: list[tuple[int, str, str]]) -> list[Sample]:
    seen: dict[str, int] = {}
    samples = []
    for number, (problem, form, text) in enumerate(rows, start=1):
        task = PROBLEMS[problem].id
        samples.append(Sample(number, task, seen.get(task, 0), text, form))  # type: ignore[arg-type]
        seen[task] = seen.get(task, 0) + 1
    return samples


def read(path: Path, form: str | None = None) -> tuple[list[Sample], list[str]]:
    found = list(open_samples(path, SUITE, form).read())
    faults = [str(f) for f in found if isinstance(f, MalformedRow)]
    return [s for s in found if isinstance(s, Sample)], faults


def program(sample: Sample) -> tuple[str, int, str]:
    problem = SUITE.by_id()[sample.task_id]
    return sample.task_id, sample.index, extract(problem, sample.text, sample.form).program


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=GIVEN, compressed=st.booleans())
def test_our_own_lines_come_back_as_they_were(
    tmp_path: Path, rows: list[tuple[int, str, str]], compressed: bool
) -> None:
    file = tmp_path / ("s.jsonl.gz" if compressed else "s.jsonl")
    samples = made(rows)
    assert write_samples(samples, SUITE, file, "jsonl") == len(samples)
    assert read(file) == (samples, [])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=GIVEN)
@pytest.mark.parametrize("form", ["evalplus", "bigcode"])
def test_whole_programs_come_back_as_the_programs_they_were(
    tmp_path: Path, form: str, rows: list[tuple[int, str, str]]
) -> None:
    file = tmp_path / "programs.json"
    samples = made(rows)
    write_samples(samples, SUITE, file, form)
    found, faults = read(file, "bigcode" if form == "bigcode" else "jsonl")
    assert not faults
    assert sorted(map(program, found)) == sorted(map(program, samples))


def test_evalplus_folders_are_read_by_problem_and_number(tmp_path: Path) -> None:
    for place, text in (
        ("Mbpp_2/10.py", "ten"),
        ("Mbpp_2/2.py", "two"),
        ("Mbpp_0/0.py", "zero"),
        ("Mbpp_2/a.txt", "-"),
    ):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_text(text)
    (tmp_path / "Mbpp_0" / "1.py").write_bytes(b"\xff")
    file = open_samples(tmp_path, SUITE)
    assert (file.format, file.detected) == ("evalplus-folder", True)
    samples, faults = read(tmp_path, "evalplus-folder")
    assert [(s.line, s.task_id, s.index, s.text, s.form) for s in samples] == [
        (1, "Mbpp/0", 0, "zero", "solution"),
        (3, "Mbpp/2", 0, "two", "solution"),
        (4, "Mbpp/2", 1, "ten", "solution"),
    ]
    assert ["1.py: cannot be read" in fault for fault in faults] == [True]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(st.integers(0, 3), st.just("completion"), TEXT), max_size=12))
def test_completions_come_back_from_human_evals_form(
    tmp_path: Path, rows: list[tuple[int, str, str]]
) -> None:
    samples = made(rows)
    write_samples(samples, SUITE, tmp_path / "s.jsonl", "human-eval")
    assert read(tmp_path / "s.jsonl") == (samples, [])


def test_what_is_no_completion_is_not_written_as_one(tmp_path: Path) -> None:
    file = tmp_path / "s.jsonl"
    with pytest.raises(BadInputError, match="write --to evalplus"):
        write_samples(made([(0, "solution", "def f0(x): pass")]), SUITE, file, "human-eval")
    assert list(tmp_path.iterdir()) == []


def test_every_writer_has_a_reader_that_detects_it(tmp_path: Path) -> None:
    samples = made(
        [(0, "completion", "    return x\n"), (0, "completion", "    return 1\n"), (2, "completion", "")]
    )
    expected = {"jsonl": "jsonl", "human-eval": "jsonl", "evalplus": "jsonl"}
    for form in WRITERS.names():
        path = tmp_path / form
        write_samples(samples, SUITE, path, form)
        file = open_samples(path, SUITE)
        assert (file.format, file.detected) == (expected.get(form, form), True)
        assert len([s for s in file.read() if isinstance(s, Sample)]) == 3


LM_EVAL = {
    "doc_id": 0,
    "doc": {"task_id": "Mbpp/0", "prompt": PROBLEMS[0].prompt},
    "resps": [["    return x\n", "    return 2\n"]],
    "filtered_resps": [[PROBLEMS[0].prompt + "    return x\n", PROBLEMS[0].prompt + "    return 2\n"]],
    "filter": "create_test",
}


def test_lm_evals_log_gives_the_programs_that_it_executed(tmp_path: Path) -> None:
    rows = [
        LM_EVAL,
        LM_EVAL
        | {
            "doc": {"task_id": 1},
            "resps": [["def f1(x): return x"]],
            "filtered_resps": ["def f1(x): return x"],
        },
        LM_EVAL | {"filtered_resps": None},
        LM_EVAL | {"filter": "another"},
        LM_EVAL | {"doc": "Mbpp/0"},
        LM_EVAL | {"resps": [], "filtered_resps": []},
        LM_EVAL | {"doc": {"task_id": 77, "prompt": ""}},
    ]
    file = tmp_path / "samples_humaneval.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert open_samples(file, SUITE).format == "lm-eval"
    found, faults = read(file)
    assert [(s.task_id, s.index, s.form) for s in found] == [
        ("Mbpp/0", 0, "solution"),
        ("Mbpp/0", 1, "solution"),
        ("Mbpp/1", 0, "solution"),
        ("Mbpp/0", 2, "completion"),
        ("Mbpp/0", 3, "completion"),
    ]
    assert program(found[0])[2] == program(found[3])[2]
    for fault, said in zip(
        faults,
        (
            "line 4: field 'filter'",
            "line 5: field 'doc'",
            "line 6: fields",
            "line 7: field 'doc.task_id'",
            "line 7",
        ),
        strict=True,
    ):
        assert said in fault


def test_codets_lists_put_their_own_prompt_before_each_sample(tmp_path: Path) -> None:
    rows = [
        {"task_id": "Mbpp/3", "prompt": "def f3(x):\n", "samples": ["    return x\n", 7]},
        {"task_id": "Mbpp/3", "prompt": None, "samples": []},
    ]
    file = tmp_path / "s.jsonl.gz"
    file.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    assert open_samples(file, SUITE).format == "codet"
    found, faults = read(file)
    assert [(s.text, s.form) for s in found] == [("def f3(x):\n    return x\n", "solution")]
    assert "line 1, sample 1: field 'samples.1' is not a string: 7" in faults[0]
    assert "line 2: field 'prompt' is not a string: None" in faults[1]


def test_a_runs_tables_are_read_as_what_they_hold(tmp_path: Path) -> None:
    chat = {
        "problem_id": "Mbpp/0",
        "index": 0,
        "prompt": "<|im_start|>user…",
        "completion": "```python\nx = 1\n```",
    }
    bare = {"problem_id": "Mbpp/1", "index": 0, "prompt": PROBLEMS[1].prompt, "completion": "    return x\n"}
    pd.DataFrame([chat, bare]).to_parquet(tmp_path / "samples.parquet")
    for path in (tmp_path, tmp_path / "samples.parquet"):
        found, faults = read(path)
        assert [s.form for s in found] == ["reply", "completion"]
        assert not faults
    verdicts = pd.DataFrame(
        [{"problem_id": "Mbpp/2", "index": 0, "program": "def f2(x): pass", "outcome": "pass"}]
    )
    verdicts.to_parquet(tmp_path / "v.parquet")
    assert [(s.task_id, s.text, s.form) for s in read(tmp_path / "v.parquet")[0]] == [
        ("Mbpp/2", "def f2(x): pass", "solution")
    ]


def test_a_runs_continuations_after_a_task_in_words_are_continuations(tmp_path: Path) -> None:
    problem = replace(PROBLEMS[0], prompt="", lead="Write f0.\n[BEGIN]\n")
    row = {
        "problem_id": "Mbpp/0",
        "index": 0,
        "prompt": problem.lead,
        "completion": "def f0(x):\n    return x\n",
    }
    pd.DataFrame([row]).to_parquet(tmp_path / "samples.parquet")
    (found,) = open_samples(tmp_path, Suite("one", "0", (problem,))).read()
    assert isinstance(found, Sample)
    assert found.form == "completion"


def test_rows_of_a_table_are_checked_like_lines(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"task_id": ["Mbpp/0", "Mbpp/9", None, "Mbpp/1"], "solution": ["x = 1", "y", "z", None]}
    )
    table.to_parquet(tmp_path / "t.parquet")
    found, faults = read(tmp_path / "t.parquet")
    assert len(found) == 1
    assert ["row 2" in faults[0], "row 3" in faults[1], "row 4: needs exactly one" in faults[2]] == [True] * 3


@pytest.mark.parametrize(
    ("text", "samples", "said"),
    [
        ('[["a", "b"], ["c"]]', 3, None),
        ('[["a", 7, null], "c", ["d"]]', 2, "row 1, sample 1: field 'program' is not a string: 7"),
        ('[["a"], 5, {"x": [1]}, ["d"]]', 2, "row 2: expected a list of programs, got int"),
        ('[["a"], ["b"], [], [], ["e"], ["f"]]', 2, "row 5: the suite 'four' has only 4 problems"),
        ('{"a": 1}', 0, "expected a list of lists of programs, got dict"),
        ('[["a", "b', 0, "not JSON"),
        ('[["a" "b"]]', 0, "Expecting ',' delimiter"),
        ('[["a\x01b"]]', 0, "Invalid control character"),
        ("[" * 200_000, 0, "not JSON"),
        ("[" + "1" * 5000, 0, "not JSON"),
        ("[", 0, "not JSON"),
    ],
)
def test_bigcodes_generations_are_read_row_by_row(
    tmp_path: Path, text: str, samples: int, said: str | None
) -> None:
    file = tmp_path / "generations.json"
    file.write_text(text)
    assert open_samples(file, SUITE).format == ("jsonl" if text.startswith("{") else "bigcode")
    found, faults = read(file, "bigcode")
    assert len(found) == samples
    assert (not faults) if said is None else said in " | ".join(faults)


def test_bigcodes_generations_may_be_compressed(tmp_path: Path) -> None:
    file = tmp_path / "generations.json.gz"
    file.write_bytes(gzip.compress(b'[["a"], ["b", "c"]]'))
    assert [(s.task_id, s.text) for s in read(file)[0]] == [("Mbpp/0", "a"), ("Mbpp/1", "b"), ("Mbpp/1", "c")]
    file.write_bytes(gzip.compress(b"[[]]")[:-6])
    assert "not JSON" in read(file, "bigcode")[1][0]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=300),
    form=st.sampled_from(["jsonl", "bigcode", "lm-eval", "codet", "parquet", None]),
)
def test_no_file_raises(tmp_path: Path, content: bytes, form: str | None) -> None:
    file = tmp_path / "anything"
    file.write_bytes(content)
    samples, _ = read(file, form)
    assert samples == []


def test_numbers_stand_for_the_problem_that_has_them(tmp_path: Path) -> None:
    file = tmp_path / "s.jsonl"
    file.write_text(
        '{"task_id": 2, "solution": "x"}\n{"task_id": 7, "solution": "x"}\n{"task_id": true, "solution": "x"}'
    )
    found, faults = read(file)
    assert [s.task_id for s in found] == ["Mbpp/2"]
    assert "no one problem of the suite 'four' is numbered 7" in faults[0]
    assert "not a string: True" in faults[1]


def test_an_unknown_format_and_a_folder_of_nothing_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="did you mean 'bigcode'"):
        open_samples(tmp_path, SUITE, "bigcod")
    with pytest.raises(BadInputError, match="neither a run's"):
        open_samples(tmp_path, SUITE)
    with pytest.raises(BadInputError, match="is a folder"):
        open_samples(tmp_path, SUITE, "jsonl")
    (tmp_path / "HumanEval_9").mkdir()
    (tmp_path / "HumanEval_9" / "0.py").write_text("x = 1")
    assert "folder HumanEval_9" in read(tmp_path)[1][0]
