"""Do two models read and write text alike: token ids on a corpus, the whole vocabulary, the ends, the chat form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from harness.compare.corpus import Passage
from harness.errors import BadInputError
from harness.generation.load import MeasuredGenerator


@dataclass(frozen=True, slots=True)
class Tokens:
    """`texts` were cut by both, `equal` of them into the same ids. `faults` say what differs, in words."""

    texts: int
    equal: int
    faults: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def render(passage: Passage, generator: MeasuredGenerator) -> str:
    """The passage as one text, its chat by this model's template; without a template, the chat's words alone."""
    if not passage.messages:
        return passage.text
    messages = [{"role": role, "content": content} for role, content in passage.messages]
    try:
        return generator.render_chat(messages) + passage.text
    except BadInputError:
        return "\n".join(content for _, content in passage.messages) + "\n" + passage.text


def compare_tokens(a: MeasuredGenerator, b: MeasuredGenerator, passages: Sequence[Passage]) -> Tokens:
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
    """Whether one is nothing and the other the name that a padded row of the embedding has been given."""
    return any(not x and y.startswith(b"[PAD") and y.endswith(b"]") for x, y in ((one, other), (other, one)))


def _around(a: str, b: str) -> str:
    at = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return f"{a[max(0, at - 20) : at + 20]!r} and {b[max(0, at - 20) : at + 20]!r}"
