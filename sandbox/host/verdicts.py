"""The rules of judging: the mode that checks need, the requests that cells get, and the verdicts that answers mean.

Pure: no process, no clock. The mode is decided from the checks alone, never from how a candidate behaves: one that
could have itself judged in shared mode would only have to return an object that equals everything.
"""

from __future__ import annotations

import ast
import builtins
import json
import os
import signal
import symtable
from dataclasses import dataclass, field
from functools import lru_cache

from assay.sandbox.cell import wire
from assay.sandbox.errors import SandboxError
from assay.sandbox.model import Limits, Mode, Outcome, Program, Verdict

# A sample is stopped a little past its CPU limit. One that ends by itself between these fractions of the limit is
# judged again with nothing else running, so that a busy machine flips no verdict.
CPU_STOP = 1.05
_NEAR_CPU = 0.85
# One stopped by the wall clock was held up by others if it had used this much of its CPU time.
_BUSY = 0.1

_BY_CODE = {
    wire.PASSED: Outcome.PASS,
    wire.FAILED: Outcome.FAIL,
    wire.ERROR: Outcome.ERROR,
    wire.OUT_OF_MEMORY: Outcome.MEMORY,
}


Decision = tuple[Outcome, str]  # an outcome and its detail

_BUILTINS = frozenset(vars(builtins))
# They look inside a namespace or an object, where a proxy is not what it stands for.
_INSPECTING = frozenset((
    "isinstance", "issubclass", "hasattr", "getattr", "setattr", "delattr", "type", "vars", "dir", "id", "repr", "str",
))  # fmt: skip
_WHOLE_NAMESPACE = frozenset(("globals", "locals", "eval", "exec", "vars", "__import__"))


@dataclass(frozen=True, slots=True)
class Needs:
    """`names` are the candidate's functions that the checks call; `reason` says why split mode is not enough."""

    names: tuple[str, ...]
    reason: str = ""
    prelude: str = ""

    @property
    def mode(self) -> Mode:
        return "shared" if self.reason else "split"


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules by which one sandbox judges: the mode it was opened in, the packages that cross as objects rather
    than as data, and the largest limits that a program may have."""

    mode: Mode
    packages: tuple[str, ...] = ()
    largest: Limits = field(default_factory=Limits)

    def needs(self, program: Program) -> Needs:
        """Return what the program's checks need of its candidate."""
        return _analyse(program.checks, program.prelude, program.entry_point, self.packages)

    def mode_of(self, program: Program) -> Mode:
        """Return "shared" where the sandbox or the program asks for it, else the mode that the program's checks need.
        Raises SandboxError where the program's limits are above the sandbox's."""
        limits, largest = program.limits, self.largest
        if limits.memory_bytes > largest.memory_bytes or limits.processes > largest.processes:
            raise SandboxError(
                f"program {program.id!r} may use {limits.memory_bytes} bytes and {limits.processes} processes, this "
                f"sandbox was opened for {largest.memory_bytes} and {largest.processes}: open it with limits="
            )
        if self.mode == "shared" or program.mode == "shared":
            return "shared"
        return self.needs(program).mode if program.mode is None else "split"


@lru_cache(maxsize=4096)
def _analyse(checks: tuple[str, ...], prelude: str, entry_point: str, packages: tuple[str, ...]) -> Needs:
    try:
        sources = [_source(check) for check in checks]
    except (SyntaxError, ValueError, RecursionError):
        return Needs((entry_point,) if entry_point else ())  # the judge reports what is wrong with the check
    used = frozenset().union(*(source.used for source in sources))
    defined = frozenset().union(*(source.defined for source in sources))
    helpers, source = _prelude_names(prelude)
    foreign = used - defined - _BUILTINS - {entry_point}
    names = (foreign - helpers) | ({entry_point} & used)
    reason = _why_not_split(used, sources, names, packages)
    return Needs(tuple(sorted(names)), reason, source if foreign & helpers else "")


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """One check, looked at once: suites have checks in common, such as the rules by which answers are compared."""

    tree: ast.Module
    used: frozenset[str]
    defined: frozenset[str]
    imports: frozenset[str]
    loads: frozenset[str]


