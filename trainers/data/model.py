"""The types of training data: a message, a record (one chat), and the rows read of a source."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from assay.trainers.errors import DataError

ROLES = ("system", "user", "assistant")


class Message(NamedTuple):
    """One turn. `input` is the second field of an Alpaca row, kept apart because the Alpaca template sets it apart."""

    role: Literal["system", "user", "assistant"]
    content: str
    input: str = ""


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """One chat. `source` names where it came from: FILE:LINE, or a problem's id."""

    messages: tuple[Message, ...]
    source: str

    def as_dicts(self) -> list[dict[str, str]]:
        """Return the messages as chat templates take them: an Alpaca row's input follows its instruction."""
        return [
            {"role": m.role, "content": f"{m.content}\n\n{m.input}" if m.input else m.content}
            for m in self.messages
        ]


@dataclass(frozen=True, slots=True)
class Records:
    """The records read of a source: `n_read == len(kept) + sum(dropped.values())`.

    `sha256` is of the kept records' content and of those held out for evaluation. `formats` counts the usable rows by
    the format they were read as; `origin` is where they came from, with revision and split for a hub dataset;
    `first_dropped` names for each reason the first row it hit. `evaluation` is held out: never trained on.
    """

    kept: tuple[TrainingRecord, ...]
    n_read: int
    sha256: str
    dropped: dict[str, int] = field(default_factory=dict)
    formats: dict[str, int] = field(default_factory=dict)
    origin: str = ""
    first_dropped: dict[str, str] = field(default_factory=dict)
    evaluation: Records | None = None

    def counts(self) -> str:
        """Return how many rows were read, kept and dropped, and why, as text."""
        text = f"{self.n_read} read, {len(self.kept)} kept"
        if self.formats:
            text += f" ({', '.join(f'{n} {name}' for name, n in sorted(self.formats.items()))})"
        for reason, n in self.dropped.items():
            where = f", first at {self.first_dropped[reason]}" if reason in self.first_dropped else ""
            text += f"; {n} dropped: {reason}{where}"
        return text


class RowError(ValueError):
    """A row that is not of its format. `reason` names the error without the row's own values, so that rows with the
    same error can be counted together; the message names the field and the value."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(slots=True)
class Reading:
    """Rows being read one by one: those kept, and those dropped with the reason."""

    origin: str
    kept: list[TrainingRecord] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    first_dropped: dict[str, str] = field(default_factory=dict)
    formats: Counter[str] = field(default_factory=Counter)

    @property
    def n_read(self) -> int:
        return len(self.kept) + self.dropped.total()

    def keep(self, messages: tuple[Message, ...], where: str, form: str) -> None:
        """Keep the chat, or drop it where there is nothing in it to learn from."""
        if reason := _unusable(messages):
            self.drop(reason, where)
        else:
            self.kept.append(TrainingRecord(messages, where))
            self.formats[form] += 1

    def drop(self, reason: str, where: str) -> None:
        self.dropped[reason] += 1
        self.first_dropped.setdefault(reason, where)

    def records(self) -> Records:
        """Return everything read. Raises DataError where nothing is left to train on."""
        if not self.kept:
            reasons = ", ".join(f"{n} {reason}" for reason, n in self.dropped.items()) or "it is empty"
            raise DataError(f"{self.origin} gives no training record: {reasons}")
        return Records(
            tuple(self.kept),
            self.n_read,
            content_sha256(self.kept),
            dict(self.dropped),
            dict(self.formats),
            self.origin,
            dict(self.first_dropped),
        )


def content_sha256(kept: Sequence[TrainingRecord], evaluation: Sequence[TrainingRecord] = ()) -> str:
    """Return the hash of the records' content in order, one JSON line each, and of what is held out."""
    mark = [b"evaluation\n"] if evaluation else []
    lines = [*map(_line, kept), *mark, *map(_line, evaluation)]
    return hashlib.sha256(b"".join(lines)).hexdigest()


def _line(record: TrainingRecord) -> bytes:
    turns: list[dict[str, Any]] = [
        {"role": m.role, "content": m.content} | ({"input": m.input} if m.input else {})
        for m in record.messages
    ]
    return json.dumps(turns, ensure_ascii=False).encode() + b"\n"


def _unusable(messages: tuple[Message, ...]) -> str | None:
    if messages[-1].role != "assistant":
        return "last turn is not the assistant's"
    if not messages[-1].content.strip():
        return "empty assistant turn"
    if next(m.role for m in messages if m.role != "system") == "assistant":
        return "first turn is the assistant's"
    return None
