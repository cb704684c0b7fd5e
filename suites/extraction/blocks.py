"""The blocks of code in a reply: fenced, tagged, inline, or standing bare among prose. Text in, text out."""

from __future__ import annotations

import re
import textwrap
from typing import NamedTuple

MAX_CHARS = 200_000  # of a reply; what follows is not looked at

# What ends a model's turn. What stands after it is another turn, and no answer.
_END = re.compile(
    r"<\|(?:im_end|endoftext|eot_id|end|end_of_text|return|EOT)\|>|<｜end▁of▁sentence｜>|</s>\s*\Z"
)
_START = re.compile(
    r"\A\s*(?:<\|im_start\|>\s*)?(?:<\|assistant\|>|assistant\n|<\|start_header_id\|>assistant<\|end_header_id\|>)\s*"
)
_FENCE = re.compile(r"(?P<lead>.*?)(?P<fence>`{3,}|~{3,})(?P<info>.*)", re.DOTALL)
_MARKER = re.compile(r"[ \t]*(?:(?:[-*+]|\d+[.)])[ \t]+|(?:>[ \t]?)+)*")
_TAGS = (("[PYTHON]", "[/PYTHON]"), ("<code>", "</code>"), ("[BEGIN]", "[DONE]"), ("<python>", "</python>"))
_INLINE = re.compile(r"(?<!`)(`{1,3})(?!`)([^`\n]+)\1(?!`)")
_PYTHON = ("", "python", "python3", "py", "python2", "pycon", "ipython", "code", "plaintext")
_LANGUAGE = re.compile(r"\s*(?:python3?|py|Python)\b[ \t]*")


class Block(NamedTuple):
    """One piece of code; `language` is what its fence says. `closed` is False where the reply ended in it."""

    code: str
    language: str = ""
    closed: bool = True

    @property
    def may_be_python(self) -> bool:
        return self.language in _PYTHON


def clean(reply: str) -> str:
    """The answer in a reply: line ends as \\n, without its thinking and without what frames a turn."""
    text = reply[:MAX_CHARS].replace("\r\n", "\n").replace("\r", "\n").replace("\f", " ").lstrip("\ufeff")
    text = _START.sub("", text, count=1)
    text = _without_thinking(text)
    end = _END.search(text)
    return text[: end.start()] if end else text


def _without_thinking(text: str) -> str:
    """Return what follows the thinking. A template may have opened it for the model; one that is not closed leaves
    nothing."""
    if text.lstrip().startswith("<think>") or "<think>" not in text:
        before, closed, after = text.rpartition("</think>")
        if closed:
            return after
        return "" if text.lstrip().startswith("<think>") else text
    kept, rest = [], text
    while True:
        before, opened, rest = rest.partition("<think>")
        kept.append(before)
        if not opened:
            return "".join(kept)
        rest = rest.partition("</think>")[2]


def fenced(text: str) -> list[Block]:
    """The fenced blocks in order. A fence may be indented, in a list or a quotation, follow prose on its line, or
    never close; one inside a longer fence is part of its text."""
    blocks: list[Block] = []
    lines = text.split("\n")
    i = 0
    while i < len(lines):
        opened = _FENCE.fullmatch(lines[i])
        i += 1
        if not opened:
            continue
        fence, info = opened["fence"], opened["info"]
        if fence[:3] in info:  # closed on its own line
            code = info.partition(fence[:3])[0]
            blocks.append(Block(_LANGUAGE.sub("", code, count=1).strip()))
            continue
        quote = _quote(opened["lead"])
        body, i, closed = _until_closed(lines, i, fence, quote)
        language, _, rest = info.strip().partition(" ")
        if rest and not re.match(r"[\w{(]*[=:.\"'}]|[\w./-]+$", rest):
            body.insert(0, rest)
        code = textwrap.dedent("\n".join(body))
        blocks.append(Block(_without_prompts(code), language.strip("{}.").lower(), closed))
    return blocks


def _quote(lead: str) -> str:
    marker = _MARKER.match(lead)
    return ">" if marker and ">" in marker.group() else ""


def _until_closed(lines: list[str], i: int, fence: str, quote: str) -> tuple[list[str], int, bool]:
    """(the lines of a block that starts at line i, the line after it, whether it was closed)."""
    body: list[str] = []
    while i < len(lines):
        line = lines[i]
        if quote:
            line = re.sub(r"^[ \t]*>[ \t]?", "", line)
        stripped = line.strip()
        i += 1
        if fence in stripped and _within_string(body, lines[i:]):
            body.append(line)
            continue
        if stripped.startswith(fence) and not stripped.strip(fence[0]):
            return body, i, True
        is_comment_or_text = stripped.startswith(("#", '"', "'"))
        if stripped.endswith(fence) and stripped.count(fence) == 1 and not is_comment_or_text:
            body.append(line.rstrip()[: -len(fence)])  # closed at the end of a line of code
            return body, i, True
        if stripped.startswith(fence) and re.fullmatch(r"\s*\w*\s*", stripped[len(fence) :]):
            return body, i - 1, True  # the next block opens where this one was never closed
        body.append(line)
    return body, i, False


def _within_string(body: list[str], rest: list[str]) -> bool:
    """Return whether a fence stands in a docstring: a triple quote is open before it and closed after it."""
    text = "\n".join(body)
    for quote in ('"""', "'''"):
        if text.count(quote) % 2:
            return any(quote in line for line in rest)
    return False


def _without_prompts(code: str) -> str:
    """The input of a session at Python's prompt."""
    if not re.search(r"^>>> (?:def|import|from|class|@)", code, re.MULTILINE):
        return code
    kept = [
        line[4:] for line in code.split("\n") if line.startswith((">>> ", "... ", "...")) and line != "..."
    ]
    return "\n".join(kept)


def tagged(text: str) -> list[Block]:
    """Return the blocks between tags that some models were taught to put around code."""
    for start, end in _TAGS:
        _, opened, rest = text.partition(start)
        if opened:
            inner, closed, _ = rest.partition(end)
            return fenced(inner) or [Block(textwrap.dedent(inner.strip("\n")), closed=bool(closed))]
    return []


def inline(text: str) -> list[Block]:
    """Code spans within a line."""
    return [Block(_LANGUAGE.sub("", match.group(2), count=1).strip()) for match in _INLINE.finditer(text)]
