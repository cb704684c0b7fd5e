"""Idle OpenMP threads sleep, unless the user says otherwise; and it is asked for before torch is loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from assay.trainers.run.runtime import let_idle_threads_sleep

ROOT = Path(__file__).parents[3]


def test_the_users_choice_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    let_idle_threads_sleep()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    let_idle_threads_sleep()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


@pytest.mark.train
@pytest.mark.parametrize(
    "module",
    ["assay.trainers.methods.sft", "assay.trainers.merge", "assay.trainers.gguf", "assay.harness.generation"],
)
def test_what_we_import_leaves_torch_and_llama_for_later(module: str) -> None:
    code = f"import sys, {module}; assert not set(sys.modules) & {{'torch', 'transformers', 'llama_cpp'}}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
