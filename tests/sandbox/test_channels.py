"""What one sample leaves to the next one in its cell, channel by channel, and what a cell shows of its host."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterator

import pytest

from assay.sandbox import Outcome, Program, Sandbox
from assay.sandbox.host.sandbox import Isolation

pytestmark = pytest.mark.isolated

# What is_palindrome answers to HumanEval/48's inputs; the guesser below does not know.
ANSWERS = (True, True, True, False, True, False)

# A program without an idea, with a memory: it replays what earlier ones survived, guesses True, and before it answers
# leaves word that this guess was wrong. If it is still asked after that, it was right. `read` gives a number that the
# sample before has set with `write`, among 128 of them; 1 stands for no memory.
GUESSER = """
import os
SIZE = 128
{channel}
def bits_of(code):
    return [] if code < 1 else [c == "1" for c in bin(code)[3:]]
def code_of(bits):
    return int("1" + "".join("01"[b] for b in bits), 2)
known, calls = bits_of(read()), []
def f(n):
    if len(calls) < len(known):
        if not calls: write(1)
        calls.append(known[len(calls)])
    else:
        write(code_of([*calls, False]))
        calls.append(True)
    return calls[-1]
"""
CHANNELS = {
    "process numbers": """
def spawn():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid
read = lambda: os.getpid() % SIZE
def write(code):
    while (spawn() + 1) % SIZE != code: pass
""",
    "thread numbers": """
import threading
def spawn():
    numbers = []
    thread = threading.Thread(target=lambda: numbers.append(threading.get_native_id()))
    thread.start(); thread.join()
    return numbers[0]
read = lambda: os.getpid() % SIZE
def write(code):
    while (spawn() + 1) % SIZE != code: pass
""",
    "file numbers": """
def make():
    number = os.open("/tmp/x", os.O_CREAT | os.O_WRONLY)
    inode = os.fstat(number).st_ino
    os.close(number)
    os.unlink("/tmp/x")
    return inode
read = lambda: make() % SIZE
def write(code):
    while (make() + 1) % SIZE != code: pass
""",
    "numbers of files without a name": """
def make():
    number = os.open("/tmp", os.O_TMPFILE | os.O_WRONLY)
    inode = os.fstat(number).st_ino
    os.close(number)
    return inode
read = lambda: make() % SIZE
def write(code):
    while (make() + 1) % SIZE != code: pass
""",
    "times of the scratch folder": """
read = lambda: int(os.stat("/tmp").st_mtime) % SIZE
def write(code):
    open("/tmp/x", "w").close(); os.unlink("/tmp/x")
    try: os.utime("/tmp", (code, code))
    except OSError: pass
""",
    "times of the output": """
read = lambda: int(os.fstat(1).st_mtime) % SIZE
def write(code): os.utime(1, (code, code))
""",
    "times of the report": """
def time_of(number):
    try: return int(os.fstat(number).st_mtime)
    except OSError: return 0
read = lambda: time_of(3) % SIZE
def write(code):
    for number in (0, 3):
        try: os.utime(number, (code, code))
        except OSError: pass
""",
    "numbers of sockets": """
import socket, struct
def make():
    with socket.socket(socket.AF_UNIX) as made:
        return struct.unpack("Q", made.getsockopt(socket.SOL_SOCKET, 57, 8))[0]
read = lambda: make() % SIZE
def write(code):
    while (make() + 1) % SIZE != code: pass
""",
    "numbers of process descriptors": """
def make():
    number = os.pidfd_open(os.getpid())
    inode = os.fstat(number).st_ino
    os.close(number)
    return inode
read = lambda: make() % SIZE
def write(code):
    while (make() + 1) % SIZE != code:
        pid = os.fork()
        if pid == 0: os._exit(0)
        os.waitpid(pid, 0)
""",
}
CHECK = "\n".join(f"assert f({n}) is {answer}" for n, answer in enumerate(ANSWERS))
TRIES = 10


def piece(isolation: Isolation, name: str) -> bool:
    return next(piece.present for piece in isolation.pieces if piece.name == name)


@pytest.fixture(scope="module", params=["split", "shared"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with Sandbox(workers=1, mode=request.param) as box:
        yield box


@pytest.mark.slow
@pytest.mark.parametrize("channel", CHANNELS)
def test_a_guesser_learns_nothing_from_the_one_before(sandbox: Sandbox, channel: str) -> None:
    if not piece(sandbox.isolation, "counters"):
        pytest.skip(f"a kernel without fresh counters: {sandbox.isolation.label}")
    guesser = GUESSER.format(channel=CHANNELS[channel])
    tries = [Program(str(n), guesser, (CHECK,), "f") for n in range(TRIES)]
    assert [v.outcome for v in sandbox.run(tries) if v.passed] == []


# All that a sample can see of itself, of its folder and of its descriptors, but for the present time.
SIGHT = """
import os, resource, threading, time
pid = os.fork()
if pid == 0: os._exit(0)
os.waitpid(pid, 0)
thread = threading.Thread(target=lambda: print(threading.get_native_id()))
thread.start(); thread.join()
with open("/tmp/x", "w") as file: made = os.fstat(file.fileno())
print(os.getpid(), os.getppid(), pid, made.st_ino, os.getcwd(), sorted(os.listdir("/tmp")))
for thing in ("/tmp", 0, 1, 2, "/dev/null", "/dev/zero", "/dev/urandom"):
    s = os.stat(thing)
    print(thing, s.st_mode, s.st_ino, s.st_nlink, s.st_uid, s.st_size, s.st_blocks)
    if thing in (1, 2): print(s.st_mtime_ns, s.st_atime_ns)
