"""Trim an answer to its program: the definitions, without the demonstration around them.

Only whole statements at top level are left out, and never one that the entry point's own text is part of, so that a
wrong answer stays as wrong as it was written.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field

from assay.suites.parsing import parse

MAX_PARSED_CHARS = 2_000_000  # in all, for one reply
_FAILURES = (SyntaxError, ValueError, RecursionError, MemoryError)
_SHOWS = frozenset(("print", "input", "pprint", "display", "exit", "quit"))
_TESTERS = frozenset(("doctest", "unittest", "pytest", "timeit", "cProfile"))
_Definition = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_Function = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(slots=True)
class Parser:
    """Parses, within a limit to the work that one reply can cause. `failed_at` is the line, from 0, of the last
    error."""

    left: int = MAX_PARSED_CHARS
    failed_at: int = 0
    _known: dict[str, ast.Module | None] = field(default_factory=dict)

    def parse(self, code: str) -> ast.Module | None:
        if code in self._known:
            return self._known[code]
        self.left -= len(code)
        self.failed_at = 0
        if self.left < 0:
            return None
        try:
            tree = parse(code)
        except _FAILURES as error:
            self.failed_at = (getattr(error, "lineno", 1) or 1) - 1
            return None
        self._known[code] = tree
        return tree

    def longest(self, code: str) -> tuple[ast.Module | None, str]:
        """The longest run of leading lines, ended only before a line in column 0, that parses."""
        tree = self.parse(code)
        if tree is not None:
            return tree, code
        lines = code.split("\n")
        ends = [
            i
            for i in range(1, len(lines))
            if lines[i] and not lines[i][0].isspace() and lines[i][0] not in ")]}"
        ]
        latest = self.failed_at
        for end in reversed(ends):
            if end > latest:
                continue
            used = "\n".join(lines[:end])
            tree = self.parse(used)
            if tree is not None:
                return tree, used
            if self.left < 0:
                break
            latest = min(latest, end, self.failed_at)
        return None, code


def bound(node: ast.stmt) -> set[str]:
    """The names that a top-level statement binds, or whose attributes and items it sets."""
    if isinstance(node, _Definition):
        return {node.name}
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    names |= {base for n in ast.walk(node) if (base := _set_within(n))}
    inner = [n for n in ast.walk(node) if isinstance(n, (*_Definition, ast.Import, ast.ImportFrom))]
    return names.union(*(bound(n) for n in inner))


def _set_within(node: ast.AST) -> str:
    """The name at the root of a target such as `f.cache` or `table[0]`, or nothing."""
    if not isinstance(node, (ast.Attribute, ast.Subscript)) or not isinstance(node.ctx, ast.Store):
        return ""
    root: ast.AST = node
    while isinstance(root, (ast.Attribute, ast.Subscript)):
        root = root.value
    return root.id if isinstance(root, ast.Name) else ""


def defines(tree: ast.Module, name: str) -> bool:
    return any(
        name in bound(node) for node in tree.body if not isinstance(node, (ast.Import, ast.ImportFrom))
    )


def mentions(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


def is_stub(tree: ast.Module, name: str) -> bool:
    """Return whether the entry point is only announced: its body is a docstring, `pass`, `...` or
    NotImplementedError."""
    for node in tree.body:
        if isinstance(node, _Function) and node.name == name:
            return all(_is_nothing(inner) for inner in node.body)
    return False


def _is_nothing(node: ast.stmt) -> bool:
    if isinstance(node, ast.Raise):
        return node.exc is not None and "NotImplementedError" in mentions(node.exc)
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def _needed(tree: ast.Module, name: str) -> set[str]:
    """The top-level names that the entry point uses, through whatever it calls."""
    uses: dict[str, set[str]] = {}
    for node in tree.body:
        if not isinstance(node, ast.Expr):
            for target in bound(node):
                uses.setdefault(target, set()).update(mentions(node))
    names, waiting = {name}, [name]
    while waiting:
        new = uses.get(waiting.pop(), set()) - names
        names |= new
        waiting += new
    return names


def trimmed(tree: ast.Module, code: str, name: str) -> str:
    """`code` without its demonstrations."""
    needed_names = _needed(tree, name)
    # Functions that demonstrate: they show something, or call the entry point without its calling them.
    shows = {
        node.name
        for node in tree.body
        if isinstance(node, _Function)
        and node.name not in needed_names
        and mentions(node) & (_SHOWS | {name})
    }
    lines = code.split("\n")
    drop: set[int] = set()
    keep: set[int] = set()
    for node in tree.body:
        target = drop if _is_demonstration(node, name, needed_names, shows) else keep
        target.update(range(node.lineno - 1, node.end_lineno or node.lineno))
    drop -= keep  # a line that holds both, as `import math; print(1)` does, stays
    return "\n".join(line for i, line in enumerate(lines) if i not in drop)


def _is_demonstration(node: ast.stmt, name: str, needed_names: set[str], shows: set[str]) -> bool:
    """Return whether a top-level statement only shows or tests what is defined."""
    if isinstance(node, ast.Assert):
        return True
    if isinstance(node, (*_Definition, ast.Import, ast.ImportFrom)):
        return False
    if isinstance(node, ast.Expr) and not isinstance(node.value, ast.Call):
        return not isinstance(node.value, ast.Constant)
    used = mentions(node)
    if isinstance(node, ast.If) and "__name__" in mentions(node.test):
        return True
    if bound(node) & needed_names:
        return False
    return bool(used & (_SHOWS | _TESTERS | shows | {name}))


def part_of_entry(tail: str, name: str) -> bool:
    """Return whether text that would be cut off defines the entry point, or goes on inside a definition."""
    first = next((line for line in tail.split("\n") if line.strip()), "")
    again = re.search(
        rf"^\s*(?:async\s+)?(?:def|class)\s+{re.escape(name)}\b|^{re.escape(name)}\s*=", tail, re.MULTILINE
    )
    return bool(again) or first[:1].isspace()
