"""References run before any answer: the mode of each problem, what cannot be measured, and what is kept of it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assay.harness.evaluation import time_limits
from assay.harness.evaluation.ground_truth import Truth, examine, settle
from assay.harness.evaluation.samples_file import evaluate_file
from assay.harness.evaluation.scores import Tally, limits_of, program_of
from assay.harness.experiment import SandboxTable
from assay.harness.training.problems import settle_environment
from assay.sandbox import Outcome
from assay.suites import Suite, load_suite
from assay.suites.extraction.extract import Extraction
from assay.trainers.config.rl import RolloutTable
from assay.trainers.data.problems import ProblemsConfig, load_environment

TABLE = SandboxTable(workers=1)
RIGHT = "    return x + 1\n"
# Of each problem: what is different from a plain one, the mode it is judged in, and a part of the reason.
PROBLEMS: dict[str, tuple[dict[str, Any], str | None, str]] = {
    "plain": ({}, "split", ""),
    "stateful": (
        {
            "prompt": "asked = []\ndef f(x):\n",
            "checks": [f"assert f({i}) == {i}" for i in range(1, 6)],
            "canonical_solution": "    asked.append(x)\n    return len(asked)\n",
        },
        "split",
        "",
    ),
    "no reference": ({"canonical_solution": ""}, "split", ""),
    "no reference, by form": (
        {"canonical_solution": "", "checks": ["assert globals()['f'](1) == 2"]},
        "shared",
        "globals()",
    ),
    "shared only": (
        {"canonical_solution": "    return __builtins__\n", "checks": ["assert f(1) is __builtins__"]},
        "shared",
        "passes in shared mode only",
    ),
    "no package": (
        {"prompt": "import nowhere.at_all\ndef f(x):\n"},
        None,
        "package nowhere is not in the sandbox",
    ),
    "no package for the checks": (
        {"checks": ["import nowhere", "assert f(1) == 2"]},
        None,
        "package nowhere",
    ),
    "no Python": ({"checks": ["assert f(1) == 2", "assert f(1 =="]}, None, "check 2 of 2 is no Python"),
    "no Python, no reference": ({"checks": ["assert f("], "canonical_solution": ""}, None, "check 1 of 1"),
    "no such entry point": ({"entry_point": "g"}, None, "entry point 'g' occurs neither"),
    "another entry point": (
        {"checks": ["assert g(1) == 2"], "entry_point": "g"},
        None,
        "name 'g' is not defined",
    ),
    "a wrong reference": (
        {"canonical_solution": "    return x\n"},
        None,
        "its reference does not pass: fail",
    ),
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "ground_truth"


def file_of(folder: Path, *names: str) -> Path:
    plain = {
        "prompt": "def f(x):\n",
        "entry_point": "f",
        "checks": ["assert f(1) == 2"],
        "canonical_solution": RIGHT,
    }
    rows = [plain | {"id": name} | PROBLEMS[name][0] for name in names or PROBLEMS]
    file = folder / "problems.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def suite_of(folder: Path, *names: str) -> Suite:
    return load_suite("jsonl", path=file_of(folder, *names))


@pytest.mark.isolated
def test_references_decide_how_problems_are_judged_and_which_are_not(tmp_path: Path) -> None:
    asked: list[tuple[str, int, int]] = []
    suite = suite_of(tmp_path)
    checked, truths = examine(suite, TABLE, on_progress=lambda *n: asked.append(n))
    assert {name: truth.mode for name, truth in truths.items()} == {
        name: p[1] for name, p in PROBLEMS.items()
    }
    for name, (_, _, reason) in PROBLEMS.items():
        assert reason in truths[name].reason, name
    problems = checked.by_id()
    assert {name for name, p in problems.items() if p.unmeasured} == {
        n for n, p in PROBLEMS.items() if p[1] is None
    }
    assert (problems["plain"].mode, problems["no reference"].mode) == ("split", None)
    assert [name for name, p in problems.items() if p.stateful] == ["stateful"]
    assert asked[-1][1:] == (asked[0][2], asked[0][2])
    asked.clear()
    assert examine(suite, TABLE, on_progress=lambda *n: asked.append(n)) == (checked, truths)
    assert asked == []


@pytest.mark.isolated
def test_what_is_kept_hangs_on_everything_that_decides_it(tmp_path: Path, cache: Path) -> None:
    suite = suite_of(tmp_path, "plain")
    asked: list[int] = []

    def run(suite: Suite, table: SandboxTable) -> int:
        asked.clear()
        settle(suite, table, on_progress=lambda what, done, total: asked.append(total))
        return max(asked, default=0)

    (problem,) = suite.problems
    assert [run(suite, TABLE), run(suite, TABLE)] == [1, 0]
    assert run(suite, SandboxTable(workers=2)) == 0
    assert run(suite, SandboxTable(workers=1, memory_mb=512)) == 1
    assert run(suite, SandboxTable(workers=1, cpu_s=3)) == 1
    for change in (
        {"canonical_solution": RIGHT + "\n"},
        {"checks": ("assert f(2) == 3",)},
        {"prompt": "def f(x, y=0):\n"},
    ):
        assert run(replace(suite, problems=(replace(problem, **change),)), TABLE) == 1
    for file in cache.glob("*.json"):
        file.write_text(file.read_text().replace('"split"', '"shared"'))
    assert run(suite, TABLE) == 1  # what is not what was written is not believed


@pytest.mark.isolated
def test_no_answer_to_an_unmeasured_problem_is_run_or_counted(tmp_path: Path) -> None:
    names = ("no Python", "plain", "a wrong reference", "no reference")
    suite = suite_of(tmp_path, *names)
    samples = tmp_path / "s.jsonl"
    order = [names[i] for i in (0, 1, 2, 3, 2, 1)]
    samples.write_text("".join(json.dumps({"task_id": n, "completion": RIGHT}) + "\n" for n in order))
    result = evaluate_file(suite, samples, TABLE)
    rows = [json.loads(line) for line in result.results.read_text().splitlines()]
    assert [row["task_id"] for row in rows] == order
    assert [row["outcome"] for row in rows] == ["infra", "pass", "infra", "pass", "infra", "pass"]
    assert rows[2]["detail"].startswith("the problem is unmeasured: its reference does not pass: fail")
    found = result.to_json()
    assert set(found["unmeasured"]) == {"no Python", "a wrong reference"}
    assert (found["n_problems"], found["n_problems_in_suite"]) == (2, 4)
    assert (found["n_samples"], found["n_unmeasured_samples"]) == (3, 3)
    assert (found["outcomes"]["infra"], found["outcomes"]["pass"]) == (0, 3)
    assert found["pass@k"]["1"]["n"] == 2


@pytest.mark.isolated
def test_only_problems_with_a_sample_are_settled(tmp_path: Path, cache: Path) -> None:
    names = ("plain", "a wrong reference", "stateful", "no reference", "shared only")
    suite = suite_of(tmp_path, *names)
    samples = tmp_path / "s.jsonl"

    def run(*answered: str) -> tuple[dict[str, Any], list[int]]:
        rows = [{"task_id": name, "completion": RIGHT} for name in answered]
        rows.append({"task_id": "of another suite", "completion": RIGHT})
        samples.write_text("".join(json.dumps(row) + "\n" for row in rows))
        totals: list[int] = []
        result = evaluate_file(
            suite, samples, TABLE, on_references=lambda what, done, total: totals.append(total)
        )
        return result.to_json(), totals

    shown, totals = run("shared only")
    assert set(totals) == {1}
    assert (shown["modes"], shown["unmeasured"]) == ({"split": 0, "shared": 1}, {})
    assert (shown["n_problems"], shown["n_problems_in_suite"]) == (1, 5)
    # What is known of others by now changes nothing, and what was learned stays.
    shown, totals = run("a wrong reference", "plain", "plain")
    assert set(totals) == {2}
    assert set(shown["unmeasured"]) == {"a wrong reference"}
    shown, totals = run("plain")
    assert (totals, shown["unmeasured"], shown["outcomes"]["pass"]) == ([], {}, 1)
    asked: list[int] = []
    examine(suite, TABLE, on_progress=lambda what, done, total: asked.append(total))
    assert set(asked) == {1}  # the stateful one alone is not known yet
    assert len(json.loads(only(cache).read_text())["rows"]) == 5


def only(folder: Path) -> Path:
    (file,) = folder.glob("*.json")
    return file


def assay(*arguments: str | Path) -> tuple[int, str]:
    start = "from assay.harness.cli import main; main()"
    command = [sys.executable, "-c", start, *map(str, arguments), "-q"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.isolated
def test_a_score_over_fewer_problems_says_so(tmp_path: Path) -> None:
    problems = file_of(tmp_path, "plain", "no package")
    samples = tmp_path / "s.jsonl"
    rows = [{"task_id": name, "completion": RIGHT} for name in ("plain", "no package")]
    samples.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, shown = assay("score", samples, "--suite", "jsonl", "--suite-path", problems)
    assert code == 0
    assert "1 of 2 problems" in shown
    assert "no package (the package nowhere is not in the sandbox)" in shown
    code, shown = assay("suites", "check", problems)
    assert code == 2
    assert "problems: 2 problems: 1 split, 0 shared, 1 unmeasured" in shown
    code, shown = assay("suites", "check", problems, "--json")
    found = json.loads(shown)
    assert (code, found["split"], found["shared"], found["unmeasured"]) == (2, 1, 0, 1)
    assert found["problems"][1]["reason"] == "the package nowhere is not in the sandbox"


@pytest.mark.isolated
def test_a_given_limit_is_never_more_and_else_the_reference_sets_it(tmp_path: Path) -> None:
    slow = (
        "    import time\n    end = time.process_time() + 0.7\n    while time.process_time() < end:\n        pass\n"
        "    return x + 1\n"
    )
    suite = suite_of(tmp_path, "plain")
    (problem,) = suite.problems
    suite = replace(suite, problems=(problem, replace(problem, id="slow", canonical_solution=slow)))
    table = SandboxTable(workers=1)
    plain, slower = settle(suite, table).problems
    extraction = Extraction(RIGHT, "")
    assert program_of("a", plain, extraction, limits_of(table)).limits.cpu_s == time_limits.DEFAULT_CPU_S
    limits = program_of("b", slower, extraction, limits_of(table)).limits
    assert limits.cpu_s >= 0.7 * time_limits.FACTOR
    assert limits.wall_s >= 4 * limits.cpu_s
    given = SandboxTable(workers=1, cpu_s=0.5)
    plain, slower = settle(suite, given).problems
    assert program_of("a", plain, extraction, limits_of(given)).limits.cpu_s == 0.5
    assert "CPU time" in slower.unmeasured


@pytest.mark.isolated
def test_a_policy_practises_on_no_problem_that_cannot_be_measured(tmp_path: Path) -> None:
    file = file_of(tmp_path, "plain", "a wrong reference", "no reference, by form")
    environment = load_environment(ProblemsConfig(suite="jsonl", file=file))
    settled = settle_environment(environment, RolloutTable())
    assert [problem.id for problem in settled.kept] == ["plain", "no reference, by form"]
    assert settled.counts().endswith("1 left out: unmeasured, see `assay suites check`")
    assert settled.sha256 == environment.sha256


def test_problems_whose_checks_meet_what_is_no_data_are_named() -> None:
    tally = Tally()
    for task, met in (("a", 3), ("b", 2), ("c", 0)):
        for number in range(10):
            notes = ("not_data",) if number < met else ("near_limit",) if number == 9 else ()
            tally.add(task, Outcome.FAIL, "split", notes=notes)  # type: ignore[arg-type]
    assert tally.doubtful() == {"a": (3, 10)}
    assert tally.near_limit == 3


def test_limits_of_time_have_a_floor_a_factor_and_no_cap() -> None:
    assert time_limits.of_checks([None, 0.001, 2.0, 20.0]) == (
        time_limits.DEFAULT_CPU_S,
        time_limits.FLOOR_S,
        2 * time_limits.FACTOR,
        20 * time_limits.FACTOR,
    )
    assert time_limits.of_sample((1.0,) * 200) == 200 + time_limits.LOAD_S
    assert time_limits.of_program(0.1) == time_limits.DEFAULT_CPU_S
    assert Truth("split").cpu_s is None
