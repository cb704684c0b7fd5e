"""`[config]` of reinforcement learning: ppo, rloo, grpo, with their reward. Torch-free."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from assay.trainers.config.adapter import NoAdapter, Positive
from assay.trainers.config.common import CommonConfig, common_arguments
from assay.trainers.config.preference import Reference

Share = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]
Weak = Positive | Literal["types"]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class RewardTable(_Table):
    """`[config.reward]`: the weight of each component (`assay.trainers.rl.reward` says what each is); 0 leaves it out.

    `checks` says which of a problem's checks pay: all, or one half of them, the other half being kept to see how
    far the reward can be trusted. `weak` is for showing what hacking looks like: a number pays for the first so many
    checks of that half only, "types" for answers of the expected type, whatever their value. `model` is a reward
    model's folder; its scores are standardised by what it gave its own held-out pairs.
    """

    passed: float = 1.0
    fraction: float = 0.2
    compiles: float = 0.0
    limit: NotNegative = 0.0
    lint: NotNegative = 0.0
    length: NotNegative = 0.0
    free_tokens: Annotated[int, Field(ge=0)] = 0
    model_weight: NotNegative = 0.0
    model: Path | None = None
    checks: Literal["all", "half"] = "all"
    weak: Weak | None = None

    @model_validator(mode="after")
    def _pays_for_something(self) -> RewardTable:
        if not any(self.weights().values()):
            raise ValueError("every weight is 0: nothing is rewarded")
        if (self.model is None) != (self.model_weight == 0):
            raise ValueError("model and model_weight go together: a reward model's folder and its weight")
        return self

    def weights(self) -> dict[str, float]:
        """By component. Penalties (limit, lint, length) are negative components, so their weights are not."""
        return {
            "passed": self.passed,
            "fraction": self.fraction,
            "compiles": self.compiles,
            "limit": self.limit,
            "lint": self.lint,
            "length": self.length,
            "model": self.model_weight,
        }


class RolloutTable(_Table):
    """`[config.rollout]`: how answers are drawn and executed. One step draws `prompts` problems × `samples` answers.

    `style` is how a problem is asked, and should be how the result is measured. `cpu_s` bounds an answer's execution:
    short, because a policy that loops would otherwise be waited for at every step.
    """

    prompts: Positive = 32
    samples: Positive = 4
    temperature: Annotated[float, Field(gt=0)] = 1.0
    max_new_tokens: Positive = 256
    style: Literal["chat", "completion"] = "chat"
    batch_size: Positive = 64
    cpu_s: Annotated[float, Field(gt=0, le=86_400)] = 2.0
    wall_s: Annotated[float, Field(gt=0, le=86_400)] = 10.0
    memory_mb: Annotated[int, Field(ge=64)] = 512
    workers: Annotated[int, Field(ge=0)] = 1

    @property
    def batch(self) -> int:
        """Answers a step."""
        return self.prompts * self.samples


class KlTable(_Table):
    """`[config.kl]`: the price of leaving the reference, paid per token as part of the reward.

    A KL (nats a sequence) above twice the `target` raises an alarm: `on_alarm` says whether the run is flagged or
    stopped. `adaptive` moves the coefficient so that the KL comes to the target, over a `horizon` of sequences.
    """

    coefficient: NotNegative = 0.05
    estimator: Literal["k1", "k2", "k3"] = "k1"
    target: Annotated[float, Field(gt=0)] | None = None
    adaptive: bool = False
    horizon: Annotated[float, Field(gt=0)] = 10_000
    on_alarm: Literal["flag", "stop"] = "flag"

    @model_validator(mode="after")
    def _aims_at_something(self) -> KlTable:
        if self.adaptive and self.target is None:
            raise ValueError("adaptive: a coefficient that adapts needs a target (nats a sequence)")
        return self


class ShapingTable(_Table):
    """`[config.shaping]`: potential-based, so that the best policy stays the best. `syntax` is the weight of "what is
    written so far can still become a program": the line that breaks it is charged at once, not at the end."""

    syntax: NotNegative = 0.0


