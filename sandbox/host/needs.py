"""What a problem's checks need of its candidate, found in their sources before any candidate runs.

The mode of a problem is decided from its checks alone, never from how a candidate behaves: one that could have itself
judged in shared mode would only have to return an object that equals everything.
"""

from __future__ import annotations

import ast
import builtins
import symtable
from dataclasses import dataclass
from functools import lru_cache

from assay.sandbox.model import Mode

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


@lru_cache(maxsize=4096)
def analyse(checks: tuple[str, ...], prelude: str, entry_point: str, packages: tuple[str, ...]) -> Needs:
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
