"""`[config]` of the methods that learn from preferences: dpo, ipo, kto, orpo, and reward models. Torch-free.

The `*_arguments` functions turn the fields into TRL's; a test compares every field with the value that TRL received.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from assay.trainers.config.adapter import NoAdapter
from assay.trainers.config.common import CommonConfig

Beta = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(gt=0)]
Reference = Literal["adapter_off", "copy"]


class _WithReference(CommonConfig):
    """The settings of methods that hold the policy to a frozen reference model."""

    reference: Reference = "adapter_off"
    """Reference model: the policy with its adapter switched off, which costs no memory, or a copy.

    Without an adapter only a copy is possible.
    """

    @model_validator(mode="before")
    @classmethod
    def _a_copy_without_adapter(cls, raw: Any) -> Any:
        if isinstance(raw, dict) and "reference" not in raw:
            table = raw.get("adapter")
            kind = table.get("type") if isinstance(table, dict) else getattr(table, "type", None)
            if kind == "none":
                return raw | {"reference": "copy"}
        return raw

    @model_validator(mode="after")
    def _reference_exists(self) -> _WithReference:
        if self.reference == "adapter_off" and isinstance(self.adapter, NoAdapter):
            raise ValueError(
                'reference: with adapter.type = "none" there is no adapter to switch off; use reference = "copy"'
            )
        if self.reference == "copy" and self.quantization is not None:
            raise ValueError(
                'reference: a copy would be in full precision, another model than the quantised base; use "adapter_off"'
            )
        return self


class DpoConfig(_WithReference):
    """Direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290): −log σ(β·h), h the difference of the
    two answers' log-ratios to the reference, log-probabilities summed over the answer's tokens.

    `label_smoothing` ε is the chance that a pair is the wrong way round: `conservative` (Mitchell 2023) learns from
    −(1−ε)·log σ(βh) − ε·log σ(−βh), `robust` (Chowdhury et al. 2024, arXiv 2403.00409) from its unbiased form.
    `sft_weight` is RPO (Pang et al. 2024, arXiv 2404.19733): DPO alone also falls when both answers become unlikely,
    and then breaks what the model could write.
    """

    method: Literal["dpo"]
    """Training method."""
    beta: Beta = 0.1
    """β: how strongly the policy is held to the reference."""
    sft_weight: Annotated[float, Field(ge=0)] = 0.0
    """Add this many times the preferred answer's mean negative log-likelihood of a token to the loss."""
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """ε: the probability that a pair is the wrong way round."""
    smoothing: Literal["conservative", "robust"] = "conservative"
    """Form of the smoothed loss: conservative, or robust, which is unbiased."""


class IpoConfig(_WithReference):
    """Identity preference optimisation (Azar et al. 2023, arXiv 2310.12036): (h − 1/(2β))², β being the paper's τ.

    h is taken of log-probabilities *averaged* over each answer's tokens, as TRL does (its authors confirmed it).
    """

    method: Literal["ipo"]
    """Training method."""
    beta: Beta = 0.1
    """β: how strongly the policy is held to the reference, the paper's τ."""
    sft_weight: Annotated[float, Field(ge=0)] = 0.0
    """Add this many times the preferred answer's mean negative log-likelihood of a token to the loss."""


class KtoConfig(_WithReference):
    """Kahneman–Tversky optimisation (Ethayarajh et al. 2024, arXiv 2402.01306), from single answers that are good or
    bad. Log-probabilities are summed. The KL term z0 is estimated from mismatched answers of the same batch, so
    `batch_size` is at least 2."""

    method: Literal["kto"]
    """Training method."""
    beta: Beta = 0.1
    """β: how strongly the policy is held to the reference."""
    desirable_weight: Weight = 1.0
    """Weight of the loss on good answers."""
    undesirable_weight: Weight = 1.0
    """Weight of the loss on bad answers."""

    @model_validator(mode="after")
    def _batch_of_two(self) -> KtoConfig:
        if self.batch_size < 2:
            raise ValueError("batch_size: KTO's KL term is estimated across a batch; it must be at least 2")
        return self


