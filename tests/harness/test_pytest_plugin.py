"""The pytest plugin, in sessions of its own: with the gate, and as every other session of the environment sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from assay.harness.cli.app import app
from assay.harness.decide.measurements import read_benchmarks

PLUGIN = "assay.harness.pytest_plugin"
GOOD = [1] * 240 + [0] * 160
WORSE = [1] * 160 + [0] * 240
SLIGHTLY = [1] * 233 + [0] * 167
NOISY = [0] * 90 + [1] * 150 + [1] * 90 + [0] * 70


def session(folder: Path, *arguments: str, plugin: str = PLUGIN) -> subprocess.CompletedProcess[str]:
    """Run pytest in `folder`, where every warning is an error and every marker has to be known."""
    environment = os.environ | {
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PY_COLORS": "0",
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        plugin,
        "-p",
        "pytest_benchmark.plugin",
        "-p",
        "no:cacheprovider",
    ]
    return subprocess.run(
        [*command, "-W", "error", "--strict-markers", "--strict-config", "-rs", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip


def project(folder: Path, tests: str, **results: list[int]) -> None:
    """Write a project of one file of tests, with a CSV of verdicts for each name."""
    for name, passes in results.items():
        rows = [f"m,p{i},{'true' if passed else 'false'}" for i, passed in enumerate(passes)]
        (folder / f"{name}.csv").write_text("\n".join(["model,problem,passed", *rows]) + "\n")
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_it.py").write_text("import pytest\n" + tests)


CALLS = """
@pytest.mark.parametrize("result", ["good", "worse", "slightly", "noisy"])
def test_quality(assay_gate, result):
    outcome = assay_gate(f"{result}.csv", baseline="good.csv")
    assert outcome.state == "pass"
"""


def test_a_test_is_a_gate(tmp_path: Path) -> None:
    """A loss that is proven fails, and so does what could not be decided; what passes is printed too."""
    project(tmp_path, CALLS, good=GOOD, worse=WORSE, slightly=SLIGHTLY, noisy=NOISY)
    done = session(tmp_path, "--junit-xml=out.xml")
    assert done.returncode == 1, done.stderr
    assert "2 failed, 2 passed" in done.stdout
    assert "assay_gate: regression" in done.stdout
    assert "assay_gate: undecided" in done.stdout
    assert "test_it.py::test_quality[slightly]: pass:" in done.stdout
    assert "a loss within the margin is proven" in done.stdout
    assert 'name="assay_gate" value="regression: pass@1' in (tmp_path / "out.xml").read_text()


MARKED = """
@pytest.mark.assay_gate(on_undecided="pass", baseline="good.csv")
def test_of_the_marker(assay_gate):
    assay_gate("noisy.csv")

@pytest.mark.assay_gate(on_undecided="pass", baseline="good.csv")
def test_of_the_call(assay_gate):
    assay_gate("noisy.csv", on_undecided="fail")

