"""What a training run did, in one sentence that a person can repeat."""

from __future__ import annotations

from trainers.config import CommonConfig, LokrTable, LoraTable, NoAdapter
from trainers.inputs import TrainingData
from trainers.precision import arithmetic
from trainers.prepare import base_dtype

_NAMES = {"lora": "LoRA", "rslora": "rsLoRA", "dora": "DoRA", "loha": "LoHa", "lokr": "LoKr"}


def in_words(config: CommonConfig, records: TrainingData, steps: int) -> str:
    return (
        f"{config.method.upper()} with TRL: {weights_in_words(config)}, {steps} steps of "
        f"{config.batch_size}x{config.gradient_accumulation_steps} chats, lr {config.learning_rate:g} "
        f"{config.scheduler}, {config.optimizer}, {arithmetic(config)}, seed {config.seed}; "
        f"{len(records.kept)} records (sha256 {records.sha256[:12]})"
    )


def weights_in_words(config: CommonConfig) -> str:
    """Which weights learn, and in what form the others are kept."""
    said = _adapter(config)
    if config.quantization is not None:
        table = config.quantization
        said += f" on a base in {table.type}" + (
            " with double quantisation" if table.double_quant and table.type != "int8" else ""
        )
    elif (kept := base_dtype(config, arithmetic(config))) != "fp32":
        said += f" on a base in {kept}"
    if config.qat is not None:
        said += f", weights rounded to {config.qat.type} in the forward pass"
    if config.layerwise is not None:
        said += f", rates decayed by {config.layerwise.decay:g} a layer"
    if config.groups is not None:
        rates = config.groups.model_dump(exclude_none=True)
        said += ", " + ", ".join(f"{part} lr {rate:g}" for part, rate in rates.items())
    return said


def _adapter(config: CommonConfig) -> str:
    table = config.adapter
    if isinstance(table, NoAdapter):
        return "every weight"
    said = f"{_NAMES[table.type]} r={table.r} alpha={table.alpha:g} on {table.target_modules}"
    if isinstance(table, LoraTable) and table.bias != "none":
        said += f", bias {table.bias}"
    if isinstance(table, LokrTable) and table.factor != -1:
        said += f", factor {table.factor}"
    return said
