"""From the `[data]` table to records: read, renamed, parsed; every row is kept or dropped with a reason."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainers.data.config import DataConfig
from trainers.data.formats import FIELDS, Messages, detect, load_function, parse, parse_custom
from trainers.data.model import Reading, Records, RowError, content_sha256
from trainers.data.sources import read_file, read_hub
from trainers.data.suite import records_from_suite
from trainers.errors import DataError

HELD_OUT = "held out for evaluation"
# (row) -> (format it was read as, its chat or None where the user's function drops it)
Parser = Callable[[Mapping[str, Any]], tuple[str, Messages | None]]


def load_records(config: DataConfig) -> Records:
    """The records that `config` names. Raises DataError when a row is malformed (unless such rows are to be dropped)
    or none is left, and MissingExtraError."""
    records = _read(config, config.file, config.split, config.n)
    if config.eval_fraction is not None:
        return _hold_out(records, config.eval_fraction, config.seed)
    if config.eval_file is None and config.eval_split is None:
        return records
    held = _read(config, config.eval_file, config.eval_split or config.split, None)
    return replace(records, evaluation=held, sha256=content_sha256(records.kept, held.kept))


def records_from_jsonl(path: Path, *, limit: int | None = None) -> Records:
    """The records of a file, every setting as it is by default."""
    return load_records(DataConfig.model_validate({"file": path, "n": limit}))


def _read(config: DataConfig, file: Path | None, split: str, limit: int | None) -> Records:
    if config.suite is not None:
        assert config.n is not None
        return records_from_suite(config.suite, n=config.n, seed=config.seed)
    if file is not None:
        origin, rows = str(file), read_file(file)
    else:
        assert config.hub is not None
        origin, rows = read_hub(
            config.hub, subset=config.subset, revision=config.revision, split=split, limit=limit
        )
    reading = Reading(origin)
    parser = _parser(config)
    for where, row in itertools.islice(rows, limit):
        _take(reading, where, row, parser, config)
    return reading.records()


def _take(
    reading: Reading, where: str, row: dict[str, Any] | str, parser: Parser, config: DataConfig
) -> None:
    try:
        if isinstance(row, str):
            raise RowError(row, "not a JSON object")
        missing = sorted(set(config.columns.values()) - set(row))
        if missing and (config.bad_rows == "error" or reading.n_read == 0):
            raise DataError(_missing_columns(where, row, missing, config))
        form, messages = parser(_renamed(row, config.columns))
    except RowError as error:
        if config.bad_rows == "error":
            raise DataError(f'{where}: {error} (bad_rows = "drop" counts such rows and goes on)') from error
        reading.drop(error.reason, where)
        return
    if messages is None:
        reading.drop(f"{config.format} returned None", where)
    else:
        reading.keep(messages, where, form)


def _missing_columns(where: str, row: dict[str, Any], missing: list[str], config: DataConfig) -> str:
    fields = {column: name for name, column in config.columns.items()}
    named = ", ".join(f"{column!r} (for {fields[column]!r})" for column in missing)
    return f"{where}: no column {named}; the row has {', '.join(map(repr, row)) or 'no columns'}"


def _renamed(row: dict[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    if not columns:
        return row
    taken = set(columns.values())
    rest = {k: v for k, v in row.items() if k not in taken}
    return rest | {name: row[column] for name, column in columns.items() if column in row}


def _parser(config: DataConfig) -> Parser:
    roles, form = config.roles, config.format
    if form in FIELDS:
        return lambda row: (form, parse(row, form, roles))
    if form != "auto":
        function = load_function(form)
        return lambda row: (form, parse_custom(row, function, roles))

    def by_columns(row: Mapping[str, Any]) -> tuple[str, Messages]:
        found = detect(row)
        return found, parse(row, found, roles)

    return by_columns


def _hold_out(records: Records, fraction: float, seed: int) -> Records:
    """`fraction` of the kept records, drawn by `seed`, becomes the evaluation set; both sides keep their order."""
    n = len(records.kept)
    size = max(1, round(fraction * n))
    if size >= n:
        raise DataError(
            f"{records.origin}: eval_fraction={fraction:g} of {n} records would leave none to train on"
        )
    drawn = set(random.Random(seed).sample(range(n), size))
    kept = tuple(r for i, r in enumerate(records.kept) if i not in drawn)
    held = tuple(r for i, r in enumerate(records.kept) if i in drawn)
    return replace(
        records,
        kept=kept,
        sha256=content_sha256(kept, held),
        dropped=records.dropped | {HELD_OUT: size},
        evaluation=Records(held, size, content_sha256(held), origin=f"{fraction:g} of {records.origin}"),
    )
