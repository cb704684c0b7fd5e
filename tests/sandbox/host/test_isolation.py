"""Levels of isolation: fresh cells, an unprivileged user, no namespaces at all, and cgroups of both versions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from assay.sandbox import IsolationError, Limits, Outcome, Program, Sandbox, SandboxError
from assay.sandbox.cell import cgroup
from assay.sandbox.corpus import load_corpus
from assay.sandbox.host import isolation
from assay.sandbox.host.cells import CellOptions, StepFailedError
from assay.sandbox.host.embedded import start_cells
from assay.sandbox.host.layout import host_layout
from assay.sandbox.selfcheck import run_corpus

REPOSITORY = Path(__file__).resolve().parents[3]
RIGHT = Program("right", "def f(x): return x + 1", ("assert f(1) == 2",), "f")


LOOK = """
import os, threading
print(os.getpid(), sorted(os.listdir("/tmp")), os.getuid(), threading.active_count())
open("/tmp/left", "w").write("x")
def f(): return os.getppid()
"""


@pytest.mark.slow
@pytest.mark.isolated
def test_fresh_namespaces_for_every_program() -> None:
    attacks = [
        a
        for a in load_corpus()
        if a.name in ("hostile/scratch_chmod", "forgery/equal_object", "control/re")
        or a.name.startswith("hostile/sys")
    ]
    found = run_corpus(
        lambda workers: Sandbox(workers=workers, isolation="fresh"), attacks, "split", parallel=1
    )
    assert len(found) == len(attacks) > 3
    bad = [f.attack.name for f in found if not f.good]
    assert bad == []
    # A new PID namespace counts from 1, its own first process; in a used one numbers go up.
    look = [Program(str(n), LOOK, ("assert f() == 1",), "f") for n in range(4)]
    with Sandbox(workers=1, isolation="fresh") as box:
        assert "fresh" in box.isolation.label
        verdicts = list(box.run(look))
    assert {(v.outcome, v.output) for v in verdicts} == {(Outcome.PASS, "2 [] 1000 1\n")}


@pytest.mark.isolated
def test_a_sample_of_fresh_namespaces_cannot_make_more() -> None:
    escape = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
for what in (0x20000000, 0x00020000, 0x10000000):
    print(libc.unshare(what), libc.mount(b"none", b"/tmp", b"tmpfs", 0, None), libc.setuid(0))
def f(): pass
"""
    with Sandbox(workers=1, isolation="fresh") as box:
        (verdict,) = box.run([Program("escape", escape, ("f()",), "f")])
    assert verdict.output == "-1 -1 -1\n" * 3, verdict


@pytest.mark.slow
@pytest.mark.isolated
def test_limits_hold_in_fresh_namespaces() -> None:
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    programs = [
        Program("spin", "while True: pass", (), "", Limits(cpu_s=0.3)),
        Program("bomb", bomb, (), "", Limits(0.5, 1.5)),
        Program("memory", "x = bytearray(8 << 30)", (), ""),
        RIGHT,
    ]
    with Sandbox(workers=1, isolation="fresh") as box:
        outcomes = {v.id: v.outcome for v in box.run(programs)}
    assert outcomes == {
        "spin": Outcome.TIMEOUT,
        "bomb": Outcome.TIMEOUT,
        "memory": Outcome.MEMORY,
        "right": Outcome.PASS,
    }


UNPRIVILEGED = """
import json, sys
sys.path.insert(0, sys.argv[1])
from assay.sandbox import Limits, Program, Sandbox
bomb = "import os\\nwhile True:\\n    try: os.fork()\\n    except OSError: pass"
ppid = "import os\\nfor s in range(1, 65):\\n    try: os.kill(os.getppid(), s)\\n    except OSError: pass"
programs = [
    Program("right", "def f(x): return x + 1", ("assert f(1) == 2",), "f"),
    Program("id", "import os\\nprint(os.getuid())\\nos.chmod('/tmp', 0)\\ndef f(): pass", ("f()",), "f"),
    Program("bomb", bomb, (), "", Limits(0.5, 1.5)),
    Program("read", "import os\\nassert not os.path.exists('/etc/passwd') and os.listdir('/tmp') == []", ()),
    Program("ppid", ppid, ()),
]
with Sandbox(workers=2) as box:
    print(json.dumps({"level": box.isolation.level, **{v.id: v.outcome for v in box.run(programs)}}))
"""


