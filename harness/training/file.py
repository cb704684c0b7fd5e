"""A training file: the model, the trainer's table and the data's, as `assay train` reads them.

`[config]` and `[data]` are those of a `train` variant in an experiment: a table can be moved from one to the other.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from assay.harness.errors import BadInputError
from assay.harness.experiment import DATA_FILES, Table, read_toml, reward_model_beside
from assay.harness.experiment.training import load_training_data
from assay.harness.experiment.validation import checked, models_in
from assay.harness.models.resolve import resolve_model
from assay.harness.training.settings import Overlay, overlay, read_dotenv, use_hub_settings
from assay.trainers.artifact import Artifact
from assay.trainers.config import METHODS, TrainConfig, config_class
from assay.trainers.config.rl import instead
from assay.trainers.data.inputs import TrainingData, data_table
from assay.trainers.errors import TrainersError

DEFAULT = "default"
FILE = "file"


class TrainFile(Table):
    """What a training file may hold at its top. `out` is the folder that the result goes to."""

    base: str
    out: Path | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    data: dict[str, Any]


@dataclass(frozen=True)
class Job:
    """One training, checked: what goes in, where it goes, and where each setting came from.

    `sources` maps dotted keys to "environment NAME", ".env NAME", "file" or "default".
    """

    base: Artifact
    base_name: str
    config: TrainConfig
    data: BaseModel
    records: TrainingData
    out: Path | None
    sources: dict[str, str]
    unused: dict[str, str]

    def settings(self) -> dict[str, Any]:
        """Every resolved value by dotted key."""
        tables = {
            "base": self.base_name,
            "out": None if self.out is None else str(self.out),
            "config": self.config.model_dump(mode="json"),
            "data": self.data.model_dump(mode="json"),
        }
        return dict(_flat(tables))


def load_job(path: Path | None, out: Path | None = None, *, allow_weak: bool = False) -> Job:
    """The training that a file and the environment describe together; without a file, the environment alone.

    `allow_weak` is for methods that execute. Raises BadInputError that names the file or the variable, the key and its
    value.
    """
    dotenv = read_dotenv(Path.cwd())
    use_hub_settings(dotenv)
    raw = {} if path is None else read_toml(path)
    found = overlay(_beside(raw, path), os.environ, dotenv, _accepts)
    where = str(path) if path is not None else "settings"
    file = checked(TrainFile, found.tables, where)
    tables = {"method": "sft"} | file.config
    try:
        kind = config_class(tables)
    except ValueError as error:
        raise BadInputError(f"{where}: config: {error}") from None
    config = checked(kind, tables, f"{where}: config")
    data = checked(data_table(config.method), file.data, f"{where}: data")
    try:
        base, records = (
            resolve_model(file.base),
            load_training_data(config.method, data, allow_weak=allow_weak),
        )
    except TrainersError as error:
        raise BadInputError(str(error)) from error
    target = out or file.out
    job = Job(base, file.base, config, data, records, target, {}, found.unused)
    return Job(base, file.base, config, data, records, target, _sources(job, raw, found, out), found.unused)


def _beside(raw: dict[str, Any], path: Path | None) -> dict[str, Any]:
    """The same tables with the file's relative paths taken from its own folder."""
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
        changed["config"] = reward_model_beside(raw["config"], path.parent)
    return changed


def _accepts(tables: dict[str, Any], key: str) -> str:
    """ "" where the method's tables have the key; else why a variable for it changes nothing."""
    top, *rest = key.split(".")
    if top != "config":
        return ""
    config = tables.get("config") or {}
    method = config.get("method", "sft")
    kind = METHODS.get(method)
    if kind is None or rest[0] not in kind.model_fields:
        return f"method {method!r} has no {rest[0]}"
    if why := instead(method, rest[0]):
        return f"method {method!r} does not use it: {why}"
    if rest[0] == "quantization" and not config.get("quantization"):
        return "the base is not quantised: LOAD_IN_4BIT is not true and the file has no [config.quantization]"
    if rest[0] == "adapter":
        chosen = (config.get("adapter") or {}).get("type", "lora")
        for model in models_in(kind.model_fields["adapter"].annotation):
            types = getattr(model.model_fields["type"].annotation, "__args__", ())
            if chosen in types and rest[1] not in model.model_fields:
                return f"adapter.type {chosen!r} has no {rest[1]}"
    return ""


def _sources(job: Job, raw: dict[str, Any], found: Overlay, out: Path | None) -> dict[str, str]:
    written = {key for key, _ in _flat(raw)}

    def source(key: str) -> str:
        for name, said in found.sources.items():
            if key == name or (key.startswith(f"{name}.") and key not in written):
                return said
        return FILE if key in written else DEFAULT

    sources = {key: source(key) for key in job.settings()}
    if out is not None:
        sources["out"] = "command line"
    return sources


def _flat(table: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in table.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            found += _flat(value, f"{name}.")
        else:
            found.append((name, value))
    return found
