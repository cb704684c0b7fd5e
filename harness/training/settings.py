"""Settings from the environment and from `.env`: the variables that fine-tuning scripts are commonly driven by.

They apply to `assay train`. Precedence: environment, then the training file, then `.env` of the current folder, then
the default: a folder that somebody else made may hold a `.env`, so it only fills in, and `assay train` lists what it
set. Each is written into the same tables that the file fills, so that one check covers all of them and a printed
configuration shows where every value came from.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from dotenv.parser import parse_stream
from pydantic import BeforeValidator, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from assay.harness.errors import BadInputError
from assay.suites.validation import Words, explain

TOKEN = "HF_TOKEN"
REDACTED = "hf_***"
FILE_FIRST = "the training file sets it, and comes before .env"
_SOURCES = ("file", "suite", "hub")  # keys of `[data]` of which one names the data
_DTYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32", "no": "fp32"}


@dataclass(frozen=True, slots=True)
class Key:
    """The setting that a variable fills: a dotted key of the training file; empty for the hub client's own."""

    name: str


def _dtype(value: str) -> str:
    return _DTYPES.get(value.strip().lower(), value.strip().lower())


def _modules(value: str) -> str | list[str]:
    names = [name.strip() for name in value.split(",") if name.strip()]
    return "all-linear" if names == ["all-linear"] else names


Text = str | None
Count = int | None
Number = float | None
Switch = Annotated[bool | None, Words("one of 1, true, yes, on, 0, false, no, off")]
Dtype = Annotated[str | None, BeforeValidator(_dtype)]
Modules = Annotated[Any, BeforeValidator(_modules)]
Folder = Annotated[str | None, BeforeValidator(lambda value: str(Path(value.strip()) / "final"))]


class _Environment(EnvSettingsSource):
    """The process's environment, in which a blank variable counts as not set."""

    def __call__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__call__().items() if str(value).strip()}


class Environment(BaseSettings):
    """The variables; each name is the variable's own, and the text under it is its meaning."""

    model_config = SettingsConfigDict(
        case_sensitive=True,
        extra="ignore",
        str_strip_whitespace=True,
        use_attribute_docstrings=True,
        validate_default=False,
    )

    BASE_MODEL_NAME: Annotated[Text, Key("base")] = None
    """The model to train: pocket, a folder, or a hub id."""
    HF_TOKEN: Annotated[Text, Key("")] = None
    """Access token of the hub; it is given to the hub's client, and never printed or written."""
    HF_CACHE_DIR: Annotated[Text, Key("")] = None
    """Folder in which models and datasets of the hub are kept."""
    OUTPUT_DIR: Annotated[Folder, Key("out")] = None
    """The result goes to OUTPUT_DIR/final."""
    LOAD_IN_4BIT: Annotated[Switch, Key("config.quantization")] = None
    """true: the base in 4 bits (QLoRA); false: as it is (LoRA)."""
    LORA_R: Annotated[Count, Key("config.adapter.r")] = None
    """Rank of the adapter."""
    LORA_ALPHA: Annotated[Number, Key("config.adapter.alpha")] = None
    """The adapter's scale is alpha/r."""
    LORA_DROPOUT: Annotated[Number, Key("config.adapter.dropout")] = None
    """Dropout in front of the adapter, in training only."""
    LORA_BIAS: Annotated[Text, Key("config.adapter.bias")] = None
    """Biases that are trained: none, all, lora_only."""
    LORA_TARGET_MODULES: Annotated[Modules, Key("config.adapter.target_modules")] = None
    """Layers that get an adapter, separated by commas, or all-linear."""
    BNB_4BIT_QUANT_TYPE: Annotated[Text, Key("config.quantization.type")] = None
    """Type of the base's weights: nf4 or fp4."""
    BNB_4BIT_COMPUTE_DTYPE: Annotated[Dtype, Key("config.quantization.compute_dtype")] = None
    """Type of products: bfloat16, float16, float32 or auto."""
    BNB_4BIT_USE_DOUBLE_QUANT: Annotated[Switch, Key("config.quantization.double_quant")] = None
    """Quantise the scales too: true or false."""
    MAX_SEQ_LENGTH: Annotated[Count, Key("config.max_length")] = None
    """Tokens of a sequence; longer ones are cut and counted."""
    MIXED_PRECISION: Annotated[Dtype, Key("config.dtype")] = None
    """Arithmetic: bf16, fp16, no (fp32) or auto."""
    EPOCHS: Annotated[Number, Key("config.epochs")] = None
    """Passes over the data."""
    BATCH_SIZE: Annotated[Count, Key("config.batch_size")] = None
    """Sequences in a forward pass."""
    GRADIENT_ACCUMULATION_STEPS: Annotated[Count, Key("config.gradient_accumulation_steps")] = None
    """Forward passes in an optimiser step."""
    LEARNING_RATE: Annotated[Number, Key("config.learning_rate")] = None
    """Highest learning rate."""
    WEIGHT_DECAY: Annotated[Number, Key("config.weight_decay")] = None
    """Weight decay of matrices; biases and norms have none."""
    WARMUP_RATIO: Annotated[Number, Key("config.warmup_ratio")] = None
    """Share of the steps in which the learning rate rises."""
    GRADIENT_CLIPPING: Annotated[Number, Key("config.max_grad_norm")] = None
    """Norm that the gradient is clipped to."""
    SEED: Annotated[Count, Key("config.seed")] = None
    """Seed of initialisation, order of the data and dropout."""
    SAVE_STEPS: Annotated[Count, Key("config.save_steps")] = None
    """Steps between checkpoints."""
    EVAL_STEPS: Annotated[Count, Key("config.eval_steps")] = None
    """Steps between measurements of the loss on held-out records."""
    LOGGING_STEPS: Annotated[Count, Key("config.logging_steps")] = None
    """Steps between lines of the log."""
    SAVE_TOTAL_LIMIT: Annotated[Count, Key("config.save_total_limit")] = None
    """Checkpoints that are kept."""
    DATASET_NAME: Annotated[Text, Key("data")] = None
    """The data: a file, a suite that makes records, or a dataset of the hub."""
    DATASET_SPLIT: Annotated[Text, Key("data.split")] = None
    """The dataset's split."""
    MAX_SAMPLES: Annotated[Count, Key("data.n")] = None
    """Rows that are taken."""
    INSTRUCTION_COLUMN: Annotated[Text, Key("data.columns.instruction")] = None
    """The column that holds the instruction."""
    INPUT_COLUMN: Annotated[Text, Key("data.columns.input")] = None
    """The column that holds the instruction's input."""
    OUTPUT_COLUMN: Annotated[Text, Key("data.columns.output")] = None
    """The column that holds the answer."""
    MESSAGES_COLUMN: Annotated[Text, Key("data.columns.messages")] = None
    """The column that holds a chat."""
    TEXT_COLUMN: Annotated[Text, Key("data.columns.text")] = None
    """The column that holds ChatML text."""
    DPO_BETA: Annotated[Number, Key("config.beta")] = None
    """β of DPO, and of other methods that have one."""

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **__: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the environment before the given values, which are those of `.env`."""
        return _Environment(settings_cls), init_settings


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable: its name, the setting it fills (a dotted key of the training file) and its meaning."""

    name: str
    key: str
    meaning: str


