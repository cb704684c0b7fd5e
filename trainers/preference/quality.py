"""The quality of a program that works: lint findings, cyclomatic complexity, docstring. Read from its source alone.

The rules are few and our own, so that a reward or a preference does not change with a linter's version; each is one
that pycodestyle, pyflakes or pylint has too (its code stands beside it).
"""

from __future__ import annotations

import ast
import builtins
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

_BUILTINS = frozenset(dir(builtins))
_BRANCHES = (
    ast.If,
    ast.For,
    ast.While,
    ast.ExceptHandler,
    ast.IfExp,
    ast.comprehension,
    ast.Assert,
    ast.match_case,
)
_ENDS = (ast.Return, ast.Raise, ast.Break, ast.Continue)
_Function = ast.FunctionDef | ast.AsyncFunctionDef


class Finding(NamedTuple):
    rule: str
    line: int


@dataclass(frozen=True, slots=True)
class Quality:
    """`complexity` is McCabe's, of the whole program; `lines` counts those that are not empty."""

    lint: int
    complexity: int
    docstring: bool
    lines: int


def measure(program: str) -> Quality | None:
    """None where the program does not parse."""
    tree = _parse(program)
    if tree is None:
        return None
    lines = sum(bool(line.strip()) for line in program.split("\n"))
    return Quality(len(lint(program)), complexity(tree), _documented(tree), lines)


def lint(program: str) -> list[Finding]:
    """What a reviewer would remark on, by line; empty where the program does not parse."""
    tree = _parse(program)
    if tree is None:
        return []
    found = [*_by_node(tree), *_unused(tree), *_unreachable(tree)]
    return sorted(set(found), key=lambda f: (f.line, f.rule))


def complexity(tree: ast.AST) -> int:
    """1 + decisions: branches, loops, handlers, conditions in comprehensions, and each `and`/`or` (McCabe 1976)."""
    decisions = 0
    for node in ast.walk(tree):
        if isinstance(node, _BRANCHES):
            decisions += 1 + (len(node.ifs) if isinstance(node, ast.comprehension) else 0)
        elif isinstance(node, ast.BoolOp):
            decisions += len(node.values) - 1
    return 1 + decisions


def _parse(program: str) -> ast.Module | None:
    try:
        return ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _documented(tree: ast.Module) -> bool:
    functions = [node for node in ast.walk(tree) if isinstance(node, _Function)]
    return bool(functions) and all(ast.get_docstring(f) for f in functions[:1])


def _by_node(tree: ast.Module) -> Iterator[Finding]:
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        match node:
            case ast.ExceptHandler(type=None):
                yield Finding("bare-except", line)  # E722
            case ast.Compare(ops=ops, comparators=right):
                for op, value in zip(ops, right, strict=True):
                    if isinstance(op, ast.Eq | ast.NotEq) and _singleton(value):
                        yield Finding("singleton-comparison", line)  # E711, E712
            case ast.UnaryOp(op=ast.Not(), operand=ast.Compare(ops=[ast.In() | ast.Is()])):
                yield Finding("not-in", line)  # E713, E714
            case ast.Assign(targets=[ast.Name()], value=ast.Lambda()):
                yield Finding("lambda-assignment", line)  # E731
            case ast.Assign(targets=[ast.Name(id=a)], value=ast.Name(id=b)) if a == b:
                yield Finding("self-assignment", line)  # PLW0127
            case ast.ImportFrom(names=[ast.alias(name="*")]):
                yield Finding("star-import", line)  # F403
            case ast.Dict(keys=keys):
                if _repeated(keys):
                    yield Finding("repeated-key", line)  # F601
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield from _function(node)
            case ast.Name(id=name, ctx=ast.Store()):
                if name in ("l", "O", "I"):
                    yield Finding("ambiguous-name", line)  # E741
                if name in _BUILTINS:
                    yield Finding("shadowed-builtin", line)  # A001


def _function(node: _Function) -> Iterator[Finding]:
    for default in (*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)):
        if isinstance(default, ast.List | ast.Dict | ast.Set):
            yield Finding("mutable-default", node.lineno)  # B006


def _singleton(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, bool))


def _repeated(keys: list[ast.expr | None]) -> bool:
    values = Counter(repr(k.value) for k in keys if isinstance(k, ast.Constant))
    return any(n > 1 for n in values.values())


def _unused(tree: ast.Module) -> Iterator[Finding]:
    """Imports, and a function's own variables, that nothing reads (F401, F841)."""
    read = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Store)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                name = (alias.asname or alias.name).split(".")[0]
                if name != "*" and name not in read:
                    yield Finding("unused-import", node.lineno)
        if isinstance(node, _Function):
            outer = {
                n
                for inner in ast.walk(node)
                if isinstance(inner, ast.Global | ast.Nonlocal)
                for n in inner.names
            }
            for inner in ast.walk(node):
                if isinstance(inner, ast.Assign):
                    for target in inner.targets:
                        if isinstance(target, ast.Name) and target.id not in read | outer:
                            yield Finding("unused-variable", inner.lineno)


def _unreachable(tree: ast.Module) -> Iterator[Finding]:
    """Statements behind one that leaves their block (pylint W0101)."""
    for node in ast.walk(tree):
        for block in (getattr(node, name, None) for name in ("body", "orelse", "finalbody")):
            if not isinstance(block, list):
                continue
            for before, after in pairwise(block):
                if isinstance(before, _ENDS):
                    yield Finding("unreachable", after.lineno)
                    break
