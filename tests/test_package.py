"""What is installed is one package: from the wheel in a bare environment as from the checkout.

The wheel is built once, of the tracked files, without a network. Its environment holds nothing else; the libraries
are read from the environment that runs the tests, through a `.pth` file.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
ROOMS = ("harness", "sandbox", "suites", "trainers")
PATIENCE_S = 900  # a limit against hanging, never a measure: the machine may be busy


class Installation(NamedTuple):
    """An interpreter that finds `assay`, and the folder it finds it in."""

    python: Path
    site: Path

    def run(
        self, *arguments: str, cwd: Path, path: Path | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        if path is not None:
            environment["PYTHONPATH"] = str(path)
        done = subprocess.run(
            [str(self.python), *arguments],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        assert not check or done.returncode == 0, done.stderr[-3000:]
        return done

    def shell(self, *command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command with this environment's programs before all others."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GITHUB"))
        }
        path = f"{self.python.parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            command, cwd=cwd, env=kept | {"PATH": path} | environment, capture_output=True, text=True, check=False,
            timeout=PATIENCE_S,
        )  # fmt: skip

    def assay(self, *arguments: str, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the command: the installed script, where there is one."""
        script = self.python.with_name("assay")
        entry = [str(script)] if script.exists() else ["-c", "from assay.harness.cli import main; main()"]
        return self.run(*entry, *arguments, cwd=cwd, check=check)


def tracked() -> list[str]:
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return [name for name in listing.split("\0") if name and os.path.lexists(ROOT / name)]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tracked files, links kept: a build writes beside its sources."""
    folder = tmp_path_factory.mktemp("package") / "source"
    for name in tracked():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target, follow_symlinks=False)
    return folder


@pytest.fixture(scope="module")
def wheel(source: Path) -> Path:
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run(
        [*command, "-w", str(source.parent), str(source)], check=True, timeout=PATIENCE_S, capture_output=True
    )
    (made,) = source.parent.glob("*.whl")
    return made


def make_environment(folder: Path, wheel: Path) -> Installation:
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    (site,) = folder.glob("lib/python3.*/site-packages")
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "-q",
        "--no-deps",
        "--no-index",
    ]
    subprocess.run([*command, str(wheel)], check=True, timeout=PATIENCE_S, capture_output=True)
    # The folder alone: `.pth` files in it, such as the checkout's own, are not followed.
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return Installation(python, site)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Installation:
    return make_environment(tmp_path_factory.mktemp("package") / "env", wheel)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """An environment that finds the package as an editable install does: by a `.pth` file that names src/."""
    folder = tmp_path_factory.mktemp("package") / "editable"
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python3.*/site-packages")
    (site / "editable.pth").write_text(f"{ROOT / 'src'}\n{sysconfig.get_path('purelib')}\n")
    return Installation(folder / "bin" / "python", ROOT / "src")


@pytest.fixture(params=["wheel", "checkout"])
def installation(request: pytest.FixtureRequest) -> Installation:
    made: Installation = request.getfixturevalue("installed" if request.param == "wheel" else "checkout")
    return made


def contents(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_every_tracked_file_of_the_four_folders_and_nothing_else(wheel: Path) -> None:
    names = {name for name in contents(wheel) if not name.split("/")[0].endswith(".dist-info")}
    packaged = [name for name in tracked() if name.startswith(tuple(f"{room}/" for room in ROOMS))]
    assert {name.split("/")[0] for name in names} == {"assay"}
    assert names == {"assay/__init__.py"} | {
        f"assay/{name}" for name in packaged if not name.endswith("README.md")
    }


def test_the_source_distribution_makes_the_same_wheel(source: Path, wheel: Path, tmp_path: Path) -> None:
    """setuptools follows the links of src/assay; what is unpacked elsewhere must still find the folders."""
    build = "from setuptools import build_meta; print(build_meta.build_sdist({!r}))"
    subprocess.run(
        [sys.executable, "-c", build.format(str(tmp_path))],
        cwd=source,
        check=True,
        timeout=PATIENCE_S,
        capture_output=True,
    )
    (archive,) = tmp_path.glob("*.tar.gz")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run(
        [*command, "-w", str(tmp_path), str(archive)], check=True, timeout=PATIENCE_S, capture_output=True
    )
    (again,) = tmp_path.glob("*.whl")
    assert contents(again) == contents(wheel)


def test_no_other_name_is_installed(installation: Installation, tmp_path: Path) -> None:
    code = "import importlib.util as u, json; print(json.dumps([n for n in {!r} if u.find_spec(n)]))"
    done = installation.run("-c", code.format((*ROOMS, "tests", "benchmarks", "src")), cwd=tmp_path)
    assert json.loads(done.stdout) == []


EVERY_MODULE = """
import collections, contextlib, importlib, json, os, pkgutil, sys
import assay
skipped = ("boot", "preload", "__main__")
for module in pkgutil.walk_packages(assay.__path__, "assay."):
    if module.name.rsplit(".", 1)[-1] not in skipped:
        importlib.import_module(module.name)
