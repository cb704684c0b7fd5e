"""Extract the program that is run from a model's text. One extractor for every backend and suite.

It finds code; it never mends it: no character inside the chosen code changes except whole-block indentation, and
what is cut are whole top-level statements outside the definitions. Every program carries the name of the rule
that made it, so that a report can show how much a score owes to extraction:

| rule | the program comes from |
|---|---|
| `completion`, `solution` | the text as it is, after the prompt or alone |
| `fence`, `tag`, `inline` | a fenced block, a tagged one, a code span, that defines the entry point |
| `prose` | a definition of the entry point that stands bare among prose |
| `fence-body`, `tag-body`, `inline-body`, `body` | a function body, put under the prompt's signature |

Behind it may stand what was done: `-joined` (other blocks define what it uses), `-trimmed` (demonstrations or a broken
tail were left out), `-indented` (a body was moved to the right), `-cut` (what follows a body was left out).
"""

from __future__ import annotations

import builtins
import re
import symtable
import textwrap
from collections.abc import Iterator
from itertools import takewhile
from typing import Literal, NamedTuple

from assay.suites.extraction.blocks import Block, clean, fenced, inline, tagged
from assay.suites.extraction.trim import Parser, bound, defines, is_stub, part_of_entry, trimmed
from assay.suites.model import Problem
from assay.suites.parsing import parse

Form = Literal["completion", "solution", "reply"]
FORMS: tuple[Form, ...] = ("completion", "solution", "reply")

_CODE_START = re.compile(
    r"^(?:import |from [\w.]+ import\b|def |async def |class |@|[A-Za-z_]\w* *(?::[^=\n]*)?= *\S)",
    re.MULTILINE,
)
_MAX_STARTS = 40
_BUILTINS = frozenset(vars(builtins))


class Extraction(NamedTuple):
    """A whole program and the rule that made it."""

    program: str
    rule: str


def extract(problem: Problem, text: str, form: Form) -> Extraction:
    """The program that `text` stands for. Never raises, whatever the text.

    `completion` continues the prompt; `solution` is a whole program; `reply` is a chat answer, in which code is
    looked for: fenced and tagged blocks first, then code spans, then a definition among prose, then a bare body.
    """
    if form == "completion":
        return Extraction(problem.prompt + text, "completion")
    if form == "solution":
        return Extraction(text, "solution")
    return _Reply(problem, clean(text)).program()


