"""Compare how two models read and write text: token ids on a corpus, the vocabulary, the ends, the chat template."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from assay.harness.errors import BadInputError
from assay.harness.generation.load import MeasuredGenerator
from assay.suites import Suite
from assay.suites.jsonlines import LineError, read_objects
from assay.suites.model import chat_messages


@dataclass(frozen=True, slots=True)
class Tokens:
    """The comparison: `texts` were cut by both, `equal` of them into the same ids; `faults` name what differs."""

    texts: int
    equal: int
    faults: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Passage:
    """A text that two models are compared on, as it goes to the tokenizer.

    `messages` is a chat (role, content) that is rendered before it by the first model's own template; both are then
    read as one text.
    """

    text: str
    messages: tuple[tuple[str, str], ...] = ()


def render(passage: Passage, generator: MeasuredGenerator) -> str:
    """Return the passage as one text, its chat by this model's template, or its contents alone without a template."""
    if not passage.messages:
        return passage.text
    messages = [{"role": role, "content": content} for role, content in passage.messages]
    try:
        return generator.render_chat(messages) + passage.text
    except BadInputError:
        return "\n".join(content for _, content in passage.messages) + "\n" + passage.text


def compare_tokens(a: MeasuredGenerator, b: MeasuredGenerator, passages: Sequence[Passage]) -> Tokens:
    """Compare two models' tokenizers, the second with the first."""
    faults = _vocabulary_faults(a, b)
    equal = 0
    for passage in passages:
        text = render(passage, a)
        if passage.messages and render(passage, b) != text and not any("chat" in f for f in faults):
            faults.append(f"the chat templates differ: {_around(text, render(passage, b))}")
        ids_a, ids_b = a.encode(text), b.encode(text)
        equal += ids_a == ids_b
        if ids_a != ids_b and not any("cut into" in f for f in faults):
            at = next((i for i, (x, y) in enumerate(zip(ids_a, ids_b, strict=False)) if x != y), len(ids_b))
            faults.append(
                f"a text is cut into other tokens, from token {at} on: {ids_a[at : at + 5]} and {ids_b[at : at + 5]}"
            )
    return Tokens(len(passages), equal, tuple(faults))


def _vocabulary_faults(a: MeasuredGenerator, b: MeasuredGenerator) -> list[str]:
    faults = []
    pieces_a, pieces_b = a.engine.pieces, b.engine.pieces
    shared = min(len(pieces_a), len(pieces_b))
    other = [
        i for i in range(shared) if pieces_a[i] != pieces_b[i] and not _padding(pieces_a[i], pieces_b[i])
    ]
    if other:
        i = other[0]
        faults.append(
            f"{len(other)} token{'s' if len(other) > 1 else ''} of the vocabulary stand for other bytes, as id {i}: "
            f"{pieces_a[i]!r} and {pieces_b[i]!r} (wrong token type, or another tokenizer)"
        )
    beyond = [i for i in range(shared, len(pieces_a)) if pieces_a[i]]
    if beyond:
        faults.append(f"{len(beyond)} tokens from id {beyond[0]} on are missing in the second")
    ends_a, ends_b = set(a.engine.end_ids), set(b.engine.end_ids)
    if ends_a != ends_b:
        faults.append(f"other tokens end a text: {sorted(ends_a)} and {sorted(ends_b)}")
    return faults


def _padding(one: bytes, other: bytes) -> bool:
    """Return whether one is empty and the other the name that a padded row of the embedding has been given."""
    return any(not x and y.startswith(b"[PAD") and y.endswith(b"]") for x, y in ((one, other), (other, one)))


def _around(a: str, b: str) -> str:
    at = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return f"{a[max(0, at - 20) : at + 20]!r} and {b[max(0, at - 20) : at + 20]!r}"


def suite_passages(suite: Suite, limit: int) -> list[Passage]:
    """Return problems with their solutions, alternately as plain code and as chat turns, spread over the suite."""
    solved = [p for p in suite.problems if p.canonical_solution]
    if not solved:
        raise BadInputError(
            f"suite {suite.name!r} has no solutions to compare on; give texts with --corpus FILE"
        )
    step = max(1, len(solved) // limit)
    passages = []
    for i, problem in enumerate(solved[::step][:limit]):
        program = problem.prompt + problem.canonical_solution
        if i % 2:
            messages = tuple((m["role"], m["content"]) for m in chat_messages(problem))
            passages.append(Passage(f"```python\n{program.strip()}\n```", messages))
        else:
            passages.append(Passage(program))
    return passages


def load_passages(path: Path, limit: int) -> list[Passage]:
    """Return the texts of a file.

    JSON Lines hold `text`, or `prompt` and `completion`; any other file is cut at blank lines into pieces of some 2,000
    characters. Raises BadInputError that names file and line.
    """
    if not path.is_file():
        raise BadInputError(f"no such file: {path}")
    if path.suffix in (".jsonl", ".gz"):
        passages = [_passage(path, number, row) for number, row in read_objects(path)]
    else:
        try:
            passages = [Passage(piece) for piece in _pieces(path.read_text(encoding="utf-8"))]
        except UnicodeDecodeError as error:
            raise BadInputError(f"{path}: not UTF-8 text: {error}") from None
    passages = [p for p in passages if p.text.strip()][:limit]
    if not passages:
        raise BadInputError(f"{path} holds no text to compare on")
    return passages


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
