"""Parsing Python in several threads: one at a time.

CPython before 3.11.8 and 3.12.1 counts the depth of the syntax trees that it makes for all threads together
(cpython#106905): two threads that parse at the same time may get a SystemError, or a RecursionError for a program that
is not deep at all. The lock lies on the module `ast`, which is what it guards: whatever parses in this process finds
the same one there, without importing each other's.
"""

from __future__ import annotations

import ast
import threading
from contextlib import AbstractContextManager
from typing import Any

_parser: dict[str, Any] = vars(ast)
PARSING: AbstractContextManager[bool] = _parser.setdefault("_assay_lock", threading.RLock())


def parse(source: str) -> ast.Module:
    """`ast.parse`, which may raise SyntaxError, ValueError, RecursionError and MemoryError."""
    with PARSING:
        return ast.parse(source)
