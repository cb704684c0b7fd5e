"""`assay eval`: other people's samples in, verdicts beside them, one JSON object out."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from suites import load_suite

ROOT = Path(__file__).parents[2]
SUITE_ROWS = [
    {"id": f"t/{i}", "prompt": "def f(x):\n", "entry_point": "f", "checks": [f"assert f({i}) == {i + 1}"]}
    for i in range(3)
]


def assay(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from harness.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def results(path: Path) -> list[dict[str, object]]:
    return [
        json.loads(line) for line in path.with_name(path.name + "_results.jsonl").read_text().splitlines()
    ]


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    return write(tmp_path / "suite.jsonl", SUITE_ROWS)


def evaluate(
    suite: Path, samples: Path, *more: object
) -> tuple[subprocess.CompletedProcess[str], dict[str, object]]:
    done = assay(
        "eval", "--suite", "jsonl", "--suite-path", suite, "--samples", samples, "--json", "-q", *more
    )
    return done, json.loads(done.stdout) if done.stdout else {}


def test_humaneval_canonical_solutions_all_pass(tmp_path: Path) -> None:
    problems = load_suite("humaneval").problems
    rows = [{"task_id": p.id, "completion": p.canonical_solution} for p in problems]
    done = assay(
        "eval", "--samples", write(tmp_path / "s.jsonl", rows), "--suite", "humaneval", "--json", "-q"
    )
    found = json.loads(done.stdout)
    assert done.returncode == 0
    assert done.stderr == ""
    assert found["outcomes"]["pass"] == found["n_samples"] == found["n_problems"] == 164
    assert found["pass@k"]["1"]["value"] == 1.0
    assert found["pass@k"]["1"]["low"] > 0.97
    assert sum(found["modes"].values()) == 164
    assert [row["task_id"] for row in results(tmp_path / "s.jsonl")] == [p.id for p in problems]


def test_humaneval_return_none_never_passes(tmp_path: Path) -> None:
    rows = [{"task_id": p.id, "completion": "    return None\n"} for p in load_suite("humaneval").problems]
    done = assay(
        "eval", "--samples", write(tmp_path / "s.jsonl", rows), "--suite", "humaneval", "--json", "-q"
    )
    found = json.loads(done.stdout)
    assert found["outcomes"]["pass"] == 0
    assert found["outcomes"]["infra"] == 0
    assert found["pass@k"]["1"]["value"] == 0.0


def test_the_three_forms_and_gzip(tmp_path: Path, suite: Path) -> None:
    rows: list[dict[str, object]] = [
        {"task_id": "t/0", "completion": "    return x + 1\n", "model": "kept out of the way"},
        {"task_id": "t/1", "solution": "def f(x): return x + 1\n"},
        {"task_id": "t/2", "reply": "Sure:\n```python\ndef f(x):\n    return x + 1\n```"},
    ]
    samples = write(tmp_path / "s.jsonl.gz", rows)
    done, found = evaluate(suite, samples)
    assert done.returncode == 0
    assert found["outcomes"]["pass"] == 3
    assert [row["passed"] for row in results(samples)] == [True] * 3


def test_verdicts_stand_in_input_order_with_their_outcomes(tmp_path: Path, suite: Path) -> None:
    bodies = [
        "while True: pass",
        "return x + 1",
        "return x",
        "raise KeyError(x)",
        "return x +",
        "return x + 1",
    ] * 3
    rows = [{"task_id": f"t/{i % 3}", "completion": f"    {body}\n"} for i, body in enumerate(bodies)]
    samples = write(tmp_path / "s.jsonl", rows)
    done, found = evaluate(suite, samples, "--cpu-s", 1)
    assert done.returncode == 0
    expected = ["timeout", "pass", "fail", "error", "error", "pass"] * 3
    assert [row["outcome"] for row in results(samples)] == expected
    assert [row["task_id"] for row in results(samples)] == [row["task_id"] for row in rows]
    assert set(results(samples)[0]) >= {"task_id", "outcome", "passed", "detail", "cpu_s", "wall_s", "mode"}
    assert "KeyError" in str(results(samples)[3]["detail"])
    assert set(found) >= {
        "suite",
        "n_problems",
        "n_samples",
        "outcomes",
        "pass@k",
        "modes",
        "isolation",
        "seconds",
    }


def test_malformed_lines_are_named_and_the_rest_is_evaluated(tmp_path: Path, suite: Path) -> None:
    samples = tmp_path / "s.jsonl"
    lines = [
        '{"task_id": "t/0", "completion": "    return x + 1"}',
        "{nonsense",
        '{"task_id": "t/9", "completion": ""}',
        '{"task_id": "t/1"}',
        '{"task_id": "t/1", "completion": "a", "solution": "b"}',
        '{"task_id": "t/1", "completion": 7}',
        "",
        '{"completion": "x"}',
    ]
    samples.write_text("\n".join(lines))
    done, found = evaluate(suite, samples)
    assert done.returncode == 3
    assert (found["n_samples"], found["n_malformed"]) == (1, 6)
    for said in (
        "line 2: not JSON",
        "line 3: field 'task_id': 't/9' is no problem",
        "line 4: needs exactly one of",
        "line 5: needs exactly one of",
        "line 6: field 'completion' is not a string: 7",
        "and 1 more malformed lines",
    ):
        assert said in done.stderr


def test_a_file_that_breaks_off_is_evaluated_up_to_there(tmp_path: Path, suite: Path) -> None:
    rows: list[dict[str, object]] = [
        {"task_id": f"t/{i % 3}", "completion": f"    return x + 1  # {i}\n"} for i in range(3000)
    ]
    samples = write(tmp_path / "s.jsonl.gz", rows)
    samples.write_bytes(samples.read_bytes()[:-200])
    done, found = evaluate(suite, samples)
    assert done.returncode == 3
    assert "cannot be read from here on" in done.stderr
    assert 0 < found["n_samples"] < 3000


@pytest.mark.parametrize("line", ['{"task_id": ' + "[" * 100_000, '{"x": ' + "1" * 5000 + "}", "\x00\xff"])
def test_one_monstrous_line_costs_only_itself(tmp_path: Path, suite: Path, line: str) -> None:
    samples = tmp_path / "s.jsonl"
    samples.write_bytes(
        b'{"task_id": "t/0", "completion": "    return x + 1"}\n' + line.encode("latin-1") + b"\n"
    )
    done, found = evaluate(suite, samples)
    assert (done.returncode, found["n_samples"], found["n_malformed"]) == (3, 1, 1)


def test_a_gzip_suffix_on_plain_text_is_named(tmp_path: Path, suite: Path) -> None:
    samples = tmp_path / "s.jsonl.gz"
    samples.write_text("plain\n")
    done, _ = evaluate(suite, samples)
    assert done.returncode == 3
    assert "Not a gzipped file" in done.stderr
    assert "Traceback" not in done.stderr


def test_k_above_the_samples_is_refused_with_the_verdicts_kept(tmp_path: Path, suite: Path) -> None:
    rows: list[dict[str, object]] = [{"task_id": "t/0", "completion": "    return x + 1\n"}]
    samples = write(tmp_path / "s.jsonl", rows)
    done, _ = evaluate(suite, samples, "--k", "1,2")
    assert done.returncode == 3
    assert "pass@2 needs 2 samples a problem, and t/0 has 1" in done.stderr
    assert len(results(samples)) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--samples", "none.jsonl"), "no such file: none.jsonl"),
        (("--samples", "x", "--suite", "humanevl"), "did you mean 'humaneval'"),
        (("--samples", "x", "--mode", "spilt"), "mode: Input should be 'split' or 'shared' (got 'spilt')"),
        (("--samples", "x", "--k", "one"), "--k takes numbers"),
    ],
)
def test_bad_input_ends_with_3_and_one_line(arguments: tuple[str, ...], said: str) -> None:
    done = assay("eval", *arguments)
    assert done.returncode == 3
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_an_empty_file_is_an_error_not_a_zero(tmp_path: Path, suite: Path) -> None:
    samples = tmp_path / "s.jsonl"
    samples.write_text("\n")
    done, _ = evaluate(suite, samples)
    assert done.returncode == 3
    assert "holds no sample" in done.stderr
    assert not (tmp_path / "s.jsonl_results.jsonl").exists()