names = collections.defaultdict(set)
for name, module in list(sys.modules.items()):
    if getattr(module, "__file__", None) and "assay" in name:
        names[os.path.realpath(module.__file__)].add(module.__name__)
print(json.dumps({"count": len(names), "twice": [sorted(n) for n in names.values() if len(n) > 1],
                  "file": assay.__file__}))
"""


def test_no_module_is_loaded_under_two_names(installation: Installation, tmp_path: Path) -> None:
    done = installation.run("-W", "ignore", "-c", EVERY_MODULE, cwd=tmp_path)
    found = json.loads(done.stdout.splitlines()[-1])
    assert Path(found["file"]) == installation.site / "assay" / "__init__.py"
    assert found["twice"] == []
    assert found["count"] > 150


RUNS_A_PROGRAM = """
from assay import Program, Sandbox
if __name__ == "__main__":
    with Sandbox(workers=1) as sandbox:
        (verdict,) = sandbox.run([Program("x", "def f():\\n    return 2\\n", ("assert f() == 2",))])
    print(verdict.outcome)
"""


@pytest.mark.isolated
def test_a_program_is_run_beside_another_package_called_sandbox(
    installation: Installation, tmp_path: Path
) -> None:
    """SandboxFusion's client installs a module of that name."""
    other = tmp_path / "other"
    (other / "sandbox").mkdir(parents=True)
    (other / "sandbox" / "__init__.py").write_text("MINE = 'another'\n")
    script = tmp_path / "script.py"
    script.write_text("import sandbox\nassert sandbox.MINE == 'another'\n" + RUNS_A_PROGRAM)
    assert installation.run(str(script), cwd=tmp_path, path=other).stdout.strip() == "pass"


@pytest.mark.isolated
def test_the_doctor_and_an_evaluation(installation: Installation, tmp_path: Path) -> None:
    samples = tmp_path / "samples.jsonl"
    rows = [("HumanEval/0", "    return False\n"), ("HumanEval/2", "    return number % 1.0\n")]
    samples.write_text("".join(json.dumps({"task_id": t, "completion": c}) + "\n" for t, c in rows))
    assert "Isolation of" in installation.assay("doctor", cwd=tmp_path).stdout
    done = installation.assay(
        *("eval", "--suite", "humaneval", "--samples", str(samples), "--json"), cwd=tmp_path, check=False
    )
    assert done.returncode in (0, 2), done.stderr  # 2: two problems of 164 decide nothing
    printed = json.loads(done.stdout)
    assert (printed["n_samples"], printed["outcomes"]["pass"]) == (2, 1)


@pytest.mark.train
def test_a_training_is_forked_from_its_server(
    installation: Installation, tmp_path: Path, write_chats: Callable[[Path], None]
) -> None:
    write_chats(tmp_path / "chats.jsonl")
    (tmp_path / "train.toml").write_text(
        'base = "pocket"\n[config]\nmethod = "sft"\nmax_steps = 1\nbatch_size = 1\nmax_length = 64\ndtype = "fp32"\n'
        '[data]\nfile = "chats.jsonl"\n'
    )
    installation.assay("train", "train.toml", "-o", "adapter", cwd=tmp_path)
    made = json.loads((tmp_path / "adapter" / "artifact.json").read_text())
    assert made["kind"] == "adapter"