# Settings that every method's table has and these do not: what to use in their place.
ELSEWHERE = {
    "max_length": "answers are drawn, not read: their length is rollout.max_new_tokens",
    "logging_steps": "every update is logged; leave it out",
    "eval_steps": "no records are held out; measure the result by `assay run`",
    "keep_best": "no records are held out; measure the result by `assay run`",
}
PPO_ELSEWHERE = ELSEWHERE | {
    "alarm": "a policy's loss jumps with every batch; kl.target with kl.on_alarm is what watches a ppo run"
}


def instead(method: str, setting: str) -> str:
    """Why a setting changes nothing in a reinforcement method, and what to use; empty where it has its meaning."""
    tables = {"ppo": PPO_ELSEWHERE, "rloo": ELSEWHERE, "grpo": ELSEWHERE}
    return tables.get(method, {}).get(setting, "")


class _RlConfig(CommonConfig):
    """`max_steps` are updates, each on a batch of fresh answers; `epochs` passes over that batch are made in each, in
    minibatches of `batch_size` answers."""

    max_steps: Positive = 50
    epochs: Annotated[float, Field(ge=1)] = 2
    reward: RewardTable = RewardTable()
    rollout: RolloutTable = RolloutTable()
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "fp32"

    def attention(self, *, gpu: bool) -> Literal["eager", "sdpa"]:
        """Return sdpa: policies draw answers with it."""
        return "sdpa"

    @model_validator(mode="after")
    def _whole_epochs(self) -> _RlConfig:
        if self.epochs != int(self.epochs):
            raise ValueError(f"epochs: passes over a batch of answers are whole; got {self.epochs:g}")
        return self

    @model_validator(mode="after")
    def _means_something(self) -> _RlConfig:
        for name, field in CommonConfig.model_fields.items():
            if getattr(self, name) != field.default and (why := instead(self.method, name)):
                raise ValueError(f"{name}: {self.method} does not use it: {why}")
        return self


class PpoConfig(_RlConfig):
    """Proximal policy optimisation with execution feedback (Schulman et al. 2017, arXiv 1707.06347; for language
    models Ziegler et al. 2019, arXiv 1909.08593, and Stiennon et al. 2020, arXiv 2009.01325).

    The value head sits on the policy's own backbone; `value_reaches_backbone` lets its gradient through. `baseline`
    "group" takes a problem's mean reward off each of its answers before GAE (a per-prompt baseline; needs
    rollout.samples ≥ 2). `unfinished` is the reward's penalty for an answer that was cut at its length limit.
    """

    has_loss_scaler: ClassVar[bool] = False

    method: Literal["ppo"]
    kl: KlTable = KlTable()
    shaping: ShapingTable = ShapingTable()
    gamma: Annotated[float, Field(gt=0, le=1)] = 1.0
    lam: Share = 0.95
    clip: Annotated[float, Field(gt=0, lt=1)] = 0.2
    value_clip: Annotated[float, Field(gt=0)] | None = 0.2
    value_weight: NotNegative = 0.1
    value_learning_rate: Annotated[float, Field(gt=0)] | None = None
    value_reaches_backbone: bool = True
    entropy_weight: NotNegative = 0.0
    whiten: bool = True
    baseline: Literal["none", "group"] = "none"
    unfinished: NotNegative = 0.0
    reference: Reference = "adapter_off"

    @model_validator(mode="after")
    def _possible(self) -> PpoConfig:
        if self.baseline == "group" and self.rollout.samples < 2:
            raise ValueError(
                'baseline = "group" compares a problem\'s answers: rollout.samples must be at least 2'
            )
        if self.rollout.batch % self.batch_size:
            raise ValueError(
                f"rollout.prompts × rollout.samples = {self.rollout.batch} answers a step are no multiple of "
                f"batch_size = {self.batch_size}"
            )
        if isinstance(self.adapter, NoAdapter) and self.reference == "adapter_off":
            raise ValueError('reference: with adapter.type = "none" use reference = "copy"')
        if self.reference == "copy" and self.quantization is not None:
            raise ValueError('reference: a quantised base cannot be copied; use "adapter_off"')
        if getattr(self.adapter, "dropout", 0) or getattr(self.adapter, "rank_dropout", 0):
            raise ValueError(
                "adapter: dropout makes the policy that learns another than the one that drew; use 0"
            )
        for name in ("qat", "layerwise", "groups"):
            if getattr(self, name) is not None:
                raise ValueError(f"{name}: not supported by ppo; leave it out")
        if self.optimizer != "adamw_torch":
            raise ValueError(f"optimizer: ppo uses adamw_torch; {self.optimizer!r} is not supported")
        if self.dtype == "fp16":
            raise ValueError("dtype: ppo runs in fp32 or bf16; fp16 would need a loss scaler")
        if self.gradient_accumulation_steps != 1:
            raise ValueError("gradient_accumulation_steps: ppo's minibatch is batch_size; leave it at 1")
        if self.shaping.syntax and self.rollout.style == "chat":
            raise ValueError(
                "shaping.syntax: judges every token as Python behind the prompt, and a chat's reply is prose around a "
                'program; use rollout.style = "completion"'
            )
        return self


