"""Classes, functions and exceptions that both sides know by the same name, and the descriptions of those they do not.

Only builtins and a list of harmless standard modules are looked up by name, in modules that are imported already.
"""

from __future__ import annotations

import builtins
import collections.abc
import operator
import sys
import types
from collections.abc import Iterator
from typing import Any

# Special methods that stand for an operation, which the side that holds the object does.
_OPERATORS = (
    "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor", "lshift", "rshift",
)  # fmt: skip
_UNARY = ("neg", "pos", "abs", "invert", "round", "trunc", "floor", "ceil", "divmod", "rdivmod")
ARITHMETIC = tuple(
    f"__{name}__" for name in (*(prefix + name for prefix in ("", "r", "i") for name in _OPERATORS), *_UNARY)
)
COMPARING = ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__")
CONVERTING = ("__bool__", "__int__", "__float__", "__complex__", "__index__", "__len__")
SEQUENCE = ("__iter__", "__getitem__", "__contains__", "__reversed__", "__bytes__")
OTHERS = (
    "__call__", "__next__", "__setitem__", "__delitem__",
    "__enter__", "__exit__", "__await__", "__aiter__", "__anext__", "__aenter__", "__aexit__",
    "__str__", "__repr__", "__format__",
    "__hash__", "__dir__", "__fspath__", "__get__",
)  # fmt: skip
SPECIAL = frozenset((*ARITHMETIC, *COMPARING, *CONVERTING, *SEQUENCE, *OTHERS))

# The builtin types whose content crosses as data with an instance of a class made from them.
IMMUTABLE_BASES: tuple[type, ...] = (int, float, complex, str, bytes, tuple, frozenset)
MUTABLE_BASES: tuple[type, ...] = (list, dict, set, bytearray, collections.deque)
BASES = IMMUTABLE_BASES + MUTABLE_BASES
READ: dict[type, Any] = {
    int: int.__index__,
    float: float.__float__,
    complex: complex.__complex__,
    str: str.__str__,
    bytes: lambda value: bytes(bytes.__iter__(value)),
    tuple: lambda value: tuple(tuple.__iter__(value)),
    frozenset: lambda value: frozenset(frozenset.__iter__(value)),
    list: lambda value: list(list.__iter__(value)),
    dict: lambda value: dict(dict.items(value)),
    set: lambda value: set(set.__iter__(value)),
    bytearray: lambda value: bytearray(bytearray.__iter__(value)),
    collections.deque: lambda value: collections.deque(collections.deque.__iter__(value)),
}

# Modules whose functions and classes may be spoken of by name.
_MODULES = (
    "builtins", "math", "cmath", "operator", "_operator", "string", "collections", "collections.abc",
    "functools", "_functools",
    "itertools", "decimal", "fractions", "datetime", "statistics", "heapq", "_heapq", "bisect", "_bisect",
    "types", "typing",
    "enum", "abc", "numbers",
)  # fmt: skip
_REFUSED = frozenset((
    "eval", "exec", "compile", "__import__", "open", "input", "breakpoint", "exit", "quit", "help",
    "globals", "locals",
    "vars", "dir", "getattr", "setattr", "delattr", "print", "memoryview", "attrgetter", "methodcaller",
    "itemgetter",
    "setcontext", "getcontext", "localcontext", "update_wrapper", "wraps", "__build_class__", "super",
))  # fmt: skip
_TYPES_OF_TYPES = {
    (kind.__module__, kind.__qualname__): kind for kind in vars(types).values() if isinstance(kind, type)
} | {
    (kind.__module__, kind.__qualname__): kind
    for kind in (type(iter([])), type(iter(())), type(iter({})), type(iter("")), type(iter(range(1))), zip, map, filter,
                 enumerate, reversed, type(operator.itemgetter(0)), property, staticmethod, classmethod, super)
}  # fmt: skip

# Exceptions of the standard library that checks catch by name. Those of test frameworks are not among them: one that
# says that a test is to be skipped is no answer.
_EXCEPTION_MODULES = frozenset((
    "json.decoder", "decimal", "queue", "_queue", "struct", "zipfile", "zlib", "csv", "_csv", "socket",
    "asyncio.exceptions",
    "concurrent.futures._base", "re", "configparser", "subprocess", "binascii", "statistics",
    "urllib.error", "xml.etree.ElementTree",
    "sqlite3", "shutil", "dataclasses", "copy", "pickle", "_pickle", "ipaddress", "graphlib", "tarfile",
    "lzma", "_lzma", "email.errors",
))  # fmt: skip
BUILTIN_EXCEPTIONS: dict[str, type[BaseException]] = {
    name: kind
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and issubclass(kind, (Exception, SystemExit, KeyboardInterrupt))
}


