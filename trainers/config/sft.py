"""`[config]` with `method = "sft"`, and TRL's arguments made from it; a test compares every field with TRL's."""

from __future__ import annotations

from typing import Any, Literal

from assay.trainers.config.common import CommonConfig


class SftConfig(CommonConfig):
    """Supervised fine-tuning of an adapter, or of every weight with `adapter.type = "none"`.

    The loss is taken on the tokens of every assistant turn, with the token that ends it; the two switches change that.
    """

    method: Literal["sft"]
    """Training method."""
    packing: bool = False
    """Fill each sequence with several chats that do not see each other."""
    group_by_length: bool = False
    """Put sequences of like length into one batch, which saves padding and shuffles less well."""
    assistant_only_loss: bool = True
    """Take the loss on the assistant's turns; false, without `completion_only_loss`, takes it on every token."""
    completion_only_loss: bool = False
    """Take the loss on the last assistant turn only."""
    template: Literal["auto", "native", "alpaca", "chatml", "phi3", "llama3"] = "auto"
    """Chat template: auto and native are the tokenizer's own; the others replace it and are saved with the result."""

    @property
    def packs(self) -> bool:
        """Whether each sequence is filled with several examples, up to `max_length`."""
        return self.packing

    @property
    def loss(self) -> Literal["all", "assistant", "completion"]:
        """The tokens that the loss is taken on."""
        if self.completion_only_loss:
            return "completion"
        return "assistant" if self.assistant_only_loss else "all"


def sft_arguments(config: SftConfig) -> dict[str, Any]:
    """Return the keyword arguments of trl.SFTConfig beyond `common_arguments`.

    `template` and the loss flags are not among them: TRL gets ready-made labels (`assay.trainers.data.encode`).
    """
    return {
        "max_length": config.max_length,
        "packing": config.packing,
        "train_sampling_strategy": "group_by_length" if config.group_by_length else "random",
        "use_cache": False,  # packed sequences leak into each other when a cache is kept
    }
