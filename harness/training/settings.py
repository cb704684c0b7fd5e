"""Settings from the environment and from `.env`: the variables that fine-tuning scripts are commonly driven by.

They apply to `assay train`. Precedence: environment, then `.env` of the current folder, then the file, then the
default. Each is written into the same tables that the file fills, so that one check covers all of them and a printed
configuration says where every value came from.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.harness.errors import BadInputError

TOKEN = "HF_TOKEN"
REDACTED = "hf_***"
_DTYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32", "no": "fp32"}
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
_LINE = re.compile(r"^(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)$")


def _text(value: str) -> str:
    return value.strip()


def _whole(value: str) -> int:
    return int(value.replace("_", ""))


def _switch(value: str) -> bool:
    low = value.strip().lower()
    if low not in (*_TRUE, *_FALSE):
        raise ValueError(f"expected one of {', '.join((*_TRUE, *_FALSE))}")
    return low in _TRUE


def _dtype(value: str) -> str:
    low = value.strip().lower()
    return _DTYPES.get(low, low)


def _modules(value: str) -> str | list[str]:
    names = [name.strip() for name in value.split(",") if name.strip()]
    return "all-linear" if names == ["all-linear"] else names


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable: the setting it fills (a dotted key of the training file), how it is read, what it means."""

    name: str
    key: str
    read: Callable[[str], Any]
    meaning: str


VARIABLES: tuple[Variable, ...] = (
    Variable("BASE_MODEL_NAME", "base", _text, "the model to train: pocket, a folder, or a hub id"),
    Variable(TOKEN, "", _text, "access token of the hub; handed to its client, never printed or written"),
    Variable("HF_CACHE_DIR", "", _text, "where models and datasets of the hub are kept"),
    Variable(
        "OUTPUT_DIR", "out", lambda v: str(Path(v.strip()) / "final"), "the result goes to OUTPUT_DIR/final"
    ),
    Variable(
        "LOAD_IN_4BIT",
        "config.quantization",
        _switch,
        "true: the base in 4 bits (QLoRA); false: as it is (LoRA)",
    ),
    Variable("LORA_R", "config.adapter.r", _whole, "rank of the adapter"),
    Variable("LORA_ALPHA", "config.adapter.alpha", float, "its scale is alpha/r"),
    Variable("LORA_DROPOUT", "config.adapter.dropout", float, "dropout before the adapter, in training only"),
    Variable("LORA_BIAS", "config.adapter.bias", _text, "which biases are trained: none, all, lora_only"),
    Variable(
        "LORA_TARGET_MODULES",
        "config.adapter.target_modules",
        _modules,
        "layers, separated by commas, or all-linear",
    ),
    Variable("BNB_4BIT_QUANT_TYPE", "config.quantization.type", _text, "nf4 or fp4"),
    Variable(
        "BNB_4BIT_COMPUTE_DTYPE",
        "config.quantization.compute_dtype",
        _dtype,
        "bfloat16, float16, float32 or auto",
    ),
    Variable(
        "BNB_4BIT_USE_DOUBLE_QUANT",
        "config.quantization.double_quant",
        _switch,
        "whether the scales are quantised too",
    ),
    Variable(
        "MAX_SEQ_LENGTH", "config.max_length", _whole, "tokens a sequence; longer ones are cut and counted"
    ),
    Variable("MIXED_PRECISION", "config.dtype", _dtype, "bf16, fp16, no (fp32) or auto"),
    Variable("EPOCHS", "config.epochs", float, "passes over the data"),
    Variable("BATCH_SIZE", "config.batch_size", _whole, "sequences a forward pass"),
    Variable(
        "GRADIENT_ACCUMULATION_STEPS", "config.gradient_accumulation_steps", _whole, "forward passes a step"
    ),
    Variable("LEARNING_RATE", "config.learning_rate", float, "the highest learning rate"),
    Variable("WEIGHT_DECAY", "config.weight_decay", float, "of weights; biases and norms have none"),
    Variable("WARMUP_RATIO", "config.warmup_ratio", float, "share of the steps in which the rate rises"),
    Variable("GRADIENT_CLIPPING", "config.max_grad_norm", float, "the gradient's norm is cut to this"),
    Variable("SEED", "config.seed", _whole, "of initialisation, order and dropout"),
    Variable("SAVE_STEPS", "config.save_steps", _whole, "steps between checkpoints"),
    Variable("EVAL_STEPS", "config.eval_steps", _whole, "steps between evaluations on held-out records"),
    Variable("LOGGING_STEPS", "config.logging_steps", _whole, "steps between lines of the log"),
    Variable("SAVE_TOTAL_LIMIT", "config.save_total_limit", _whole, "checkpoints kept"),
    Variable("DATASET_NAME", "data", _text, "a file, a suite that makes records, or a dataset of the hub"),
    Variable("DATASET_SPLIT", "data.split", _text, "its split"),
    Variable("MAX_SAMPLES", "data.n", _whole, "how many rows are taken"),
    Variable(
        "INSTRUCTION_COLUMN", "data.columns.instruction", _text, "the column that holds the instruction"
    ),
    Variable("INPUT_COLUMN", "data.columns.input", _text, "the column that holds its input"),
    Variable("OUTPUT_COLUMN", "data.columns.output", _text, "the column that holds the answer"),
    Variable("MESSAGES_COLUMN", "data.columns.messages", _text, "the column that holds a chat"),
    Variable("TEXT_COLUMN", "data.columns.text", _text, "the column that holds ChatML text"),
    Variable("DPO_BETA", "config.beta", float, "DPO's beta; used where the method has one"),
)


