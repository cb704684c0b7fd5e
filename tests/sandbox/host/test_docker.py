"""The Docker backend: the same verdicts as the embedded one, the corpus denied, and nothing left behind."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from assay.sandbox import Limits, Outcome, Program, Sandbox, Verdict, probe
from assay.sandbox.corpus import load_corpus
from assay.sandbox.model import Mode
from assay.sandbox.selfcheck import run_corpus

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.usefixtures("engine")]

PROGRAMS = [
    Program("right", "def f(x):\n    return x + 1", ("assert f(1) == 2", "assert f(2) == 3"), "f"),
    Program("wrong", "def f(x):\n    return 2", ("assert f(1) == 2", "assert f(2) == 3"), "f"),
    Program("error", "def f(x):\n    return y", ("assert f(1) == 2",), "f"),
    Program("exit", "import os\nos._exit(0)", ("assert f(1) == 2",), "f"),
    Program("memory", "x = bytearray(8 << 30)", ("assert f(1) == 2",), "f"),
    Program("output", "print('x' * 2_000_000)\ndef f(x): return 2", ("assert f(1) == 2",), "f"),
    Program("shared", "def f(g): return g(1)", ("assert f(lambda x: x) == 1",), "f"),
]


def containers() -> list[str]:
    from assay.sandbox.host.docker_client import connect

    client = connect()
    try:
        running = [entry["Id"] for entry in client.containers(all=True, filters={"label": "assay.holder"})]
        return running + [volume["Name"] for volume in client.volumes()["Volumes"] or []]
    finally:
        client.close()


def test_verdicts_equal_those_of_the_embedded_backend() -> None:
    with Sandbox("docker", workers=2) as docker, Sandbox("embedded", workers=2) as embedded:
        assert docker.isolation.level == "full"
        assert docker.isolation.python == embedded.isolation.python
        first, second = (
            {v.id: (v.outcome, v.detail, v.checks_passed, v.mode) for v in box.run(PROGRAMS)}
            for box in (docker, embedded)
        )
    assert first == second
    assert first["right"][0] is Outcome.PASS
    assert containers() == []


def test_limits_of_single_checks_hold_between_containers() -> None:
    candidate = "def f(x):\n    while x == 2:\n        pass\n    return x"
    checks = tuple(f"assert f({x}) == {x}" for x in range(4))
    for mode in ("split", "shared"):
        program = Program("p", candidate, checks, "f", Limits(cpu_s=30, wall_s=40), check_cpu_s=(0.5,) * 4)
        with Sandbox("docker", workers=1, mode=mode) as box:
            (verdict,) = box.run([program])
        assert verdict.detail.startswith("CPU time of check 3 of 4: "), verdict
        assert verdict.detail.endswith(" s used of 0.5 s"), verdict


def test_packages_are_in_the_image() -> None:
    pytest.importorskip("numpy")
    with Sandbox("docker", workers=1, mode="shared", packages=("numpy",)) as box:
        (verdict,) = box.run([Program("n", "import numpy\nx = numpy.ones(3).sum()", ("assert x == 3",))])
    assert verdict.passed, verdict.detail


# All of it takes a quarter of an hour, as many programs cost their cells: that is `make conformance`'s.
@pytest.mark.parametrize(
    "nth", [pytest.param(8, id="every eighth"), pytest.param(1, id="all", marks=pytest.mark.conformance)]
)
def test_the_corpus_in_split_mode(nth: int) -> None:
    attacks = load_corpus()[::nth]
    found = run_corpus(lambda workers: Sandbox("docker", workers=workers), attacks, "split", parallel=3)
    bad = [
        (f.attack.name, f.verdict.outcome, f.verdict.detail, f.verdict.output[-200:], f.canary_same)
        for f in found
        if not f.good
    ]
    assert bad == []
    assert containers() == []


def test_what_a_neighbour_starts_is_not_counted_against_a_sample() -> None:
    """The kernel counts processes by user: containers with one user among them share RLIMIT_NPROC."""
    hold = "import threading, time\nfor _ in range({}): threading.Thread(target=time.sleep, args=({},)).start()\n"
    greedy = Program(
        "greedy", hold.format(28, 60) + "print('held', flush=True)\ntime.sleep(60)", ("f(1)",), "f"
    )
    modest = Program("modest", hold.format(28, 0.1) + "def f(x): return x", ("assert f(1) == 1",), "f")
    with Sandbox("docker", workers=1, mode="shared") as first, Sandbox("docker", workers=1) as second:
        pending = first.run([replace(greedy, limits=Limits(wall_s=4))])
        held = threading.Thread(target=lambda: ended.extend(pending))
        ended: list[Verdict] = []
        held.start()
        verdicts: list[Verdict] = []
        while held.is_alive():
            verdicts += second.run([modest])
        held.join()
    assert [(v.outcome, v.output) for v in ended] == [(Outcome.TIMEOUT, "held\n")]
    assert {(v.outcome, v.detail) for v in verdicts} == {(Outcome.PASS, "")}


LOOK = """
import os, threading, time
pid = os.fork()
if pid == 0: os._exit(0)
os.waitpid(pid, 0)
print(os.getpid(), os.getppid(), pid, os.stat("/tmp").st_mode, time.monotonic() < 600, open("/tmp/x", "w").write("x"))
def f(x): return x
"""


@pytest.mark.parametrize("mode", ["split", "shared"])
def test_a_sample_sees_the_same_whatever_ran_before_it(mode: Mode) -> None:
    with Sandbox("docker", mode, workers=1) as box:
        if missing := [piece.name for piece in box.isolation.pieces if not piece.present]:
            pytest.skip(f"this engine has no {' and '.join(missing)}")
        look = [Program(str(n), LOOK, ("assert f(1) == 1",), "f") for n in range(3)]
        verdicts = list(box.run(look))
    assert {(v.outcome, v.output) for v in verdicts} == {(Outcome.PASS, "2 1 3 17407 True 1\n")}


HOLDER = (
    "from assay.sandbox import Program, Sandbox\n"
    "with Sandbox('docker', workers=2) as box:\n    print('open', flush=True)\n"
    "    list(box.run(Program(str(n), 'import time; time.sleep(9)', ('f(1)',)) for n in range(9)))"
)
ROOT = Path(__file__).resolve().parents[3]


def kill_holder(delay_s: float, *, when_open: bool) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as holder:
        if when_open:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "open\n"
        time.sleep(delay_s)
        holder.send_signal(signal.SIGKILL)
        holder.wait()


def left_behind(timeout_s: float) -> list[str]:
    deadline = time.monotonic() + timeout_s
    while (left := containers() + reapers()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return left


def reapers() -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            command = entry.read_bytes()
            if b"assay.sandbox.host.reaper" in command and f"\0{os.getpid()}-".encode() not in command:
                found.append(command.replace(b"\0", b" ").decode())
    return found


def test_a_killed_holder_leaves_no_container_and_no_volume() -> None:
    kill_holder(0.5, when_open=True)
    assert left_behind(30) == []


@pytest.mark.parametrize("times", [4, pytest.param(50, marks=pytest.mark.slow)])
def test_a_holder_killed_at_any_moment_leaves_nothing(times: int) -> None:
    """While containers are made, too: one that was never started has nobody else to remove it."""
    choice = random.Random(times)
    for _ in range(times):
        kill_holder(choice.uniform(0.3, 2.0), when_open=False)
    assert left_behind(60) == []


def test_probe_finds_the_backend() -> None:
    isolation = probe("docker")
    assert (isolation.backend, isolation.level) == ("docker", "full")
