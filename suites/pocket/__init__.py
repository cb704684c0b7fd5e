"""The pocket suite: synthetic Python function problems a model of a few million parameters can learn."""

from __future__ import annotations

import gzip
import hashlib
import json
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TypedDict

from assay.suites import SUITES, SuiteError
from assay.suites.model import Problem, Suite
from assay.suites.pocket.build import file_of
from assay.suites.pocket.problems import SPLITS, Split, Task, tasks

__all__ = ["ChatRecord", "Message", "chat", "pocket_sft_records"]

# Training problems as chat messages, every answer correct: the data of supervised fine-tuning.


class Message(TypedDict):
    role: str
    content: str


class ChatRecord(TypedDict):
    messages: list[Message]


def chat(task: Task, body: str) -> list[Message]:
    """User asks, assistant answers with the bare indented body (no trailing newline)."""
    return [
        {"role": "user", "content": task.instruction},
        {"role": "assistant", "content": body.rstrip("\n")},
    ]


def pocket_sft_records(count: int, seed: int = 0) -> list[ChatRecord]:
    """`count` distinct training problems with their correct bodies, from the train split only."""
    return [{"messages": chat(task, task.body())} for task in islice(tasks("train", seed + 1_000_000), count)]


# Loads the pocket suite; `build.py` says where its problems come from.

# A bare completion has left the function where a line begins unindented.
STOP = ("\ndef ", "\nclass ", "\nassert", "\nprint", "\n#", "\nif ")


@lru_cache
def _suite(split: Split) -> Suite:
    content = gzip.decompress(file_of(split).read_bytes())
    rows = [json.loads(line) for line in content.splitlines()]
    problems = tuple(Problem(**row | {"checks": tuple(row["checks"])}) for row in rows)
    return Suite("pocket", hashlib.sha256(content).hexdigest(), problems, STOP)


@SUITES.register("pocket")
def load(*, path: Path | None, split: str | None) -> Suite:
    """Split dev or test (the default); `train` has 2,000 to practise on."""
    if path is not None:
        raise SuiteError(f"suite 'pocket' carries its own problems and reads no file, got path {str(path)!r}")
    for known in SPLITS:
        if known == (split or "test"):
            return _suite(known)
    raise SuiteError(f"suite 'pocket' has no split {split!r}; known: {', '.join(SPLITS)}")