@dataclass(frozen=True)
class Overlay:
    """The file's tables with the variables written over them.

    `sources` says for each dotted key that a variable set which one it was; `unused` says why a variable that is set
    changed nothing.
    """

    tables: dict[str, Any]
    sources: dict[str, str] = field(default_factory=dict)
    unused: dict[str, str] = field(default_factory=dict)


def read_dotenv(folder: Path) -> dict[str, str]:
    """`.env` in `folder`: NAME=VALUE lines, `export` allowed, quotes taken off, # begins a comment. BadInputError
    names the line that is none of that."""
    path = folder / ".env"
    if not path.is_file():
        return {}
    found = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        match = _LINE.match(text)
        if match is None:
            raise BadInputError(
                f"{path}:{number}: expected NAME=VALUE"
            )  # the line may hold a secret: not shown
        found[match[1]] = _unquoted(match[2])
    return found


def _unquoted(value: str) -> str:
    if value[:1] in ("'", '"'):
        end = value.find(value[0], 1)
        if end > 0:
            return value[1:end]
    return re.split(r"\s+#", value, maxsplit=1)[0].strip()


def overlay(
    tables: Mapping[str, Any],
    environment: Mapping[str, str],
    dotenv: Mapping[str, str],
    accepts: Callable[[dict[str, Any], str], str],
) -> Overlay:
    """`tables` (base, out, config, data of a training file) with every set variable written over them.

    `accepts(tables, key)` is "" where the tables can hold the key, else why not: a rank means nothing to a full
    fine-tune. Raises BadInputError for a value that cannot be read.
    """
    result = Overlay(copy.deepcopy(dict(tables)))
    given = {v.name: _given(v.name, environment, dotenv) for v in VARIABLES}
    _choose_quantization(given, result)
    for variable in VARIABLES:
        found = given[variable.name]
        if found is None or not variable.key or variable.key == "config.quantization":
            continue
        text, source = found
        value = _read(variable, text, source)
        if variable.key == "data":
            _choose_data(result, value, source)
            continue
        if why := accepts(result.tables, variable.key):
            result.unused[variable.name] = why
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


def _given(name: str, environment: Mapping[str, str], dotenv: Mapping[str, str]) -> tuple[str, str] | None:
    """(value, where it is from); an empty value counts as not set."""
    if environment.get(name, "").strip():
        return environment[name], f"environment {name}"
    if dotenv.get(name, "").strip():
        return dotenv[name], f".env {name}"
    return None


def _read(variable: Variable, text: str, source: str) -> Any:
    try:
        return variable.read(text)
    except ValueError as error:
        raise BadInputError(f"{source} = {text!r}: {error}; it is {variable.meaning}") from None


def _choose_quantization(given: Mapping[str, tuple[str, str] | None], result: Overlay) -> None:
    """LOAD_IN_4BIT comes first: it decides whether there is a table for the other variables to fill."""
    found = given["LOAD_IN_4BIT"]
    if found is None:
        return
    variable = next(v for v in VARIABLES if v.name == "LOAD_IN_4BIT")
    config = result.tables.setdefault("config", {})
    if _read(variable, *found):
        if not config.get("quantization") or config["quantization"].get("type") == "int8":
            config["quantization"] = {"type": "nf4"}
    else:
        config.pop("quantization", None)
    result.sources["config.quantization"] = found[1]


def _choose_data(result: Overlay, name: str, source: str) -> None:
    """DATASET_NAME replaces the file's own source: a path that exists, a suite's name, else a hub id."""
    from assay.trainers.data import RECORDS

    data = result.tables.setdefault("data", {})
    for other in ("file", "suite", "hub"):
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


def use_hub_settings(dotenv: Mapping[str, str]) -> None:
    """Give the hub's client its token and cache folder. To be called before its library is imported."""
    if token := os.environ.get(TOKEN) or dotenv.get(TOKEN):
        os.environ[TOKEN] = token
    if cache := os.environ.get("HF_CACHE_DIR") or dotenv.get("HF_CACHE_DIR"):
        folder = str(Path(cache).expanduser())
        os.environ.setdefault("HF_HUB_CACHE", folder)
        os.environ.setdefault("HF_DATASETS_CACHE", str(Path(folder) / "datasets"))


def redact(text: str) -> str:
    """`text` without the hub token, wherever it stands in it."""
    token = os.environ.get(TOKEN, "").strip()
    return text.replace(token, REDACTED) if len(token) >= 4 else text


def table_of_variables() -> str:
    """The reference table, as docs/settings.md holds it."""
    lines = ["| variable | setting | meaning |", "|---|---|---|"]
    lines += [
        f"| `{v.name}` | {f'`{v.key}`' if v.key else 'the hub client'} | {v.meaning} |" for v in VARIABLES
    ]
    return "\n".join(lines) + "\n"