class GroupConfig(_RlConfig):
    """What RLOO and GRPO share. TRL draws with transformers' own `generate`, and takes `rollout.samples` answers a
    problem as a group; `beta` is its KL coefficient and `clip` its ε."""

    beta: NotNegative = 0.05
    clip: Annotated[float, Field(gt=0, lt=1)] = 0.2

    @model_validator(mode="after")
    def _groups(self) -> GroupConfig:
        if self.rollout.samples < 2:
            raise ValueError("rollout.samples: a group's answers are compared with each other; at least 2")
        if self.rollout.batch % self.batch_size:
            raise ValueError(
                f"rollout.prompts × rollout.samples = {self.rollout.batch} answers a step are no multiple of "
                f"batch_size = {self.batch_size}"
            )
        if self.gradient_accumulation_steps != 1:
            raise ValueError(
                f"gradient_accumulation_steps: {self.gradient_accumulation_steps} would draw and learn from so many "
                "times the answers that max_steps and rollout name; leave it at 1 and set batch_size"
            )
        return self


class RlooConfig(GroupConfig):
    """REINFORCE with a leave-one-out baseline (Ahmadian et al. 2024, arXiv 2402.14740), by TRL: a control arm."""

    method: Literal["rloo"]


class GrpoConfig(GroupConfig):
    """Group-relative policy optimisation (Shao et al. 2024, arXiv 2402.03300), by TRL: a control arm.

    `scale_rewards` divides a group's advantages by their standard deviation, as the paper does.
    """

    method: Literal["grpo"]
    scale_rewards: bool = True


def group_arguments(config: GroupConfig, output_dir: str, *, use_cpu: bool, dtype: str) -> dict[str, Any]:
    """Keyword arguments that trl.RLOOConfig and trl.GRPOConfig share.

    One update of ours takes `rollout.batch` answers and `epochs` passes in minibatches of `batch_size`; in TRL's words
    that is generation_batch_size, num_iterations and per_device_train_batch_size, and its optimiser steps are counted
    one by one.
    """
    rollout = config.rollout
    minibatches = rollout.batch // config.batch_size
    steps = minibatches * int(config.epochs)
    warmup = config.warmup_steps * steps if config.warmup_ratio is None else config.warmup_ratio
    return common_arguments(config, output_dir, use_cpu=use_cpu, dtype=dtype) | {
        "max_steps": config.max_steps * steps,
        "warmup_steps": warmup,
        "num_train_epochs": 1,
        "generation_batch_size": rollout.batch,
        "num_iterations": int(config.epochs),
        "num_generations": rollout.samples,
        "max_completion_length": rollout.max_new_tokens,
        "temperature": rollout.temperature,
        "beta": config.beta,
        "epsilon": config.clip,
        "save_steps": config.save_steps * steps,
        "disable_dropout": False,
    }