@lru_cache(maxsize=4096)
def _source(check: str) -> _Source:
    used, defined = _names(check)
    tree = ast.parse(check)
    loads = (node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
    return _Source(tree, frozenset(used), frozenset(defined), frozenset(_imports(tree)), frozenset(loads))


def _why_not_split(
    used: frozenset[str], sources: list[_Source], names: frozenset[str], packages: tuple[str, ...]
) -> str:
    if used & _WHOLE_NAMESPACE:
        return f"a check uses {min(used & _WHOLE_NAMESPACE)}()"
    imported = {root for source in sources for root in source.imports} & set(packages)
    if imported:
        return f"a check imports {min(imported)}"
    relevant = (source.tree for source in sources if source.loads & names)
    return next(filter(None, (_more_than_calls(tree, names) for tree in relevant)), "")


def _names(source: str) -> tuple[set[str], set[str]]:
    """Return the global names that a source uses, and those that it defines itself."""
    top = symtable.symtable(source, "<check>", "exec")
    tables, symbols = [top], []
    while tables:
        table = tables.pop()
        tables += table.get_children()
        symbols += [symbol for symbol in table.get_symbols() if table is top or symbol.is_global()]
    used = {symbol.get_name() for symbol in symbols if symbol.is_referenced()}
    return used, {symbol.get_name() for symbol in symbols if symbol.is_assigned() or symbol.is_imported()}


def _imports(tree: ast.AST) -> set[str]:
    roots = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            roots |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            roots.add(node.module.partition(".")[0])
    return roots


def _prelude_names(prelude: str) -> tuple[set[str], str]:
    """Return the names that a prelude defines, and the prelude as a whole module: a prompt may end where a body is to
    begin."""
    for source in (prelude, f"{prelude.rstrip()}\n    pass\n"):
        try:
            _, defined = _names(source)
            compile(source, "<prelude>", "exec")
        except (SyntaxError, ValueError, RecursionError):
            continue
        return defined, source
    return set(), ""


def _more_than_calls(tree: ast.AST, names: frozenset[str]) -> str:
    """Return why a proxy would not do for one of `names`, or nothing: it is called, passed to a function, or
    renamed."""
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            if not (isinstance(child, ast.Name) and isinstance(child.ctx, ast.Load) and child.id in names):
                continue
            if child.id[:1].isupper() and "_" not in child.id:
                return f"a check uses the class {child.id}"
            if not _is_harmless(node, child):
                return f"a check uses {child.id} other than by calling it"
    return ""


def _is_harmless(parent: ast.AST, name: ast.Name) -> bool:
    if isinstance(parent, ast.Call):
        function = parent.func
        return function is name or not (isinstance(function, ast.Name) and function.id in _INSPECTING)
    return isinstance(parent, (ast.Assign, ast.AnnAssign, ast.keyword, ast.arguments, ast.Lambda))


def request_for(program: Program, sequence: int, body: bytes, *, extra_wall_s: float = 0) -> wire.Request:
    limits = program.limits
    return wire.Request(
        sequence,
        round(limits.cpu_s * 1000 * CPU_STOP),
        round((limits.wall_s + extra_wall_s) * 1000),
        limits.memory_bytes,
        limits.output_bytes,
        limits.file_bytes,
        limits.processes,
        body,
    )


def shared_body(program: Program) -> bytes:
    return wire.join([wire.encode_text(source) for source in (program.candidate, *program.checks)])


def needs_quiet(limits: Limits, response: wire.Response) -> bool:
    """Return whether load on the machine could have decided this outcome."""
    cpu_s = response.cpu_us / 1e6
    if response.reason == wire.WALL_LIMIT:
        return cpu_s >= _BUSY * limits.cpu_s
    return response.reason == wire.ENDED and _NEAR_CPU <= cpu_s / limits.cpu_s <= CPU_STOP


def shared_verdict(program: Program, response: wire.Response) -> Verdict:
    """Return the verdict on a sample that ran in one cell together with its checks."""
    decision = _outcome(program.limits, response)
    return _verdict(program, response, decision, response.passed, response.output, "shared")


def _verdict(
    program: Program, response: wire.Response, decision: Decision, passed: int, output: bytes, mode: Mode
) -> Verdict:
    checks = len(program.checks)
    return Verdict(
        program.id,
        *decision,
        min(passed, checks),
        checks,
        response.cpu_us / 1e6,
        response.wall_us / 1e6,
        response.peak,
        mode,
        output.decode("utf-8", "replace"),
    )


def _outcome(limits: Limits, response: wire.Response) -> Decision:
    stopped = _limit_reached(limits, response)
    if stopped:
        return stopped
    detail = response.detail.decode("utf-8", "replace")
    if response.code in _BY_CODE:
        return _BY_CODE[response.code], detail
    return Outcome.ERROR, ending(response.status) + " before its checks were done"


def _limit_reached(limits: Limits, response: wire.Response) -> Decision | None:
    """The outcome when a limit ended the sample, whatever it had to say itself."""
    cpu_s = response.cpu_us / 1e6
    if response.flags & wire.OOM_KILLED:
        return Outcome.MEMORY, f"killed for going past {limits.memory_bytes} bytes of memory"
    if (
        response.reason == wire.CPU_LIMIT
        or cpu_s > limits.cpu_s * CPU_STOP
        or response.status == signal.SIGXCPU
    ):
        return Outcome.TIMEOUT, f"CPU time: {cpu_s:.2f} s used of {limits.cpu_s:g} s"
    if response.reason == wire.WALL_LIMIT:
        return Outcome.TIMEOUT, f"wall time: {limits.wall_s:g} s passed with {cpu_s:.2f} s of CPU time used"
    if response.written > limits.output_bytes:
        return Outcome.OUTPUT, f"wrote {response.written} bytes of output, {limits.output_bytes} are allowed"
    return None


def ending(status: int) -> str:
    """Return a wait status in words."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            return f"killed by {signal.Signals(number).name}"
        except ValueError:
            return f"killed by signal {number}"
    return f"exited with status {os.WEXITSTATUS(status)}"


def infra(program: Program, reason: str, mode: Mode) -> Verdict:
    return Verdict(program.id, Outcome.INFRA, reason, 0, len(program.checks), mode=mode)


def split_bodies(program: Program, needs: Needs) -> tuple[bytes, bytes]:
    """Return the request bodies of the judge cell and of the candidate cell."""
    judge = _judge_body(needs.prelude, needs.names, program.checks)
    return judge, wire.join([wire.encode_text(program.candidate)])


@lru_cache(maxsize=512)
def _judge_body(prelude: str, names: tuple[str, ...], checks: tuple[str, ...]) -> bytes:
    return wire.join([wire.encode_text(part) for part in (prelude, json.dumps(names), *checks)])


def split_verdict(program: Program, judge: wire.Response, candidate: wire.Response) -> Verdict | None:
    """Return the verdict from both cells of a pair; None when the checks turn out to need shared mode. CPU time and
    memory are the candidate's."""
    decision = _split_outcome(program, judge, candidate)
    if decision is None:
        return None
    output = candidate.output + judge.output
    return _verdict(program, candidate, decision, judge.passed, output, "split")


def _split_outcome(program: Program, judge: wire.Response, candidate: wire.Response) -> Decision | None:
    """A limit that the candidate reached comes first, then one that the judge reached over its answers, then the
    judge's word."""
    reached = _limit_reached(program.limits, candidate)
    if reached:
        return reached
    over = _limit_reached(program.limits, judge)
    if over:
        return over[0], f"while its answers were compared: {over[1]}"
    if judge.code == wire.NEEDS_SHARED:
        return None
    detail = judge.detail.decode("utf-8", "replace")
    if judge.code in _BY_CODE:
        return _BY_CODE[judge.code], detail
    if judge.code == wire.CANDIDATE_GONE:
        how = detail if candidate.reason == wire.HUNG_UP else ending(candidate.status)
        return Outcome.ERROR, f"{how} before its checks were done"
    return Outcome.ERROR, f"the checks {ending(judge.status)} before they were done"