VARIABLES: tuple[Variable, ...] = tuple(
    Variable(name, next(m.name for m in info.metadata if isinstance(m, Key)), str(info.description))
    for name, info in Environment.model_fields.items()
)


@dataclass(frozen=True)
class Overlay:
    """The file's tables with the environment's variables written over them, and those of `.env` where it says nothing.

    `sources` names for each dotted key the variable that set it; `unused` holds the variables that are set and changed
    nothing, each with its reason.
    """

    tables: dict[str, Any]
    sources: dict[str, str] = field(default_factory=dict)
    unused: dict[str, str] = field(default_factory=dict)


def read_dotenv(folder: Path) -> dict[str, str]:
    """Return the variables of `.env` in `folder`. Raises BadInputError that names a line it cannot read, which may
    hold a secret and is not shown."""
    path = folder / ".env"
    if not path.is_file():
        return {}
    variables = {}
    with path.open(encoding="utf-8") as file:
        for line in parse_stream(file):
            if line.error or (line.key is not None and line.value is None):
                raise BadInputError(f"{path}:{line.original.line}: expected NAME=VALUE")
            if line.key is not None:
                variables[line.key] = str(line.value)
    return variables


def overlay(
    tables: Mapping[str, Any], dotenv: Mapping[str, str], unusable: Callable[[dict[str, Any], str], str]
) -> Overlay:
    """Return `tables` (base, out, config, data of a training file) with the variables that are set: the environment's
    over them, those of `.env` under them.

    `unusable(tables, key)` is "" for a key that the tables can hold, else the reason: a rank means nothing to a full
    fine-tune. Raises BadInputError for a value that cannot be read.
    """
    result = Overlay(copy.deepcopy(dict(tables)))
    values = _read(dotenv)
    for variable in VARIABLES:
        if variable.name in values and not _in_environment(variable.name) and _sets(tables, variable):
            result.unused[variable.name] = FILE_FIRST
            del values[variable.name]
    _choose_quantization(values, result)
    for variable in VARIABLES:
        if variable.name not in values or variable.key in ("", "config.quantization"):
            continue
        value, source = values[variable.name], _source(variable.name)
        if variable.key == "data":
            _choose_data(result, value, source)
            continue
        if reason := unusable(result.tables, variable.key):
            result.unused[variable.name] = reason
            continue
        if variable.name == "WARMUP_RATIO":
            result.tables.setdefault("config", {}).pop("warmup_steps", None)
            if value == 0:
                result.tables["config"].pop("warmup_ratio", None)
                result.sources["config.warmup_ratio"] = source
                continue
        _put(result.tables, variable.key, value)
        result.sources[variable.key] = source
    return result


