"""bigcode-evaluation-harness' generations: one JSON list with a list of whole programs for each problem, in order."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from assay.harness.evaluation.formats.model import Fault, Found, fault
from assay.suites import Suite

_CHUNK = 1 << 18
_LONGEST_VALUE = 1 << 26
_LONGEST_TOKEN = 16  # an escape, a number's start or a literal that a chunk's end may cut
_DECODER = json.JSONDecoder()
_BLANK = " \t\r\n"


class _BrokenError(ValueError):
    """The text is not the JSON that was expected; the message says at which character."""


class _Text:
    """A JSON text read piece by piece: never more of it in memory than one value and one chunk."""

    def __init__(self, chunks: Iterator[str]) -> None:
        self._chunks, self._buffer, self._at, self._before = chunks, "", 0, 0

    def _more(self) -> bool:
        chunk = next(self._chunks, "")
        self._before += self._at
        self._buffer, self._at = self._buffer[self._at :] + chunk, 0
        return bool(chunk)

    def peek(self) -> str:
        """The next character that is not blank; empty at the end."""
        while True:
            while self._at < len(self._buffer):
                if self._buffer[self._at] not in _BLANK:
                    return self._buffer[self._at]
                self._at += 1
            if not self._more():
                return ""

    def _complete(self, error: json.JSONDecodeError) -> None:
        """Read on, where the value that did not parse may merely be cut; else it is broken."""
        held = len(self._buffer)
        cut = error.msg.startswith("Unterminated string") or error.pos >= held - _LONGEST_TOKEN
        if held - self._at > _LONGEST_VALUE:
            raise _BrokenError(
                f"a value longer than {_LONGEST_VALUE} characters at {self._before + self._at}"
            )
        grown = False
        while cut and len(self._buffer) <= 2 * held and self._more():
            grown = True
        if not grown:
            raise _BrokenError(f"not JSON ({error.msg} at character {self._before + error.pos})")

    def take(self, wanted: str) -> str:
        """Go past the next character, which must be one of `wanted`."""
        found = self.peek()
        if not found or found not in wanted:
            names = " or ".join(repr(c) for c in wanted)
            raise _BrokenError(
                f"expected {names} at character {self._before + self._at}, found {found!r}"
                if found
                else f"expected {names}, and the file ends"
            )
        self._at += 1
        return found

    def value(self) -> Any:
        """The JSON value that stands next, whatever it is."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._buffer, self._at)
            except RecursionError:
                raise _BrokenError(f"nested too deep at character {self._before + self._at}") from None
            except json.JSONDecodeError as error:
                self._complete(error)
                continue
            except ValueError as error:  # an integer of 5,000 digits
                raise _BrokenError(f"not JSON ({error})") from None
            # A number may go on in the next chunk; everything else shows its own end.
            if end == len(self._buffer) and not isinstance(value, str | list | dict) and self._more():
                continue
            self._at = end
            return value


def _characters(path: Path) -> Iterator[str]:
    with (
        gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8")
    ) as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def read_bigcode(path: Path, suite: Suite, /) -> Iterator[Found | Fault]:
    """Row i of the list belongs to problem i of the suite. A row or sample of another type is a Fault, and so are
    rows that no problem is left for; where the text breaks off, what came before is read."""
    ids = [problem.id for problem in suite.problems]
    text, row = _Text(_characters(path)), 0
    try:
        text.take("[")
        while text.peek() != "]":
            row += 1
            if text.peek() != "[":
                value = text.value()
                yield fault(path, f"row {row}", f"expected a list of programs, got {type(value).__name__}")
            elif row > len(ids):
                text.value()
                yield fault(path, f"row {row}", f"the suite {suite.name!r} has only {len(ids)} problems")
            else:
                yield from _row(text, row, ids[row - 1])
            if text.peek() != "]":
                text.take(",")
    except (_BrokenError, OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        yield fault(path, f"row {max(row, 1)}", f"cannot be read from here on ({error})")


def _row(text: _Text, row: int, task: str) -> Iterator[Found]:
    text.take("[")
    number = 0
    while text.peek() != "]":
        yield Found(row, f"row {row}, sample {number}", task, text.value(), "solution", "program")
        number += 1
        if text.peek() != "]":
            text.take(",")
    text.take("]")