@pytest.fixture
def write_chats() -> Callable[[Path], None]:
    def write(path: Path) -> None:
        rows = [{"prompt": f"Add {i} to x.", "completion": f"    return x + {i}"} for i in range(4)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    return write


# The gate from outside: an example project, by the wheel.

EXAMPLE = ROOT / "tests" / "examples" / "gate_project"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLE, tmp_path / "project", ignore=shutil.ignore_patterns("__pycache__")))


def plant(project: Path) -> None:
    """Make the project's model worse: it knows fewer numbers."""
    model = project / "answers.py"
    text = model.read_text()
    assert "LARGEST = 90" in text
    model.write_text(text.replace("LARGEST = 90", "LARGEST = 60"))


def test_the_example_projects_ci_is_green_and_with_a_planted_regression_red(
    installed: Installation, project: Path
) -> None:
    done = installed.shell("sh", "ci.sh", cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
    assert 'failures="0"' in (project / "gate.xml").read_text()
    plant(project)
    done = installed.shell("sh", "ci.sh", cwd=project)
    assert done.returncode == 1, done.stdout + done.stderr
    assert 'failures="1"' in (project / "gate.xml").read_text()
    done = installed.shell("python", "-m", "pytest", "-q", cwd=project)
    assert done.returncode == 1
    assert "assay_gate: regression" in done.stdout
    assert "1 failed, 2 passed" in done.stdout


def test_the_example_projects_baseline_of_speed_is_made_as_its_readme_says(
    installed: Installation, project: Path
) -> None:
    steps = [line.partition("#")[0].split() for line in (project / "README.md").read_text().splitlines()]
    for step in [line for line in steps if line and line[0] in ("python", "pytest", "assay")]:
        command = ["python", "-m", *step] if step[0] == "pytest" else step
        done = installed.shell(*command, cwd=project)
        assert done.returncode == 0, done.stdout + done.stderr
    kept = json.loads((project / "speed.json").read_text())
    (name,) = kept["measurements"]["seconds"]
    assert name == "tests/test_speed.py::test_speed"
    for factor, code in (
        (1000, 0),
        (1 / 1000, 1),
    ):  # no clock decides: what was measured, times what no noise reaches
        seconds = [factor * s for s in kept["measurements"]["seconds"][name]]
        (project / "speed.json").write_text(
            json.dumps(kept | {"measurements": kept["measurements"] | {"seconds": {name: seconds}}})
        )
        assert installed.shell("python", "-m", "pytest", "-q", cwd=project).returncode == code


def run_action(
    installed: Installation, wheel: Path, project: Path, **inputs: str
) -> tuple[int, dict[str, str], str]:
    """Run the steps of action.yml as a runner does; return exit code, outputs, and what the gate printed."""
    import yaml

    action = yaml.safe_load((ROOT / "action.yml").read_text())
    assert {name for name, value in action["inputs"].items() if value.get("required")} <= set(inputs)
    assert set(inputs) <= set(action["inputs"])
    values = {name: str(value.get("default", "")) for name, value in action["inputs"].items()} | inputs
    home = project.parent / "runner"
    home.mkdir(exist_ok=True)
    (home / "output").write_text("")
    runner = {
        "RUNNER_TEMP": str(home), "GITHUB_OUTPUT": str(home / "output"), "GITHUB_ACTIONS": "true",
        "GITHUB_STEP_SUMMARY": str(home / "summary.md"), "PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1",
    }  # fmt: skip

    def filled(text: str) -> str:
        text = text.replace("${{ inputs.package || github.action_path }}", values["package"] or str(wheel))
        for name, value in values.items():
            text = text.replace(f"${{{{ inputs.{name} }}}}", value)
        return text

    for step in action["runs"]["steps"]:
        assert "${{" not in step["run"]
        assert step["shell"] == "bash"
        environment = {name: filled(text) for name, text in step["env"].items()}
        assert not any("${{" in text for text in environment.values())
        command = ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"])
        done = installed.shell(*command, cwd=project, **runner, **environment)
        if done.returncode:
            break
        for site in home.glob("assay-gate/lib/python3.*/site-packages"):
            (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    outputs = dict(line.split("=", 1) for line in (home / "output").read_text().splitlines())
    return done.returncode, outputs, done.stdout + done.stderr


def test_the_action_decides_as_the_command_does(installed: Installation, wheel: Path, project: Path) -> None:
    given = {"result": "results.csv", "baseline": "baseline.json", "junit": "gate.xml"}
    assert installed.shell("python", "evaluate.py", "results.csv", cwd=project).returncode == 0
    code, outputs, text = run_action(installed, wheel, project, **given)
    assert (code, outputs) == (0, {"state": "pass", "exit-code": "0"}), text
    assert (project / "gate.xml").is_file()
    assert "assay gate: pass" in (project.parent / "runner" / "summary.md").read_text()
    plant(project)
    assert installed.shell("python", "evaluate.py", "results.csv", cwd=project).returncode == 0
    code, outputs, text = run_action(installed, wheel, project, **given)
    assert (code, outputs) == (1, {"state": "regression", "exit-code": "1"}), text
    assert "::error title=assay gate::" in text
    code, outputs, text = run_action(installed, wheel, project, result="results.csv", **{"fail-under": "0.1"})
    assert code == 0, text
    hostile = "$(touch planted); touch planted"
    code, outputs, text = run_action(installed, wheel, project, result=hostile, baseline="baseline.json")
    assert (code, outputs) == (3, {"state": "error", "exit-code": "3"}), text
    assert not list(project.rglob("planted"))


def test_the_examples_files_for_ci_call_what_there_is(project: Path) -> None:
    import yaml

    action = yaml.safe_load((ROOT / "action.yml").read_text())
    workflow = yaml.safe_load((project / ".github" / "workflows" / "gate.yml").read_text())
    (step,) = [s for s in workflow["jobs"]["gate"]["steps"] if "/assay@" in s.get("uses", "")]
    assert set(step["with"]) <= set(action["inputs"])
    script = yaml.safe_load((project / ".gitlab-ci.yml").read_text())["gate"]["script"]
    assert script[1:][0] in (project / "ci.sh").read_text()
    assert script[-1].startswith("assay gate results.csv --baseline baseline.json")
    page = (ROOT / "docs" / "gate.md").read_text()
    for file in (".gitlab-ci.yml", ".github/workflows/gate.yml"):
        assert (project / file).read_text().strip() in page, file


def test_two_csv_files_are_compared_and_gated_by_the_light_core(
    installed: Installation, project: Path
) -> None:
    """No torch, no model, no sandbox; and pytest lists the plugin that the wheel brings."""
    main = "import evaluate, sys; evaluate.main(sys.argv[1])"
    assert installed.shell("python", "-c", main, "a.csv", cwd=project).returncode == 0
    plant(project)
    assert installed.shell("python", "-c", main, "b.csv", cwd=project).returncode == 0
    for verb in (["compare", "a.csv"], ["gate", "--baseline", "a.csv"]):
        for file, code in (("a.csv", 0), ("b.csv", 1)):
            done = installed.assay(*verb, file, cwd=project, check=False)
            assert done.returncode == code, (verb, file, done.stderr)
    code = (
        "import sys; sys.argv = ['assay', 'gate', 'a.csv', '--baseline', 'a.csv']\n"
        "from assay.harness.cli import main\n"
        "heavy = ('torch', 'transformers', 'peft', 'pytest')\n"
        "try:\n    main()\nfinally:\n    print([m for m in heavy if m in sys.modules])"
    )
    assert installed.run("-c", code, cwd=project).stdout.splitlines()[-1] == "[]"
    assert (
        "@pytest.mark.assay_gate"
        in installed.shell("python", "-m", "pytest", "--markers", cwd=project).stdout
    )


def test_the_wheels_metadata(wheel: Path) -> None:
    from email import message_from_bytes

    with zipfile.ZipFile(wheel) as archive:
        names = {name.split("/")[1]: name for name in archive.namelist() if ".dist-info/" in name}
        metadata = message_from_bytes(archive.read(names["METADATA"]))
        points = archive.read(names["entry_points.txt"]).decode()
    light = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert not [line for line in light if line.startswith(("torch", "transformers", "pytest"))]
    assert (metadata["Name"], metadata["License-Expression"]) == ("assay", "Apache-2.0")
    assert metadata.get_payload().strip().startswith("# ")  # the README
    assert "[pytest11]\nassay = assay.harness.pytest_plugin" in points
    assert "[console_scripts]\nassay = assay.harness.cli:main" in points
