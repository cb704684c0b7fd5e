"""What a problem's checks need of its candidate, found in their sources before any candidate runs.

The mode of a problem is decided from its checks alone, never from how a candidate behaves: one that could have itself
judged in shared mode would only have to return an object that equals everything.
"""

from __future__ import annotations

import ast
import builtins
import re
import symtable
from dataclasses import dataclass
from functools import lru_cache

from assay.sandbox.host.parsing import PARSING
from assay.sandbox.model import Mode

_BUILTINS = frozenset(vars(builtins))
# They look at a function as an object, so that something that merely can be called would not do.
_INSPECTING = frozenset((
    "isinstance", "issubclass", "hasattr", "getattr", "setattr", "delattr", "type", "vars", "dir", "id", "repr", "str",
    "callable",
))  # fmt: skip
_INSPECTING_TOO = frozenset((
    "inspect", "wraps", "iscoroutinefunction", "asyncio", "typing", "help", "doctest", "dataclasses", "singledispatch",
    "__name__", "__doc__", "__annotations__", "__wrapped__", "__defaults__", "__dict__", "__module__", "__qualname__",
))  # fmt: skip
_WHOLE_NAMESPACE = frozenset(("globals", "locals", "eval", "exec", "__import__"))
# Modules through which checks reach into the interpreter that the candidate runs in, or start another one.
_OF_THE_PROCESS = frozenset((
    "subprocess", "multiprocessing", "ctypes", "gc", "weakref", "tracemalloc", "importlib", "runpy", "dis",
    "pickle", "socket",
    "select", "trace", "faulthandler", "resource", "signal", "pkgutil", "code", "shelve", "marshal",
    "http", "urllib",
))  # fmt: skip
_OF_THE_PROCESS_TOO = frozenset((
    "getrefcount", "getsizeof", "_getframe", "settrace", "setprofile", "modules", "getsource",
    "getsourcelines", "getfile",
    "ProcessPoolExecutor", "fork", "memory_usage", "__code__", "__globals__", "__closure__",
    "__subclasses__", "f_locals",
))  # fmt: skip
_MOCKS = frozenset(
    (
        "Mock",
        "MagicMock",
        "AsyncMock",
        "NonCallableMock",
        "PropertyMock",
        "create_autospec",
        "mock_open",
        "monkeypatch",
    )
)
# What `patch` may replace, since it is carried.
_CARRIED_PATCHES = frozenset((
    "builtins.input", "builtins.print", "sys.stdin", "sys.stdout", "sys.stderr", "os.environ",
))  # fmt: skip

