"""The `[config]` of a training run: one table per method, chosen by the key `method`. Torch-free.

A new method adds its table to METHODS and its trainer to `trainers.TRAINERS` under the same name.
"""

from __future__ import annotations

import difflib
from typing import Any

from assay.trainers.config.adapter import LoraTable, LowRankTable, NoAdapter
from assay.trainers.config.common import CommonConfig, QuantizationTable
from assay.trainers.config.preference import DpoConfig, IpoConfig, KtoConfig, OrpoConfig, RewardModelConfig
from assay.trainers.config.rl import GrpoConfig, PpoConfig, RlooConfig
from assay.trainers.config.sft import SftConfig

__all__ = [
    "METHODS",
    "CommonConfig",
    "DpoConfig",
    "GrpoConfig",
    "IpoConfig",
    "KtoConfig",
    "LoraTable",
    "LowRankTable",
    "NoAdapter",
    "OrpoConfig",
    "PpoConfig",
    "QuantizationTable",
    "RewardModelConfig",
    "RlooConfig",
    "SftConfig",
    "TrainConfig",
    "config_class",
]

TrainConfig = CommonConfig
METHODS: dict[str, type[TrainConfig]] = {
    "sft": SftConfig,
    "dpo": DpoConfig,
    "ipo": IpoConfig,
    "kto": KtoConfig,
    "orpo": OrpoConfig,
    "reward": RewardModelConfig,
    "ppo": PpoConfig,
    "rloo": RlooConfig,
    "grpo": GrpoConfig,
}


def config_class(raw: dict[str, Any]) -> type[TrainConfig]:
    """Return the table of `raw["method"]`. Raises ValueError that lists the methods and names the nearest."""
    method = raw.get("method")
    if method not in METHODS:
        near = difflib.get_close_matches(str(method), METHODS, n=1)
        fault = "is missing" if method is None else f"= {method!r} is unknown"
        advice = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"method {fault}; known: {', '.join(sorted(METHODS))}{advice}")
    return METHODS[method]
