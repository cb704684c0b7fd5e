"""Opening a result file: the format it is in, and the models and suites in it.

`FILE:NAME` means the model (or a run's variant) NAME of several in one file.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from assay.harness.decide.readers.source import ResultReader, Source
from assay.harness.decide.results import Results
from assay.harness.errors import BadInputError
from assay.suites.jsonlines import read_objects
from assay.suites.registry import Registry, UnknownNameError

_HERE = "assay.harness.decide.readers"
READERS: Registry[ResultReader] = Registry(
    "format of results",
    "assay.results",
    {
        "run": f"{_HERE}.runs",
        "table": f"{_HERE}.tables",
        "parquet": f"{_HERE}.parquet",
        "evalplus": f"{_HERE}.evaluators",
        "bigcodebench": f"{_HERE}.evaluators",
        "livecodebench": f"{_HERE}.evaluators",
        "lm-eval": f"{_HERE}.lm_eval",
        "inspect": f"{_HERE}.inspect_log",
        "every-eval-ever": f"{_HERE}.every_eval_ever",
        "swe-bench": f"{_HERE}.swe_bench",
        "baseline": "assay.harness.decide.baseline",
    },
)
SUFFIXES = (".json", ".jsonl", ".csv", ".tsv", ".parquet", ".eval", ".gz")
_LISTED = 12


def read_results(name: str, *, form: str | None = None, answers: bool = False) -> list[Results]:
    """Return the results in a file, a run's folder, or `FILE:MODEL`; one for each model and suite.

    `form` names a format of READERS; without it the one that the file looks like is taken. Raises BadInputError.
    """
    path, chosen = split_name(name)
    source = Source(path, answers)
    form = form or detect(source)
    try:
        reader = READERS.get(form)
    except UnknownNameError as error:
        raise BadInputError(f"--format: {error}") from None
    every = [replace(r, model=r.model or source.stem) for r in reader(source)]
    if not every:
        raise BadInputError(f"{path}, read as {form}, holds no verdict")
    twice = [pair for pair, n in Counter((r.model, r.suite) for r in every).items() if n > 1]
    if twice:
        raise BadInputError(f"{path}: model {twice[0][0]!r} has two sets of verdicts on {twice[0][1]!r}")
    return every if chosen is None else _chosen(path, chosen, every)


def split_name(name: str) -> tuple[Path, str | None]:
    """Return path and model of `FILE:MODEL`; a file that is called so wins."""
    path, colon, chosen = name.rpartition(":")
    if Path(name).exists():
        return Path(name), None
    if colon and chosen and path and Path(path).exists():
        return Path(path), chosen
    raise BadInputError(f"no such file: {name}")


def _chosen(path: Path, chosen: str, every: Sequence[Results]) -> list[Results]:
    """Return the results of one model, or of a run's variant that was trained with several seeds, one for each seed."""
    if one := [r for r in every if r.model == chosen]:
        return one
    seeds = re.compile(rf"{re.escape(chosen)}\.s\d+")
    if several := [replace(r, model=chosen) for r in every if r.format == "run" and seeds.fullmatch(r.model)]:
        return several
    names = list(dict.fromkeys(r.model for r in every))
    near = difflib.get_close_matches(chosen, names, n=1)
    advice = f"; did you mean {near[0]!r}?" if near else ""
    raise BadInputError(f"{path} has no model {chosen!r}{advice} It has: {', '.join(names[:_LISTED])}")


def looks_like_results(name: str) -> bool:
    """Whether an argument means a result file or a run, and not a model."""
    try:
        path, chosen = split_name(name)
    except BadInputError:
        return Path(name).suffix in SUFFIXES
    if path.is_dir():
        return chosen is not None or any(
            (path / inner).is_file() for inner in ("leaderboard.json", "verdicts.parquet")
        )
    return path.suffix != ".gguf"


def detect(source: Source) -> str:
    """Return the format that a file or folder looks like. Raises BadInputError where it is none's."""
    path = source.path
    if path.is_dir():
        if (path / "leaderboard.json").is_file():
            return "run"
        if (path / "verdicts.parquet").is_file():
            return "parquet"
        raise BadInputError(
            f"{path} holds neither a run's leaderboard.json nor a step's verdicts.parquet: give a result file"
        )
    start = source.start
    if start.startswith(b"PAR1") or path.suffix == ".parquet":
        return "parquet"
    if start.startswith(b"PK") or path.suffix == ".eval":
        return "inspect"
    name = path.name.removesuffix(".gz")
    if not start.startswith((b"{", b"[")) or name.endswith((".csv", ".tsv")):
        return "table"
    if _is_lines(path, 2 if name.endswith(".json") else 1):
        first = next((row for _, row in islice(read_objects(path), 1)), {})
        return _of_lines(first if isinstance(first, dict) else {})
    return _of_json(source)


def _is_lines(path: Path, least: int) -> bool:
    """Whether a file begins with objects on lines of their own, `least` of them: one may be a file of JSON."""
    rows = [row for _, row in islice(read_objects(path), 2)]
    return len(rows) >= least and all(isinstance(row, dict) for row in rows)


def _of_lines(first: dict[str, Any]) -> str:
    """Return the format of a file of JSON Lines by its first row."""
    if isinstance(first.get("doc"), dict) and "doc_id" in first:
        return "lm-eval"
    if isinstance(first.get("evaluation"), dict) and {"sample_id", "evaluation_id"} <= set(first):
        return "every-eval-ever"
    return "table"


def _of_json(source: Source) -> str:
    """Return the format of a file that is one JSON value."""
    value: Any = source.json
    if isinstance(value, list):
        first = value[0] if value else None
        if (
            isinstance(first, dict)
            and "doc_id" not in first
            and ("graded_list" in first or "detail" in first)
        ):
            return "livecodebench"
        if isinstance(first, dict) and not isinstance(first.get("doc"), dict):
            return "table"
    elif isinstance(value, dict):
        if "assay_baseline" in value:
            return "baseline"
        evaluated = value.get("eval")
        if isinstance(evaluated, dict):
            if "task" in evaluated and "model" in evaluated:
                return "inspect"
            return "bigcodebench" if _has_plain_status(evaluated) else "evalplus"
        if "resolved_ids" in value or isinstance(value.get("resolved"), list):
            return "swe-bench"
        if isinstance(value.get("results"), dict):
            return "lm-eval"
        first = next(iter(value.values()), None)
        if isinstance(first, dict) and isinstance(first.get("resolved"), bool):
            return "swe-bench"
    raise BadInputError(
        f"{source.path}: JSON of no format that is known here; formats: {', '.join(READERS.names())}. A table with the "
        "columns model, problem, passed (CSV, JSON Lines, Parquet) is always read"
    )


def _has_plain_status(evaluated: dict[str, Any]) -> bool:
    rows = next(iter(evaluated.values()), None)
    return isinstance(rows, list) and bool(rows) and isinstance(rows[0], dict) and "status" in rows[0]
