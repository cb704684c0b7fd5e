"""From what a model said to the program that is run. One extractor for every backend and suite.

It finds code; it never mends it: no character inside the chosen code changes except whole-block indentation, and
what is cut are whole top-level statements outside the definitions. Every program carries the name of the rule
that made it, so that a report can show how much a score owes to extraction.
"""

from __future__ import annotations

import ast
import re
import textwrap
from typing import Literal, NamedTuple

from suites.model import Problem

Form = Literal["completion", "solution", "reply"]
FORMS: tuple[Form, ...] = ("completion", "solution", "reply")

THINK = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
FENCE = re.compile(
    r"^[ \t]*(`{3,}|~{3,})[^\n`]*\n(.*?)(?:^[ \t]*\1[`~]*[ \t]*$|\Z)", re.DOTALL | re.MULTILINE
)
CODE_START = re.compile(r"^(?:import |from \w|def |async def |class |@)", re.MULTILINE)


class Extraction(NamedTuple):
    """A whole program and the rule that made it."""

    program: str
    rule: str


def extract(problem: Problem, text: str, form: Form) -> Extraction:
    """The program that `text` stands for. Never raises, whatever the text.

    `completion` continues the prompt; `solution` is a whole program; `reply` is a chat answer, in which code is
    looked for: fenced blocks first, then a definition of the entry point among prose, then a bare body.
    """
    if form == "completion":
        return Extraction(problem.prompt + text, "completion")
    if form == "solution":
        return Extraction(text, "solution")
    text = THINK.sub("", text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", " "))
    blocks = [match.group(2) for match in FENCE.finditer(text)]
    for block in blocks:
        if defines(block, problem.entry_point):
            return whole(problem, textwrap.dedent(block), "fence")
    if blocks:
        return body(problem, blocks[0], "fence-body")
    if defines(text, problem.entry_point):
        start = CODE_START.search(text)
        return whole(problem, text[start.start() if start else 0 :], "prose")
    return body(problem, text, "body")


def defines(code: str, name: str) -> bool:
    return re.search(rf"^[ \t]*(?:async[ \t]+)?def[ \t]+{re.escape(name)}\b", code, re.MULTILINE) is not None


def preamble(problem: Problem) -> str:
    """What stands in the prompt before the entry point: imports and helpers that an answer may leave out."""
    match = re.search(
        rf"^(?:async[ \t]+)?def[ \t]+{re.escape(problem.entry_point)}\b", problem.prompt, re.MULTILINE
    )
    return problem.prompt[: match.start()] if match else ""


def whole(problem: Problem, code: str, rule: str) -> Extraction:
    """A program that defines the entry point itself: the prompt's preamble, then its definitions."""
    kept, cut = definitions(code)
    return Extraction(preamble(problem) + kept, rule + ("-trimmed" if cut else ""))


def body(problem: Problem, text: str, rule: str) -> Extraction:
    """A bare function body under the prompt's signature; it ends at the first line that leaves the indentation."""
    lines = text.strip("\n").split("\n")
    first = next((line for line in lines if line.strip()), "")
    if first and not first[0].isspace():
        lines = textwrap.indent("\n".join(lines), "    ").split("\n")
        rule += "-indented"
    kept: list[str] = []
    for line in lines:
        if line.strip() and not line[0].isspace():
            rule += "-cut"
            break
        kept.append(line)
    return Extraction(problem.prompt + "\n".join(kept).rstrip() + "\n", rule)


def definitions(code: str) -> tuple[str, bool]:
    """(code without its demonstrations, whether anything was cut).

    Cut are, at top level only, expression statements such as prints, asserts, `if __name__` blocks, and a tail
    that does not parse (prose, or a program cut short) when whole top-level statements before it do.
    """
    tree, used = parse_longest(code)
    if tree is None:
        return code, False
    lines = used.split("\n")
    drop: set[int] = set()
    keep: set[int] = set()
    for node in tree.body:
        (drop if is_demonstration(node) else keep).update(
            range(node.lineno - 1, node.end_lineno or node.lineno)
        )
    drop -= keep  # a line that holds both, as `import math; print(1)` does, stays
    kept = "\n".join(line for i, line in enumerate(lines) if i not in drop)
    return kept, bool(drop) or used != code


def parse_longest(code: str) -> tuple[ast.Module | None, str]:
    """The longest run of leading lines, ended only before a line in column 0, that parses."""
    lines = code.split("\n")
    ends = [len(lines)] + [
        i
        for i in range(len(lines) - 1, 0, -1)
        if lines[i] and not lines[i][0].isspace() and lines[i][0] != ")"
    ]
    for end in ends[:200]:
        used = "\n".join(lines[:end])
        try:
            return ast.parse(used), used
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    return None, code


def is_demonstration(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assert):
        return True
    if isinstance(node, ast.Expr):
        return not isinstance(node.value, ast.Constant)
    names = (
        (inner.id for inner in ast.walk(node.test) if isinstance(inner, ast.Name))
        if isinstance(node, ast.If)
        else ()
    )
    return "__name__" in names
