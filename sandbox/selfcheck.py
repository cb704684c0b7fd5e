"""Run the attack corpus against a sandbox, a canary after each attack, and say what got through."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from assay.sandbox.corpus import DEFAULT_FOLDER, WEAKNESSES, Attack, Sample, load_corpus
from assay.sandbox.host.sandbox import Backend, Sandbox
from assay.sandbox.model import Mode, Outcome, Program, Verdict

# Makes a sandbox with as many workers as it is given.
MakeSandbox = Callable[[int], Sandbox]


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
    """The result of one attack: each of its runs with its verdict, and in what a canary after it differed."""

    attack: Attack
    mode: Mode
    runs: tuple[tuple[Sample, Verdict], ...]
    trace: str

    @property
    def canary_same(self) -> bool:
        return not self.trace

    @property
    def wrong_pass(self) -> bool:
        return any(v.passed and Outcome.PASS not in sample.expected for sample, v in self.runs)

    @property
    def undenied(self) -> bool:
        outputs = [verdict.output for sample, verdict in self.runs if sample.must_be_denied]
        return any("ALLOWED" in output or "DENIED" not in output for output in outputs)

    @property
    def unexpected(self) -> bool:
        return any(verdict.outcome not in sample.expected for sample, verdict in self.runs)

    @property
    def verdict(self) -> Verdict:
        """The first verdict that is not as expected, else the last."""
        wrong = (verdict for sample, verdict in self.runs if verdict.outcome not in sample.expected)
        return next(wrong, self.runs[-1][1])

    @property
    def good(self) -> bool:
        """Whether it holds no fault; a forgery passing in shared mode is the known weakness, and stated."""
        passes = (self.wrong_pass or self.unexpected) and not self.is_known_weakness
        return not (passes or self.undenied or not self.canary_same)

    @property
    def is_known_weakness(self) -> bool:
        return self.attack.kind == "forgery" and self.mode == "shared"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: how many of a kind were run in a mode, and how many went wrong in which way."""

    backend: str
    mode: Mode
    kind: str
    run: int
    wrong_passes: int
    undenied: int
    unexpected: int
    canary_differences: int
    good: bool


def attack_all(sandbox: Sandbox, attacks: Iterable[Attack], mode: Mode) -> Iterator[Finding]:
    """Run each attack and then a canary in the same cells.

    With one worker an attack's samples run one after the other, each when the last has its verdict; with more, side by
    side. A canary differs when its verdict or anything it prints is not what a fresh cell's canary printed.
    """
    canary = Program("canary", _CANARY, ("assert f(1) == 2",), "f", mode=mode)
    (clean,) = sandbox.run([canary])
    for attack in attacks:
        programs = {f"{sample.program.id}#{n}": sample for n, sample in enumerate(attack.sequence)}
        given = [replace(sample.program, id=name, mode=mode) for name, sample in programs.items()]
        if sandbox.workers == 1:
            verdicts = [verdict for program in given for verdict in sandbox.run([program])]
        else:
            verdicts = list(sandbox.run(given))
        after = list(sandbox.run(replace(canary, id=f"canary{n}") for n in range(sandbox.workers)))
        trace = next(filter(None, (_difference(clean, verdict) for verdict in after)), "")
        yield Finding(attack, mode, tuple((programs[v.id], v) for v in verdicts), trace)


def _difference(clean: Verdict, after: Verdict) -> str:
    if after.outcome is not Outcome.PASS or clean.outcome is not Outcome.PASS:
        return (
            f"the canary ended as {after.outcome} {after.detail}, the first as {clean.outcome} {clean.detail}"
        )
    lines = zip(clean.output.splitlines(), after.output.splitlines(), strict=False)
    first = next((f"{was[:300]!r} became {now[:300]!r}" for was, now in lines if was != now), "fewer lines")
    return "" if after.output == clean.output else f"the canary's {first}"


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

            def make(workers: int, backend: Backend = backend, mode: Mode = mode) -> Sandbox:
                return Sandbox(backend, mode, workers, isolation=isolation)

            yield from summarise(backend, mode, run_corpus(make, attacks, mode, parallel=parallel))


def run_corpus(
    make_sandbox: MakeSandbox, attacks: Sequence[Attack], mode: Mode, *, parallel: int = 2
) -> list[Finding]:
    """Run those of `attacks` that mean something in `mode`, on `parallel` sandboxes of one worker each; then those that
    want several workers, one after the other in a sandbox of their own. Findings come in the attacks' order."""
    attacks = [attack for attack in attacks if mode in attack.modes]
    alone = [attack for attack in attacks if attack.workers == 1]

    def work(first: int) -> list[Finding]:
        with make_sandbox(1) as sandbox:
            return list(attack_all(sandbox, alone[first::parallel], mode))

    with ThreadPoolExecutor(parallel, "sandbox-selfcheck") as pool:
        findings = [finding for part in pool.map(work, range(parallel)) for finding in part]
    for attack in attacks:
        if attack.workers > 1:
            with make_sandbox(attack.workers) as sandbox:
                findings += attack_all(sandbox, [attack], mode)
    places = {attack.name: place for place, attack in enumerate(attacks)}
    return sorted(findings, key=lambda finding: places[finding.attack.name])


def summarise(backend: str, mode: Mode, findings: Iterable[Finding]) -> list[Row]:
    """A row for each folder of the corpus."""
    findings = list(findings)
    kinds = dict.fromkeys(finding.attack.kind for finding in findings)
    return [_row(backend, mode, kind, [f for f in findings if f.attack.kind == kind]) for kind in kinds]


def summarise_weaknesses(backend: str, mode: Mode, findings: Iterable[Finding]) -> list[Row]:
    """A row for each of WEAKNESSES that the findings' files attack."""
    findings = list(findings)
    rows = []
    for number, title in WEAKNESSES.items():
        against = [finding for finding in findings if finding.attack.weakness == number]
        if against:
            rows.append(_row(backend, mode, f"{number} {title}", against))
    return rows


def _row(backend: str, mode: Mode, kind: str, findings: list[Finding]) -> Row:
    return Row(
        backend,
        mode,
        kind,
        len(findings),
        sum(f.wrong_pass for f in findings),
        sum(f.undenied for f in findings),
        sum(f.unexpected for f in findings),
        sum(not f.canary_same for f in findings),
        all(f.good for f in findings),
    )
