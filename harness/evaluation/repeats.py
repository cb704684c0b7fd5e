"""Executing the same samples several times: which verdicts do not hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.evaluation.scores import OUTCOMES
from harness.evaluation.verdict_lines import Judged
from harness.store import write_text
from sandbox import Outcome

SHOWN = 100
_CODE = {outcome: code for code, outcome in enumerate(OUTCOMES)}
_INFRA = _CODE[Outcome.INFRA]


@dataclass
class Repeats:
    """One byte a sample and repetition. `infra` is no verdict, so it differs from none."""

    path: Path
    runs: list[bytearray] = field(default_factory=list)
    names: list[tuple[str, int, int]] = field(default_factory=list)

    def begin(self) -> None:
        self.runs.append(bytearray())

    def add(self, judged: Judged) -> None:
        if len(self.runs) == 1:
            self.names.append((judged.sample.task_id, judged.sample.index, judged.sample.line))
        self.runs[-1].append(_CODE[judged.verdict.outcome])

    def differing(self) -> Iterator[dict[str, Any]]:
        """Samples with more than one outcome, in file order, with the outcome of each repetition."""
        for (task, index, line), *codes in zip(self.names, *self.runs, strict=True):
            if len(set(codes) - {_INFRA}) > 1:
                outcomes = [OUTCOMES[code].value for code in codes]
                yield {"task_id": task, "index": index, "line": line, "outcomes": outcomes}

    def finish(self) -> Flakiness:
        """Write the differing samples beside the results; an older list is replaced, also by an empty one."""
        found = list(self.differing())
        write_text(self.path, "".join(json.dumps(row) + "\n" for row in found))
        return Flakiness(len(self.runs), len(found), tuple(found[:SHOWN]), self.path)


@dataclass(frozen=True, slots=True)
class Flakiness:
    """What `--repeat` found: how many samples had more than one verdict over `n` executions of each."""

    n: int
    n_differing: int
    first: tuple[dict[str, Any], ...]
    path: Path

    def to_json(self) -> dict[str, Any]:
        return {
            "n": self.n,
            "n_differing": self.n_differing,
            "differing": list(self.first),
            "file": str(self.path),
        }
