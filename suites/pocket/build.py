"""Builds the pocket suite's data: `python -m assay.suites.pocket.build` rewrites `data/` (a test compares the two).

The data is kept in the repository so that loading costs nothing and the problems stand still: a change of a
generator shows up as a change of the data, never as a silent change of what was asked.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from assay.suites.model import Problem
from assay.suites.pocket.checks import UnusableTaskError, build_checks
from assay.suites.pocket.families import HELD_OUT_PAIRS, SINGLE, TRAINED_PAIRS
from assay.suites.pocket.problems import SPLITS, Split, Task, tasks

DATA = Path(__file__).parent / "data"
SEED = 0
_FIELDS = ("id", "prompt", "entry_point", "checks", "canonical_solution", "instruction", "family")


def problem(task: Task, problem_id: str) -> Problem:
    """`task` with its checks. Raises UnusableTaskError where no checks could tell right from wrong."""
    return Problem(
        id=problem_id,
        prompt=task.prompt,
        entry_point=task.name,
        checks=build_checks(task),
        canonical_solution=task.body(),
        instruction=task.instruction,
        family=task.family,
    )


def _quotas(split: Split) -> dict[str, int]:
    """Problems of each family: 400 to measure on, 2,000 to practise on, none of them a held-out composition."""
    single, pair, compose = (200, 60, 0) if split == "train" else (16, 10, 47)
    return (
        dict.fromkeys(SINGLE, single)
        | {f"pair/{a}+{b}": pair for a, b, _ in TRAINED_PAIRS}
        | {f"compose/{a}+{b}": compose for a, b, _ in HELD_OUT_PAIRS}
    )


def make(split: Split) -> list[Problem]:
    """The first usable problems of each family, from a fixed seed, the same on every machine."""
    left = _quotas(split)
    chosen: list[Problem] = []
    stream = tasks(split, SEED)
    while any(left.values()):
        task = next(stream)
        if not left[task.family]:
            continue
        try:
            chosen.append(problem(task, f"pocket-{split}/{len(chosen)}"))
            left[task.family] -= 1
        except UnusableTaskError:
            continue
    return chosen


def to_jsonl(problems: list[Problem]) -> bytes:
    """The suite's bytes, whose hash is its revision: a field that other suites gave Problem must not change them."""
    rows = ({field: getattr(p, field) for field in _FIELDS} for p in problems)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def file_of(split: Split) -> Path:
    return DATA / f"{split}.jsonl.gz"


def main() -> None:
    DATA.mkdir(exist_ok=True)
    for split in SPLITS:
        file_of(split).write_bytes(gzip.compress(to_jsonl(make(split)), mtime=0))


if __name__ == "__main__":
    main()
