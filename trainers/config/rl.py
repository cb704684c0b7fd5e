"""`[config]` of reinforcement learning: ppo, rloo, grpo, with their reward. Torch-free."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from assay.trainers.config.adapter import NoAdapter, Positive
from assay.trainers.config.common import CommonConfig, ConfigTable
from assay.trainers.config.preference import Reference

Share = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]
Weak = Positive | Literal["types"]


class RewardTable(ConfigTable):
    """The weights of the reward's components; the reward is their weighted sum (`assay.trainers.rl.reward`)."""

    passed: float = 1.0
    """Weight of 1 for an answer that passes every check."""
    fraction: float = 0.2
    """Weight of the share of checks that the answer passes."""
    compiles: float = 0.0
    """Weight of 1 for an answer that Python compiles."""
    limit: NotNegative = 0.0
    """Weight of −1 for an answer that ran out of time, memory or output."""
    lint: NotNegative = 0.0
    """Weight of −(lint findings)/5, at least −1."""
    length: NotNegative = 0.0
    """Weight of −1 for each token beyond `free_tokens`."""
    free_tokens: Annotated[int, Field(ge=0)] = 0
    """Tokens of an answer that `length` does not charge."""
    model_weight: NotNegative = 0.0
    """Weight of the reward model's score, standardised by the scores of its own held-out pairs."""
    model: Path | None = None
    """Folder of a reward model; in an experiment also the name of a variant of method reward."""
    checks: Literal["all", "half"] = "all"
    """Checks that pay: all, or one half of them, the other half measuring how far the reward can be trusted."""
    weak: Weak | None = None
    """Weaken the reward to show reward hacking: a number pays only so many checks of the half, types any right type."""

    @model_validator(mode="after")
    def _pays_for_something(self) -> RewardTable:
        if not any(self.weights().values()):
            raise ValueError("every weight is 0: nothing is rewarded")
        if (self.model is None) != (self.model_weight == 0):
            raise ValueError("model and model_weight go together: a reward model's folder and its weight")
        return self

    def weights(self) -> dict[str, float]:
        """Return the weights by component. Penalties are negative components, so their weights are positive."""
        names = ("passed", "fraction", "compiles", "limit", "lint", "length")
        return {name: getattr(self, name) for name in names} | {"model": self.model_weight}


class RolloutTable(ConfigTable):
    """The drawing and execution of answers. One step draws `prompts` problems × `samples` answers."""

    prompts: Positive = 32
    """Problems in a step."""
    samples: Positive = 4
    """Answers drawn to each problem."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Sampling temperature."""
    max_new_tokens: Positive = 256
    """Tokens that an answer may have at most."""
    style: Literal["chat", "completion"] = "chat"
    """Form of a prompt; it should be the form that the result is measured with."""
    batch_size: Positive = 64
    """Answers that are decoded at the same time."""
    cpu_s: Annotated[float, Field(gt=0, le=86_400)] = 2.0
    """CPU seconds of an answer's execution; short, because every step waits for programs that loop."""
    wall_s: Annotated[float, Field(gt=0, le=86_400)] = 10.0
    """Seconds of wall-clock time of an answer's execution."""
    memory_mb: Annotated[int, Field(ge=64)] = 512
    """MiB of memory of an answer's execution."""
    workers: Annotated[int, Field(ge=0)] = 1
    """Programs that run at the same time; 0 is one per core."""

    @property
    def batch(self) -> int:
        """The number of answers in a step."""
        return self.prompts * self.samples


class KlTable(ConfigTable):
    """The penalty for leaving the reference model, paid for each token as part of the reward."""

    coefficient: NotNegative = 0.05
    """Weight of the KL divergence from the reference."""
    estimator: Literal["k1", "k2", "k3"] = "k1"
    """Estimator of the KL divergence of a token."""
    target: Annotated[float, Field(gt=0)] | None = None
    """KL divergence to aim at, in nats of a sequence; more than twice as much raises an alarm."""
    adaptive: bool = False
    """Move the coefficient so that the KL divergence comes to the target."""
    horizon: Annotated[float, Field(gt=0)] = 10_000
    """Sequences over which `adaptive` moves the coefficient."""
    on_alarm: Literal["flag", "stop"] = "flag"
    """Effect of an alarm: flag marks the run, stop ends it."""

    @model_validator(mode="after")
    def _aims_at_something(self) -> KlTable:
        if self.adaptive and self.target is None:
            raise ValueError("adaptive: a coefficient that adapts needs a target (nats a sequence)")
        return self


class ShapingTable(ConfigTable):
    """Potential-based shaping, which leaves the best policy the best."""

    syntax: NotNegative = 0.0
    """Weight of "the text so far can still become a program": the line that breaks it is charged at once."""


# Settings that every method's table has and these methods do not use, with what to use in their place.
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
    """Return why a setting changes nothing in a reinforcement method, and what to use; empty for a setting it uses."""
    tables = {"ppo": PPO_ELSEWHERE, "rloo": ELSEWHERE, "grpo": ELSEWHERE}
    return tables.get(method, {}).get(setting, "")


