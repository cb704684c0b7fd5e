"""The log of a training run: one JSON line a step, appended as it happens, cut back when a run resumes."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """One optimiser step. `loss` is the mean over the tokens trained on; `tokens` counts all tokens read so far,
    padding left out; `tok_per_s` is over this step's wall time; `rss_bytes` is the resident set of this process."""

    step: int
    total_steps: int
    epoch: float
    loss: float
    learning_rate: float
    grad_norm: float
    tokens: int
    tok_per_s: float
    rss_bytes: int


def append_step(path: Path, step: TrainingStep) -> None:
    with path.open("a", encoding="utf-8") as f:
        f.write(json.dumps(asdict(step)) + "\n")


def read_steps(path: Path) -> list[TrainingStep]:
    """The steps logged. A half-written last line, as a kill leaves, is left out."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [TrainingStep(**json.loads(line)) for line in lines[:-1]]


def keep_until(path: Path, step: int) -> None:
    """Drop what was logged after `step`, so that a resumed run's log reads as one run's."""
    kept = [s for s in read_steps(path) if s.step <= step]
    part = path.with_name(path.name + ".part")
    part.write_text("".join(json.dumps(asdict(s)) + "\n" for s in kept), encoding="utf-8")
    os.replace(part, path)


def rss_bytes() -> int:
    """Resident set size of this process now; where /proc is absent, its peak so far."""
    try:
        with open("/proc/self/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
