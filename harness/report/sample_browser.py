"""Pack the samples into one compact text that the page's script unpacks when the samples are looked at.

Columns instead of records, and every string once: prompts and programs repeat across variants and samples. Of a
completion only what stands around its program is kept, and `program_at` says where the program was. Strings of one
problem lie beside one another, because deflate sees 32 KiB; a column of their places holds differences, which repeat.
JSON, zlib and base64 follow. Base64 has no character that could end the element it lies in. The browser-side twin of
this format is in script.js.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pandas as pd

from assay.harness.errors import BadInputError
from assay.harness.leaderboard.schema import Leaderboard
from assay.sandbox.model import Outcome
from assay.suites import Problem

# Columns that the sample browser cannot do without, and all that it shows where they are present.
REQUIRED_COLUMNS = ("problem_id", "index", "completion", "program", "outcome")
NUMBER_COLUMNS = (
    "index",
    "n_tokens",
    "checks_passed",
    "checks_total",
    "cpu_s",
    "wall_s",
    "peak_bytes",
    "program_at",
)
TEXT_COLUMNS = (
    "prompt",
    "program",
    "completion",
    "detail",
    "output",
    "rule",
    "finish_reason",
    "mode",
    "outcome",
    "seed",  # 64 bits, of which a JavaScript number keeps 53
)

# A page of 60,000 samples has under 5 MB (benchmarks/report_size.py). Beyond this many, the page keeps the first
# samples of each problem, the same indices for every variant, and says so.
MAX_SAMPLES = 64_000
# Longer texts are cut in the page, visibly; the run's Parquet files hold them whole.
MAX_TEXT = 12_000
MAX_OUTPUT = 4_000


class _Strings:
    """A table in which every distinct string has one place."""

    def __init__(self) -> None:
        self.table: list[str] = []
        self._places: dict[str, int] = {}

    def place(self, value: Any, limit: int = MAX_TEXT) -> int:
        text = "" if pd.isna(value) else str(value)
        if len(text) > limit:
            text = f"{text[:limit]}\n… {len(text) - limit:,} more characters, cut here"
        if text not in self._places:
            self._places[text] = len(self.table)
            self.table.append(text)
        return self._places[text]


def check_samples(board: Leaderboard, samples: Mapping[str, pd.DataFrame]) -> None:
    """Raise BadInputError unless every frame belongs to a row and has the columns that the sample browser needs."""
    names = [row.variant for row in board.rows]
    known_outcomes = {outcome.value for outcome in Outcome}
    for variant, frame in samples.items():
        if variant not in names:
            raise BadInputError(f"samples: variant {variant!r} has no row; rows are {', '.join(names)}")
        missing = [column for column in REQUIRED_COLUMNS if column not in frame.columns]
        if missing:
            raise BadInputError(f"samples of {variant}: column {missing[0]!r} is missing")
        unknown = sorted(set(frame["outcome"].astype(str)) - known_outcomes)
        if unknown:
            raise BadInputError(
                f"samples of {variant}: outcome {unknown[0]!r} is none of {', '.join(sorted(known_outcomes))}"
            )


def page_data(
    board: Leaderboard, samples: Mapping[str, pd.DataFrame], problems: Mapping[str, Problem]
) -> dict[str, Any]:
    """Return what script.js reads: problems and, for each variant in leaderboard order, its samples as columns.

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
    frames, kept = _cut_to_size({v: samples[v] for v in variants})
    places = {p: i for i, p in enumerate(order)}
    frames = {
        v: _program_cut_out(frame.assign(_place=frame["problem_id"].astype(str).map(places)))
        .sort_values(["_place", "index"], kind="stable")
        .reset_index(drop=True)
        for v, frame in frames.items()
    }
    listed = [_problem(problems[p], strings) for p in order]
    texts = _texts(frames, strings)
    return {
        "reference": board.reference,
        "variants": variants,
        "total": sum(len(samples[v]) for v in variants),
        "embedded": sum(len(f) for f in frames.values()),
        "kept_per_problem": kept,
        "problems": listed,
        "samples": {v: _columns(frame, texts[v]) for v, frame in frames.items()},
        "strings": strings.table,
    }


def packed(data: Mapping[str, Any]) -> str:
    """Return the data as the page holds it: ASCII JSON (lone surrogates are harmless there), deflated, in base64.

    A NaN raises ValueError.
    """
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode("ascii"), 9)).decode("ascii")


def _cut_to_size(frames: dict[str, pd.DataFrame]) -> tuple[dict[str, pd.DataFrame], int | None]:
    """Return all samples, or the first of each problem: as many indices as fit MAX_SAMPLES, at least one."""
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


def _program_cut_out(frame: pd.DataFrame) -> pd.DataFrame:
    """Cut the program out of each completion that holds it; `program_at` is where it was, -1 where it was not.

    It counts UTF-16 units, as JavaScript does.
    """
    around, places = [], []
    for completion, program in zip(frame["completion"], frame["program"], strict=True):
        known = not (pd.isna(completion) or pd.isna(program) or len(completion) > MAX_TEXT)
        before, cut, after = completion.partition(program) if known and program else (completion, "", "")
        around.append(before + after if cut else completion)
        places.append(len(before.encode("utf-16-le", "surrogatepass")) // 2 if cut else -1)
    return frame.assign(completion=pd.Series(around, frame.index, dtype=object), program_at=places)


def _texts(frames: Mapping[str, pd.DataFrame], strings: _Strings) -> dict[str, dict[str, list[int]]]:
    """Give every text its place, problem by problem across variants, so that like texts lie beside one another."""
    values = {
        v: {c: frame[c].tolist() for c in TEXT_COLUMNS if c in frame.columns} for v, frame in frames.items()
    }
    places: dict[str, dict[str, list[int]]] = {v: {c: [] for c in columns} for v, columns in values.items()}
    rows = sorted(
        (place, row, order, v)
        for order, (v, frame) in enumerate(frames.items())
        for row, place in enumerate(frame["_place"].tolist())
    )
    for _, row, _, v in rows:
        for column, texts in values[v].items():
            limit = MAX_OUTPUT if column == "output" else MAX_TEXT
            places[v][column].append(strings.place(texts[row], limit))
    return places


def _columns(frame: pd.DataFrame, texts: Mapping[str, list[int]]) -> dict[str, list[Any]]:
    """Return the columns of a variant: numbers as they are, and of places in the strings the differences."""
    numbers = [name for name in NUMBER_COLUMNS if name in frame.columns]
    return (
        {"problem": frame["_place"].tolist()}
        | {name: [_number(value) for value in frame[name].tolist()] for name in numbers}
        | {name: [b - a for a, b in pairwise((0, *places))] for name, places in texts.items()}
    )


def _number(value: Any) -> int | float | None:
    """Return a number as JSON has it; seconds to the microsecond, missing values as null."""
    if pd.isna(value) or not math.isfinite(float(value)):
        return None
    number = float(value)
    return int(number) if number.is_integer() and abs(number) < 2**53 else round(number, 6)
