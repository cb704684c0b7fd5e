"""`assay doctor`: the same facts for a person and for a program."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def doctor(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from assay.harness.cli import main; main()", "doctor", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def test_it_says_what_there_is_and_what_to_do_about_the_rest() -> None:
    done = doctor("--json")
    report = json.loads(done.stdout)
    assert done.returncode == (0 if report["isolation"]["level"] == "full" else 4)
    assert {p["name"] for p in report["isolation"]["pieces"]} >= {
        "namespaces",
        "seccomp",
        "cgroup",
        "rlimits",
    }
    for piece in (*report["isolation"]["pieces"], *report["capabilities"]):
        works = piece.get("present", piece.get("works"))
        assert works or piece["remedy"], piece
    assert report["machine"]["cores"] >= 1
    assert report["machine"]["ram_bytes"] > 2**28
    assert {c["name"] for c in report["capabilities"]} == {"train", "GGUF", "GPU", "Docker"}
    assert set(report["situation"]) == {"name", "reports", "lost", "remedy"}


def test_the_page_for_people_names_the_level() -> None:
    assert "Isolation of candidate programs:" in doctor().stdout


def test_what_to_install_is_shown_as_it_is_typed() -> None:
    code = "import sys; sys.modules['pynvml'] = None; from assay.harness.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "doctor"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert "pip install 'assay[gpu]'" in " ".join(done.stdout.split())
