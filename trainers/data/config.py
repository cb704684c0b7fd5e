"""`[data]`: where the training records come from and how they are read. Torch-free."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator, model_validator

from trainers.data.formats import FIELDS, all_fields

Fraction = Annotated[float, Field(gt=0, lt=1)]


class DataConfig(BaseModel):
    """Exactly one of `file`, `hub` and `suite`.

    `n` (or `max_samples`) keeps the first rows of a file or dataset; for a suite it is the number of records to make.
    `columns` says which column holds which field: `{instruction = "question", output = "answer"}`. `format` is told
    from each row's columns unless it is named. `bad_rows` decides what a row does that is not of its format: stop the
    run and name it, or be dropped and counted. One of `eval_file`, `eval_split` (of the same hub dataset) and
    `eval_fraction` (of the kept rows, drawn by `seed`) holds records out, to measure the loss on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: Path | None = None
    suite: str | None = None
    hub: str | None = None
    subset: str | None = None
    revision: str | None = None
    split: Annotated[str, Field(min_length=1)] = "train"
    n: Annotated[int | None, Field(ge=1, validation_alias=AliasChoices("n", "max_samples"))] = None
    seed: Annotated[int, Field(ge=0)] = 0
    format: str = "auto"
    columns: dict[str, str] = {}
    roles: dict[str, Literal["system", "user", "assistant"]] = {}
    bad_rows: Literal["error", "drop"] = "error"
    eval_file: Path | None = None
    eval_split: str | None = None
    eval_fraction: Fraction | None = None

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