def system_python() -> str | None:
    """An interpreter that another user can execute, of a version that the sandbox supports."""
    for name in ("/usr/bin/python3", "/usr/local/bin/python3"):
        if os.access(name, os.X_OK):
            version = subprocess.run(
                [name, "-c", "import sys; print(sys.version_info >= (3, 11))"], capture_output=True
            )
            if version.stdout.strip() == b"True":
                return name
    return None


NEIGHBOUR = """
import json, sys
sys.path.insert(0, sys.argv[1])
from assay.sandbox import Limits, Program, Sandbox

hog = '''
import socket, time
kept = []
try:
    while True:
        kept += socket.socketpair()
        kept[-1].setblocking(False)
        while True:
            socket.send_fds(kept[-1], [b'x'], [0] * 50)
except OSError:
    time.sleep(4)
def f(x): return x + 1
'''
check = "import os\\nassert f(1) == 2"  # in a judge forked for it, whose end of the channel is passed on
programs = [Program("hog", hog, (check,), "f", Limits(5, 30))]
programs += [Program(str(n), "def f(x): return x + 1", (check,), "f") for n in range(100)]
with Sandbox(workers=2) as sandbox:
    print(json.dumps([v.id for v in sandbox.run(programs) if not v.passed]))
"""


@pytest.mark.slow
def test_descriptors_of_one_cell_on_their_way_keep_no_judge_of_the_same_user_from_its_own() -> None:
    assert json.loads(run_as_nobody(NEIGHBOUR)) == []


def run_as_nobody(script: str) -> str:
    """Return what the script prints; the folder that it can import `assay` from is its argument."""
    if os.geteuid() != 0:
        pytest.skip("every other test already runs unprivileged when this one does")
    python = system_python()
    if python is None or not shutil.which("setpriv"):
        pytest.skip("no python 3.11+ outside a home folder, or no setpriv, to run as nobody with")
    copied = Path(tempfile.mkdtemp(prefix="assay-test-", dir="/tmp"))
    try:
        shutil.copytree(
            REPOSITORY / "sandbox", copied / "assay" / "sandbox", ignore=shutil.ignore_patterns("__pycache__")
        )
        shutil.copy(REPOSITORY / "src" / "assay" / "__init__.py", copied / "assay")
        subprocess.run(["chmod", "-R", "a+rX", str(copied)], check=True)
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", "-i", python, "-c"]
        result = subprocess.run([*command, script, str(copied)], capture_output=True, text=True, cwd="/")
    finally:
        shutil.rmtree(copied)
    if "cannot be isolated here as user" in result.stderr:
        pytest.skip(f"this kernel keeps user namespaces from users: {result.stderr.splitlines()[-1]}")
    if result.stderr.startswith("setpriv:"):  # root without the right to be someone else
        pytest.skip(f"this root cannot become nobody: {result.stderr.strip()}")
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow
def test_an_unprivileged_user() -> None:
    outcomes = json.loads(run_as_nobody(UNPRIVILEGED))
    assert outcomes.pop("bomb") == "timeout"
    assert outcomes == {"level": "full", "right": "pass", "id": "pass", "read": "pass", "ppid": "pass"}


