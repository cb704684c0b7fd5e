"""A sample's way from its line to its counted verdict stays short enough to be read in one sitting."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.isolated
def test_a_sample_passes_at_most_twelve_files_and_two_threads() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.sample_path"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sandbox/host/executor.py" in done.stdout
