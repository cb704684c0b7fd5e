"""The settings of one run as far as its memory depends on them: one Setup for inference and for every training.

`Setup.from_config` is the only translation of a training table (`assay.trainers.config`) into these terms. A training
that its table refuses has no Setup, so nothing is refused here a second time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self, cast, get_args

from pydantic import ValidationError

from assay.harness.errors import BadInputError
from assay.harness.experiment.validation import explain
from assay.harness.profiling.memory.architecture import Architecture, Attention, Dtype, WeightFormat, is_float
from assay.harness.profiling.memory.devices import Device, unsized_device
from assay.trainers.config import LowRankTable, NoAdapter, TrainConfig, config_class
from assay.trainers.config.common import Optimizer
from assay.trainers.config.rl import GroupConfig, PpoConfig

Objective = Literal["inference", "sft", "dpo", "kto", "orpo", "reward", "ppo", "grpo"]
Loss = Literal["full", "chunked", "answers"]
Reference = Literal["none", "shared", "separate"]
Method = Literal["inference", "full", "lora", "qlora", "int8"]

OBJECTIVES: tuple[Objective, ...] = get_args(Objective)
METHODS: tuple[Method, ...] = get_args(Method)
QUANTISED: dict[str, Literal["nf4", "int8"]] = {"qlora": "nf4", "int8": "int8"}
# IPO is DPO with another loss of the same tensors; RLOO and GRPO differ in the advantage alone.
SAME_MEMORY: dict[str, Objective] = {"ipo": "dpo", "rloo": "grpo"}
# Sequences of one example in one forward pass: a preference is a pair.
SEQUENCES: dict[Objective, int] = {"dpo": 2, "orpo": 2, "reward": 2}
SAMPLES_ITSELF: tuple[Objective, ...] = ("ppo", "grpo")


@dataclass(frozen=True, slots=True)
class Setup:
    """One run.

    `weights` is how the base is loaded; `compute` the type of matrix products, by autocast where the two differ;
    `upcast` what PEFT's prepare_model_for_kbit_training does to the unquantised rest of a quantised model. `adapter`
    None trains every weight. One step takes `batch` examples of `length` tokens at most; inference reads `batch`
    prompts of `length` tokens and writes `new_tokens` to each. `loss` full makes all logits and casts them to fp32, as
    transformers' own loss does; chunked is TRL's fused head; answers is our PPO's, which makes whole logits at the
    answers' tokens alone. `reference` shared is the policy without its adapter. PPO's sequences of `length` end in
    answers of `new_tokens`. `drawn` sequences are written at once, by PPO and inference (0: as many as `batch`);
    `refilled` says whether prompts are read while other rows are being written, as in continuous batches.
    `gpu` False is the CPU: no paging, and optimiser steps go tensor by tensor. `config` is the training table that
    this was translated from, None for inference.
    """

    objective: Objective = "sft"
    weights: WeightFormat = "bf16"
    double_quant: bool = True
    upcast: bool = True
    compute: Dtype = "bf16"
    adapter: LowRankTable | None = None
    optimizer: Optimizer = "adamw_torch"
    batch: int = 1
    length: int = 2048
    new_tokens: int = 0
    drawn: int = 0
    refilled: bool = True
    accumulation: int = 1
    checkpointing: bool = False
    attention: Attention = "sdpa"
    loss: Loss = "chunked"
    reference: Reference = "none"
    gpu: bool = True
    config: TrainConfig | None = field(default=None, compare=False, repr=False)

    @classmethod
    def from_config(
        cls,
        config: TrainConfig,
        architecture: Architecture,
        longest: int,
        device: Device,
        attention: Attention | None = None,
    ) -> Self:
        """Translate a training table into a Setup.

        `longest` is the longest sequence of a batch in tokens; for a reinforcement method it is the longest prompt.
        `attention` replaces the trainers' own choice. Raises BadInputError for what the device cannot compute and for
        sequences longer than the model's context, TrainingError for an adapter that PEFT cannot put on the quantised
        base.
        """
        from assay.trainers.model.precision import base_dtype
        from assay.trainers.model.prepare import check_adapter_on

        compute, table = device.arithmetic(config), config.quantization
        rollout = config.rollout if isinstance(config, PpoConfig | GroupConfig) else None
        written = 0 if rollout is None else rollout.max_new_tokens
        objective = objective_of(config)
        check_adapter_on(config)
        weights: Any = base_dtype(config, compute) if table is None else table.type
        setup = cls(
            objective=objective,
            weights=weights,
            double_quant=table is None or table.double_quant,
            upcast=table is None or table.upcast_fp32,
            compute=compute,
            adapter=None if isinstance(config.adapter, NoAdapter) else config.adapter,
            optimizer=config.optimizer,
            batch=config.batch_size,
            length=config.max_length if config.packs else longest + written,
            new_tokens=written,
            drawn=_drawn(config),
            accumulation=config.gradient_accumulation_steps,
            checkpointing=config.checkpoints(gpu=device.gpu),
            attention=attention or config.attention(gpu=device.gpu),
            loss="answers" if objective == "ppo" else "chunked",
            reference=_reference(config),
            gpu=device.gpu,
            config=config.model_copy(update={"dtype": compute}),
        )
        device.check(compute, setup.attention, setup.optimizer)
        check(setup, architecture)
        return setup

    def amended(self, architecture: Architecture, **settings: Any) -> Self:
        """Return this training with settings of its table changed, by the table's own keys.

        Raises BadInputError or TrainingError for what the table, the trainers or the device refuse.
        """
        assert self.config is not None
        config = checked_config(self.config.model_dump() | settings)
        changed = type(self).from_config(
            config,
            architecture,
            self.length - self.new_tokens,
            unsized_device(gpu=self.gpu),
            self.attention,
        )
        own = self.reference == _reference(self.config)
        reference = changed.reference if own else self.reference
        return replace(changed, loss=self.loss, drawn=self.drawn, length=self.length, reference=reference)

    @property
    def trains(self) -> bool:
        return self.objective != "inference"

    @property
    def quantised(self) -> bool:
        return not is_float(self.weights)

    @property
    def autocast(self) -> bool:
        """Whether matrix products are cast: in training, whenever they are not fp32; inference casts nothing."""
        return self.trains and self.compute != "fp32"

    @property
    def value_head(self) -> bool:
        """Whether a head that gives one number a token sits on the policy."""
        return self.objective == "ppo"

    @property
    def sequences(self) -> int:
        """Sequences in one forward pass of the policy."""
        return self.batch * SEQUENCES.get(self.objective, 1)

    @property
    def tokens(self) -> int:
        """Tokens in one forward pass of the policy."""
        return self.sequences * self.length

    @property
    def answers(self) -> int:
        """Tokens of the answers that one forward pass of PPO learns from."""
        return self.sequences * min(self.new_tokens, self.length)

    def rest(self) -> Dtype:
        """Return the type of what is never quantised: embedding, head, norms, biases."""
        if self.quantised:
            return "fp32" if self.trains and self.upcast else self.compute
        return cast(Dtype, self.weights)


def objective_of(config: TrainConfig) -> Objective:
    """Return the objective whose memory the table's method has."""
    return cast(Objective, SAME_MEMORY.get(config.method, config.method))


