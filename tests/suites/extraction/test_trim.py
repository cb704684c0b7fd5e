"""Trimming: what announces an entry point without defining it, and what stays of an answer's top level."""

from __future__ import annotations

import ast

import pytest

from assay.suites.extraction.extract import extract
from assay.suites.extraction.trim import is_stub, trimmed
from assay.suites.model import Problem

ADD = Problem(
    id="t/0",
    prompt='def add(a, b):\n    """Return a + b."""\n',
    entry_point="add",
    checks=("assert add(1, 2) == 3",),
)


@pytest.mark.parametrize(
    ("body", "stub"),
    [
        ("pass", True),
        ("...", True),
        ('"""Return a + b."""', True),
        ('"""Return a + b."""\n    pass', True),
        ("raise NotImplementedError", True),
        ('raise NotImplementedError("yet")', True),
        ('"""Return a + b."""\n    raise NotImplementedError()', True),
        ("raise", False),  # raises what is being handled: an answer, if a poor one
        ("raise ValueError", False),
        ('raise ValueError("NotImplementedError")', False),
        ("return a + b", False),
        ("if a:\n        raise NotImplementedError", False),
    ],
)
def test_what_is_only_announced(body: str, stub: bool) -> None:
    code = f"def add(a, b):\n    {body}\n"
    assert is_stub(ast.parse(code), "add") is stub
    assert is_stub(ast.parse(code), "other") is False


@pytest.mark.parametrize("body", ["pass", "raise", "raise NotImplementedError", "raise ValueError"])
def test_the_block_that_defines_is_taken_and_a_stub_is_not(body: str) -> None:
    """A stub first and the definition after it, as in an answer that first repeats the task."""
    reply = (
        f"The task:\n```python\ndef add(a, b):\n    {body}\n```\nMy answer:\n"
        "```python\ndef add(a, b):\n    return a + b\n```"
    )
    taken = extract(ADD, reply, "reply").program
    names: dict[str, object] = {}
    exec(taken, names)
    add = names["add"]
    assert callable(add)
    if body in ("raise", "raise ValueError"):
        with pytest.raises((RuntimeError, ValueError)):
            add(1, 2)
    else:
        assert add(1, 2) == 3


def test_demonstrations_go_and_what_the_answer_uses_stays() -> None:
    code = "\n".join(
        (
            "LIMIT = 3",
            "def helper(x): return x + LIMIT",
            "def add(a, b): return helper(a) + b",
            "def demo(): print(add(1, 2))",
            "add.calls = 0",
            "result = add(1, 2)",
            "assert result == 6",
            "demo()",
        )
    )
    kept = trimmed(ast.parse(code), code, "add")
    assert kept == "\n".join(code.split("\n")[:5])