class OrpoConfig(CommonConfig):
    """Odds-ratio preference optimisation (Hong et al. 2024, arXiv 2403.07691): NLL of the preferred answer plus β
    (the paper's λ) times −log σ(log odds ratio), log-probabilities averaged. It has no reference model."""

    method: Literal["orpo"]
    """Training method."""
    beta: Beta = 0.1
    """β: the weight of the odds-ratio term, the paper's λ."""


class RewardModelConfig(CommonConfig):
    """A Bradley–Terry reward model: −log σ(r(chosen) − r(rejected)); `center` is Eisenstein et al. 2023, arXiv
    2312.09244."""

    method: Literal["reward"]
    """Training method."""
    center: Annotated[float, Field(ge=0)] = 0.0
    """Hold rewards near zero by adding center·(r_chosen + r_rejected)² to the loss."""

    def attention(self, *, gpu: bool) -> Literal["eager", "sdpa"]:
        """Return sdpa, which transformers loads a classifier with."""
        return "sdpa"

    @model_validator(mode="after")
    def _has_an_adapter(self) -> RewardModelConfig:
        if isinstance(self.adapter, NoAdapter):
            raise ValueError(
                'adapter: a reward model is trained as an adapter with a head; "none" is not supported'
            )
        if self.quantization is not None:
            raise ValueError("quantization: a reward model on a quantised base is not supported")
        return self


def dpo_arguments(config: DpoConfig | IpoConfig) -> dict[str, Any]:
    """Return the keyword arguments of trl.DPOConfig beyond `common_arguments`."""
    losses, weights = dpo_losses(config)
    return {
        "beta": config.beta,
        "loss_type": losses,
        "loss_weights": weights,
        "label_smoothing": config.label_smoothing if isinstance(config, DpoConfig) else 0.0,
        "max_length": config.max_length,
        "disable_dropout": False,  # the adapter's dropout is the user's choice
        "prediction_loss_only": True,
    }


def dpo_losses(config: DpoConfig | IpoConfig) -> tuple[list[str], list[float]]:
    """Return TRL's losses and their weights: the preference's own, and the preferred answer's NLL with `sft_weight`."""
    losses, weights = _preference_losses(config)
    return ([*losses, "sft"], [*weights, config.sft_weight]) if config.sft_weight else (losses, weights)


def _preference_losses(config: DpoConfig | IpoConfig) -> tuple[list[str], list[float]]:
    """Return TRL's losses and weights without `sft_weight`.

    TRL's sigmoid loss takes no label smoothing. The conservative one is a sum of two that it has: with
    A = −log σ(βh) and B = −log σ(−βh), robust = ((1−ε)A − εB)/(1−2ε), so (1−ε)A + εB = 2(1−ε)·A − (1−2ε)·robust.
    """
    if isinstance(config, IpoConfig):
        return ["ipo"], [1.0]
    epsilon = config.label_smoothing
    if epsilon == 0:
        return ["sigmoid"], [1.0]
    if config.smoothing == "robust":
        return ["robust"], [1.0]
    return ["sigmoid", "robust"], [2 * (1 - epsilon), -(1 - 2 * epsilon)]


def kto_arguments(config: KtoConfig) -> dict[str, Any]:
    """Return the keyword arguments of trl.KTOConfig beyond `common_arguments`.

    Its KL term needs batches in their first order, so the examples are shuffled beforehand
    (`assay.trainers.methods.kto`).
    """
    return {
        "beta": config.beta,
        "desirable_weight": config.desirable_weight,
        "undesirable_weight": config.undesirable_weight,
        "loss_type": "kto",
        "train_sampling_strategy": "sequential",
        "max_length": config.max_length,
        "disable_dropout": False,
        "prediction_loss_only": True,
    }


def reward_arguments(config: RewardModelConfig) -> dict[str, Any]:
    """Return the keyword arguments of trl.RewardConfig beyond `common_arguments`."""
    return {
        "max_length": config.max_length,
        "center_rewards_coefficient": config.center or None,
        "disable_dropout": False,
        "prediction_loss_only": True,
    }
