"""The texts that two models are compared on: problems with their solutions, or a file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from harness.errors import BadInputError
from suites import Suite
from suites.lines import LineError, read_objects
from suites.prompts import chat_messages


@dataclass(frozen=True, slots=True)
class Passage:
    """A text as it goes to the tokenizer. `messages` is a chat to be rendered before it by the first model's own
    template; both are then read as one text."""

    text: str
    messages: tuple[tuple[str, str], ...] = ()


def suite_passages(suite: Suite, limit: int) -> list[Passage]:
    """Problems with their solutions, alternately as plain code and as chat turns, spread over the whole suite."""
    solved = [p for p in suite.problems if p.canonical_solution]
    if not solved:
        raise BadInputError(
            f"suite {suite.name!r} has no solutions to compare on; give texts with --corpus FILE"
        )
    step = max(1, len(solved) // limit)
    found = []
    for i, problem in enumerate(solved[::step][:limit]):
        whole = problem.prompt + problem.canonical_solution
        if i % 2:
            messages = tuple((m["role"], m["content"]) for m in chat_messages(problem))
            found.append(Passage(f"```python\n{whole.strip()}\n```", messages))
        else:
            found.append(Passage(whole))
    return found


def load_passages(path: Path, limit: int) -> list[Passage]:
    """Texts of a file: JSON Lines with `text`, or `prompt` and `completion`; any other file is cut at blank lines
    into pieces of some 2,000 characters. Raises BadInputError that names file and line."""
    if not path.is_file():
        raise BadInputError(f"no such file: {path}")
    if path.suffix in (".jsonl", ".gz"):
        found = [_passage(path, number, row) for number, row in read_objects(path)]
    else:
        try:
            found = [Passage(piece) for piece in _pieces(path.read_text(encoding="utf-8"))]
        except UnicodeDecodeError as error:
            raise BadInputError(f"{path}: not UTF-8 text: {error}") from None
    found = [p for p in found if p.text.strip()][:limit]
    if not found:
        raise BadInputError(f"{path} holds no text to compare on")
    return found


def _passage(path: Path, number: int, row: object) -> Passage:
    if isinstance(row, LineError):
        raise BadInputError(str(row))
    if isinstance(row, dict):
        if isinstance(row.get("text"), str):
            return Passage(row["text"])
        if isinstance(row.get("prompt"), str) and isinstance(row.get("completion"), str):
            return Passage(row["prompt"] + row["completion"])
    shown = json.dumps(row, ensure_ascii=False)[:80]
    raise BadInputError(
        f"{path}, line {number}: needs 'text', or 'prompt' and 'completion', as strings; got {shown}"
    )


def _pieces(text: str, target: int = 2000) -> list[str]:
    pieces, current = [], ""
    for block in text.split("\n\n"):
        if current and len(current) + len(block) > target:
            pieces.append(current)
            current = ""
        current += block + "\n\n"
    return [*pieces, current]