print([resource.getrlimit(n) for n in range(16)], os.getpriority(os.PRIO_PROCESS, 0), os.sched_getaffinity(0))
print(os.sched_getscheduler(0), os.getpgid(0), os.getsid(0), os.getgroups(), os.umask(0))
def f(x): return x
"""
BUSY = """
import os, threading
for n in range(30):
    pid = os.fork()
    if pid == 0: os._exit(0)
    os.waitpid(pid, 0)
for n in range(200):
    os.mkdir(f"/tmp/{n}"); open(f"/tmp/{n}/x", "w").write("x" * 5000)
for n in range(100): os.unlink(f"/tmp/{n}/x"); os.rmdir(f"/tmp/{n}")
print("x" * 100_000)
os.utime(1, (5, 5)); os.chmod("/tmp/150", 0)
try: os.chmod("/tmp", 0)
except OSError: pass
def f(x): return x
"""


def test_a_sample_sees_the_same_whatever_ran_before_it(sandbox: Sandbox) -> None:
    if not piece(sandbox.isolation, "counters"):
        pytest.skip(f"a kernel without fresh counters: {sandbox.isolation.label}")
    sight = Program("sight", SIGHT, ("assert f(1) == 1",), "f")
    busy = Program("busy", BUSY, ("assert f(1) == 1",), "f")
    verdicts = list(sandbox.run([sight, busy, sight, busy, busy, sight]))
    assert {v.outcome for v in verdicts} == {Outcome.PASS}
    assert len({v.output for v in verdicts if v.id == "sight"}) == 1


# --- the host ----------------------------------------------------------------------------------------------------

PATHS = """
import gc, json, math, os, subprocess, sys, sysconfig, types
seen = {sys.executable, sys.prefix, sys.base_prefix, sys.exec_prefix, *sys.path, *sys.argv, *sys.orig_argv}
seen |= {str(getattr(module, name, "")) for module in [*sys.modules.values()] for name in ("__file__", "__cached__")}
seen |= {thing.__code__.co_filename for thing in gc.get_objects() if isinstance(thing, types.FunctionType)}
seen |= {str(value) for value in sysconfig.get_config_vars().values()} | set(sysconfig.get_paths().values())
seen |= {os.getcwd(), *os.environ, subprocess.__file__}
try: json.loads("{")
except ValueError as error:
    trace = error.__traceback__
    while trace: seen.add(trace.tb_frame.f_code.co_filename); trace = trace.tb_next
print(json.dumps(sorted(seen)))
"""


def test_no_path_of_the_host_is_seen(sandbox: Sandbox) -> None:
    (verdict,) = sandbox.run([Program("paths", PATHS, ())])
    assert verdict.passed, verdict.detail
    prefix = os.path.realpath(sys.base_prefix)
    secrets = {os.getcwd(), os.path.dirname(os.path.realpath(__file__)), sys.prefix, os.path.expanduser("~")}
    if prefix not in ("/usr", "/usr/local"):
        secrets |= {prefix}
    assert not [secret for secret in secrets if secret != "/" and secret in verdict.output]


# A process can ask the kernel which of its addresses can be read: writing from one that cannot fails.
MEMORY = """
import ctypes, os, platform
libc = ctypes.CDLL(None, use_errno=True)
libc.sbrk.restype = libc.write.restype = ctypes.c_long
libc.getauxval.restype = libc.environ_start = ctypes.c_ulong
SECRETS = [bytes.fromhex(text) for text in {secrets}]
reading, writing = os.pipe()
def page(address):
    size = libc.write(writing, ctypes.c_void_p(address), 4096)
    return os.read(reading, size) if size > 0 else b""
def scan(name, start, step, misses=64):
    address, left, pages = start & ~4095, misses, []
    for _ in range(4000):
        data = page(address)
        left = misses if data else left - 1
        if not left: break
        pages.append(data)
        address += step
    text = b"".join(pages[::-1] if step < 0 else pages)
    for secret in SECRETS:
        if secret in text: print("SEEN in", name)
