"""The names that the glossary of docs/architecture.md retired stay retired, over the syntax tree of all packages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("harness", "sandbox", "suites", "trainers")
ROW = re.compile(r"\| (\w+) \| (module|word|exact) \| ")
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def retired(kind: str) -> set[str]:
    table = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    return {name for name, of in ROW.findall(table) if of == kind}


def identifiers(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, name) of every module-level or local name that a file binds: classes, functions, parameters, variables,
    attributes, fields and aliases of imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr
        elif isinstance(node, ast.alias) and node.asname:
            yield 0, node.asname
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            yield getattr(node, "lineno", 0), node.name


def strays(folder: Path) -> list[str]:
    exact, words, modules = retired("exact"), retired("word"), retired("module")
    lines = []
    for path in sorted(folder.rglob("*.py")):
        place = path.relative_to(ROOT)
        if {path.stem, path.parent.name} & modules:
            lines.append(f"{place}: the module's name")
        for line, name in identifiers(ast.parse(path.read_text(encoding="utf-8"))):
            if name in exact or {word.lower() for word in WORD.findall(name)} & words:
                lines.append(f"{place}:{line}: {name}")
    return lines


@pytest.mark.parametrize("package", PACKAGES)
def test_no_retired_name_comes_back(package: str) -> None:
    assert not strays(ROOT / package)


def test_the_table_is_read() -> None:
    assert {"rig", "box"} <= retired("word")
    assert "Exercise" in retired("exact")
    tree = ast.parse("class Exercise:\n    def f(self, box_of): self.rig = 1")
    assert [name for _, name in identifiers(tree)] == ["Exercise", "f", "self", "box_of", "rig"]