_A_NAME = re.compile(r"__\w{1,36}__|[A-Za-z_]\w{0,30}(?:\.[A-Za-z_]\w{0,30}){1,5}")
# Words in checks, and the surroundings that they say are to be carried (cell/around.py).
_SURROUNDINGS = {
    "streams": frozenset((
        "stdin", "stdout", "stderr", "redirect_stdout", "redirect_stderr", "builtins.input",
        "builtins.print", "sys.stdin",
        "sys.stdout", "sys.stderr", "input", "capsys",
    )),
    "environ": frozenset(("environ", "getenv", "putenv", "unsetenv", "os.environ")),
    "files": frozenset((
        "open", "tempfile", "shutil", "Path", "mkdir", "makedirs", "chdir", "getcwd", "listdir", "rmtree",
        "unlink", "remove",
        "NamedTemporaryFile", "TemporaryDirectory", "mkdtemp", "mkstemp", "exists", "isfile", "isdir",
        "glob", "zipfile", "tarfile", "sqlite3", "pathlib", "cwd", "scandir", "walk", "iterdir", "rglob",
        "stat", "lstat", "access", "chmod", "utime", "touch", "getsize", "getmtime", "is_file", "is_dir",
        "rename", "rmdir", "read_text", "read_bytes", "write_text", "write_bytes", "TemporaryFile",
    )),
    "random": frozenset(("seed", "setstate")),
    "recursion": frozenset(("setrecursionlimit", "getrecursionlimit")),
    "warnings": frozenset(("warnings", "catch_warnings", "assertWarns", "assertWarnsRegex", "simplefilter")),
    "logging": frozenset(("logging", "assertLogs", "assertNoLogs", "getLogger", "caplog")),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Needs:
    """`names` are globals of the candidate's that the checks only call or pass on, `values` those that they look at;
    `carried` are the surroundings of a call that go along with it; `reason` says why split mode is not enough."""

    names: tuple[str, ...]
    reason: str = ""
    prelude: str = ""
    values: tuple[str, ...] = ()
    carried: tuple[str, ...] = ()

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
    with PARSING:
        helpers, source = _prelude_names(prelude)
    foreign = used - defined - _BUILTINS - {entry_point}
    names = (foreign - helpers) | ({entry_point} & used)
    reason = _why_not_split(used, sources, names, packages)
    values = _looked_at(sources, names)
    used_prelude = source if foreign & helpers else ""
    return Needs(
        tuple(sorted(names - values)), reason, used_prelude, tuple(sorted(values)), _carried(sources)
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """One check, looked at once: suites have checks in common, such as the rules by which answers are compared."""

    tree: ast.Module
    used: frozenset[str]
    defined: frozenset[str]
    imports: frozenset[str]
    words: frozenset[str]


@lru_cache(maxsize=4096)
def _source(check: str) -> _Source:
    with PARSING:
        used, defined = _names(check)
        tree = ast.parse(check)
    return _Source(
        tree, frozenset(used), frozenset(defined), frozenset(_imports(tree)), frozenset(_words(tree))
    )


def _why_not_split(
    used: frozenset[str], sources: list[_Source], names: frozenset[str], packages: tuple[str, ...]
) -> str:
    if used & _WHOLE_NAMESPACE:
        return f"a check uses {min(used & _WHOLE_NAMESPACE)}()"
    imported = frozenset[str]().union(*(source.imports for source in sources))
    if imported & set(packages):
        return f"a check imports {min(imported & set(packages))}"
    if imported & _OF_THE_PROCESS:
        return f"a check imports {min(imported & _OF_THE_PROCESS)}"
    words = frozenset[str]().union(*(source.words for source in sources))
    if words & _OF_THE_PROCESS_TOO:
        return f"a check uses {min(words & _OF_THE_PROCESS_TOO)}"
    if words & _MOCKS:
        return f"a check uses {min(words & _MOCKS)}"
    trees = [source.tree for source in sources if source.words & names or "patch" in source.words]
    return next(filter(None, (_beyond_handles(tree, names) for tree in trees)), "")


def _carried(sources: list[_Source]) -> tuple[str, ...]:
    words = frozenset[str]().union(*(source.words for source in sources))
    return tuple(sorted(name for name, signs in _SURROUNDINGS.items() if words & signs))


def _words(tree: ast.AST) -> set[str]:
    """Names, attributes, imported names, and texts that are dotted or special names, as of what is patched or looked
    at: any other text is data, which decides nothing."""
    words: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            words.add(node.id)
        elif isinstance(node, ast.Attribute):
            words.add(node.attr)
        elif isinstance(node, ast.alias):
            words.update(node.name.split("."))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _A_NAME.fullmatch(node.value):
            words.add(node.value)
    return words


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


def _looked_at(sources: list[_Source], names: frozenset[str]) -> frozenset[str]:
    """Return those of `names` with which the checks do more than call them, pass them to a function or rename them."""
    values: set[str] = set()
    for source in sources:
        relevant = source.words & names
        if not relevant:
            continue
        if source.words & _INSPECTING_TOO:
            values |= relevant
            continue
        inspects = bool(source.words & _INSPECTING)
        for node in ast.walk(source.tree):
            for child in ast.iter_child_nodes(node):
                if not (
                    isinstance(child, ast.Name) and isinstance(child.ctx, ast.Load) and child.id in names
                ):
                    continue
                if not _is_harmless(node, child, inspects=inspects) or _is_class(child.id, names):
                    values.add(child.id)
    return frozenset(values)


def _is_harmless(parent: ast.AST, name: ast.Name, *, inspects: bool) -> bool:
    """Return whether something that can be called does for a name: it is called, or passed on or renamed where nothing
    looks at it."""
    if isinstance(parent, ast.Call) and parent.func is name:
        return True
    passes_on = (ast.Call, ast.Assign, ast.AnnAssign, ast.keyword, ast.arguments, ast.Lambda, ast.FunctionDef)
    return isinstance(parent, passes_on) and not inspects


def _beyond_handles(tree: ast.AST, names: frozenset[str]) -> str:
    """Return why handles would not do, or nothing: the checks make a class from one of the candidate's, patch what is
    not carried, or compare objects of the candidate's by their class's own rule."""
    objects = _objects(tree, names)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any(
            isinstance(base, ast.Name) and base.id in names for base in node.bases
        ):
            return f"a check makes a class from one of the candidate's: {node.name}"
        if (
            isinstance(node, ast.Call)
            and _called_name(node) in ("patch", "object", "dict", "multiple")
            and _is_patch(node)
        ):
            target = _patched(node)
            if target not in _CARRIED_PATCHES:
                return f"a check patches {target or 'an object'}"
        if isinstance(node, ast.Compare) and not isinstance(
            node.ops[0], (ast.Is, ast.IsNot, ast.In, ast.NotIn)
        ):
            sides = [node.left, *node.comparators]
        elif isinstance(node, ast.Call) and _called_name(node) in _ASSERTING and len(node.args) > 1:
            sides = node.args[:2]
        else:
            continue
        if any(_is_object(side, names, objects) for side in sides) and not any(map(_is_literal, sides)):
            return "a check compares objects of the candidate's"
    return ""


_ASSERTING = (
    "assertEqual",
    "assertNotEqual",
    "assertLess",
    "assertGreater",
    "assertLessEqual",
    "assertGreaterEqual",
)


def _is_literal(node: ast.AST) -> bool:
    """Return whether a value is written out: what equals it is data, and the name a function's, capital or not."""
    literals = (ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.UnaryOp, ast.USub, ast.Load)
    return all(isinstance(part, literals) for part in ast.walk(node))


def _called_name(call: ast.Call) -> str:
    function = call.func
    return (
        function.attr
        if isinstance(function, ast.Attribute)
        else function.id
        if isinstance(function, ast.Name)
        else ""
    )


def _patched(call: ast.Call) -> str | None:
    """Return what a call of `patch` replaces, where that can be read."""
    if not call.args:
        return None
    first = call.args[0]
    return str(first.value) if isinstance(first, ast.Constant) else ast.unparse(first)


def _is_patch(call: ast.Call) -> bool:
    function = call.func
    if isinstance(function, ast.Name):
        return function.id == "patch"
    parts = ast.unparse(function).split(".")
    return "patch" in parts


def _is_class(name: str, names: frozenset[str]) -> bool:
    return name in names and name[:1].isupper() and not name.isupper()


def _objects(tree: ast.AST, names: frozenset[str]) -> frozenset[str]:
    """Return the variables that a check gives instances of the candidate's classes."""
    names_of_objects = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and _is_object(node.value, names, frozenset()):
            targets = (target for one in node.targets for target in ast.walk(one))
            names_of_objects |= {target.id for target in targets if isinstance(target, ast.Name)}
    return frozenset(names_of_objects)


def _is_object(node: ast.AST, names: frozenset[str], objects: frozenset[str]) -> bool:
    if isinstance(node, ast.Name):
        return node.id in objects
    if isinstance(node, ast.BinOp):
        return _is_object(node.left, names, objects) or _is_object(node.right, names, objects)
    if isinstance(node, ast.UnaryOp):
        return not isinstance(node.op, ast.Not) and _is_object(node.operand, names, objects)
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and _is_class(node.func.id, names)