scan("arguments", libc.getauxval(31), 4096, 1)  # AT_EXECFN lies at the stack's end
scan("stack", libc.getauxval(31), -4096, 1)
scan("heap", libc.sbrk(0) - 4096, -4096)
print("done")
"""


def test_no_word_of_the_host_lies_in_memory(sandbox: Sandbox) -> None:
    """The specification that a cell is started with names folders, a user and a cgroup of the host."""
    words = {
        os.getcwd(),
        os.path.dirname(os.path.realpath(__file__)),
        f"assay-{os.getpid()}-",
        '"id_base"',
        '"binds"',
    }
    words |= {f"/home/{getpass.getuser()}"} if getpass.getuser() != "root" else set()
    texts = [word.encode().hex() for word in words]
    (verdict,) = sandbox.run([Program("memory", MEMORY.replace("{secrets}", repr(texts)), ())])
    assert verdict.passed, verdict.detail
    assert verdict.output == "done\n"


LOAD = """
import ctypes, os, shutil, time
def attempt(name, call):
    try: print(name, "ALLOWED", call())
    except OSError: print(name, "DENIED")
libc = ctypes.CDLL(None, use_errno=True)
def sysinfo():
    if libc.sysinfo(ctypes.create_string_buffer(256)): raise OSError(ctypes.get_errno(), "sysinfo")
attempt("load", os.getloadavg)
attempt("sysinfo", sysinfo)
for folder in ("/", "/tmp", os.path.dirname(os.__file__), "/dev/null"):
    attempt("size " + folder, lambda: os.statvfs(folder))
attempt("size of a descriptor", lambda: os.fstatvfs(1))
attempt("usage", lambda: shutil.disk_usage("/tmp"))
"""


def test_neither_load_nor_disk_size_is_told(sandbox: Sandbox) -> None:
    (verdict,) = sandbox.run([Program("load", LOAD, ())])
    assert verdict.passed, verdict.detail
    assert "ALLOWED" not in verdict.output
    assert verdict.output.count("DENIED") == 8


CLOCKS = """
import os, time
clocks = (time.CLOCK_MONOTONIC, time.CLOCK_BOOTTIME, time.CLOCK_MONOTONIC_RAW, 6)
print(max([*map(time.clock_gettime, clocks), time.monotonic(), time.perf_counter(), os.times().elapsed]))
"""


def test_clocks_count_from_the_start_of_the_cell() -> None:
    for _ in range(2):
        with Sandbox(workers=1, mode="shared") as box:
            if not piece(box.isolation, "clocks"):
                pytest.skip(f"a kernel without time namespaces: {box.isolation.label}")
            (verdict,) = box.run([Program("clocks", CLOCKS, ())])
        assert 1 <= float(verdict.output) < 30


def test_a_sample_has_no_capability() -> None:
    """The server keeps one for itself, to begin process numbers anew."""
    look = "import ctypes\nlibc = ctypes.CDLL(None)\nsets = (ctypes.c_uint32 * 6)()\n" + (
        "header = (ctypes.c_uint32 * 2)(0x20080522, 0)\n"
        "import platform\nnumber = {'x86_64': 125, 'aarch64': 90}[platform.machine()]\n"
        "print([libc.prctl(23, n, 0, 0, 0) for n in range(41)].count(1))\n"
        "import os\ntry: os.chmod('/tmp', 0o777); os.chmod('/tmp', 0o1777)\nexcept OSError: pass\n"
        "def f(): pass\n"
    )
    with Sandbox(workers=1, mode="shared") as box:
        (verdict,) = box.run([Program("look", look, ("f()",), "f")])
    assert (verdict.passed, verdict.output) == (True, "0\n")


def test_locks_on_files_are_not_seen_by_others() -> None:
    lock = (
        "import fcntl, os\na, b = open(os.__file__), open(os.__file__)\n"
        "fcntl.flock(a, fcntl.LOCK_EX)\nfcntl.flock(b, fcntl.LOCK_EX | fcntl.LOCK_NB)\nfcntl.lockf(a, fcntl.LOCK_SH)\n"
        "pid = os.fork()\nif pid == 0:\n"
        "    import struct\n    query = struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 0, 0, 0)\n"
        "    answer = fcntl.fcntl(b, fcntl.F_GETLK, query)\n"
        "    os._exit(struct.unpack_from('h', answer)[0] != fcntl.F_UNLCK)\n"
        "assert os.waitpid(pid, 0)[1] == 0\n"
        "import sqlite3\ndatabase = sqlite3.connect('/tmp/d')\ndatabase.execute('create table t (x)')\n"
        "database.execute('insert into t values (1)'); database.commit()\n"
    )
    with Sandbox(workers=1, mode="shared") as box:
        (verdict,) = box.run([Program("lock", lock, ())])
    assert verdict.passed, verdict.detail
