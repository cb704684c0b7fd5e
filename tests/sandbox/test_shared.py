"""Shared mode on the embedded backend: outcomes, limits, streaming, and what is left behind."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from assay.sandbox import Limits, Outcome, Program, Sandbox, SandboxError, Verdict, probe

pytestmark = pytest.mark.isolated

RIGHT = "def add(a, b):\n    return a + b\n"
CHECKS = ("assert add(1, 2) == 3", "assert add(-1, 1) == 0", "assert add('a', 'b') == 'ab'")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(workers=2, mode="shared") as box:
        yield box


def run_one(sandbox: Sandbox, candidate: str, *checks: str, limits: Limits | None = None) -> Verdict:
    (verdict,) = sandbox.run([Program("p", candidate, checks, limits=limits or Limits())])
    return verdict


def test_right_program_passes_all_checks(sandbox: Sandbox) -> None:
    verdict = run_one(sandbox, RIGHT, *CHECKS)
    assert (verdict.outcome, verdict.checks_passed, verdict.checks_total) == (Outcome.PASS, 3, 3)
    assert 0 < verdict.cpu_s < 5
    assert verdict.peak_bytes > 1 << 20


def test_all_checks_run_after_one_failed(sandbox: Sandbox) -> None:
    verdict = run_one(sandbox, RIGHT.replace("a + b", "abs(a) + b"), *CHECKS)
    assert (verdict.outcome, verdict.checks_passed) == (Outcome.FAIL, 1)
    assert verdict.detail.startswith("check 2 of 3: AssertionError")


@pytest.mark.parametrize(
    ("candidate", "outcome", "detail"),
    [
        ("x = 1\nprint(y)", Outcome.ERROR, "NameError: name 'y' is not defined (line 2)"),
        ("def f(:", Outcome.ERROR, "SyntaxError: invalid syntax (line 1)"),
        ("raise SystemExit(0)", Outcome.ERROR, "SystemExit: 0 (line 1)"),
        ("import os\nos._exit(0)", Outcome.ERROR, "exited with status 0 before its checks were done"),
        (
            "import os\nos.kill(os.getpid(), 11)",
            Outcome.ERROR,
            "killed by SIGSEGV before its checks were done",
        ),
        ("x = '\udcff'", Outcome.ERROR, "UnicodeEncodeError"),
        ("x = '\0'", Outcome.ERROR, ""),
        ("input()", Outcome.ERROR, "EOFError"),
        ("x = bytearray(4 << 30)", Outcome.MEMORY, "MemoryError"),
        ("while True: print('x' * 10000)", Outcome.OUTPUT, "bytes of output, 1048576 are allowed"),
    ],
)
def test_outcome_and_detail(sandbox: Sandbox, candidate: str, outcome: Outcome, detail: str) -> None:
    verdict = run_one(sandbox, candidate, "assert True")
    assert verdict.outcome is outcome
    assert detail in verdict.detail
    assert verdict.checks_passed == 0


def test_cpu_and_wall_limits_are_told_apart(sandbox: Sandbox) -> None:
    limits = Limits(cpu_s=0.5, wall_s=1.0)
    busy = run_one(sandbox, "while True: pass", limits=limits)
    idle = run_one(sandbox, "import time\ntime.sleep(60)", limits=limits)
    assert busy.outcome is idle.outcome is Outcome.TIMEOUT
    assert idle.detail.startswith("wall time")
    # On a machine with no time to spare even the quiet run may meet the wall first.
    assert busy.detail.startswith(("CPU time", "wall time"))


def test_output_is_captured_and_capped(sandbox: Sandbox) -> None:
    verdict = run_one(sandbox, "import sys\nprint('out')\nprint('err', file=sys.stderr)")
    assert "out\n" in verdict.output
    assert "err\n" in verdict.output
    long = run_one(sandbox, "print('a' * 500_000 + 'z')")
    assert long.outcome is Outcome.PASS
    assert len(long.output) < 20_000
    assert "bytes left out" in long.output
    assert long.output.endswith("z\n")


def test_samples_leave_nothing_to_each_other(sandbox: Sandbox) -> None:
    spoil = (
        "import os, sys, fcntl, builtins\n"
        "os.makedirs('/tmp/a/b'); open('/tmp/a/b/c', 'w').write('x'); os.chmod('/tmp/a', 0)\n"
        "fcntl.fcntl(1, fcntl.F_SETFL, os.O_APPEND); fcntl.flock(1, fcntl.LOCK_EX)\n"
        "builtins.len = None; sys.leak = 1; os.umask(0o777)\n"
        "if os.fork() == 0:\n    os.setsid()\n    while True: pass\n"
    )
    look = (
        "import os, sys, fcntl\n"
        "assert os.listdir('/tmp') == [] and len('ab') == 2 and not hasattr(sys, 'leak')\n"
        "assert not fcntl.fcntl(1, fcntl.F_GETFL) & os.O_APPEND\n"
        "try:\n    os.waitpid(-1, os.WNOHANG)\n    raise SystemError('a child')\nexcept ChildProcessError: pass\n"
    )
    for _ in range(4):
        assert run_one(sandbox, spoil).outcome is Outcome.PASS
        verdict = run_one(sandbox, look)
        assert verdict.outcome is Outcome.PASS, verdict.detail


def test_nothing_of_the_host_is_readable(sandbox: Sandbox) -> None:
    candidate = (
        "import os\n"
        f"for path in ('/etc/passwd', '/proc/self/status', '/home', '/root/.bashrc', {str(os.getcwd())!r}):\n"
        "    try:\n        os.stat(path); open(path).read()\n"
        "    except OSError: continue\n    raise SystemError(path)\n"
        "assert not os.environ and os.getuid() != 0\n"
    )
    verdict = run_one(sandbox, candidate)
    assert verdict.outcome is Outcome.PASS, verdict.detail


def test_verdicts_do_not_wait_for_the_next_program(sandbox: Sandbox) -> None:
    """A generator that blocks until its first verdict was seen would never end if they did."""
    seen = threading.Event()

    def programs() -> Iterator[Program]:
        yield Program("first", RIGHT, CHECKS)
        assert seen.wait(30)
        yield Program("second", RIGHT, CHECKS)

    ids = []
    for verdict in sandbox.run(programs()):
        ids.append(verdict.id)
        seen.set()
    assert ids == ["first", "second"]


def test_the_iterable_is_consumed_with_a_bounded_window(sandbox: Sandbox) -> None:
    made = 0

    def programs() -> Iterator[Program]:
        nonlocal made
        for number in range(10_000):
            made += 1
            yield Program(str(number), "x = 1", ())

    verdicts = sandbox.run(programs())
    next(verdicts)
    time.sleep(0.3)
    assert made < 50
    verdicts.close()  # type: ignore[attr-defined]


def test_an_exception_of_the_iterable_is_raised_to_the_caller(sandbox: Sandbox) -> None:
    def programs() -> Iterator[Program]:
        yield Program("one", "x = 1", ())
        raise KeyError("no more")

    with pytest.raises(KeyError, match="no more"):
        list(sandbox.run(programs()))


def test_closing_the_iterator_stops_what_runs(sandbox: Sandbox) -> None:
    slow = Program("slow", "import time\ntime.sleep(15)", ())
    verdicts = sandbox.run([Program("fast", "x = 1", ()), slow, slow])
    assert next(verdicts).id == "fast"
    started = time.monotonic()
    verdicts.close()  # type: ignore[attr-defined]
    assert run_one(sandbox, "x = 1").outcome is Outcome.PASS
    assert time.monotonic() - started < 12


def test_several_threads_share_one_sandbox(sandbox: Sandbox) -> None:
    counts: list[Counter[Outcome]] = []

    def work(name: int) -> None:
        programs = (
            Program(f"{name}-{i}", RIGHT, CHECKS if i % 2 else ("assert add(1, 1) == 3",)) for i in range(40)
        )
        verdicts = list(sandbox.run(programs))
        assert {v.id for v in verdicts} == {f"{name}-{i}" for i in range(40)}
        counts.append(Counter(v.outcome for v in verdicts))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [Counter({Outcome.PASS: 20, Outcome.FAIL: 20})] * 4


def test_random_and_hash_order_are_the_same_in_every_cell(sandbox: Sandbox) -> None:
    program = "import random\nprint(random.random(), {str(i) for i in range(20)})"
    outputs = {v.output for v in sandbox.run([Program(str(i), program, ()) for i in range(8)])}
    assert len(outputs) == 1


def test_packages_are_readable_and_nothing_beside_them() -> None:
    numpy = pytest.importorskip("numpy")
    with Sandbox(workers=1, mode="shared", packages=("numpy",)) as box:
        assert dict(box.isolation.packages) == {"numpy": numpy.__version__}
        verdict = run_one(box, "import numpy\nx = numpy.arange(6).reshape(2, 3)", "assert x.sum() == 15")
        assert verdict.outcome is Outcome.PASS, verdict.detail
        assert run_one(box, "import pandas").outcome is Outcome.ERROR


def test_an_unknown_package_is_named() -> None:
    with pytest.raises(SandboxError, match="no_such_package"), Sandbox(packages=("no_such_package",)):
        pass


def test_probe_names_every_piece() -> None:
    isolation = probe()
    assert {piece.name for piece in isolation.pieces} >= {
        "namespaces",
        "seccomp",
        "landlock",
        "cgroup",
        "counters",
        "clocks",
        "rlimits",
    }
    assert all(piece.remedy for piece in isolation.pieces if not piece.present)
    assert isolation.label


def test_a_closed_sandbox_says_so() -> None:
    box = Sandbox()
    with pytest.raises(SandboxError, match="not open"):
        list(box.run([]))


def test_a_program_with_larger_limits_than_the_sandbox_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxError, match="open it with limits="):
        run_one(sandbox, "x = 1", limits=Limits(memory_bytes=4 << 30))
    with Sandbox(workers=1, mode="shared", limits=Limits(memory_bytes=4 << 30)) as box:
        assert run_one(box, "x = 1", limits=Limits(memory_bytes=2 << 30)).outcome is Outcome.PASS
