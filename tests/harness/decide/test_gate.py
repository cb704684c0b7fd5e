"""The gate: its rule, its two forms, what it needs, and the files that CI systems read."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from typer.testing import CliRunner

from assay.harness.cli.app import app
from assay.harness.decide import gate, read_results
from assay.harness.decide.measurements import Measurements, check_measurements, slowdown
from assay.harness.stats.pass_at_k import Floats


def table(path: Path, passes: list[int] | np.ndarray, samples: int = 1, model: str = "m") -> Path:
    """Write a CSV with so many passes of `samples` for each problem."""
    rows = [
        f"{model},p{i},{str(k < c).lower()},{k}"
        for i, c in enumerate(map(int, passes))
        for k in range(samples)
    ]
    path.write_text("model,problem,passed,sample\n" + "\n".join(rows) + "\n")
    return path


def run(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["gate", *map(str, arguments)])
    return done.exit_code, done.output


@pytest.mark.parametrize(
    ("lower", "upper", "state"),
    [
        (-0.04, 0.03, "pass"),
        (-0.04, -0.01, "pass"),  # a proven loss within the margin
        (-0.08, -0.01, "regression"),
        (-0.08, 0.02, "undecided"),
        (-0.05, 0.02, "undecided"),  # the margin itself is not ruled out
    ],
)
def test_the_rule(lower: float, upper: float, state: str) -> None:
    assert gate.decide(lower, upper, 0.05) == state


def test_planted_states_and_their_exit_codes(tmp_path: Path) -> None:
    base = [1] * 240 + [0] * 160
    a = table(tmp_path / "a.csv", base)
    same = table(tmp_path / "same.csv", base)
    worse = table(tmp_path / "worse.csv", [1] * 160 + [0] * 240)
    slightly = table(tmp_path / "slightly.csv", [1] * 233 + [0] * 167)
    noisy = table(tmp_path / "noisy.csv", [0] * 90 + [1] * 150 + [1] * 90 + [0] * 70)
    assert run(same, "--baseline", a)[0] == 0
    assert run(worse, "--baseline", a)[0] == 1
    code, text = run(slightly, "--baseline", a)
    assert code == 0
    assert "a loss within the margin is proven" in " ".join(text.split())
    assert run(noisy, "--baseline", a)[0] == 2
    code, text = run(noisy, "--baseline", a, "--on-undecided", "pass")
    assert code == 0
    assert "passes by on_undecided" in text
    assert run(worse, "--baseline", a, "--margin", "0.4")[0] == 0


def test_skipping_half_is_no_pass(tmp_path: Path) -> None:
    a = table(tmp_path / "a.csv", [1] * 200)
    half = table(tmp_path / "half.csv", [1] * 100)
    code, text = run(half, "--baseline", a)
    assert code == 2
    assert "100 of the baseline's 200 problems" in " ".join(text.split())
    rules = tmp_path / "rules.toml"
    rules.write_text("[quality]\nmin_executed = 0.5\n")
    assert run(half, "--baseline", a, "--rules", rules)[0] == 0


def test_the_floor_goes_by_the_interval(tmp_path: Path) -> None:
    a = table(tmp_path / "a.csv", [1] * 130 + [0] * 70)
    assert run(a, "--fail-under", "0.5")[0] == 0
    assert run(a, "--fail-under", "0.63")[0] == 2
    assert run(a, "--fail-under", "0.8")[0] == 1


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ("[quality]\nmargins = 1\n", "margin"),
        ("[quality]\nmargin = 2\n", "quality.margin = 2"),
        ("on_undecided = 'ignore'\n", "on_undecided"),
        ("[quality", "not TOML"),
    ],
)
def test_rules_that_cannot_be_meant_are_refused(tmp_path: Path, rules: str, words: str) -> None:
    a = table(tmp_path / "a.csv", [1] * 20)
    (tmp_path / "rules.toml").write_text(rules)
    done = CliRunner().invoke(
        app, ["gate", str(a), "--baseline", str(a), "--rules", str(tmp_path / "rules.toml")]
    )
    assert done.exit_code != 0
    assert words in str(done.exception)


def test_a_gate_needs_something_to_be_held_against(tmp_path: Path) -> None:
    a = table(tmp_path / "a.csv", [1] * 20)
    assert "--baseline" in str(CliRunner().invoke(app, ["gate", str(a)]).exception)


def test_a_baseline_file_says_what_the_result_said(tmp_path: Path) -> None:
    a = table(tmp_path / "a.csv", [3, 0, 2, 1], samples=3)
    kept = tmp_path / "baseline.json"
    done = CliRunner().invoke(app, ["baseline", "update", str(a), "-o", str(kept), "--note", "first"])
    assert done.exit_code == 0, done.output
    value = json.loads(kept.read_text())
    assert value["note"] == "first"
    assert value["suites"][0]["problems"] == {
        "p0": [3, 3, 0],
        "p1": [0, 3, 0],
        "p2": [2, 3, 0],
        "p3": [1, 3, 0],
    }
    (one,), (other,) = read_results(str(a)), read_results(str(kept))
    assert (one.problems, one.format) == (other.problems, other.format)
    assert one.passed.tolist() == other.passed.tolist()
    assert one.samples.tolist() == other.samples.tolist()
    assert '   "p1": [0, 3, 0],\n' in kept.read_text()  # a line a problem: a review shows what changed


# The sequential form.


def drawn(rng: np.random.Generator, p: float, loss: float, size: int) -> Floats:
    rate = rng.beta(1.4 * p, 1.4 * (1 - p), size=size)
    lost = rng.random(size) < loss / p
    return (rng.binomial(1, rate) * ~lost - rng.binomial(1, rate)).astype(np.float64)


def test_sequential_errors_stay_at_their_level_however_often_one_looks() -> None:
    """Equal models are seldom called a regression, and models worse by the margin seldom pass; 600 runs of each."""
    rng = np.random.default_rng(0)
    equal, worse = (np.stack([drawn(rng, 0.6, loss, 400) for _ in range(600)]) for loss in (0.0, 0.05))
    wrong = (lambda first: first[:, 1] < first[:, 0])(gate.sequences(equal, 0.05)[0])
    passed = (lambda first: first[:, 0] < first[:, 1])(gate.sequences(worse, 0.05)[0])
    assert np.mean(wrong) < 0.075  # 5 %: above that in 600 runs once in several hundred
    assert np.mean(passed) < 0.075


def test_a_sure_verdict_ends_a_sequence_early() -> None:
    rng = np.random.default_rng(1)
    lost = gate.sequence(drawn(rng, 0.6, 0.3, 400), 0.05)
    assert lost.state == "regression"
    assert lost.taken < 200
    alike = gate.sequence(np.zeros(400), 0.05)
    assert alike.state == "pass"
    assert alike.taken < 200
    assert gate.sequence(np.zeros(0), 0.05).state == "undecided"


def test_a_sequence_takes_problems_in_the_drawn_order_up_to_the_first_that_is_missing(tmp_path: Path) -> None:
    base = [1] * 100 + [0] * 100
    a = table(tmp_path / "a.csv", base)
    names = [f"p{i}" for i in range(200)]
    order = [names[i] for i in gate.drawn_order(names, 7)]
    assert sorted(order) == sorted(names)
    assert order != [names[i] for i in gate.drawn_order(names, 8)]
    started = set(order[:30])
    part = tmp_path / "part.csv"
    rows = [f"m,p{i},{'true' if c else 'false'}" for i, c in enumerate(base) if f"p{i}" in started]
    part.write_text("model,problem,passed\n" + "\n".join(rows) + "\n")
    code, text = run(part, "--baseline", a, "--sequential", 7, "--json")
    check = json.loads(text[text.index("{") :])["checks"][0]
    assert code == 2
    assert (check["taken"], check["next"]) == (30, order[30:50])


# What a gate needs.


def test_a_plan_says_how_many_samples_leave_a_tenth_undecided(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    rate = rng.beta(1.2, 0.8, size=200)
    (baseline,) = read_results(str(table(tmp_path / "a.csv", rng.binomial(2, rate), samples=2)))
    plan = gate.plan_gate(baseline, gate.Rules())
    assert plan.undecided > 0.1
    assert plan.samples is not None
    left = 0
    for _ in range(200):
        one, other = (rng.binomial(plan.samples, rate) / plan.samples for _ in "ab")
        from assay.harness.stats.paired import compare

        lower = compare("b", "a", other, one, binary=False, margin=0.05).lower
        left += lower is not None and lower <= -0.05
    assert left / 200 < 0.2


# Speed and memory.

HARDWARE = {"cpu": "x", "cores": 2}


def test_speed_is_compared_by_raw_samples_on_the_same_hardware() -> None:
    rng = np.random.default_rng(3)
    before = Measurements(HARDWARE, {"f": tuple(rng.lognormal(0, 0.05, 60))})
    same = Measurements(HARDWARE, {"f": tuple(rng.lognormal(0, 0.05, 60))})
    slower = Measurements(HARDWARE, {"f": tuple(rng.lognormal(np.log(1.3), 0.05, 60))})
    elsewhere = Measurements({"cpu": "y", "cores": 2}, same.seconds)
    few = Measurements(HARDWARE, {"f": (1.0, 1.0)})

    def state(now: Measurements) -> str:
        (check,) = check_measurements(now, before, gate.SpeedTable(), gate.MemoryTable())
        return check.state

    assert [state(m) for m in (same, slower, elsewhere, few, Measurements(HARDWARE))] == [
        "pass", "regression", "unmeasured", "unmeasured", "undecided",
    ]  # fmt: skip


def test_the_slowdowns_bounds_hold() -> None:
    rng = np.random.default_rng(4)
    misses = 0
    for _ in range(400):
        one, other = rng.lognormal(0, 0.2, 12), 1.1 * rng.lognormal(0, 0.2, 15)
        _, low, high = slowdown(tuple(other), tuple(one))
        misses += low > 1.1
        misses += high < 1.1
    assert misses / 800 < 0.075


def test_doubled_memory_is_a_regression() -> None:
    before = Measurements(HARDWARE, {}, {"base": 1000})
    for peak, state in ((1050, "pass"), (2000, "regression")):
        (check,) = check_measurements(
            Measurements(HARDWARE, {}, {"base": peak}), before, gate.SpeedTable(), gate.MemoryTable()
        )
        assert check.state == state


def benchmark_json(path: Path, seconds: list[float]) -> Path:
    info = {"node": "n", "machine": "x86_64", "cpu": {"brand_raw": "c", "count": 2}, "python_version": "3.11"}
    path.write_text(
        json.dumps({"machine_info": info, "benchmarks": [{"fullname": "t::f", "stats": {"data": seconds}}]})
    )
    return path


def test_benchmarks_of_pytest_go_into_the_baseline_and_are_gated(tmp_path: Path) -> None:
    a = table(tmp_path / "a.csv", [1] * 200)
    rng = np.random.default_rng(5)
    quick = benchmark_json(tmp_path / "quick.json", list(rng.lognormal(0, 0.02, 30)))
    slow = benchmark_json(tmp_path / "slow.json", list(1.5 * rng.lognormal(0, 0.02, 30)))
    kept = tmp_path / "baseline.json"
    arguments = ["baseline", "update", str(a), "-o", str(kept), "--benchmarks", str(quick), "-q"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert run(a, "--baseline", kept, "--benchmarks", quick)[0] == 0
    assert run(a, "--baseline", kept, "--benchmarks", slow)[0] == 1
    assert run(a, "--baseline", kept)[0] == 2  # a benchmark that was left out is no pass
    code, text = run(a, "--baseline", a, "--benchmarks", slow)
    assert code == 0
    assert "benchmarks decide nothing" in " ".join(text.split())


# Files for CI.


def test_junit_markdown_and_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a = table(tmp_path / "a.csv", [1] * 240 + [0] * 160)
    worse = table(tmp_path / "w.csv", [1] * 160 + [0] * 240, model="m|<b>")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    files = [tmp_path / name for name in ("j.xml", "m.md", "h.json")]
    done = CliRunner().invoke(
        app,
        ["gate", str(worse), "--baseline", str(a), "--junit", str(files[0]), "--markdown", str(files[1]),
         "--history", str(files[2])],
    )  # fmt: skip
    assert done.exit_code == 1
    suite = ElementTree.parse(files[0]).getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("1", "1")
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert "a loss is proven" in str(failure.get("message"))
    text = files[1].read_text()
    assert text.startswith("### assay gate: regression")
    assert "<b>" not in text
    assert (tmp_path / "summary.md").read_text() == text
    (row,) = json.loads(files[2].read_text())
    assert (row["unit"], row["value"]) == ("%", 40.0)
    assert "::error title=assay gate::pass@1 on problems" in done.stderr