class _Reply:
    """One reply to one problem."""

    def __init__(self, problem: Problem, text: str) -> None:
        self.problem, self.text, self.name = problem, text, problem.entry_point
        self.parser = Parser()
        name = re.escape(self.name)
        self.signature = rf"^[ \t]*(?:async[ \t]+)?def[ \t]+{name}\b|^{name}[ \t]*(?::[^=\n]*)?=(?!=)"

    def program(self) -> Extraction:
        marked = [(fenced(self.text), "fence")]
        if not marked[0][0]:
            marked = [(tagged(self.text), "tag"), (inline(self.text), "inline")]
        for blocks, rule in marked:
            chosen = self._choose(blocks)
            if chosen is not None:
                return self._joined(blocks, chosen, rule)
        if self._mentions_definition(self.text):
            return self._among_prose()
        for blocks, rule in marked:
            extraction = self._body_in(blocks, f"{rule}-body")
            if extraction:
                return extraction
        return self._body(self.text, "body")

    def _mentions_definition(self, code: str) -> bool:
        return re.search(self.signature, code, re.MULTILINE) is not None

    def _choose(self, blocks: list[Block]) -> int | None:
        """The first block that defines the entry point; one that only announces it gives way to one that does it."""
        candidates = [i for i, block in enumerate(blocks) if self._mentions_definition(block.code)]
        for i in candidates:
            tree = self.parser.longest(blocks[i].code)[0]
            if tree is not None and defines(tree, self.name) and not is_stub(tree, self.name):
                return i
        return candidates[0] if candidates else None

    def _joined(self, blocks: list[Block], chosen: int, rule: str) -> Extraction:
        code, how = self._trim(blocks[chosen].code)
        others = [block.code for i, block in enumerate(blocks) if i != chosen and block.may_be_python]
        joined = self._join(code, others)
        return Extraction(self._with_preamble(joined), rule + ("-joined" if joined != code else "") + how)

    def _trim(self, code: str) -> tuple[str, str]:
        """`code` without demonstrations and without a tail that does not parse, unless that is the entry point's."""
        tree, used = self.parser.longest(code)
        if tree is None or not defines(tree, self.name) or part_of_entry(code[len(used) :], self.name):
            if self.parser.parse(code) is None:
                return code, ""
            tree, used = self.parser.parse(code), code
        assert tree is not None
        kept = trimmed(tree, used, self.name)
        return kept, "-trimmed" if kept != code else ""

    def _join(self, code: str, others: list[str]) -> str:
        """`code` after those other blocks that define what it uses and does not define itself."""
        missing = _free_names(code) - _BUILTINS - _names_of(self._preamble(), self.parser) - {self.name}
        before: list[str] = []
        for other in others:
            tree, used = self.parser.longest(other)
            if not missing or tree is None or self._mentions_definition(other):
                continue
            given = set().union(*(bound(node) for node in tree.body)) & missing
            if given:
                before.append(trimmed(tree, used, self.name))
                missing = (missing - given) | (_free_names(before[-1]) - _BUILTINS - given)
        return "\n".join((*before, code))

    def _preamble(self) -> str:
        """Return what the prompt holds before the entry point: imports and helpers that an answer may leave out."""
        match = re.search(
            rf"^(?:async[ \t]+)?def[ \t]+{re.escape(self.name)}\b", self.problem.prompt, re.MULTILINE
        )
        return self.problem.prompt[: match.start()] if match else ""

    def _with_preamble(self, code: str) -> str:
        preamble = self._preamble()
        names = _names_of(preamble, self.parser)
        if not preamble.strip() or (names and names <= _names_of(code, self.parser)):
            return code
        future = [line for line in code.split("\n") if line.startswith("from __future__ import ")]
        rest = [line for line in code.split("\n") if not line.startswith("from __future__ import ")]
        return "".join(f"{line}\n" for line in future) + preamble + "\n".join(rest)

    def _among_prose(self) -> Extraction:
        """Code between lines of prose, as the pieces that parse; the one that defines the entry point is the answer."""
        pieces = [Block(code) for code in self._pieces(self.text)]
        chosen = self._choose(pieces)
        if chosen is not None:
            return self._joined(pieces, chosen, "prose")
        moved = self._indented_definition()
        if moved is not None:
            return self._joined([Block(moved)], 0, "prose")
        start = re.search(self.signature, self.text, re.MULTILINE)
        return Extraction(self._with_preamble(self.text[start.start() if start else 0 :]), "prose")

    def _pieces(self, text: str) -> Iterator[str]:
        """The longest runs of lines that parse, from lines that code can start with."""
        position, tries = 0, 0
        while tries < _MAX_STARTS:
            start = _CODE_START.search(text, position)
            if start is None:
                return
            tries += 1
            tree, used = self.parser.longest(text[start.start() :])
            if tree is None or not used.strip():
                position = text.find("\n", start.start()) + 1 or len(text)
                continue
            yield used
            position = start.start() + len(used)

    def _indented_definition(self) -> str | None:
        """A definition that is indented as a whole, as in a quotation, but not within a class or function."""
        lines = self.text.split("\n")
        at = next((i for i, line in enumerate(lines) if re.match(self.signature, line)), None)
        if at is None:
            return None
        margin = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
        first = at
        while first and (not lines[first - 1].strip() or lines[first - 1].startswith(margin)):
            first -= 1
        above = lines[first - 1].strip() if first else ""
        if re.match(r"(?:class|def|async|if|for|while|try|with|else|elif|except)\b.*:$", above):
            return None
        last = at
        while last < len(lines) and (not lines[last].strip() or lines[last].startswith(margin)):
            last += 1
        return textwrap.dedent("\n".join(lines[first:last])) if margin else None

    def _body_in(self, blocks: list[Block], rule: str) -> Extraction | None:
        """A body from the first block that is one; from the first block at all where none parses as one."""
        usable = [block for block in blocks if block.may_be_python and block.code.strip()]
        bodies = [self._body(block.code, rule) for block in usable]
        for extraction in bodies:
            if self.parser.parse(extraction.program) is not None:
                return extraction
        return bodies[0] if bodies and rule != "inline-body" else None

    def _body(self, text: str, rule: str) -> Extraction:
        """A bare function body under the prompt's signature, as far as it is indented; the whole text where the prompt
        has no signature."""
        text = text.strip("\n")
        if not self._has_signature():
            kept, how = self._trim(text)
            return Extraction(self.problem.prompt + kept, rule + how)
        first = None
        for body, how in self._readings(text):
            program = f"{self.problem.prompt.rstrip()}\n{body.rstrip()}\n"
            if self.parser.parse(program) is not None and body.strip():
                return Extraction(program, rule + how)
            first = first or Extraction(program, rule + how)
        return first or Extraction(self.problem.prompt, rule)

    def _has_signature(self) -> bool:
        return (
            re.search(
                rf"^\s*(?:async[ \t]+)?def[ \t]+{re.escape(self.name)}\b", self.problem.prompt, re.MULTILINE
            )
            is not None
        )

    def _readings(self, text: str) -> Iterator[tuple[str, str]]:
        """The ways to read a text as a body, likeliest first."""
        margin = self._margin()
        lines = text.split("\n")
        start = next((line for line in lines if line.strip()), "")
        if start[:1].isspace():
            body, how = _leading(lines)
            yield body, how
            yield textwrap.indent(textwrap.dedent(body), margin), how + "-indented"
        else:
            moved = textwrap.indent(text, margin)
            yield moved, "-indented"
            body, how = _leading([margin + lines[0], *lines[1:]])
            yield body, "-indented" + how
            blank = [
                i for i in range(len(lines) - 1, 0, -1) if not lines[i - 1].strip() and lines[i][:1].strip()
            ]
            for end in blank[:_MAX_STARTS]:
                yield textwrap.indent("\n".join(lines[:end]), margin), "-indented-cut"
            after = next((i for i, line in enumerate(lines) if line[:1].isspace() and line.strip()), None)
            if after is not None and not lines[after - 1].strip():
                body, how = _leading(lines[after:])
                yield body, "-cut"

    def _margin(self) -> str:
        """The indentation of the prompt's last line in the function, which is its docstring's, or four spaces."""
        last = next((line for line in reversed(self.problem.prompt.split("\n")) if line.strip()), "")
        margin = last[: len(last) - len(last.lstrip())]
        return margin if margin and not margin.strip(" \t") else "    "


def _leading(lines: list[str]) -> tuple[str, str]:
    """The lines up to the first that leaves the indentation."""
    kept = list(takewhile(lambda line: not line.strip() or line[0].isspace(), lines))
    return "\n".join(kept), "-cut" if len(kept) < len(lines) else ""


def _names_of(code: str, parser: Parser) -> set[str]:
    tree = parser.parse(code)
    return set().union(*(bound(node) for node in tree.body)) if tree is not None else set()


def _free_names(code: str) -> set[str]:
    """The global names that a program uses and does not bind."""
    try:
        table = symtable.symtable(code, "<reply>", "exec")
        tree = parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    used: set[str] = set()
    tables = [table]
    while tables:
        scope = tables.pop()
        tables += scope.get_children()
        used |= {
            s.get_name()
            for s in scope.get_symbols()
            if s.is_referenced() and (scope is table or s.is_global())
        }
    return used - set().union(*(bound(node) for node in tree.body))
