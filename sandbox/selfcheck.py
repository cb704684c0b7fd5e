"""Run the attack corpus against a sandbox, a canary after each attack, and say what got through."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from assay.sandbox.errors import SandboxError
from assay.sandbox.host.sandbox import Backend, Sandbox
from assay.sandbox.model import Limits, Mode, Outcome, Program, Verdict

# The attack corpus: hostile programs, forgeries and correct programs, one file each, with what is expected of them.
#
# A file is a candidate whose leading comments say how it is judged::
#
#     # expect: error timeout        the outcomes that are right
#     # check: assert f(1) == 2      its check, a line each (this one when there is none)
#     # limits: cpu_s=0.5 wall_s=1   fields of Limits
#     # denied: yes                  it prints DENIED when it was kept from what it tried, ALLOWED when it was not
#     # prelude: def g(x): return x  the check's own helpers, a line each

Kind = Literal["hostile", "forgery", "control"]
DEFAULT_FOLDER = Path(__file__).resolve().parent.parent / "tests" / "attacks"

_DEFAULT_CHECK = "assert f(1) == 2"
_KEYS = ("expect", "check", "limits", "denied", "prelude")


@dataclass(frozen=True, slots=True)
class Attack:
    """One file of the corpus. `must_be_denied` says that its output tells whether it was."""

    name: str
    kind: Kind
    program: Program
    expected: frozenset[Outcome]
    must_be_denied: bool


def load_corpus(folder: Path = DEFAULT_FOLDER) -> list[Attack]:
    """All attacks below `folder`, by kind and name. SandboxError when there are none or one is malformed."""
    attacks = [
        load_attack(path, kind) for kind in get_args(Kind) for path in sorted((folder / kind).glob("*.py"))
    ]
    if not attacks:
        raise SandboxError(
            f"no attack corpus at {folder}; it lies in a checkout's tests/attacks: pass that folder"
        )
    return attacks


def load_attack(path: Path, kind: Kind) -> Attack:
    source = path.read_text(encoding="utf-8")
    header: dict[str, list[str]] = {}
    for line in source.splitlines():
        key, colon, value = line.removeprefix("# ").partition(": ")
        if not (line.startswith("# ") and colon and key in _KEYS):
            break
        header.setdefault(key, []).append(value)
    try:
        expected = frozenset(Outcome(word) for word in " ".join(header["expect"]).split())
        limits = Limits(**_numbers(" ".join(header.get("limits", []))))
    except (KeyError, ValueError, TypeError) as error:
        raise SandboxError(f"{path}: its header is wrong: {type(error).__name__}: {error}") from error
    program = Program(
        f"{kind}/{path.stem}",
        source,
        ("\n".join(header.get("check", [_DEFAULT_CHECK])),),
        "f",
        limits,
        "\n".join(header.get("prelude", [])),
    )
    return Attack(program.id, kind, program, expected, "denied" in header)


def _numbers(text: str) -> dict[str, Any]:
    pairs = (word.split("=") for word in text.split())
    return {key: float(value) if key.endswith("_s") else int(value) for key, value in pairs}


# What a sample can see of the one before it: its files, processes, descriptors, limits, signals, modules, state.
_CANARY = """
import builtins, fcntl, os, resource, signal, sys, threading
def f(x): return x + 1
def opened(n):
    try: return os.fstat(n).st_mode
    except OSError: return None
