"""The logs of a training run: one JSON line a step, appended as it happens, cut back when a run resumes.

`train_log.jsonl` holds every logged step, `eval_log.jsonl` the loss on the held-out records where there are any.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from assay.trainers.files import append_to, write_text

LOG = "train_log.jsonl"
EVAL_LOG = "eval_log.jsonl"


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """One logged optimiser step.

    `loss` is the mean over the tokens trained on (over the steps since the last logged one, where not every step is
    logged); `learning_rate` is the highest one, where parts of the model have their own; `grad_norm` is before
    clipping; `tokens` counts all tokens read so far, padding left out; `tok_per_s` is over the wall time of the steps
    since the last logged one, without saving and evaluating; `rss_bytes` is the resident set of this process,
    `vram_bytes` the most that the CUDA allocator has held, absent without a CUDA device.
    """

    step: int
    total_steps: int
    epoch: float
    loss: float
    learning_rate: float
    grad_norm: float
    tokens: int
    tok_per_s: float
    rss_bytes: int
    vram_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class EvalPoint:
    """The loss on the held-out records after `step`: the mean over batches (weighted by their chats) of the mean over
    the tokens that count. `best` says whether it was the lowest so far."""

    step: int
    loss: float
    seconds: float
    best: bool


OnStep = Callable[[TrainingStep], None]


def append_line(path: Path, row: dict[str, Any]) -> None:
    """Append `row` as one line of JSON."""
    with os.fdopen(append_to(path), "a", encoding="utf-8") as f:
        f.write(json.dumps(row) + "\n")


def append_step(path: Path, step: TrainingStep | EvalPoint) -> None:
    """Append one logged step or evaluation."""
    append_line(path, asdict(step))


def read_steps(path: Path) -> list[TrainingStep]:
    """Return the steps logged. A half-written last line, as a kill leaves, is left out."""
    return [TrainingStep(**row) for row in rows_of(path)]


def read_evals(path: Path) -> list[EvalPoint]:
    """Return the evaluations logged, as `read_steps`."""
    return [EvalPoint(**row) for row in rows_of(path)]


def keep_until(path: Path, step: int) -> None:
    """Drop what was logged after `step`, so that a resumed run's log reads as one run's."""
    if not path.is_file():
        return
    kept = [row for row in rows_of(path) if row["step"] <= step]
    write_text(path, "".join(json.dumps(row) + "\n" for row in kept))


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Return the complete lines of a log; none where there is no file."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1]]


def rss_bytes() -> int:
    """Return the resident set size of this process now; where /proc is absent, its peak so far."""
    try:
        with open("/proc/self/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
