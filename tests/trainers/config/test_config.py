"""Every field of a training table reaches TRL's or PEFT's own configuration, and nothing else is accepted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from assay.trainers.config import LoraTable, NoAdapter, SftConfig
from assay.trainers.config.adapter import LohaTable, LokrTable, peft_arguments
from assay.trainers.config.common import common_arguments
from assay.trainers.config.sft import sft_arguments

# field -> (a value other than the default, TRL's name for it, TRL's value)
SFT_FIELDS: dict[str, tuple[object, str, object]] = {
    "seed": (7, "seed", 7),
    "optimizer": ("adamw_torch_fused", "optim", "adamw_torch_fused"),
    "learning_rate": (3e-3, "learning_rate", 3e-3),
    "scheduler": ("linear", "lr_scheduler_type", "linear"),
    "warmup_steps": (5, "warmup_steps", 5),
    "warmup_ratio": (0.25, "warmup_steps", 0.25),
    "weight_decay": (0.25, "weight_decay", 0.25),
    "max_grad_norm": (0.5, "max_grad_norm", 0.5),
    "batch_size": (3, "per_device_train_batch_size", 3),
    "gradient_accumulation_steps": (4, "gradient_accumulation_steps", 4),
    "epochs": (2.5, "num_train_epochs", 2.5),
    "max_steps": (9, "max_steps", 9),
    "max_length": (77, "max_length", 77),
    "packing": (True, "packing", True),
    "group_by_length": (True, "train_sampling_strategy", "group_by_length"),
    "dtype": ("bf16", "bf16", True),
    "gradient_checkpointing": (True, "gradient_checkpointing", True),
    "save_steps": (11, "save_steps", 11),
    "save_total_limit": (2, "save_total_limit", 2),
    "logging_steps": (3, "logging_steps", 3),
    "eval_steps": (25, "eval_steps", 25),
    "keep_best": (True, "load_best_model_at_end", True),
}
# Tables that decide the model or its optimiser, and so reach no field of TRL's: each has tests of its own.
OWN_TABLES = {"adapter", "quantization", "qat", "layerwise", "groups", "alarm", "base_dtype"}
# What decides the labels: TRL gets them ready (tests of templates and of SFT hold these fields to them).
OWN_LABELS = {"template", "assistant_only_loss", "completion_only_loss"}
LORA_FIELDS: dict[str, tuple[object, str, object]] = {
    "r": (4, "r", 4),
    "alpha": (9.5, "lora_alpha", 9.5),
    "dropout": (0.125, "lora_dropout", 0.125),
    "target_modules": (["q_proj", "v_proj"], "target_modules", {"q_proj", "v_proj"}),
    "bias": ("all", "bias", "all"),
    "type": ("dora", "use_dora", True),
}
LOHA_FIELDS: dict[str, tuple[object, str, object]] = {
    "r": (4, "r", 4),
    "alpha": (9.5, "alpha", 9.5),
    "target_modules": (["q_proj", "v_proj"], "target_modules", {"q_proj", "v_proj"}),
    "rank_dropout": (0.125, "rank_dropout", 0.125),
    "module_dropout": (0.25, "module_dropout", 0.25),
}
LOKR_FIELDS: dict[str, tuple[object, str, object]] = LOHA_FIELDS | {
    "factor": (8, "decompose_factor", 8),
    "decompose_both": (True, "decompose_both", True),
}
ADAPTERS: dict[str, dict[str, tuple[object, str, object]]] = {
    "lora": LORA_FIELDS,
    "loha": LOHA_FIELDS,
    "lokr": LOKR_FIELDS,
}


def test_no_field_is_left_out_of_the_round_trip() -> None:
    assert set(SFT_FIELDS) == set(SftConfig.model_fields) - {"method"} - OWN_TABLES - OWN_LABELS
    assert set(LORA_FIELDS) == set(LoraTable.model_fields)
    assert set(LOHA_FIELDS) == set(LohaTable.model_fields) - {"type"}
    assert set(LOKR_FIELDS) == set(LokrTable.model_fields) - {"type"}


@pytest.mark.train
@pytest.mark.parametrize("field", SFT_FIELDS)
def test_every_field_reaches_trl(field: str, tmp_path: Path) -> None:
    from trl import SFTConfig as TrlConfig

    value, name, expected = SFT_FIELDS[field]

    def received(config: SftConfig) -> Any:
        dtype = "fp32" if config.dtype == "auto" else config.dtype
        shared = common_arguments(config, str(tmp_path), use_cpu=True, dtype=dtype, evaluate=True)
        return getattr(TrlConfig(**shared | sft_arguments(config)), name)

    changed = received(SftConfig.model_validate({"method": "sft", field: value}))
    assert getattr(changed, "value", changed) == expected
    assert received(SftConfig(method="sft")) != changed


@pytest.mark.train
@pytest.mark.parametrize(("kind", "field"), [(k, f) for k, fields in ADAPTERS.items() for f in fields])
def test_every_field_reaches_peft(kind: str, field: str) -> None:
    from peft import LoHaConfig, LoKrConfig, LoraConfig

    maker = {"lora": LoraConfig, "loha": LoHaConfig, "lokr": LoKrConfig}[kind]
    value, name, expected = ADAPTERS[kind][field]

    def received(table: dict[str, object]) -> Any:
        config = SftConfig.model_validate({"method": "sft", "adapter": {"type": kind} | table})
        assert not isinstance(config.adapter, NoAdapter)
        return getattr(maker(**peft_arguments(config.adapter)), name)

    assert received({field: value}) == expected
    assert received({}) != expected


@pytest.mark.train
@pytest.mark.parametrize(("kind", "flag"), [("rslora", "use_rslora"), ("dora", "use_dora")])
def test_loras_relatives_are_peft_flags(kind: str, flag: str) -> None:
    arguments = {k: peft_arguments(LoraTable.model_validate({"type": k}))[flag] for k in ("lora", kind)}
    assert arguments == {"lora": False, kind: True}


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"method": "dpo"},
        {"method": "sft", "lr": 1e-3},
        {"method": "sft", "lora": {"r": 8}},
        {"method": "sft", "adapter": {"rank": 8}},
        {"method": "sft", "adapter": {"r": 0}},
        {"method": "sft", "adapter": {"type": "ia3"}},
        {"method": "sft", "adapter": {"type": "loha", "bias": "all"}},
        {"method": "sft", "adapter": {"target_modules": []}},
        {"method": "sft", "adapter": {"type": "none", "r": 8}},
        {"method": "sft", "adapter": {"type": "none"}, "quantization": {"type": "nf4"}},
        {"method": "sft", "quantization": {"type": "int4"}},
        {"method": "sft", "qat": {"type": "q4_0"}},
        {"method": "sft", "layerwise": {"decay": 0.9}},
        {"method": "sft", "adapter": {"type": "none"}, "layerwise": {}, "groups": {"head": 1e-4}},
        {"method": "sft", "adapter": {"type": "none"}, "layerwise": {"decay": 1.5}},
        {"method": "sft", "warmup_steps": 3, "warmup_ratio": 0.1},
        {"method": "sft", "batch_size": 0},
        {"method": "sft", "learning_rate": -1.0},
        {"method": "sft", "dtype": "fp8"},
        {"method": "sft", "template": "vicuna"},
        {"method": "sft", "alarm": {"spike_factor": 1.0}},
        {"method": "sft", "keep_best": True, "save_steps": 50, "eval_steps": 20},
    ],
)
def test_what_cannot_be_meant_is_refused(table: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SftConfig.model_validate(table)
