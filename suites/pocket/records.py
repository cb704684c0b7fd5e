"""Training problems as chat messages, every answer correct: the data of supervised fine-tuning."""

from __future__ import annotations

from itertools import islice
from typing import TypedDict

from suites.pocket.problems import Task, tasks


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
