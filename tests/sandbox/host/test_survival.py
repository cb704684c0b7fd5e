"""What is left when the process that holds a sandbox is killed, or simply exits, at any moment: nothing."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from assay.sandbox.cell import jail

HOLDER = """
import sys
from assay.sandbox import Limits, Program, Sandbox

def programs():
    n = 0
    while True:
        n += 1
        yield Program(f"ok{n}", "def f(x): return x + 1", ("assert f(1) == 2",), "f")
        yield Program(f"sleep{n}", "import os, time\\nos.fork()\\ntime.sleep(60)", ("f(1)",), "f", Limits(wall_s=0.5))
        yield Program(f"busy{n}", "while True: pass", ("f(1)",), "f", Limits(cpu_s=0.2))

with Sandbox(workers=2) as box:
    print("open", flush=True)
    for verdict in box.run(programs()):
        pass
"""
# A shell's background job has Ctrl-C ignored, and so would have all that the tests start.
TAKES_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
REPOSITORY = Path(__file__).resolve().parents[3]


def start_holder() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", f"{TAKES_CTRL_C}\n{HOLDER}"], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )


def cells_of(holder: int) -> list[int]:
    """The processes that have one of this holder's cell names as argument, and all below them."""
    marker = f"\0assay-{holder}-"
    roots: set[int] = set()
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if marker in (entry / "cmdline").read_text():
                roots.add(int(entry.name))
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError, UnicodeDecodeError):
            continue
    while below := {pid for pid, parent in parents.items() if parent in roots} - roots:
        roots |= below
    return sorted(roots)


def cgroups_of(holder: int) -> list[str]:
    found = []
    for folder, folders, _ in os.walk("/sys/fs/cgroup"):
        found += [f"{folder}/{name}" for name in folders if name.startswith(f"assay-{holder}-")]
    return found


def wait_until_gone(holder: int, timeout_s: float) -> tuple[list[int], list[str]]:
    deadline = time.monotonic() + timeout_s
    while True:
        left = cells_of(holder), cgroups_of(holder)
        if not any(left) or time.monotonic() > deadline:
            return left
        time.sleep(0.05)


def mounts_where_cells_build() -> list[str]:
    """Others mount things meanwhile (a Docker engine does); a cell does so in these places only."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [
        line for line in lines if line.split()[1].startswith(jail.PLACES) and "/sys/fs/cgroup" not in line
    ]


def kill_at_random(times: int, choice: random.Random) -> None:
    mounts = mounts_where_cells_build()
    for _ in range(times):
        with start_holder() as holder:
            delay = choice.uniform(0.0, 1.2)
            time.sleep(delay)
            holder.send_signal(signal.SIGKILL)
            holder.wait()
            left = wait_until_gone(holder.pid, 15)
            assert left == ([], []), f"killed after {delay:.3f} s"
    assert mounts_where_cells_build() == mounts


@pytest.mark.slow
def test_a_killed_holder_leaves_nothing() -> None:
    kill_at_random(6, random.Random(1))


@pytest.mark.slow
def test_a_holder_killed_fifty_times_leaves_nothing() -> None:
    kill_at_random(50, random.Random(2))


@pytest.mark.isolated
def test_an_interrupted_holder_leaves_nothing() -> None:
    with start_holder() as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        assert cells_of(holder.pid)
        time.sleep(0.3)
        holder.send_signal(signal.SIGINT)
        try:
            assert holder.wait(30) != 0
        finally:
            holder.kill()
        assert wait_until_gone(holder.pid, 5) == ([], [])


@pytest.mark.isolated
def test_a_holder_that_never_closes_leaves_nothing() -> None:
    code = (
        "from assay.sandbox import Sandbox\nbox = Sandbox(workers=1).__enter__()\nprint(box.isolation.label)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert "isolation" in holder.communicate(timeout=60)[0]
        assert wait_until_gone(holder.pid, 10) == ([], [])
