"""Load the training records that a `[data]` table names. Torch-free.

Rows are read, their columns renamed, and parsed; every row is kept or dropped with a reason. A suite may make records
of its own, on problems that no measured split holds.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator, model_validator

from assay.suites.registry import Registry, UnknownNameError
from assay.trainers.data.formats import (
    FIELDS,
    Messages,
    RowFunction,
    all_fields,
    detect,
    load_function,
    parse,
    parse_custom,
)
from assay.trainers.data.model import Reading, Records, RowError, content_sha256
from assay.trainers.data.sources import read_file, read_hub
from assay.trainers.errors import DataError

HELD_OUT = "held out for evaluation"
Fraction = Annotated[float, Field(gt=0, lt=1)]


class DataConfig(BaseModel):
    """The training records: exactly one of `file`, `hub` and `suite`."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    file: Path | None = None
    """A file of records: JSON Lines, JSON or Parquet."""
    suite: str | None = None
    """A suite that makes training records, such as pocket."""
    hub: str | None = None
    """A dataset of the Hugging Face Hub, ORG/NAME."""
    subset: str | None = None
    """The hub dataset's configuration."""
    revision: str | None = None
    """The hub dataset's commit, branch or tag."""
    split: Annotated[str, Field(min_length=1)] = "train"
    """The hub dataset's split."""
    n: Annotated[int | None, Field(ge=1, validation_alias=AliasChoices("n", "max_samples"))] = None
    """Take only the first records, this many; of a suite, make this many. `max_samples` is another name for it."""
    seed: Annotated[int, Field(ge=0)] = 0
    """The seed of a suite's records and of `eval_fraction`."""
    format: str = "auto"
    """The shape of a row: auto (by its columns), messages, sharegpt, alpaca, prompt, chatml, or your own function.

    MODULE:FUNCTION or FILE.py:FUNCTION names a function that takes a row and returns a row of one of these shapes, or
    None to drop the row.
    """
    columns: dict[str, str] = {}
    """The column that holds each field, such as `{ instruction = "question", output = "answer" }`."""
    roles: dict[str, Literal["system", "user", "assistant"]] = {}
    """The role that each of the file's own role names stands for, such as `{ bot = "assistant" }`."""
    bad_rows: Literal["error", "drop"] = "error"
    """The treatment of a row that is not of its format: error stops and names it, drop leaves it out and counts it."""
    eval_file: Path | None = None
    """A file of records held out to measure the loss on."""
    eval_split: str | None = None
    """The split of the hub dataset held out to measure the loss on."""
    eval_fraction: Fraction | None = None
    """The share of the records held out to measure the loss on, drawn by `seed`."""

    @field_validator("format")
    @classmethod
    def _known_format(cls, value: str) -> str:
        module, _, function = value.rpartition(":")
        if value not in ("auto", *FIELDS) and not (module and function.isidentifier()):
            raise ValueError(
                f"unknown format {value!r}; known are auto, {', '.join(FIELDS)}, and MODULE:FUNCTION for your own"
            )
        return value

    @field_validator("columns")
    @classmethod
    def _known_fields(cls, value: dict[str, str]) -> dict[str, str]:
        if unknown := sorted(set(value) - set(all_fields())):
            raise ValueError(
                f"columns maps a field to a column; no format has the field {', '.join(map(repr, unknown))}; "
                f"fields are {', '.join(all_fields())}"
            )
        return value

    @model_validator(mode="after")
    def _one_source(self) -> DataConfig:
        if sum(source is not None for source in (self.file, self.suite, self.hub)) != 1:
            raise ValueError("data needs exactly one of `file`, `hub` and `suite`")
        if self.suite is not None:
            if self.n is None:
                raise ValueError("data from a suite needs `n`, the number of records to make")
            if self.split != "train":
                raise ValueError(f"a suite gives records of split 'train' only, not {self.split!r}")
            if self.columns or self.format != "auto" or self.eval_file is not None:
                raise ValueError(
                    "`format`, `columns` and `eval_file` go with `file` or `hub`, not with `suite`"
                )
        if self.hub is None and (self.revision or self.subset or self.eval_split):
            raise ValueError("`revision`, `subset` and `eval_split` go with `hub`")
        if sum(x is not None for x in (self.eval_file, self.eval_split, self.eval_fraction)) > 1:
            raise ValueError("give one of `eval_file`, `eval_split` and `eval_fraction`")
        return self


