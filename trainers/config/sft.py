"""`[config]` with `method = "sft"`, and where its fields become TRL's. A test holds every field against TRL's."""

from __future__ import annotations

from typing import Any, Literal

from assay.trainers.config.common import CommonConfig, common_arguments


class SftConfig(CommonConfig):
    """Supervised fine-tuning of an adapter, or of every weight with `adapter.type = "none"`.

    `template` renders the chats: `auto` and `native` are the tokenizer's own, the others are for a tokenizer without
    one or to be trained in place of it, and are saved with what is trained. The loss is taken on every assistant turn
    with the token that ends it; with `completion_only_loss` on the last turn only, with `assistant_only_loss = false`
    (and no other) on every token. `group_by_length` puts sequences of like length in one batch, which saves padding
    and shuffles less well. `packing` fills each sequence with several chats that do not see each other.
    """

    method: Literal["sft"]
    packing: bool = False
    group_by_length: bool = False
    assistant_only_loss: bool = True
    completion_only_loss: bool = False
    template: Literal["auto", "native", "alpaca", "chatml", "phi3", "llama3"] = "auto"

    @property
    def packs(self) -> bool:
        """Whether each sequence is filled with several examples, up to `max_length`."""
        return self.packing

    @property
    def loss(self) -> Literal["all", "assistant", "completion"]:
        """Which tokens are trained on."""
        if self.completion_only_loss:
            return "completion"
        return "assistant" if self.assistant_only_loss else "all"


def sft_arguments(
    config: SftConfig, output_dir: str, *, use_cpu: bool, dtype: str, evaluate: bool = False
) -> dict[str, Any]:
    """Keyword arguments of trl.SFTConfig; `dtype` (fp32, bf16, fp16) is what config.dtype came to on this machine.

    `template` and the loss flags are not among them: TRL gets labels that are ready (`assay.trainers.data.encode`).
    """
    return common_arguments(config, output_dir, use_cpu=use_cpu, dtype=dtype, evaluate=evaluate) | {
        "max_length": config.max_length,
        "packing": config.packing,
        "train_sampling_strategy": "group_by_length" if config.group_by_length else "random",
        "use_cache": False,  # packed sequences leak into each other when a cache is kept
    }
