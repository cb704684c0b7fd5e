"""Run the light core's tests and the attack corpus on other interpreters: `python -m tests.pythons [INTERPRETER...]`.

Those named as arguments, else python3.11 to python3.14 as PATH has them and those that ASSAY_PYTHONS names (paths,
separated as in PATH); one that does not run is left out by name, and the one that runs this script is not repeated.
Each gets an environment of its own under .venv-pythons/, without torch.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
ENVIRONMENTS = ROOT / ".venv-pythons"
NAMES = tuple(f"python3.{minor}" for minor in range(11, 15))
VERSION = "import platform; print(platform.python_version())"
# What a light installation can do: evaluate samples, statistics, reports, the command line.
TESTS = (
    "tests/sandbox",
    "tests/suites",
    "tests/harness/cli",
    "tests/harness/evaluation",
    "tests/harness/experiment",
    "tests/harness/leaderboard",
    "tests/harness/report",
    "tests/harness/stats",
    "tests/harness/test_console.py",
    "tests/harness/test_doctor.py",
)
NEEDED = ("pytest", "hypothesis", "scipy", "statsmodels")
MARKS = "not train and not gguf and not docker and not slow and not conformance"


def version_of(interpreter: str) -> str | None:
    """Return the version, or None for one that does not run (a version manager's shim for one not chosen)."""
    done = subprocess.run([interpreter, "-c", VERSION], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def interpreters(named: list[str]) -> dict[str, str]:
    """Return version -> path of the interpreters to test."""
    listed = named or [
        *filter(None, map(shutil.which, NAMES)),
        *filter(None, os.environ.get("ASSAY_PYTHONS", "").split(os.pathsep)),
    ]
    own = ".".join(map(str, sys.version_info[:3]))
    usable = {}
    for interpreter in listed:
        version = version_of(interpreter)
        if version is None:
            print(f"left out: {interpreter} does not run")
        elif version != own or named:
            usable.setdefault(version, interpreter)
    return usable


def environment(version: str, interpreter: str) -> Path:
    """Return the bin folder of an environment with the light core, made where there is none for these requirements."""
    folder = ENVIRONMENTS / version
    stamp = folder / ".installed"
    required = max((ROOT / name).stat().st_mtime for name in ("pyproject.toml", "constraints.txt"))
    if not stamp.exists() or stamp.stat().st_mtime < required:
        subprocess.run([interpreter, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "-q"]
        subprocess.run([*pip, "-c", "constraints.txt", "-e", ".", *NEEDED], cwd=ROOT, check=True)
        stamp.touch()
    return folder / "bin"


def check(programs: Path) -> list[str]:
    """Run tests and corpus; return what failed."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    commands = {
        "tests": [
            str(programs / "python"),
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-m",
            MARKS,
            *TESTS,
        ],
        "attack corpus": [str(programs / "assay"), "sandbox", "selfcheck"],
    }
    return [
        name
        for name, command in commands.items()
        if subprocess.run(command, cwd=ROOT, env=clean, check=False).returncode != 0
    ]


def main() -> None:
    outcomes = {}
    for version, interpreter in interpreters(sys.argv[1:]).items():
        print(f"== Python {version}: {interpreter}", flush=True)
        outcomes[version] = check(environment(version, interpreter))
    for version, failures in outcomes.items():
        print(f"Python {version}: {'failed: ' + ', '.join(failures) if failures else 'passed'}")
    if not outcomes:
        print("no other interpreter runs here: nothing was tested; name some in ASSAY_PYTHONS")
    sys.exit(1 if any(outcomes.values()) else 0)


if __name__ == "__main__":
    main()
