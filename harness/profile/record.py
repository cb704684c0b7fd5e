"""The raw record of a profile: one JSON object a line, written as things happen, read back to compute from.

`start` (the job, the machine), then from the measured process `begin`/`end` of each phase, `time` (one repeat),
`fact` and `stop`, and between them `memory` samples of the watcher. Times are seconds of the system's monotonic clock,
which all processes share.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import BadInputError

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Record:
    """All events of one profile in order."""

    path: Path
    events: tuple[dict[str, Any], ...]

    def of(self, kind: str, phase: str | None = None) -> Iterator[dict[str, Any]]:
        for event in self.events:
            if event["event"] == kind and phase in (None, event.get("phase")):
                yield event

    def first(self, kind: str, phase: str | None = None) -> dict[str, Any] | None:
        return next(self.of(kind, phase), None)

    @property
    def start(self) -> dict[str, Any]:
        return self.events[0]


def read_record(path: Path) -> Record:
    """Read a record back. BadInputError names the file and the line; a last line cut by a kill is left out."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise BadInputError(f"{path} cannot be read: {error.strerror}") from None
    events: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            event = json.loads(line)
            event["event"]
        except (ValueError, KeyError, TypeError):
            if number == len(lines):
                break
            raise BadInputError(f"{path}:{number}: no event of a profile") from None
        events.append(event)
    if not events or events[0]["event"] != "start" or events[0].get("format") != FORMAT:
        raise BadInputError(f"{path} is no profile of format {FORMAT}")
    return Record(path, tuple(events))
