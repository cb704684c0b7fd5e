"""Every field of a training table reaches TRL's or PEFT's own configuration, and nothing else is accepted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from trainers.config import LoraTable, SftConfig, lora_arguments, sft_arguments

# field -> (a value other than the default, TRL's name for it, TRL's value)
SFT_FIELDS: dict[str, tuple[object, str, object]] = {
    "seed": (7, "seed", 7),
    "optimizer": ("adamw_torch_fused", "optim", "adamw_torch_fused"),
    "learning_rate": (3e-3, "learning_rate", 3e-3),
    "scheduler": ("linear", "lr_scheduler_type", "linear"),
    "warmup_steps": (5, "warmup_steps", 5),
    "weight_decay": (0.25, "weight_decay", 0.25),
    "max_grad_norm": (0.5, "max_grad_norm", 0.5),
    "batch_size": (3, "per_device_train_batch_size", 3),
    "gradient_accumulation_steps": (4, "gradient_accumulation_steps", 4),
    "epochs": (2.5, "num_train_epochs", 2.5),
    "max_steps": (9, "max_steps", 9),
    "max_length": (77, "max_length", 77),
    "packing": (True, "packing", True),
    "group_by_length": (True, "train_sampling_strategy", "group_by_length"),
    "assistant_only_loss": (False, "assistant_only_loss", False),
    "dtype": ("bf16", "bf16", True),
    "gradient_checkpointing": (True, "gradient_checkpointing", True),
    "save_steps": (11, "save_steps", 11),
    "save_total_limit": (2, "save_total_limit", 2),
}
LORA_FIELDS: dict[str, tuple[object, str, object]] = {
    "r": (4, "r", 4),
    "alpha": (9.5, "lora_alpha", 9.5),
    "dropout": (0.125, "lora_dropout", 0.125),
    "target_modules": (["q_proj", "v_proj"], "target_modules", {"q_proj", "v_proj"}),
    "bias": ("all", "bias", "all"),
}


def test_no_field_is_left_out_of_the_round_trip() -> None:
    assert set(SFT_FIELDS) == set(SftConfig.model_fields) - {"method", "lora"}
    assert set(LORA_FIELDS) == set(LoraTable.model_fields)


@pytest.mark.train
@pytest.mark.parametrize("field", SFT_FIELDS)
def test_every_field_reaches_trl(field: str, tmp_path: Path) -> None:
    from trl import SFTConfig as TrlConfig

    value, name, expected = SFT_FIELDS[field]

    def received(config: SftConfig) -> Any:
        bf16 = config.dtype == "bf16"
        return getattr(TrlConfig(**sft_arguments(config, str(tmp_path), use_cpu=True, bf16=bf16)), name)

    changed = received(SftConfig.model_validate({"method": "sft", field: value}))
    assert getattr(changed, "value", changed) == expected
    assert received(SftConfig(method="sft")) != changed


@pytest.mark.train
@pytest.mark.parametrize("field", LORA_FIELDS)
def test_every_field_reaches_peft(field: str) -> None:
    from peft import LoraConfig

    value, name, expected = LORA_FIELDS[field]
    changed = getattr(LoraConfig(**lora_arguments(LoraTable.model_validate({field: value}))), name)
    assert changed == expected
    assert getattr(LoraConfig(**lora_arguments(LoraTable())), name) != changed


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"method": "dpo"},
        {"method": "sft", "lr": 1e-3},
        {"method": "sft", "lora": {"rank": 8}},
        {"method": "sft", "lora": {"r": 0}},
        {"method": "sft", "lora": {"target_modules": []}},
        {"method": "sft", "batch_size": 0},
        {"method": "sft", "learning_rate": -1.0},
        {"method": "sft", "dtype": "fp8"},
    ],
)
def test_what_cannot_be_meant_is_refused(table: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SftConfig.model_validate(table)