umask = os.umask(0o77)
try: child = os.waitpid(-1, os.WNOHANG)
except ChildProcessError: child = None
print(sorted(os.listdir(".")), umask, child, threading.active_count(), len(sys.modules), len(vars(builtins)))
print([opened(n) for n in range(64)], os.lseek(1, 0, 1) == 0, fcntl.fcntl(1, fcntl.F_GETFL), os.fstat(1).st_size)
print([resource.getrlimit(n) for n in range(16)], [str(signal.getsignal(n)) for n in range(1, 32)])
print(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())), sys.getrecursionlimit(), dict(os.environ))
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one attack."""

    attack: Attack
    verdict: Verdict
    canary_same: bool

    @property
    def wrong_pass(self) -> bool:
        return self.attack.kind != "control" and self.verdict.passed

    @property
    def undenied(self) -> bool:
        output = self.verdict.output
        return self.attack.must_be_denied and ("ALLOWED" in output or "DENIED" not in output)

    @property
    def unexpected(self) -> bool:
        return self.verdict.outcome not in self.attack.expected


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: how many of a kind were run in a mode, and how many went wrong in which way."""

    backend: str
    mode: Mode
    kind: Kind
    run: int
    wrong_passes: int
    undenied: int
    unexpected: int
    canary_differences: int

    @property
    def good(self) -> bool:
        """Whether the row holds no fault; a forgery passing in shared mode is the known weakness, and stated."""
        if self.kind == "forgery" and self.mode == "shared":
            return not self.undenied and not self.canary_differences
        return not (self.wrong_passes or self.undenied or self.unexpected or self.canary_differences)


def attack_all(sandbox: Sandbox, attacks: Iterable[Attack], mode: Mode) -> Iterator[Finding]:
    """Run each attack and then a canary in the same cell; `sandbox` must have one worker.

    A canary differs when its verdict or anything it prints is not what a fresh cell's canary printed.
    """
    canary = Program("canary", _CANARY, ("assert f(1) == 2",), "f", mode=mode)
    (clean,) = sandbox.run([canary])
    for attack in attacks:
        (verdict,) = sandbox.run([replace(attack.program, mode=mode)])
        (after,) = sandbox.run([canary])
        same = after.outcome is clean.outcome is Outcome.PASS and after.output == clean.output
        yield Finding(attack, verdict, same)


def selfcheck(
    backends: Sequence[Backend] = ("embedded",),
    modes: Sequence[Mode] = ("split", "shared"),
    corpus: Path = DEFAULT_FOLDER,
    *,
    isolation: Literal["cell", "fresh"] = "cell",
    parallel: int = 2,
) -> Iterator[Row]:
    """The table of `assay sandbox selfcheck`: a row for each backend, mode and kind of program, as they are done.

    SandboxError where a backend cannot run here or the corpus is not found.
    """
    attacks = load_corpus(corpus)
    for backend in backends:
        for mode in modes:
            make = partial(Sandbox, backend, mode, 1, isolation=isolation)
            yield from summarise(backend, mode, run_corpus(make, attacks, mode, parallel=parallel))


def run_corpus(
    make_sandbox: Callable[[], Sandbox], attacks: Sequence[Attack], mode: Mode, *, parallel: int = 2
) -> list[Finding]:
    """Run `attacks` on `parallel` sandboxes of one worker each, made by `make_sandbox`; findings in their order."""

    def work(first: int) -> list[Finding]:
        with make_sandbox() as sandbox:
            return list(attack_all(sandbox, attacks[first::parallel], mode))

    with ThreadPoolExecutor(parallel, "sandbox-selfcheck") as pool:
        findings = [finding for part in pool.map(work, range(parallel)) for finding in part]
    places = {attack.name: place for place, attack in enumerate(attacks)}
    return sorted(findings, key=lambda finding: places[finding.attack.name])


def summarise(backend: str, mode: Mode, findings: Iterable[Finding]) -> list[Row]:
    findings = list(findings)
    rows = []
    for kind in dict.fromkeys(finding.attack.kind for finding in findings):
        of_kind = [finding for finding in findings if finding.attack.kind == kind]
        rows.append(
            Row(
                backend,
                mode,
                kind,
                len(of_kind),
                sum(f.wrong_pass for f in of_kind),
                sum(f.undenied for f in of_kind),
                sum(f.unexpected for f in of_kind),
                sum(not f.canary_same for f in of_kind),
            )
        )
    return rows