@pytest.fixture
def no_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose kernel refuses the first isolation step."""
    from assay.sandbox.host import embedded

    real = embedded._start

    def refuse(options: CellOptions, mode: str) -> object:
        if options.namespaces:
            raise StepFailedError("user and PID namespaces", "[Errno 1] Operation not permitted")
        return real(options, mode)  # type: ignore[arg-type]

    monkeypatch.setattr(embedded, "_start", refuse)


@pytest.mark.usefixtures("no_namespaces")
def test_weaker_isolation_is_refused_with_what_to_do() -> None:
    with pytest.raises(IsolationError, match=r"user and PID namespaces.*--allow-weak"), Sandbox():
        pass


@pytest.mark.usefixtures("no_namespaces")
@pytest.mark.parametrize("mode", ["split", "shared"])
def test_weaker_isolation_when_allowed_says_so_and_still_judges(mode: str) -> None:
    fork = Program("fork", "import os\nos.fork()", ("f(1)",), "f")
    parent = Program(
        "parent", "import os\nos.kill(os.getppid(), 9)\ndef f(x): return x + 1", ("assert f(1) == 2",), "f"
    )
    secret = Program("secret", "open('/etc/passwd')", ("f(1)",), "f")
    spin = Program("spin", "while True: pass", ("f(1)",), "f", Limits(cpu_s=0.3))
    with Sandbox(workers=1, mode=mode, allow_weak=True) as box:  # type: ignore[arg-type]
        assert box.isolation.level == "weak"
        assert "without namespaces" in box.isolation.label
        outcomes = {v.id: v.outcome for v in box.run([RIGHT, fork, secret, spin])}
        assert outcomes == {
            "right": Outcome.PASS, "fork": Outcome.ERROR, "secret": Outcome.ERROR, "spin": Outcome.TIMEOUT
        }  # fmt: skip
        landlock = next(piece for piece in box.isolation.pieces if piece.name == "landlock")
        if landlock.present and int(landlock.detail.split()[1]) >= 6:
            (verdict,) = box.run([parent])
            assert verdict.outcome is not Outcome.INFRA
        assert [v.outcome for v in box.run([RIGHT])] == [Outcome.PASS]


def test_a_label_names_what_is_missing() -> None:
    report = {
        "namespaces": True, "seccomp": True, "landlock": 0, "cgroup": {"missing": "why"}, "python": "3", "packages": {},
        "fresh": False, "counters": {"pids": True, "scratch": True}, "clocks": True,
    }  # fmt: skip
    found = isolation.from_report("embedded", report)
    assert (found.level, found.label) == ("full", "embedded, full isolation without landlock and cgroup")
    assert json.loads(json.dumps(found.as_json()))["level"] == "full"
    fresh = isolation.from_report("embedded", report | {"fresh": True})
    assert fresh.label == "embedded, full isolation without landlock and cgroup, fresh for each sample"


@pytest.mark.isolated
def test_a_cell_that_cannot_import_a_package_says_which() -> None:
    with pytest.raises(SandboxError, match="sandbox_no_such"):
        start_cells(CellOptions(host_layout(()), ("sandbox_no_such",)), "shared", allow_weak=False)


# --- cgroups -----------------------------------------------------------------------------------------------------


def fake_tree(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


LIMITS = {"name": "assay-1-0", "memory": 1 << 30, "pids": 40}


def test_cgroup_version_2(tmp_path: Path) -> None:
    membership = tmp_path / "membership"
    membership.write_text("0::/user.slice\n")
    fake_tree(
        tmp_path,
        {"user.slice/cgroup.controllers": "cpu memory pids\n", "user.slice/cgroup.subtree_control": ""},
    )
    group = cgroup.create(LIMITS, str(tmp_path), str(membership))
    folder = tmp_path / "user.slice/assay-1-0"
    assert group.folders == (str(folder),)
    assert (group.events, group.usage) == (f"{folder}/memory.events", f"{folder}/cpu.stat")
    assert (folder / "pids.max").read_text() == "40"
    assert int((folder / "memory.max").read_text()) >= 1 << 30
    assert (tmp_path / "user.slice/cgroup.subtree_control").read_text() == "+cpu +memory +pids"
    assert group.report["share"] == "a CPU share of its own"
    (folder / "memory.events").write_text("oom 3\noom_kill 2\n")
    assert group.oom_kills() == 2


def test_cgroup_version_1_beside_an_empty_version_2(tmp_path: Path) -> None:
    membership = tmp_path / "membership"
    membership.write_text("8:pids:/\n4:memory:/a/b\n1:cpu:/c\n0::/\n")
    fake_tree(tmp_path, {"memory/a/b/x": "", "pids/x": "", "cpu/c/x": ""})
    group = cgroup.create(LIMITS, str(tmp_path), str(membership))
    names = ("memory/a/b", "pids", "cpu/c")
    assert group.folders == tuple(f"{tmp_path}/{name}/assay-1-0" for name in names)
    assert group.report == {"version": "1", "share": "a CPU share of its own"}
    assert group.oom_kills() == 0


@pytest.mark.parametrize(
    ("mounts", "membership", "folders"),
    [
        ({"cpu": "cpu", "cpuacct": "cpuacct"}, "2:cpuacct:/c\n1:cpu:/c\n", ("cpu", "cpuacct")),
        (
            {"cpu": "cpu,cpuacct", "cpuacct": "cpu,cpuacct"},
            "1:cpu,cpuacct:/c\n",
            ("cpu",),
        ),  # mounted together
    ],
)
def test_the_cpu_time_of_a_cgroup_of_version_1_is_counted(
    tmp_path: Path, mounts: dict[str, str], membership: str, folders: tuple[str, ...]
) -> None:
    fake_tree(tmp_path, {"own": f"4:memory:/\n{membership}", "memory/x": ""})
    for name, target in mounts.items():
        (tmp_path / target / "c").mkdir(parents=True, exist_ok=True)
        if name != target:
            (tmp_path / name).symlink_to(target)
    group = cgroup.create(LIMITS, str(tmp_path), str(tmp_path / "own"))
    assert group.folders[1:] == tuple(f"{tmp_path}/{name}/c/assay-1-0" for name in folders)
    assert group.usage == f"{tmp_path}/cpuacct/c/assay-1-0/cpuacct.usage"


def test_cpu_time_is_read_in_the_units_of_either_version() -> None:
    assert cgroup.cpu_s(b"usage_usec 2500000\nuser_usec 1\n") == cgroup.cpu_s(b"2500000000\n") == 2.5


def test_a_cgroup_without_a_cpu_share_says_so(tmp_path: Path) -> None:
    membership = tmp_path / "membership"
    membership.write_text("8:pids:/\n4:memory:/a/b\n1:cpu:/c\n0::/\n")
    fake_tree(tmp_path, {"memory/a/b/x": "", "pids/x": ""})
    group = cgroup.create(LIMITS, str(tmp_path), str(membership))
    assert group.folders == (f"{tmp_path}/memory/a/b/assay-1-0", f"{tmp_path}/pids/assay-1-0")
    assert group.report["share"] == "no CPU share of its own"


@pytest.mark.parametrize(
    ("controllers", "why"), [("cpu\n", "memory and pids are not delegated"), (None, "No such file")]
)
def test_a_missing_cgroup_is_explained(tmp_path: Path, controllers: str | None, why: str) -> None:
    membership = tmp_path / "membership"
    membership.write_text("0::/\n")
    if controllers is not None:
        fake_tree(tmp_path, {"cgroup.controllers": controllers})
    assert why in cgroup.create(LIMITS, str(tmp_path), str(membership)).report["missing"]


@pytest.mark.slow
@pytest.mark.isolated
def test_memory_of_all_processes_together_is_bounded_where_a_cgroup_is() -> None:
    hungry = Program(
        "hungry",
        "import os, time\nfor _ in range(8):\n    if os.fork() == 0:\n        x = bytearray(100 << 20)\n"
        "        for i in range(0, len(x), 4096): x[i] = 1\n        time.sleep(20)\ntime.sleep(20)",
        (),
        limits=Limits(cpu_s=20, wall_s=8, memory_bytes=300 << 20),
    )
    with Sandbox(workers=1, limits=hungry.limits) as box:
        if not next(piece for piece in box.isolation.pieces if piece.name == "cgroup").present:
            pytest.skip(f"no cgroup here: {box.isolation.label}")
        (verdict,) = box.run([hungry])
        assert verdict.outcome is Outcome.MEMORY, verdict
        assert [v.outcome for v in box.run([replace(RIGHT, limits=hungry.limits)])] == [Outcome.PASS]


@pytest.mark.isolated
def test_python_of_the_cell_is_the_hosts() -> None:
    with Sandbox(workers=1) as box:
        assert box.isolation.python == sys.version.split()[0]