class _RlConfig(CommonConfig):
    """The settings that ppo, rloo and grpo share; `batch_size` is the number of answers in a minibatch."""

    max_steps: Positive = 50
    """Updates, each on a batch of fresh answers."""
    epochs: Annotated[float, Field(ge=1)] = 2
    """Passes over the answers of an update, a whole number."""
    reward: RewardTable = RewardTable()
    """The weights of the reward's components."""
    rollout: RolloutTable = RolloutTable()
    """The drawing and execution of answers."""
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "fp32"
    """Arithmetic of the forward pass."""

    def attention(self, *, gpu: bool) -> Literal["eager", "sdpa"]:
        """Return sdpa: policies draw answers with it."""
        return "sdpa"

    @model_validator(mode="after")
    def _whole_epochs(self) -> _RlConfig:
        if self.epochs != int(self.epochs):
            raise ValueError(f"epochs: passes over a batch of answers are whole; got {self.epochs:g}")
        if self.rollout.batch % self.batch_size:
            raise ValueError(
                f"rollout.prompts × rollout.samples = {self.rollout.batch} answers a step are no multiple of "
                f"batch_size = {self.batch_size}"
            )
        return self

    @model_validator(mode="after")
    def _means_something(self) -> _RlConfig:
        for name, field in CommonConfig.model_fields.items():
            if getattr(self, name) != field.default and (reason := instead(self.method, name)):
                raise ValueError(f"{name}: {self.method} does not use it: {reason}")
        return self


class PpoConfig(_RlConfig):
    """Proximal policy optimisation with execution feedback (Schulman et al. 2017, arXiv 1707.06347; for language
    models Ziegler et al. 2019, arXiv 1909.08593, and Stiennon et al. 2020, arXiv 2009.01325).

    The value head sits on the policy's own backbone.
    """

    has_loss_scaler: ClassVar[bool] = False

    method: Literal["ppo"]
    """Training method."""
    kl: KlTable = KlTable()
    """The penalty for leaving the reference model."""
    shaping: ShapingTable = ShapingTable()
    """Potential-based shaping of the reward."""
    gamma: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Discount of a later token's reward."""
    lam: Share = 0.95
    """λ of generalised advantage estimation."""
    clip: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """ε: the probability ratio is clipped to 1 ± ε."""
    value_clip: Annotated[float, Field(gt=0)] | None = 0.2
    """Range around the old value that the value loss is clipped to."""
    value_weight: NotNegative = 0.1
    """Weight of the value loss."""
    value_learning_rate: Annotated[float, Field(gt=0)] | None = None
    """Learning rate of the value head; left out, `learning_rate`."""
    value_reaches_backbone: bool = True
    """Let the value loss's gradient into the policy's backbone."""
    entropy_weight: NotNegative = 0.0
    """Weight of the policy's entropy in the loss."""
    whiten: bool = True
    """Normalise the advantages of a batch to mean 0 and variance 1."""
    baseline: Literal["none", "group"] = "none"
    """group subtracts a problem's mean reward from each of its answers before GAE; it needs rollout.samples ≥ 2."""
    unfinished: NotNegative = 0.0
    """Penalty for an answer that was cut at its length limit."""
    reference: Reference = "adapter_off"
    """Reference model: the policy with its adapter switched off, which costs no memory, or a copy."""

    @model_validator(mode="after")
    def _possible(self) -> PpoConfig:
        if self.baseline == "group" and self.rollout.samples < 2:
            raise ValueError(
                'baseline = "group" compares a problem\'s answers: rollout.samples must be at least 2'
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
    """The settings that RLOO and GRPO share. TRL draws with transformers' own `generate`, and takes a problem's
    `rollout.samples` answers as a group."""

    beta: NotNegative = 0.05
    """Weight of the KL divergence from the reference, in TRL's loss."""
    clip: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """ε: the probability ratio is clipped to 1 ± ε."""

    @model_validator(mode="after")
    def _groups(self) -> GroupConfig:
        if self.rollout.samples < 2:
            raise ValueError("rollout.samples: a group's answers are compared with each other; at least 2")
        if self.gradient_accumulation_steps != 1:
            raise ValueError(
                f"gradient_accumulation_steps: {self.gradient_accumulation_steps} would draw and learn from so many "
                "times the answers that max_steps and rollout name; leave it at 1 and set batch_size"
            )
        return self


class RlooConfig(GroupConfig):
    """REINFORCE with a leave-one-out baseline (Ahmadian et al. 2024, arXiv 2402.14740), by TRL: a control arm."""

    method: Literal["rloo"]
    """Training method."""


class GrpoConfig(GroupConfig):
    """Group-relative policy optimisation (Shao et al. 2024, arXiv 2402.03300), by TRL: a control arm."""

    method: Literal["grpo"]
    """Training method."""
    scale_rewards: bool = True
    """Divide a group's advantages by their standard deviation, as the paper does."""


def group_arguments(config: GroupConfig) -> dict[str, Any]:
    """Return the keyword arguments of trl.RLOOConfig and trl.GRPOConfig beyond and in place of `common_arguments`.

    One update of ours takes `rollout.batch` answers and `epochs` passes in minibatches of `batch_size`; in TRL's words
    that is generation_batch_size, num_iterations and per_device_train_batch_size, and its optimiser steps are counted
    one by one.
    """
    rollout = config.rollout
    minibatches = rollout.batch // config.batch_size
    steps = minibatches * int(config.epochs)
    warmup = config.warmup_steps * steps if config.warmup_ratio is None else config.warmup_ratio
    return {
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
