"""Detect programs that reach for the machinery that judges them, by their source alone.

The sandbox keeps a forged verdict from counting as a pass; this keeps an attempt from earning what partial credit
there is, so that a policy is never paid for trying. It is a list of known ways and proves nothing about others: a
program that needs one of them for its own work is rare in code problems, and then gains nothing as well.

What makes names at run time (`eval`, `getattr` of a name that is no literal) can hide every other way. Honest programs
use it, and where the checks run in another process (mode split) it reaches nothing; so it counts as tampering only
where program and checks share one process.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from assay.trainers.preference.quality import parse_program

# Modules that reach into the interpreter, other processes or the machine: no answer to a code problem needs them.
_MODULES = frozenset(
    {
        "_testcapi", "_thread", "atexit", "builtins", "code", "codeop", "ctypes", "dis", "faulthandler", "gc",
        "importlib", "inspect", "linecache", "mmap", "multiprocessing", "os", "pickle", "pty", "resource", "runpy",
        "select", "signal", "socket", "subprocess", "threading", "trace", "traceback", "tracemalloc", "unittest",
        "weakref", "__main__",
    }
)  # fmt: skip
_ATTRIBUTES = frozenset(
    {
        "__builtins__", "__class__", "__closure__", "__code__", "__defaults__", "__globals__", "__loader__",
        "__self__", "__spec__", "__subclasses__", "__traceback__", "_getframe", "_current_frames", "_exit", "ag_frame",
        "co_consts", "cr_frame", "exc_info", "f_back", "f_builtins", "f_code", "f_globals", "f_lineno", "f_locals",
        "gi_frame", "meta_path", "modules", "path_hooks", "setprofile", "settrace", "stderr", "stdout", "tb_frame",
        "unraisablehook", "excepthook",
    }
)  # fmt: skip
_NAMES = frozenset({"__builtins__", "__import__", "__loader__", "__spec__", "SystemExit", "breakpoint"})
_CALLS = frozenset({"exec", "compile", "globals", "vars", "setattr", "delattr", "exit", "quit", "open"})
# Only in shared mode: they reach what no source shows. Any mention counts: another name for one hides nothing.
_HIDING = frozenset({"eval", "exec", "compile", "globals", "locals", "vars"})
_COMPARISONS = frozenset(
    {"__eq__", "__ne__", "__bool__", "__instancecheck__", "__subclasscheck__", "__class__", "__del__", "__getattr__",
     "__getattribute__", "__reduce__", "__reduce_ex__", "__deepcopy__", "__copy__"}
)  # fmt: skip
# Classes whose objects answer to anything.
_PRETENDERS = frozenset({"AssertionError", "BaseException", "type"})


def tampering(program: str, *, shared: bool = False) -> str | None:
    """Return the construct that reaches for the judge, with its line; None where there is none, or where the program
    does not parse (it then ran nothing). `shared`: it was judged in the process of its checks."""
    tree = parse_program(program)
    return None if tree is None else next(_findings(tree, shared), None)


def _findings(tree: ast.Module, shared: bool) -> Iterator[str]:
    literal = set(map(id, _literal_getattrs(tree)))
    for node in ast.walk(tree):
        construct = _forbidden(node)
        if construct is None and shared and id(node) not in literal:
            construct = _hiding(node)
        if construct is not None:
            yield f"{construct} in line {getattr(node, 'lineno', 0)}"
    yield from _replaced_builtins(tree)


def _forbidden(node: ast.AST) -> str | None:
    match node:
        case ast.Import(names=names):
            return _module(alias.name for alias in names)
        case ast.ImportFrom(module=str(module), names=names):
            return _module([module]) or next((a.name for a in names if a.name in _ATTRIBUTES), None)
        case ast.Attribute(attr=attribute) if attribute in _ATTRIBUTES:
            return f"attribute {attribute}"
        case ast.Name(id=name) if name in _NAMES:
            return f"name {name}"
        case ast.Call(func=ast.Name(id=name)) if name in _CALLS:
            return f"call of {name}"
        case ast.Call(func=ast.Name(id="getattr"), args=[_, ast.Constant(value=attribute), *_]) if (
            attribute in _ATTRIBUTES
        ):
            return f"attribute {attribute}"
        case ast.ClassDef():
            return _class(node)
    return None


def _literal_getattrs(tree: ast.Module) -> Iterator[ast.Name]:
    """Yield every `getattr` of an attribute by a literal name, which can be read like any other."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="getattr") as name, args=[_, ast.Constant(), *_]):
                yield name


def _hiding(node: ast.AST) -> str | None:
    match node:
        case ast.Name(id=name, ctx=ast.Load()) if name in _HIDING:
            return f"name {name}"
        case ast.Name(id="getattr", ctx=ast.Load()):
            return "getattr of a name made at run time"
    return None


def _module(names: Iterator[str] | list[str]) -> str | None:
    return next((f"import of {name}" for name in names if name.split(".")[0] in _MODULES), None)


def _class(node: ast.ClassDef) -> str | None:
    """Return what is wrong with a class that decides what it equals, or whose exceptions pass for the checks'."""
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in _PRETENDERS:
            return f"class {node.name} derived from {base.id}"
    for inner in node.body:
        name = getattr(inner, "name", None)
        targets = inner.targets if isinstance(inner, ast.Assign) else []
        named = [name] if name else [t.id for t in targets if isinstance(t, ast.Name)]
        if bad := next((n for n in named if n in _COMPARISONS), None):
            return f"class {node.name} with its own {bad}"
    return None


def _replaced_builtins(tree: ast.Module) -> Iterator[str]:
    """Yield assignments to attributes of imported modules (`math.isclose = …`)."""
    modules = {
        (alias.asname or alias.name).split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assignments = (node for node in ast.walk(tree) if isinstance(node, ast.Assign))
    for target in (target for assignment in assignments for target in assignment.targets):
        match target:
            case ast.Attribute(value=ast.Name(id=module)) if module in modules:
                yield f"assignment to {module}.{target.attr} in line {target.lineno}"
