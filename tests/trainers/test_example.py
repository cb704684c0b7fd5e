"""The example module of the library's own calls runs as it is documented."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.train


@pytest.mark.slow
def test_the_example_runs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "assay.trainers.example", str(tmp_path / "example")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["base", "data", "adapter", "merged"]
    assert "loads without peft" in done.stdout
    assert (tmp_path / "example" / "merged" / "artifact.json").is_file()