def _read(dotenv: Mapping[str, str]) -> dict[str, Any]:
    """Return the value of each variable that is set, the environment's before that of `.env`."""
    stated = {name: value for name, value in dotenv.items() if value.strip()}
    try:
        values = Environment(**stated)  # type: ignore[arg-type]
    except ValidationError as error:
        message = explain(error, Environment, _source)
        meaning = Environment.model_fields[str(error.errors()[0]["loc"][0])].description
        raise BadInputError(f"{message}. It is: {meaning}") from None
    return values.model_dump(exclude_none=True)


def _in_environment(name: str) -> bool:
    return bool(os.environ.get(name, "").strip())


def _source(name: str) -> str:
    return f"environment {name}" if _in_environment(name) else f".env {name}"


def _sets(tables: Mapping[str, Any], variable: Variable) -> bool:
    """Return whether the training file's tables say themselves what a variable would set."""
    if variable.key == "data":
        return any(key in (tables.get("data") or {}) for key in _SOURCES)
    keys = (
        ("config.warmup_ratio", "config.warmup_steps") if variable.name == "WARMUP_RATIO" else (variable.key,)
    )
    return any(_has(tables, key.split(".")) for key in keys if key)


def _has(tables: Any, path: Sequence[str]) -> bool:
    if not path:
        return True
    return isinstance(tables, Mapping) and path[0] in tables and _has(tables[path[0]], path[1:])


def set_by_dotenv(dotenv: Mapping[str, str], read: Overlay, hubs: Collection[str]) -> list[str]:
    """Return what `.env` sets, a line each: variable, value (never the token's) and setting.

    `hubs` are the variables that `use_hub_settings` took from it.
    """
    lines = []
    for variable in VARIABLES:
        value = dotenv.get(variable.name, "").strip()
        taken = variable.name in hubs if not variable.key else not _in_environment(variable.name)
        if not value or not taken or variable.name in read.unused:
            continue
        shown = REDACTED if variable.name == TOKEN else repr(value)
        lines.append(f"{variable.name} = {shown} ({variable.key or 'the hub client'})")
    return lines


def _choose_quantization(values: Mapping[str, Any], result: Overlay) -> None:
    """Apply LOAD_IN_4BIT, before the variables of the table that it makes or removes."""
    if "LOAD_IN_4BIT" not in values:
        return
    config = result.tables.setdefault("config", {})
    if not values["LOAD_IN_4BIT"]:
        config.pop("quantization", None)
    elif not config.get("quantization") or config["quantization"].get("type") == "int8":
        config["quantization"] = {"type": "nf4"}
    result.sources["config.quantization"] = _source("LOAD_IN_4BIT")


def _choose_data(result: Overlay, name: str, source: str) -> None:
    """Replace the file's own source by DATASET_NAME: a path that exists, a suite's name, else a hub id."""
    from assay.trainers.data import RECORDS

    data = result.tables.setdefault("data", {})
    for other in _SOURCES:
        data.pop(other, None)
    kind = "file" if Path(name).is_file() else "suite" if name in RECORDS.names() else "hub"
    data[kind] = name
    result.sources[f"data.{kind}"] = source


def _put(tables: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    at = tables
    for part in path:
        at = at.setdefault(part, {})
    at[last] = value


def use_hub_settings(dotenv: Mapping[str, str]) -> set[str]:
    """Give the hub's client its token and cache folder, and return the variables that were taken from `dotenv`.

    It must be called before the client's library is imported, and before anything is said: `redact` then knows the
    token.
    """
    taken = {name for name in (TOKEN, "HF_CACHE_DIR") if dotenv.get(name) and not os.environ.get(name)}
    if token := os.environ.get(TOKEN) or dotenv.get(TOKEN):
        os.environ[TOKEN] = token
    if cache := os.environ.get("HF_CACHE_DIR") or dotenv.get("HF_CACHE_DIR"):
        folder = str(Path(cache).expanduser())
        os.environ.setdefault("HF_HUB_CACHE", folder)
        os.environ.setdefault("HF_DATASETS_CACHE", str(Path(folder) / "datasets"))
    return taken


def redact(text: str) -> str:
    """Return `text` without the hub's token."""
    token = os.environ.get(TOKEN, "").strip()
    return text.replace(token, REDACTED) if len(token) >= 4 else text


def table_of_variables() -> str:
    """Return the table of variables in Markdown, as docs/settings.md holds it."""
    lines = ["| variable | setting | meaning |", "|---|---|---|"]
    lines += [
        f"| `{v.name}` | {f'`{v.key}`' if v.key else 'the hub client'} | {v.meaning} |" for v in VARIABLES
    ]
    return "\n".join(lines) + "\n"