def method_settings(method: str, objective: str) -> dict[str, Any]:
    """Return the settings of a training table that `full`, `lora`, `qlora` or `int8` stands for.

    full: fp32 weights under autocast (16 B a parameter with AdamW); lora: the base as stored, an adapter of rank 16 on
    all linear layers; qlora: NF4 with double quantisation and the rest cast to fp32; int8: LLM.int8.
    """
    table: dict[str, Any] = {"method": objective}
    if method == "full":
        table["adapter"] = {"type": "none"}
        if objective == "ppo":
            table["reference"] = "copy"
    elif method in QUANTISED:
        table["quantization"] = {"type": QUANTISED[method]}
    return table


def checked_config(table: dict[str, Any], label: Callable[[str], str] | None = None) -> TrainConfig:
    """Return the checked training table. Raises BadInputError in the words of `assay.trainers.config`.

    `label` gives what the user typed in place of a key, such as an option.
    """
    try:
        kind = config_class(table)
    except ValueError as error:
        raise BadInputError(str(error)) from None
    try:
        return kind.model_validate(table)
    except ValidationError as error:
        raise BadInputError(explain(error, kind, label)) from None


def check(setup: Setup, architecture: Architecture) -> None:
    """Raise BadInputError for lengths and parts that do not fit the model or each other."""
    for name in ("batch", "length", "accumulation"):
        if getattr(setup, name) < 1:
            raise BadInputError(f"{name} must be at least 1, got {getattr(setup, name)}")
    if setup.new_tokens < 0:
        raise BadInputError(f"new_tokens must be 0 or more, got {setup.new_tokens}")
    if (setup.loss == "answers") != (setup.objective == "ppo"):
        raise BadInputError(
            f"loss {setup.loss} does not go with {setup.objective}: ppo's loss is answers, and ppo's alone"
        )
    if setup.reference == "shared" and setup.adapter is None:
        raise BadInputError(
            "a shared reference is the policy with its adapter switched off; full fine-tuning has none: "
            "reference = separate"
        )
    limit = architecture.max_positions
    tokens = setup.length + (0 if setup.trains else setup.new_tokens)
    if limit and tokens > limit:
        raise BadInputError(f"{tokens} tokens do not fit the context of {architecture.name}, {limit} tokens")


def _reference(config: TrainConfig) -> Reference:
    """Return where the reference model of a method comes from: TRL takes GRPO's as the other methods do."""
    if isinstance(config, GroupConfig):
        return "none" if not config.beta else "separate" if config.full else "shared"
    sources: dict[Any, Reference] = {"adapter_off": "shared", "copy": "separate"}
    return sources.get(getattr(config, "reference", None), "none")


def _drawn(config: TrainConfig) -> int:
    """Return how many sequences are written at once: our engine refills places, TRL draws a whole batch."""
    match config:
        case PpoConfig():
            return min(config.rollout.batch_size, config.rollout.batch)
        case GroupConfig():
            return config.rollout.batch
        case _:
            return 0
