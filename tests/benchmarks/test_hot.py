"""The benchmarks of our hot paths still run: each once, nothing timed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.slow
def test_every_hot_path_runs_once() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "benchmarks/hot",
            "--benchmark-disable",
            "-q",
            "-p",
            "no:cacheprovider",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
