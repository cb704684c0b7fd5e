"""Setups of runs for tests: a method's preset of a training table, and single fields of the Setup changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from assay.harness.profiling.memory import Architecture, Setup, checked_config, method_settings
from assay.harness.profiling.memory.devices import unsized_device
from assay.harness.profiling.memory.setup import QUANTISED
from assay.trainers.config import LowRankTable, SftConfig

TABLE = {
    "accumulation": "gradient_accumulation_steps",
    "checkpointing": "gradient_checkpointing",
    "optimizer": "optimizer",
}


def adapter_table(kind: str = "lora", rank: int = 16, targets: Any = "all-linear") -> LowRankTable:
    modules = targets if isinstance(targets, str) else list(targets)
    table = {"type": kind, "r": rank, "target_modules": modules}
    adapter: Any = SftConfig.model_validate({"method": "sft", "adapter": table}).adapter
    return adapter  # type: ignore[no-any-return]


def make_setup(method: str, architecture: Architecture, objective: str = "sft", **changes: Any) -> Setup:
    """Return a method's preset with fields of Setup changed: in the training's table where it has them."""
    if "inference" in (method, objective):
        own: Any = architecture.dtype if method in ("inference", "lora") else "fp32"
        compute: Any = architecture.dtype if method == "inference" else "bf16"
        setup = Setup(
            objective="inference", weights=QUANTISED.get(method, own), compute=compute, new_tokens=512
        )
        return replace(setup, **changes)
    batch, length = changes.pop("batch", 2 if objective == "kto" else 1), changes.pop("length", 2048)
    table = method_settings(method, objective)
    table |= {"batch_size": batch, "dtype": changes.pop("compute", "bf16")}
    table |= {key: changes.pop(name) for name, key in TABLE.items() if name in changes}
    if "adapter" in changes:
        table["adapter"] = changes.pop("adapter").model_dump()
    written = 0
    if objective in ("ppo", "grpo"):
        written = min(changes.pop("new_tokens", 512), length)
        rollout = {"prompts": batch, "samples": 2, "max_new_tokens": written, "batch_size": batch}
        table["rollout"] = rollout
    else:
        table["max_length"] = length
    device = unsized_device(gpu=changes.pop("gpu", True))
    attention = changes.pop("attention", "sdpa")
    setup = Setup.from_config(checked_config(table), architecture, length - written, device, attention)
    return replace(setup, **{"drawn": 0} | changes)
