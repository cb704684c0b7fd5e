"""`assay eval`: other people's samples in, verdicts beside them, one JSON object out."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from assay.harness.evaluation.samples_file import evaluate_file
from assay.harness.experiment import SandboxTable
from assay.suites import Problem, Suite, load_suite

pytestmark = pytest.mark.isolated

ROOT = Path(__file__).parents[3]
SUITE_ROWS = [
    {"id": f"t/{i}", "prompt": "def f(x):\n", "entry_point": "f", "checks": [f"assert f({i}) == {i + 1}"]}
    for i in range(3)
]


def assay(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from assay.harness.cli import main; main()", *map(str, arguments)]
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


@pytest.mark.slow
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
        (
            ("--samples", "x", "--mode", "spilt"),
            "--mode 'spilt' is not allowed: it must be 'split' or 'shared'",
        ),
        (
            ("--samples", "x", "--k", "one"),
            "--k 'one' is not allowed: it must be numbers separated by commas",
        ),
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


@pytest.mark.slow
def test_the_second_evaluation_looks_its_verdicts_up(tmp_path: Path, suite: Path) -> None:
    # Bodies that no other test has: the cache is one for the whole session.
    bodies = [
        "return x + 1  # cached",
        "return x  # cached",
        "return x + 1  # cached",
        "while 'cached': pass",
    ]
    rows = [{"task_id": f"t/{i % 3}", "completion": f"    {body}\n"} for i, body in enumerate(bodies)]
    samples = write(tmp_path / "s.jsonl", rows)
    first, found = evaluate(suite, samples, "--cpu-s", 1)
    before = results(samples)
    _, again = evaluate(suite, samples, "--cpu-s", 1)
    _, without = evaluate(suite, samples, "--cpu-s", 1, "--no-cache")
    assert first.returncode == 0
    assert (found["cached"], again["cached"], without["cached"]) == (0, 4, 0)
    kept = ("task_id", "index", "outcome", "detail", "mode")
    assert [[row[k] for k in kept[:3]] for row in results(samples)] == [
        [row[k] for k in kept[:3]] for row in before
    ]
    assert found["outcomes"] == again["outcomes"] == without["outcomes"]


def test_duplicates_within_a_file_are_executed_once(tmp_path: Path, suite: Path) -> None:
    rows: list[dict[str, object]] = [{"task_id": "t/0", "completion": "    return x + 1  # twin\n"}] * 5
    samples = write(tmp_path / "s.jsonl", rows)
    _, found = evaluate(suite, samples)
    assert (found["n_samples"], found["cached"]) == (5, 4)
    assert sorted(row["cached"] for row in results(samples)) == [False, True, True, True, True]


def test_scores_stand_by_problem_and_by_family_with_their_outcomes(tmp_path: Path) -> None:
    suite = write(
        tmp_path / "suite.jsonl",
        [row | {"family": "even" if i % 2 == 0 else "odd"} for i, row in enumerate(SUITE_ROWS)],
    )
    bodies = {
        "t/0": ["return x + 1", "return x"],
        "t/1": ["raise KeyError", "return x"],
        "t/2": ["return x + 1"] * 2,
    }
    rows = [{"task_id": task, "completion": f"    {body}"} for task, both in bodies.items() for body in both]
    samples = write(tmp_path / "s.jsonl", rows)
    table = tmp_path / "problems.csv"
    _, found = evaluate(suite, samples, "--k", "1,2", "--per-problem-file", table)
    assert found["per_problem"] == [
        {
            "task_id": "t/0",
            "n": 2,
            "passed": 1,
            "outcomes": {"pass": 1, "fail": 1},
            "pass@k": {"1": 0.5, "2": 1.0},
        },
        {
            "task_id": "t/1",
            "n": 2,
            "passed": 0,
            "outcomes": {"fail": 1, "error": 1},
            "pass@k": {"1": 0.0, "2": 0.0},
        },
        {"task_id": "t/2", "n": 2, "passed": 2, "outcomes": {"pass": 2}, "pass@k": {"1": 1.0, "2": 1.0}},
    ]
    assert {f: (k["1"]["value"], k["1"]["n"]) for f, k in found["families"].items()} == {
        "even": (0.75, 2),
        "odd": (0.0, 1),
    }
    lines = table.read_text().splitlines()
    assert lines[0] == "task_id,n,passed,pass@1,pass@2,pass,fail,error,timeout,memory,output,infra"
    assert lines[1] == "t/0,2,1,0.5,1.0,1,1,0,0,0,0,0"
    done = assay(
        "eval", "--suite", "jsonl", "--suite-path", suite, "--samples", samples, "--per-problem", "-q"
    )
    for said in (
        "by family",
        "by problem",
        "6 samples: 3 pass, 2 fail, 1 error",
        "verdicts from the cache",
        "read as jsonl",
    ):
        assert said in done.stdout


@pytest.mark.slow
def test_repeat_finds_the_verdicts_that_do_not_hold(tmp_path: Path, suite: Path) -> None:
    flaky = "    import os\n    return x + (os.urandom(1)[0] < 128)\n"
    rows: list[dict[str, object]] = [{"task_id": "t/0", "completion": "    return x + 1\n"}]
    rows += [{"task_id": "t/1", "completion": flaky}] * 12
    samples = write(tmp_path / "s.jsonl", rows)
    done, found = evaluate(suite, samples, "--repeat", 4)
    assert done.returncode == 1
    differing = found["repeat"]["differing"]
    assert found["repeat"]["n"] == 4
    assert found["repeat"]["n_differing"] == len(differing) > 0
    assert all(row["task_id"] == "t/1" and set(row["outcomes"]) == {"pass", "fail"} for row in differing)
    listed = (tmp_path / "s.jsonl_flaky.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in listed] == differing
    steady = write(tmp_path / "steady.jsonl", rows[:1])
    done, found = evaluate(suite, steady, "--repeat", 3)
    assert (done.returncode, found["repeat"]["n_differing"], found["n_samples"]) == (0, 0, 1)
    assert (tmp_path / "steady.jsonl_flaky.jsonl").read_text() == ""


@pytest.mark.slow
def test_verdicts_do_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    problems = load_suite("humaneval").problems[:40]
    bodies = ["    return None\n", "    raise ValueError(0)\n", "    print('x' * 10)\n    return 1 +\n"]
    rows: list[dict[str, object]] = []
    for number, p in enumerate(problems):
        rows += [{"task_id": p.id, "completion": p.canonical_solution}]
        rows += [{"task_id": p.id, "completion": bodies[number % 3]}]
    rows += [{"task_id": p.id, "completion": "    while True: pass\n"} for p in problems[:2]]
    samples = write(tmp_path / "s.jsonl", rows)
    found = {}
    for workers in (1, 3):
        command = ("--suite", "humaneval", "--cpu-s", 1, "--no-cache", "--workers", workers, "--json", "-q")
        done = assay("eval", "--samples", samples, *command)
        assert done.returncode == 0, done.stderr
        found[workers] = [
            (r["task_id"], r["index"], r["outcome"], r["checks_passed"]) for r in results(samples)
        ]
    assert found[1] == found[3]
    assert sum(outcome == "timeout" for _, _, outcome, _ in found[1]) == 2


def test_results_go_where_they_are_wanted_and_a_place_that_cannot_be_written_is_named(
    tmp_path: Path, suite: Path
) -> None:
    samples = write(
        tmp_path / "s.jsonl", [{"task_id": "t/0", "completion": "    return x + 1\n"}, {"task_id": "t/7"}]
    )
    done, found = evaluate(suite, samples, "--output", tmp_path / "other_results.jsonl")
    assert done.returncode == 3  # the malformed line
    assert found["results"] == str(tmp_path / "other_results.jsonl")
    (fault,) = (tmp_path / "other_malformed.jsonl").read_text().splitlines()
    assert "line 2: needs exactly one of" in json.loads(fault)["fault"]
    assert not (tmp_path / "s.jsonl_results.jsonl").exists()
    done, _ = evaluate(suite, samples, "--output", tmp_path / "none" / "r.jsonl")
    assert done.returncode == 3
    assert "name another place with --output" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("--samples", "SUITE", "--repeat", "1"),
            "--repeat 1 is not allowed: it must be a number, at least 2",
        ),
        (("--samples", "SUITE", "--format", "lm-evla"), "did you mean 'lm-eval'"),
        (("pocket", "--repeat", "2", "--output", "x"), "--output x, --repeat 2: these are for --samples"),
    ],
)
def test_flags_that_cannot_be_followed_are_refused(
    suite: Path, arguments: tuple[str, ...], said: str
) -> None:
    done = assay("eval", *(str(suite) if a == "SUITE" else a for a in arguments))
    assert done.returncode == 3
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("s.jsonl", ("--output", "s.jsonl")),
        ("s.jsonl", ("--output", "link.jsonl")),
        ("s.jsonl", ("--per-problem-file", "s.jsonl")),
        ("s.jsonl", ("--per-problem-file", "suite.jsonl")),
        ("s.jsonl", ("--output", "r.jsonl", "--per-problem-file", "r.jsonl")),
        ("s_malformed.jsonl", ("--output", "s_results.jsonl")),
        ("s_flaky.jsonl", ("--output", "s_results.jsonl")),
    ],
)
def test_what_is_read_is_not_written_over(
    tmp_path: Path, suite: Path, name: str, flags: tuple[str, ...]
) -> None:
    samples = write(tmp_path / name, [{"task_id": "t/0", "completion": "    return x + 1\n"}])
    (tmp_path / "link.jsonl").symlink_to(samples)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    done, _ = evaluate(suite, samples, *(f if f.startswith("-") else tmp_path / f for f in flags))
    assert done.returncode == 3
    assert "would overwrite" in done.stderr
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_verdicts_stay_in_file_order_where_samples_of_slow_references_begin_first(tmp_path: Path) -> None:
    def problem(name: str, cpu_s: float) -> Problem:
        return Problem(name, "def f(x):\n", "f", ("assert f(1) == 2",), cpu_s=cpu_s)

    suite = Suite("slow", "0", (problem("a", 0), problem("b", 7), problem("c", 9)))
    rows: list[dict[str, object]] = [{"task_id": t, "completion": "    return x + 1\n"} for t in "aabcabc"]
    samples = write(tmp_path / "s.jsonl", rows)
    evaluate_file(suite, samples, SandboxTable(workers=1))
    found = [json.loads(line) for line in (tmp_path / "s.jsonl_results.jsonl").read_text().splitlines()]
    assert [(row["task_id"], row["line"]) for row in found] == list(zip("aabcabc", range(1, 8), strict=True))
    assert all(row["passed"] for row in found)