def name_of(value: Any) -> str | None:
    """The "module name" by which the other side finds a builtin function or a class of the standard library that both
    may speak of; None where there is none."""
    kind = type(value)
    if kind.__module__ == "dataclasses":
        return _constant(value)
    if kind not in (
        type,
        types.BuiltinFunctionType,
        types.FunctionType,
        types.MethodDescriptorType,
        types.WrapperDescriptorType,
    ) and (value is ... or kind.__module__ != "typing"):
        return None
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if kind in (types.MethodDescriptorType, types.WrapperDescriptorType):
        module = value.__objclass__.__module__
    if type(module) is not str or type(name) is not str:
        return None
    return f"{module} {name}" if by_name(f"{module} {name}") is value else None


def by_name(text: str) -> Any:
    """What a name from `name_of` stands for; None for one that may not be spoken of."""
    module_name, _, name = text.partition(" ")
    if (module_name, name) in _TYPES_OF_TYPES:
        return _TYPES_OF_TYPES[module_name, name]
    if (module_name, name) in _CONSTANTS:
        import dataclasses

        return getattr(dataclasses, name)
    parts = name.split(".")
    if module_name not in _MODULES or len(parts) > 2:
        return None
    if any(part.startswith("_") or part in _REFUSED for part in parts):
        return None
    value: Any = sys.modules.get(module_name)
    for part in parts:
        value = getattr(value, part, None)
    return value if callable(value) else None


def standard_class(module: str, name: str) -> type | None:
    """The class of the standard library that has this name here, for isinstance(); None where it is not imported or not
    one to speak of. Exceptions are looked for in their own list."""
    kind = _TYPES_OF_TYPES.get((module, name))
    if kind is not None:
        return kind
    root = module.partition(".")[0]
    if root not in sys.stdlib_module_names or root in ("unittest", "doctest", "test"):
        return None
    value: Any = sys.modules.get(module)
    for part in name.split("."):
        value = getattr(value, part, None)
    if not isinstance(value, type):
        return None
    if issubclass(value, BaseException) and module not in _EXCEPTION_MODULES:
        return BUILTIN_EXCEPTIONS.get(name) if module == "builtins" else None
    return value


def specials_of(kind: type) -> list[str]:
    """The special methods that instances of a class have beyond those of a plain object, or of the builtin type that
    the class is made from."""
    names: set[str] = set()
    for base in kind.__mro__:
        if base is object or base in BASES or base in (BaseException, Exception):
            break
        own = vars(base)
        names.update(name for name in own if name in SPECIAL and own[name] is not None)
    return sorted(names)


def base_of(kind: type) -> type | None:
    """The builtin type whose content crosses as data with an instance of this class."""
    return next((base for base in kind.__mro__ if base in BASES), None)


def lineage(error: BaseException) -> Iterator[str]:
    """Names of the classes of an exception, the most derived first."""
    for kind in type(error).__mro__:
        yield kind.__name__


# Objects of the standard library that are told apart by identity.
_CONSTANTS = {
    ("dataclasses", name) for name in ("_FIELD", "_FIELD_CLASSVAR", "_FIELD_INITVAR", "MISSING", "KW_ONLY")
}


def _constant(value: Any) -> str | None:
    for module, name in _CONSTANTS:
        if getattr(sys.modules.get(module), name, None) is value:
            return f"{module} {name}"
    return None


# Functions that `operator` makes, which a check may pass as a key.
GETTERS: tuple[type, ...] = (operator.itemgetter, operator.attrgetter, operator.methodcaller)


def getter(name: str) -> Any:
    return next(kind for kind in GETTERS if kind.__name__ == name)


# Generic aliases, such as list[int] and Optional[str], which are compared with those of annotations.


def alias_parts(value: Any) -> tuple[Any, ...] | None:
    """(origin, arguments) of a generic alias or a union, which `alias` makes again; None for anything else."""
    if type(value) is types.UnionType:
        return "|", value.__args__
    if type(value) is types.GenericAlias:
        return value.__origin__, value.__args__
    if type(value).__module__ == "typing" and hasattr(value, "__origin__") and hasattr(value, "__args__"):
        name = getattr(value, "_name", None) or getattr(value.__origin__, "_name", None)
        return (f"typing {name}", value.__args__) if type(name) is str else None
    return None


def alias(origin: Any, arguments: tuple[Any, ...]) -> Any:
    if origin == "|":
        union = arguments[0]
        for argument in arguments[1:]:
            union = union | argument
        return union
    if type(origin) is str:
        import typing

        name = origin.partition(" ")[2]
        if name == "Optional":
            name = "Union"
        if name not in typing.__all__:
            raise ValueError("no alias of typing's")
        return getattr(typing, name)[arguments]
    if origin is dict or origin is list or origin is tuple or origin is set or isinstance(origin, type):
        return types.GenericAlias(origin, arguments)
    raise ValueError("no origin of an alias")
