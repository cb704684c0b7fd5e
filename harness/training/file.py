"""The training file of `assay train`: the model, the method's settings and the data.

`[config]` and `[data]` are those of a `train` variant in an experiment: a table can be moved from one to the other.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from assay.harness.errors import BadInputError, UnreachableError
from assay.harness.experiment.access import EVERYTHING, Access
from assay.harness.experiment.load import DATA_FILES, read_toml, reward_model_from
from assay.harness.experiment.tables import Table
from assay.harness.experiment.training import load_training_data
from assay.harness.experiment.validation import checked, models_in
from assay.harness.models.keys import ADDRESS
from assay.harness.models.resolve import look_at_model, resolve_model
from assay.harness.training.settings import (
    Overlay,
    overlay,
    read_dotenv,
    set_by_dotenv,
    use_hub_settings,
)
from assay.trainers.artifact import Artifact
from assay.trainers.config import METHODS, TrainConfig, config_class
from assay.trainers.config.rl import instead
from assay.trainers.data.inputs import TrainingData, data_table

DEFAULT = "default"
FILE = "file"


class TrainFile(Table):
    """The top level of a training file."""

    base: str
    """The model to train: pocket, a folder, or a hub id."""
    out: Path | None = None
    """The folder of the result."""
    config: dict[str, Any] = Field(default_factory=dict)
    """The method and its settings; without `method`, sft."""
    data: dict[str, Any]
    """The data that the method learns from."""


@dataclass(frozen=True)
class Job:
    """One training, checked: its model, settings and data, its folder, and the source of each setting.

    `sources` maps dotted keys to "environment NAME", ".env NAME", "file" or "default". `left_out` says what was not
    read or asked where the job is only looked at; `records` is None where it is the data.
    """

    base: Artifact
    base_name: str
    config: TrainConfig
    data: BaseModel
    records: TrainingData | None
    out: Path | None
    sources: dict[str, str]
    unused: dict[str, str]
    left_out: tuple[str, ...] = ()

    def settings(self) -> dict[str, Any]:
        """Return every resolved value by dotted key."""
        tables = {
            "base": self.base_name,
            "out": None if self.out is None else str(self.out),
            "config": self.config.model_dump(mode="json"),
            "data": self.data.model_dump(mode="json"),
        }
        return dict(_flat(tables))


def _print(text: str) -> None:
    print(f"assay: {text}", file=sys.stderr)


def load_job(
    path: Path | None,
    out: Path | None = None,
    *,
    allow_weak: bool = False,
    access: Access = EVERYTHING,
    report: Callable[[str], None] = _print,
) -> Job:
    """Return the training that a file and the environment describe together; without a file, the environment alone.

    `allow_weak` is for methods that execute. What `access` does not reach is left out; the base must be here then.
    `report` is told what `.env` sets. Raises BadInputError that names the
    file or the variable, the key and its value, and TrainersError for data.
    """
    dotenv = read_dotenv(Path.cwd())
    hubs = use_hub_settings(dotenv)
    raw = {} if path is None else read_toml(path)
    read = overlay(_relative_to(raw, path), dotenv, _unusable)
    if lines := set_by_dotenv(dotenv, read, hubs):  # said before anything is done with it, whatever is quiet
        report(f".env of {Path.cwd()} sets {'; '.join(lines)}")
    where = str(path) if path is not None else "settings"
    file = checked(TrainFile, read.tables, where)
    tables = {"method": "sft"} | file.config
    try:
        kind = config_class(tables)
    except ValueError as error:
        raise BadInputError(f"{where}: config: {error}") from None
    config = checked(kind, tables, f"{where}: config", _label(read, "config"))
    data = checked(data_table(config.method), file.data, f"{where}: data", _label(read, "data"))
    if ADDRESS.match(file.base):  # before the server is asked
        raise BadInputError(
            f"{read.sources.get('base', 'base')} = {file.base!r}: a model behind a server cannot be trained, as its "
            "weights are not here: name a folder or a hub id"
        )
    left_out: list[str] = []
    if access.online:
        base = resolve_model(file.base)
    else:
        local, note = look_at_model(file.base)
        if local is None:
            raise UnreachableError(f"{read.sources.get('base', 'base')}: {note}")
        base, left_out = local, [note] if note else []
    if reason := access.left_out(data):
        records, left_out = None, [*left_out, reason]
    else:
        records = load_training_data(config.method, data, allow_weak=allow_weak)
    job = Job(base, file.base, config, data, records, out or file.out, {}, read.unused, tuple(left_out))
    return dataclasses.replace(job, sources=_sources(job, raw, read, out))


def _label(read: Overlay, table: str) -> Callable[[str], str]:
    """Return a function that names a key of a table by the variable that set it, if one did."""
    return lambda key: read.sources.get(f"{table}.{key}", key)


def _relative_to(raw: dict[str, Any], path: Path | None) -> dict[str, Any]:
    """Return the tables with the file's relative paths taken from its own folder."""
    if path is None:
        return raw
    changed = dict(raw)
    if isinstance(raw.get("base"), str) and raw["base"].startswith("."):
        changed["base"] = str(path.parent / raw["base"])
    if isinstance(raw.get("out"), str):
        changed["out"] = str(path.parent / raw["out"])
    data = raw.get("data")
    if isinstance(data, dict):
        named = {k: str(path.parent / data[k]) for k in DATA_FILES if isinstance(data.get(k), str)}
        changed["data"] = data | named
    if isinstance(raw.get("config"), dict):
        changed["config"] = reward_model_from(raw["config"], path.parent)
    return changed


def _unusable(tables: dict[str, Any], key: str) -> str:
    """Return why a variable for `key` changes nothing; empty for a key that the method's tables have."""
    top, *rest = key.split(".")
    if top != "config":
        return ""
    config = tables.get("config") or {}
    method = config.get("method", "sft")
    kind = METHODS.get(method)
    if kind is None or rest[0] not in kind.model_fields:
        return f"method {method!r} has no {rest[0]}"
    if reason := instead(method, rest[0]):
        return f"method {method!r} does not use it: {reason}"
    if rest[0] == "quantization" and not config.get("quantization"):
        return "the base is not quantised: LOAD_IN_4BIT is not true and the file has no [config.quantization]"
    if rest[0] == "adapter":
        chosen = (config.get("adapter") or {}).get("type", "lora")
        for model in models_in(kind.model_fields["adapter"].annotation):
            types = getattr(model.model_fields["type"].annotation, "__args__", ())
            if chosen in types and rest[1] not in model.model_fields:
                return f"adapter.type {chosen!r} has no {rest[1]}"
    return ""


def _sources(job: Job, raw: dict[str, Any], read: Overlay, out: Path | None) -> dict[str, str]:
    """Return the source of each setting by dotted key."""
    written = {key for key, _ in _flat(raw)}

    def source(key: str) -> str:
        for name, variable in read.sources.items():
            if key == name or (key.startswith(f"{name}.") and key not in written):
                return variable
        return FILE if key in written else DEFAULT

    sources = {key: source(key) for key in job.settings()}
    if out is not None:
        sources["out"] = "command line"
    return sources


def _flat(table: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return the values of nested tables by dotted key."""
    values: list[tuple[str, Any]] = []
    for key, value in table.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            values += _flat(value, f"{name}.")
        else:
            values.append((name, value))
    return values
