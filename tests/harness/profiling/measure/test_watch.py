"""The watcher of a process that ends in an unusual way, played by a script in the place of the interpreter."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from assay.harness.profiling.measure import Job, profile
from assay.harness.profiling.measure.job import Source
from assay.harness.profiling.measure.llama_bench import llama_bench
from assay.trainers.artifact import Artifact, ArtifactKind

# It inherits stdout and stderr, and outlives the one that starts it.
STARTS_ANOTHER = """
import pathlib, subprocess
other = subprocess.Popen(["sleep", "120"])
pathlib.Path({pids!r}).write_text(str(other.pid))
"""
Play = Callable[[str], None]


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Play]:
    """Makes a program the one that is measured; what it started is ended with the test."""
    pids = tmp_path / "pids"

    def start(program: str) -> None:
        script = tmp_path / "measured"
        head = f"#!{sys.executable}\nimport os, sys\n"
        script.write_text(head + program.replace("STARTS_ANOTHER", STARTS_ANOTHER.format(pids=str(pids))))
        script.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(script))

    yield start
    if pids.exists():
        with suppress(ProcessLookupError):
            os.kill(int(pids.read_text()), signal.SIGKILL)


def of(work: Callable[[], Any]) -> Any:
    """What it returned; fails where it does not end."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()), daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    return found[0]


def stop_of(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    job = Job(**({"name": "x", "random_config": {}, "device": "cpu"} | changes))
    record = of(lambda: profile(job, tmp_path / "raw.jsonl"))
    (stop,) = record.of("stop")
    return dict(stop)


def test_what_the_measured_process_started_is_not_waited_for(play: Play, tmp_path: Path) -> None:
    play(
        """
sys.stdin.read()
STARTS_ANOTHER
os.write(int(sys.argv[-1]), b'{"event": "stop", "status": "done", "detail": "", "t": 0}\\n')
"""
    )
    assert stop_of(tmp_path)["status"] == "done"


def test_the_last_words_are_told_also_where_stderr_stays_open(play: Play, tmp_path: Path) -> None:
    play("sys.stdin.read()\nSTARTS_ANOTHER\nsys.exit('x' * 30_000 + '\\nno such model')")
    stop = stop_of(tmp_path)
    assert (stop["status"], stop["detail"]) == ("failed", "status 1: no such model")


def test_a_process_that_ends_before_it_reads_its_job_failed(play: Play, tmp_path: Path) -> None:
    """A job of more than a pipe holds, so that the end comes while it is being written."""
    play("os.close(0)\nsys.exit('no memory to start')")
    stop = stop_of(tmp_path, random_config={"filler": "x" * (1 << 21)})
    assert (stop["status"], stop["detail"]) == ("failed", "status 1: no memory to start")


def test_what_llama_bench_started_is_not_waited_for(play: Play, tmp_path: Path) -> None:
    play('sys.stdin.read()\nSTARTS_ANOTHER\nprint(\'{"pp": [1.0], "tg": [1.0]}\')')
    source = Source.of(Artifact(ArtifactKind.GGUF, tmp_path / "a.gguf", "0" * 64))
    job = Job(name="x", source=source, repeats=1, device="cpu", threads=1)
    found = of(lambda: llama_bench(job, tmp_path / "raw.jsonl"))
    assert {name: test["n"] for name, test in found["tests"].items()} == {
        f"pp{job.prompt_tokens}": 1,
        f"tg{job.new_tokens}": 1,
    }
