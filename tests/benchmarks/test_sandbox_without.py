"""The benchmark of single protections takes away what it says, and nothing of the product does."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.sandbox import Program, Sandbox
from assay.sandbox.host import verdicts
from benchmarks.sandbox_without import Without

pytestmark = pytest.mark.isolated

CANDIDATE = """
import ctypes, os, time

def seen(_):
    before = os.stat(".").st_mtime_ns, sorted(os.listdir())
    with open("a.txt", "w") as file:
        number = os.stat("a.txt").st_ino
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype, libc.mincore.argtypes = ctypes.c_void_p, (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p)
    page = libc.mmap(None, 4096, 3, 0x22, -1, 0)
    asked = libc.mincore(page, 4096, ctypes.create_string_buffer(1))
    return os.getpid(), number, before, asked, time.monotonic() < 3600
"""


def seen_by(sandbox: Sandbox) -> list[tuple[object, ...]]:
    """Return what three samples see, one after the other."""
    programs = [Program(str(i), CANDIDATE, ("print(seen(0))",), "seen", stateful=True) for i in range(3)]
    verdicts = list(sandbox.run(programs))
    assert [verdict.outcome for verdict in verdicts] == ["pass"] * 3, verdicts
    return [eval(verdict.output) for verdict in verdicts]


def test_state_is_kept_and_told_without_kind_3_alone(tmp_path: Path) -> None:
    with Sandbox(workers=1) as sandbox:
        first, *later = seen_by(sandbox)
        label = sandbox.isolation.label
        assert later == [first, first]
    assert first[3] == -1
    with Without(tmp_path, 3).in_force(), Sandbox(workers=1) as sandbox:
        pids, numbers, before, asked, _ = zip(*seen_by(sandbox), strict=True)
        assert sandbox.isolation.label == f"{label} without clocks"
    assert pids[0] < pids[1] < pids[2]
    assert len(set(numbers)) == 3
    assert len({str(one) for one in before}) > 1
    assert all(not names for _, names in before)  # emptied all the same
    assert asked == (0, 0, 0)
    with Sandbox(workers=1) as sandbox:
        assert seen_by(sandbox)[0] == first


def test_no_cell_has_a_share_and_nothing_is_tried_again_without_kind_6_alone(tmp_path: Path) -> None:
    assert verdicts.CLEAR > verdicts.CPU_STOP
    with Without(tmp_path, 6).in_force(), Sandbox(workers=1) as sandbox:
        assert verdicts.CLEAR == verdicts.CPU_STOP
        assert not verdicts.is_near_limit(Program("any", "", ()), [])
        (cgroup,) = [piece.detail for piece in sandbox.isolation.pieces if piece.name == "cgroup"]
        assert "version 1, a CPU share" not in cgroup
        assert len(set(map(str, seen_by(sandbox)))) == 1  # kind 3 is closed
    assert verdicts.CLEAR > verdicts.CPU_STOP