def load_records(config: DataConfig) -> Records:
    """Load the records that `config` names.

    Raises DataError when a row is malformed (unless such rows are to be dropped) or none is left, and
    MissingExtraError.
    """
    records = _read(config, config.file, config.split, config.n)
    if config.eval_fraction is not None:
        return _hold_out(records, config.eval_fraction, config.seed)
    if config.eval_file is None and config.eval_split is None:
        return records
    held_out = _read(config, config.eval_file, config.eval_split or config.split, None)
    return replace(records, evaluation=held_out, sha256=content_sha256(records.kept, held_out.kept))


def records_from_jsonl(path: Path, *, limit: int | None = None) -> Records:
    """Load the records of a file with default settings."""
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
    function = None if config.format in ("auto", *FIELDS) else load_function(config.format)
    for where, row in itertools.islice(rows, limit):
        _take(reading, where, row, function, config)
    return reading.records()


def _take(
    reading: Reading, where: str, row: dict[str, Any] | str, function: RowFunction | None, config: DataConfig
) -> None:
    try:
        if isinstance(row, str):
            raise RowError(row, "not a JSON object")
        missing = sorted(set(config.columns.values()) - set(row))
        if missing and (config.bad_rows == "error" or reading.n_read == 0):
            raise DataError(_missing_columns(where, row, missing, config))
        form, messages = _parsed(_renamed(row, config.columns), function, config)
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


def _parsed(
    row: Mapping[str, Any], function: RowFunction | None, config: DataConfig
) -> tuple[str, Messages | None]:
    """Return (the format that the row was read as, its chat or None where the user's function drops it)."""
    if function is not None:
        return config.format, parse_custom(row, function, config.roles)
    form = detect(row) if config.format == "auto" else config.format
    return form, parse(row, form, config.roles)


def _hold_out(records: Records, fraction: float, seed: int) -> Records:
    """Hold out `fraction` of the kept records, drawn by `seed`, for evaluation; both sides keep their order."""
    n = len(records.kept)
    size = max(1, round(fraction * n))
    if size >= n:
        raise DataError(
            f"{records.origin}: eval_fraction={fraction:g} of {n} records would leave none to train on"
        )
    drawn = set(random.Random(seed).sample(range(n), size))
    kept = tuple(r for i, r in enumerate(records.kept) if i not in drawn)
    held_out = tuple(r for i, r in enumerate(records.kept) if i in drawn)
    return replace(
        records,
        kept=kept,
        sha256=content_sha256(kept, held_out),
        dropped=records.dropped | {HELD_OUT: size},
        evaluation=Records(
            held_out, size, content_sha256(held_out), origin=f"{fraction:g} of {records.origin}"
        ),
    )


class RecordMaker(Protocol):
    """A function that makes `n` training chats, which share no problem with any split that is measured."""

    def __call__(self, *, n: int, seed: int) -> Sequence[Mapping[str, Any]]: ...


# A suite that only measures has no entry here, so that nobody trains on it by mistake.
RECORDS: Registry[RecordMaker] = Registry("training records of suite", "assay.records")


@RECORDS.register("pocket")
def _pocket(*, n: int, seed: int) -> Sequence[Mapping[str, Any]]:
    from assay.suites.pocket import pocket_sft_records

    return pocket_sft_records(n, seed)


def records_from_suite(name: str, *, n: int, seed: int) -> Records:
    """Return `n` chats made by the suite's record maker. Raises DataError where the suite has none or makes fewer."""
    try:
        maker = RECORDS.get(name)
    except UnknownNameError as e:
        raise DataError(
            f"suite {name!r} makes no training records; those that do: {', '.join(RECORDS.names())}"
        ) from e
    rows = maker(n=n, seed=seed)
    if len(rows) != n:
        raise DataError(f"suite {name!r} made {len(rows)} training records where {n} were asked for")
    reading = Reading(f"suite {name!r}")
    for i, row in enumerate(rows):
        where = f"{name}/train/{i}"
        try:
            reading.keep(parse(row, "messages", {}), where, "messages")
        except RowError as e:
            raise DataError(f"{where}: {e}") from e
    return reading.records()