def test_of_the_file(assay_gate, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert assay_gate("worse.csv").rules.quality.margin == 0.4
"""


def test_the_call_comes_before_the_marker_and_the_marker_before_the_configuration(tmp_path: Path) -> None:
    project(tmp_path, MARKED, good=GOOD, worse=WORSE, noisy=NOISY)
    (tmp_path / "rules.toml").write_text("[quality]\nmargin = 0.4\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\nassay_baseline = good.csv\nassay_rules = rules.toml\n")
    done = session(tmp_path)
    assert "3 passed" in done.stdout  # with 40 points nothing of it is undecided
    (tmp_path / "pytest.ini").write_text("[pytest]\nassay_baseline = good.csv\n")
    done = session(tmp_path)
    assert "FAILED test_it.py::test_of_the_call" in session(tmp_path, "-rf").stdout
    assert "2 failed, 1 passed" in done.stdout


WRONG = """
@pytest.mark.assay_gate(baseline="good.csv")
def test_that_holds_nothing():
    pass

@pytest.mark.assay_gate(baseline="good.csv")
def test_that_never_calls(assay_gate):
    pass

@pytest.mark.assay_gate(marign=0.1)
def test_of_a_typing_error(assay_gate):
    assay_gate("good.csv", baseline="good.csv")

@pytest.mark.assay_gate("good.csv")
def test_of_a_position(assay_gate):
    assay_gate("good.csv")

def test_without_a_baseline(assay_gate):
    assay_gate("good.csv")

def test_without_a_file(assay_gate):
    assay_gate("missing.csv", baseline="good.csv")

def test_of_a_rule_that_cannot_be(assay_gate):
    assay_gate("good.csv", baseline="good.csv", margin=2)
"""


def test_what_is_wrong_fails_in_one_line(tmp_path: Path) -> None:
    project(tmp_path, WRONG, good=GOOD)
    done = session(tmp_path)
    assert "7 failed" in done.stdout
    assert done.stdout.count("holds nothing against a baseline") >= 2
    for words in (
        "not 'marign'",
        "not 'good.csv'",
        "a gate needs a baseline",
        "missing.csv",
        "quality.margin = 2",
    ):
        assert words in done.stdout
    assert "During handling" not in done.stdout
    assert "pytest_plugin.py" not in done.stdout


def test_a_floor_needs_no_baseline(tmp_path: Path) -> None:
    tests = "def test_it(assay_gate):\n    assay_gate('good.csv', fail_under={})\n"
    for floor, code in ((0.5, 0), (0.8, 1)):
        project(tmp_path, tests.format(floor), good=GOOD)
        assert session(tmp_path).returncode == code


TIMED = """
import time

@pytest.mark.assay_gate(baseline="baseline.json")
def test_speed(benchmark):
    benchmark.pedantic(time.sleep, args=(0.005,), rounds=12)
"""


def baseline_of(folder: Path, factor: float, change: dict[str, str] | None = None) -> None:
    """Write a baseline whose benchmark took `factor` times what it took in this folder's last session."""
    timed = read_benchmarks(folder / "timed.json").to_json()
    timed["hardware"] |= change or {}
    timed["seconds"] = {name: [factor * s for s in seconds] for name, seconds in timed["seconds"].items()}
    suites = [{"suite": "problems", "problems": {"p0": [1, 1, 0]}}]
    value = {"assay_baseline": 1, "model": "m", "measurements": timed, "suites": suites}
    (folder / "baseline.json").write_text(json.dumps(value))


@pytest.mark.slow
def test_a_benchmark_is_held_against_the_baselines_speed(tmp_path: Path) -> None:
    """Not by the clock: the baseline is what the benchmark itself took, times a factor that no noise reaches."""
    project(tmp_path, TIMED)
    unmarked = TIMED.replace("@pytest.mark", "#")
    (tmp_path / "test_it.py").write_text("import pytest\n" + unmarked)
    assert session(tmp_path, "--benchmark-json=timed.json").returncode == 0
    project(tmp_path, TIMED)
    for factor, code in ((1000.0, 0), (0.001, 1)):
        baseline_of(tmp_path, factor)
        done = session(tmp_path)
        assert done.returncode == code, done.stdout
        assert "times the baseline's seconds" in done.stdout
    baseline_of(tmp_path, 1000.0, {"node": "another"})
    done = session(tmp_path)
    assert "1 skipped" in done.stdout
    assert "figures of two machines are not compared" in done.stdout
    done = session(tmp_path, "--benchmark-disable")
    assert "pytest-benchmark kept no samples" in done.stdout
    assert "1 skipped" in done.stdout
    renamed = TIMED.replace("test_speed", "test_renamed")
    (tmp_path / "test_it.py").write_text("import pytest\n" + renamed)
    done = session(tmp_path)
    assert done.returncode == 1
    assert "has no benchmark 'test_it.py::test_renamed'" in done.stdout


def test_speed_is_left_to_the_tests_that_measure_it_unless_a_file_is_given(tmp_path: Path) -> None:
    tests = "def test_it(assay_gate):\n    assay_gate('good.csv', baseline='kept.json'{})\n"
    project(tmp_path, tests.format(""), good=GOOD)
    info = {"node": "n", "cpu": {"brand_raw": "c", "count": 2}}
    for name, seconds in (("quick", 1.0), ("slow", 2.0)):
        data = [seconds + i / 1000 for i in range(12)]
        rows = [{"fullname": "t::f", "stats": {"data": data}}]
        (tmp_path / f"{name}.json").write_text(json.dumps({"machine_info": info, "benchmarks": rows}))
    names = [str(tmp_path / name) for name in ("good.csv", "kept.json", "quick.json")]
    arguments = ["baseline", "update", names[0], "-o", names[1], "--benchmarks", names[2]]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert session(tmp_path).returncode == 0
    for name, code in (("quick", 0), ("slow", 1)):
        project(tmp_path, tests.format(f", benchmarks='{name}.json'"), good=GOOD)
        assert session(tmp_path).returncode == code


# Sessions that ask for no gate.

LOADED = """
import json, sys
import pytest
before = set(sys.modules)
import assay.harness.pytest_plugin
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_the_plugin_imports_pytest_and_nothing_more() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", LOADED], env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == ["assay", "assay.harness", PLUGIN]


PLAIN = """
import sys

def test_nothing():
    assert "assay.harness.decide" not in sys.modules
    assert "numpy" not in sys.modules
"""


def test_other_sessions_do_not_see_it(tmp_path: Path) -> None:
    """Neither a warning nor an error, line for line what is printed without it."""
    project(tmp_path, PLAIN)
    done, without = (session(tmp_path, "-q", plugin=p).stdout for p in (PLUGIN, "no:assay"))
    strip = [text.partition(" in ")[0] for text in (done, without)]
    assert strip[0] == strip[1]
    assert "1 passed" in done
    assert "assay" not in done


ODD = """
import pytest

@pytest.fixture
def benchmark():
    return {}

def test_nothing(request):
    request.node.user_properties += [("a", 1, 2), "text", {"x": 1}, ("assay", 1)]

@pytest.mark.assay_gate(baseline="good.csv")
def test_beside_another_fixture_of_that_name(benchmark, assay_gate):
    assay_gate("good.csv")
"""


def test_what_other_plugins_do_is_no_concern_of_it(tmp_path: Path) -> None:
    """Properties of other shapes, and fixtures called benchmark that are not pytest-benchmark's."""
    project(tmp_path, ODD, good=GOOD)
    done = session(tmp_path, "-p", "no:pytest_benchmark.plugin", "-p", "no:benchmark")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("a loss of 5 points is ruled out") == 1


REWRITES = """
import assay, json, pytest
from _pytest.assertion.rewrite import AssertionRewritingHook
from _pytest.config import get_config
hook = AssertionRewritingHook(get_config([]))
hook._warn_already_imported = print
hook.mark_rewrite("assay", "json")
"""


def test_a_session_that_imported_assay_before_is_not_warned() -> None:
    """pytest marks the packages of installed plugins for rewriting, and warns of those that were imported already."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", REWRITES], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "json\n"


@pytest.mark.parametrize("option", ["--markers", "--fixtures", "--help"])
def test_pytest_names_it(tmp_path: Path, option: str) -> None:
    project(tmp_path, PLAIN)
    done = session(tmp_path, option)
    assert ("assay_baseline" if option == "--help" else "assay_gate") in done.stdout
