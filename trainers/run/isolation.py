"""Behind which walls the rewards of one folder were given: the weakest of all the calls that filled it.

A training that executes answers is as good as its sandbox. It may be killed and go on under another call, with other
walls, so the folder keeps what it was filled behind.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from assay.sandbox import Isolation
from assay.sandbox.host.isolation import Level
from assay.trainers.errors import TrainingError

ISOLATION_FILE = "isolation.json"


@dataclass(frozen=True, slots=True)
class RewardIsolation:
    """The isolation of a sandbox, in one word and in a line."""

    level: Level
    label: str


def refuse_weak(out: Path, *, allow_weak: bool) -> None:
    """Raises TrainingError where rewards in `out` were given behind weaker walls than this call asks for."""
    found = _read(out)
    if found is not None and found.level != "full" and not allow_weak:
        raise TrainingError(
            f"{out}: its rewards were given behind {found.label}, weaker than this call asks for; remove it, train "
            "into another folder, or pass --allow-weak"
        )


def record_isolation(out: Path, now: Isolation) -> RewardIsolation:
    """Write down in `out` that rewards are given behind `now` from here on; the weakest that it ever had."""
    found = _read(out)
    if found is not None and found.level != "full":
        return found
    walls = RewardIsolation(now.level, now.label)
    part = out / f"{ISOLATION_FILE}.part"
    part.write_text(json.dumps(asdict(walls), indent=2) + "\n", encoding="utf-8")
    part.replace(out / ISOLATION_FILE)
    return walls


def _read(out: Path) -> RewardIsolation | None:
    path = out / ISOLATION_FILE
    return RewardIsolation(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None
