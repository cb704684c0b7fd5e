"""`[config]` with `method = "sft"`, and where its fields become TRL's. A test holds every field against TRL's."""

from __future__ import annotations

from typing import Any, Literal

from trainers.config.common import CommonConfig, common_arguments


class SftConfig(CommonConfig):
    """Supervised fine-tuning of an adapter, or of every weight with `adapter.type = "none"`.

    `group_by_length` puts sequences of like length in one batch, which saves padding and shuffles less well.
    """

    method: Literal["sft"]
    packing: bool = False
    group_by_length: bool = False
    assistant_only_loss: bool = True


def sft_arguments(config: SftConfig, output_dir: str, *, use_cpu: bool, dtype: str) -> dict[str, Any]:
    """Keyword arguments of trl.SFTConfig; `dtype` (fp32, bf16, fp16) is what config.dtype came to on this machine."""
    return common_arguments(config, output_dir, use_cpu=use_cpu, dtype=dtype) | {
        "max_length": config.max_length,
        "packing": config.packing,
        "train_sampling_strategy": "group_by_length" if config.group_by_length else "random",
        "assistant_only_loss": config.assistant_only_loss,
        "use_cache": False,  # packed sequences leak into each other when a cache is kept
    }
