"""The samples as one compact object for the page's script.

Columns instead of records, and every string once: prompts and programs repeat across variants and samples. The
browser-side twin of this format is the top of script.js.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from assay.harness.errors import BadInputError
from assay.harness.leaderboard.schema import OPTIONAL_COLUMNS, REQUIRED_COLUMNS, Leaderboard
from assay.suites import Problem

# A page of 10,000 samples opens at once; one of 200,000 does not open on a phone. Beyond this many, the page keeps
# the first samples of each problem, the same indices for every variant, and says so.
MAX_SAMPLES = 16_000
# Longer texts are cut in the page, visibly; the run's Parquet files hold them whole.
MAX_TEXT = 12_000
MAX_OUTPUT = 4_000

_TEXT_COLUMNS = (
    "prompt",
    "completion",
    "program",
    "detail",
    "output",
    "rule",
    "finish_reason",
    "mode",
    "outcome",
    "seed",  # 64 bits, of which a JavaScript number keeps 53
)


class _Strings:
    """A table in which every distinct string has one place."""

    def __init__(self) -> None:
        self.table: list[str] = []
        self._places: dict[str, int] = {}

    def place(self, text: str, limit: int = MAX_TEXT) -> int:
        if len(text) > limit:
            text = f"{text[:limit]}\n… {len(text) - limit:,} more characters, cut here"
        if text not in self._places:
            self._places[text] = len(self.table)
            self.table.append(text)
        return self._places[text]


def page_data(
    board: Leaderboard, samples: Mapping[str, pd.DataFrame], problems: Mapping[str, Problem]
) -> dict[str, Any]:
    """What script.js reads: problems and, for each variant in leaderboard order, its samples as columns.

    Raises BadInputError when a sample's problem is not among `problems`.
    """
    strings = _Strings()
    variants = [row.variant for row in board.ranked if row.variant in samples]
    used = dict.fromkeys(str(p) for v in variants for p in samples[v]["problem_id"])
    unknown = next((p for p in used if p not in problems), None)
    if unknown is not None:
        raise BadInputError(
            f"samples: problem {unknown!r} is not in suite {board.suite.name}; "
            "pass the problems of the revision that the run used"
        )
    order = [p for p in problems if p in used]
    places = {p: i for i, p in enumerate(order)}
    frames, kept = _cut_to_size({v: samples[v] for v in variants})
    return {
        "reference": board.reference,
        "variants": variants,
        "total": sum(len(samples[v]) for v in variants),
        "embedded": sum(len(f) for f in frames.values()),
        "kept_per_problem": kept,
        "problems": [_problem(problems[p], strings) for p in order],
        "samples": {v: _columns(frames[v], places, strings) for v in variants},
        "strings": strings.table,
    }


def _cut_to_size(frames: dict[str, pd.DataFrame]) -> tuple[dict[str, pd.DataFrame], int | None]:
    """All samples, or those whose index is below the largest bound that fits MAX_SAMPLES (at least the first)."""
    if sum(len(f) for f in frames.values()) <= MAX_SAMPLES:
        return frames, None
    counts = pd.concat([f["index"].astype(int) for f in frames.values()]).value_counts().sort_index()
    fitting = counts.cumsum()
    bound = max(1, int((fitting <= MAX_SAMPLES).sum()))
    last = int(counts.index[bound - 1])
    return {v: f[f["index"].astype(int) <= last] for v, f in frames.items()}, bound


def _problem(problem: Problem, strings: _Strings) -> list[Any]:
    return [
        problem.id,
        problem.family,
        strings.place(problem.instruction),
        strings.place(problem.prompt),
        strings.place("\n".join(problem.checks)),
        strings.place(problem.canonical_solution),
        problem.entry_point,
    ]


def _columns(frame: pd.DataFrame, places: Mapping[str, int], strings: _Strings) -> dict[str, list[Any]]:
    frame = frame.sort_values(["problem_id", "index"], kind="stable")
    columns: dict[str, list[Any]] = {"problem": [places[str(p)] for p in frame["problem_id"]]}
    for name in (*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS):
        if name == "problem_id" or name not in frame.columns:
            continue
        if name in _TEXT_COLUMNS:
            limit = MAX_OUTPUT if name == "output" else MAX_TEXT
            columns[name] = [
                strings.place("" if _missing(value) else str(value), limit) for value in frame[name]
            ]
        else:
            columns[name] = [_number(value) for value in frame[name]]
    return columns


def _missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def _number(value: Any) -> int | float | None:
    """A number as JSON has it; seconds to the microsecond, missing values as null."""
    if _missing(value) or not math.isfinite(float(value)):
        return None
    number = float(value)
    return int(number) if number.is_integer() and abs(number) < 2**53 else round(number, 6)
