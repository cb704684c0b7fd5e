"""Training records: chats ending in an assistant's turn, from a JSONL file or made by a suite.

A JSONL row is either `{"messages": [{"role", "content"}, …]}` or `{"prompt": …, "completion": …}`, which is taken as
one user turn and one assistant turn. Every row read is either kept or dropped with a reason.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Protocol

from pydantic import BaseModel, ConfigDict, Field, model_validator

from suites.registry import Registry, UnknownNameError
from trainers.errors import DataError

_ROLES = ("system", "user", "assistant")


class Message(NamedTuple):
    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """One chat. `source` names where it came from: FILE:LINE, or a problem's id."""

    messages: tuple[Message, ...]
    source: str

    def as_dicts(self) -> list[dict[str, str]]:
        return [{"role": m.role, "content": m.content} for m in self.messages]


@dataclass(frozen=True, slots=True)
class Records:
    """What was read: `n_read == len(kept) + sum(dropped.values())`. `sha256` is of the kept records' content."""

    kept: tuple[TrainingRecord, ...]
    n_read: int
    sha256: str
    dropped: dict[str, int] = field(default_factory=dict)


class RecordMaker(Protocol):
    """Makes `n` chats for training that share no problem with any split that is measured."""

    def __call__(self, *, n: int, seed: int) -> Sequence[Mapping[str, Any]]: ...


# A suite that only measures has no entry here, and so cannot be trained on by a slip of the pen.
RECORDS: Registry[RecordMaker] = Registry("training records of suite", "assay.records")


@RECORDS.register("pocket")
def _pocket(*, n: int, seed: int) -> Sequence[Mapping[str, Any]]:
    from suites.pocket.records import pocket_sft_records

    return pocket_sft_records(n, seed)


class DataConfig(BaseModel):
    """`[data]`: either `file`, of which `n` keeps the first rows, or `suite`, which makes `n` records."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: Path | None = None
    suite: str | None = None
    split: Literal["train"] = "train"
    n: Annotated[int, Field(ge=1)] | None = None
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _one_source(self) -> DataConfig:
        if (self.file is None) == (self.suite is None):
            raise ValueError("data needs exactly one of `file` and `suite`")
        if self.suite is not None and self.n is None:
            raise ValueError("data from a suite needs `n`, the number of records to make")
        return self


def load_records(config: DataConfig) -> Records:
    """The records that `config` names. Raises DataError when a row is malformed or none is left."""
    if config.suite is None:
        assert config.file is not None
        return records_from_jsonl(config.file, limit=config.n)
    assert config.n is not None
    return records_from_suite(config.suite, n=config.n, seed=config.seed)


def records_from_suite(name: str, *, n: int, seed: int) -> Records:
    """`n` chats made by the suite's record maker. DataError where the suite has none or makes fewer."""
    try:
        maker = RECORDS.get(name)
    except UnknownNameError as e:
        raise DataError(
            f"suite {name!r} makes no training records; those that do: {', '.join(RECORDS.names())}"
        ) from e
    kept: list[TrainingRecord] = []
    dropped: Counter[str] = Counter()
    rows = maker(n=n, seed=seed)
    if len(rows) != n:
        raise DataError(f"suite {name!r} made {len(rows)} training records where {n} were asked for")
    for i, row in enumerate(rows):
        where = f"{name}/train/{i}"
        messages = _parse_messages(row["messages"], where)
        if reason := _unusable(messages):
            dropped[reason] += 1
        else:
            kept.append(TrainingRecord(messages, where))
    return _records(kept, n, dropped, f"suite {name!r}")


def records_from_jsonl(path: Path, *, limit: int | None = None) -> Records:
    """Read a JSONL file. A malformed row is a DataError naming file, line and field; an empty answer is dropped."""
    if not path.is_file():
        raise DataError(f"no training file at {path}")
    kept: list[TrainingRecord] = []
    dropped: Counter[str] = Counter()
    n_read = 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            if limit is not None and n_read == limit:
                break
            n_read += 1
            where = f"{path}:{number}"
            messages = _parse_row(line, where)
            if reason := _unusable(messages):
                dropped[reason] += 1
            else:
                kept.append(TrainingRecord(messages, where))
    return _records(kept, n_read, dropped, str(path))


def _records(kept: list[TrainingRecord], n_read: int, dropped: Counter[str], where: str) -> Records:
    if not kept:
        reasons = ", ".join(f"{n} {why}" for why, n in dropped.items()) or "it is empty"
        raise DataError(f"{where} gives no training record: {reasons}")
    digest = hashlib.sha256()
    for record in kept:
        digest.update(json.dumps(record.as_dicts(), ensure_ascii=False).encode() + b"\n")
    return Records(tuple(kept), n_read, digest.hexdigest(), dict(dropped))


def _unusable(messages: tuple[Message, ...]) -> str | None:
    if messages[-1].role != "assistant":
        return "last turn is not the assistant's"
    if not messages[-1].content.strip():
        return "empty assistant turn"
    return None


def _parse_row(line: bytes, where: str) -> tuple[Message, ...]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as e:
        raise DataError(f"{where}: not JSON: {e}") from e
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected an object, found {type(row).__name__}")
    if "messages" in row:
        return _parse_messages(row["messages"], where)
    for name in ("prompt", "completion"):
        if not isinstance(row.get(name), str):
            found = "nothing" if name not in row else type(row[name]).__name__
            raise DataError(f"{where}: field {name!r} should be a string, found {found} (or give 'messages')")
    return (Message("user", row["prompt"]), Message("assistant", row["completion"]))


def _parse_messages(value: Any, where: str) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        raise DataError(f"{where}: field 'messages' should be a non-empty list, found {value!r:.60}")
    messages: list[Message] = []
    for i, item in enumerate(value):
        at = f"{where}: field 'messages[{i}]"
        if not isinstance(item, dict):
            raise DataError(f"{at}' should be an object, found {type(item).__name__}")
        role, content = item.get("role"), item.get("content")
        if role not in _ROLES:
            raise DataError(f"{at}.role' is {role!r}; known are {', '.join(_ROLES)}")
        if not isinstance(content, str):
            raise DataError(f"{at}.content' should be a string, found {type(content).__name__}")
        if unknown := set(item) - {"role", "content"}:
            raise DataError(f"{at}' has unknown keys {sorted(unknown)}")
        if role == "system" and i > 0:
            raise DataError(f"{at}.role' is 'system'; only the first turn may be")
        if messages and messages[-1].role == role:
            raise DataError(f"{at}.role' repeats {role!r}; turns must alternate")
        messages.append(Message(role, content))
    return tuple(messages)
