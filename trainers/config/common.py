"""The settings that every training method shares: weights, optimiser, amount, machine, checkpoints. Torch-free.

A method's own table adds to `CommonConfig`; the names are the field's own terms, and `common_arguments` is the one
place where they become transformers'.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from assay.trainers.config.adapter import AdapterTable, LoraTable, NoAdapter, Positive

Rate = Annotated[float, Field(gt=0)]


class ConfigTable(BaseModel):
    """The base of the tables under `[config]`: unknown keys are refused, the text under a field is its description."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class AlarmTable(ConfigTable):
    """The alarm that stops a run that has gone wrong. A loss that is not a finite number always stops it.

    A spike is a logged loss above `spike_factor` times the median of the last `window` good ones, and at least
    `spike_margin` nats above it.
    """

    spikes: bool = True
    """Stop the run after spikes of the loss."""
    spike_factor: Annotated[float, Field(gt=1)] = 3.0
    """Factor of the median that a loss must exceed to be a spike."""
    spike_margin: Annotated[float, Field(ge=0)] = 1.0
    """Nats above the median that a loss must exceed to be a spike."""
    window: Annotated[int, Field(ge=1)] = 20
    """Logged losses that the median is taken over."""
    patience: Annotated[int, Field(ge=1)] = 2
    """Spikes in a row that stop the run."""


class QuantizationTable(ConfigTable):
    """The frozen base's linear layers as bitsandbytes keeps them; an adapter is trained on top (QLoRA, Dettmers et
    al. 2023, arXiv 2305.14314).

    `nf4` and `fp4` are 4 bits in blocks of 64 with an fp32 scale each: 4.5 bits a parameter, or 4.127 with
    `double_quant`. `int8` is LLM.int8 (Dettmers et al. 2022).
    """

    type: Literal["nf4", "fp4", "int8"] = "nf4"
    """Type of the base's weights: nf4 and fp4 have 4 bits, int8 has 8."""
    double_quant: bool = True
    """Store the scales of nf4 and fp4 in 8 bits too."""
    compute_dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Type that weights are expanded to for a product; auto is the run's own arithmetic."""
    upcast_fp32: bool = True
    """Keep what is not quantised (embedding, head, norms) in fp32: steadier, at twice the bytes."""


class QatTable(ConfigTable):
    """Quantisation-aware training: products see the rounded weight, the gradient passes as if it were not rounded
    (straight-through estimator, Bengio et al. 2013, arXiv 1308.3432; Jacob et al. 2018, arXiv 1712.05877).

    Output head and embedding are not rounded.
    """

    type: Literal["q4_0", "q8_0", "nf4"] = "q4_0"
    """Type to round to: q4_0 and q8_0 as GGUF has them (blocks of 32), nf4 as bitsandbytes (blocks of 64)."""


class LayerwiseTable(ConfigTable):
    """Learning rates that fall with depth (Howard and Ruder 2018, arXiv 1801.06146)."""

    decay: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Learning rate × decay^(distance from the top): the head has the full rate, the embedding the least."""


class GroupsTable(ConfigTable):
    """Learning rates of parts of the model; a part without one has `learning_rate`. Tied weights count as embedding."""

    embedding: Rate | None = None
    """Learning rate of the embedding of tokens, and of positions where they are learnt."""
    backbone: Rate | None = None
    """Learning rate of the layers between embedding and head."""
    head: Rate | None = None
    """Learning rate of the output projection or classifier with the final norm."""


Optimizer = Literal[
    "adamw_torch",
    "adamw_torch_fused",
    "adamw_8bit",
    "paged_adamw_8bit",
    "paged_adamw_32bit",
    "adafactor",
    "sgd",
]


EAGER_LENGTH = 1024  # tokens: up to here eager attention is faster than sdpa on a CPU


class CommonConfig(ConfigTable):
    """The part of `[config]` that does not depend on the method."""

    has_loss_scaler: ClassVar[bool] = True  # a method without one cannot compute in fp16

    method: str
    """Training method: sft, dpo, ipo, kto, orpo, reward, ppo, rloo or grpo."""
    # weights
    adapter: Annotated[AdapterTable, Field(discriminator="type")] = LoraTable()
    """The adapter that is trained; left out, LoRA with its defaults, and `type = "none"` trains every weight."""
    quantization: QuantizationTable | None = None
    """Quantise the frozen base (QLoRA); off without the table."""
    qat: QatTable | None = None
    """Train every weight as if it were rounded to a type; off without the table."""
    layerwise: LayerwiseTable | None = None
    """Learning rates that fall with depth, for full fine-tuning; off without the table."""
    groups: GroupsTable | None = None
    """Learning rates of embedding, backbone and head, for full fine-tuning; off without the table."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of initialisation, order of the data and dropout."""
    # optimiser
    optimizer: Optimizer = "adamw_torch"
    """Optimiser; adamw_8bit and the paged ones are bitsandbytes'."""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-4
    """Highest learning rate."""
    scheduler: Literal["constant", "constant_with_warmup", "linear", "cosine"] = "cosine"
    """Course of the learning rate over the steps."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Steps in which the learning rate rises from 0."""
    warmup_ratio: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of all steps in which the learning rate rises, in place of `warmup_steps`."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Weight decay of matrices; biases and norms have none."""
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    """Norm that the gradient is clipped to."""
    # how much
    batch_size: Positive = 16
    """Sequences in a forward pass."""
    gradient_accumulation_steps: Positive = 1
    """Forward passes in an optimiser step, which takes batch_size × gradient_accumulation_steps sequences."""
    epochs: Annotated[float, Field(gt=0)] = 1.0
    """Passes over the data."""
    max_steps: Positive | None = None
    """Optimiser steps, in place of `epochs`."""
    max_length: Positive = 1024
    """Tokens of a sequence; longer ones are cut and counted."""
    # machine
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Arithmetic of the forward pass; auto is bf16 where the device has it, else fp16 on CUDA and fp32 on a CPU.

    bf16 and fp16 mean autocast (fp16 with a loss scaler). Trained weights and optimiser state are always fp32.
    """
    base_dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Type that a frozen base without quantisation is kept in; auto is bf16 where the arithmetic is, else fp32.

    bf16 takes half the memory of fp32 and keeps the residual stream in bf16 too; fp32 has autocast do the rounding,
    product by product.
    """
    gradient_checkpointing: bool | None = None
    """Recompute activations in the backward pass; left out, on for a quantised base on a GPU."""
    # checkpoints and log, in steps
    save_steps: Positive = 50
    """Steps between checkpoints."""
    save_total_limit: Positive = 3
    """Checkpoints that are kept, the last ones."""
    logging_steps: Positive = 1
    """Steps between lines of the log."""
    eval_steps: Positive | None = None
    """Steps between measurements of the loss on held-out records; left out, as often as checkpoints are saved."""
    keep_best: bool = False
    """Give the checkpoint with the lowest loss on held-out records as the result, in place of the last one."""
    alarm: AlarmTable = AlarmTable()
    """The alarm that stops a run that has gone wrong."""

    @model_validator(mode="before")
    @classmethod
    def _lora_is_the_default_type(cls, raw: Any) -> Any:
        table = raw.get("adapter") if isinstance(raw, dict) else None
        if isinstance(table, dict) and "type" not in table:
            return raw | {"adapter": {"type": "lora"} | table}
        return raw

    @model_validator(mode="after")
    def _fits_together(self) -> CommonConfig:
        full = isinstance(self.adapter, NoAdapter)
        if full and self.quantization is not None:
            raise ValueError(
                'quantization: quantised weights are frozen; with adapter.type = "none" nothing could learn: '
                "choose an adapter, or leave [config.quantization] out"
            )
        if self.qat is not None and self.quantization is not None:
            raise ValueError("qat: the base is quantised for good already; leave out qat or quantization")
        if self.qat is not None and not full:
            raise ValueError('qat: rounds the weights that are trained; it needs adapter.type = "none"')
        if not full and (self.layerwise is not None or self.groups is not None):
            raise ValueError(
                'layerwise and groups give rates to the model\'s own layers; they need adapter.type = "none"'
            )
        if self.base_dtype not in ("auto", "fp32"):
            self._check_base_dtype(full)
        if self.layerwise is not None and self.groups is not None:
            raise ValueError("layerwise and groups both set the layers' learning rates: keep one")
        if self.keep_best and self.save_steps % (self.eval_steps or self.save_steps):
            raise ValueError(
                f"keep_best: every checkpoint needs a loss to be compared by; save_steps = {self.save_steps} is no "
                f"multiple of eval_steps = {self.eval_steps}"
            )
        if self.warmup_ratio is not None and self.warmup_steps:
            raise ValueError(
                f"warmup_ratio = {self.warmup_ratio:g} and warmup_steps = {self.warmup_steps} both set the warm-up: "
                "keep one"
            )
        return self

    def _check_base_dtype(self, full: bool) -> None:
        kept = f"base_dtype = {self.base_dtype!r}"
        if full:
            raise ValueError(
                f'{kept}: weights that are trained are fp32; with adapter.type = "none" leave it out'
            )
        if self.quantization is not None:
            raise ValueError(
                f"{kept}: the base is quantised; quantization.upcast_fp32 is the type of the rest"
            )
        if self.dtype not in ("auto", self.base_dtype):
            raise ValueError(
                f"{kept} computes in {self.base_dtype}, and dtype = {self.dtype!r} asks for another arithmetic: set "
                "dtype to it too, or leave base_dtype out"
            )
        if isinstance(self.adapter, LoraTable) and self.adapter.bias != "none":
            raise ValueError(
                f"{kept}: adapter.bias = {self.adapter.bias!r} trains biases of the base, which are fp32 then; leave "
                "one of the two out"
            )

    @property
    def full(self) -> bool:
        """Return whether every weight is trained."""
        return isinstance(self.adapter, NoAdapter)

    @property
    def packs(self) -> bool:
        """Whether each sequence is filled with several examples, up to `max_length`."""
        return False

    def attention(self, *, gpu: bool) -> Literal["eager", "sdpa"]:
        """Return the attention that the trainers load a model with, on a machine with or without a GPU.

        On a CPU, torch's fused attention (sdpa) spends more on its backward pass than plain matrices (eager) do at
        short lengths; packed sequences need sdpa.
        """
        short = not gpu and self.max_length <= EAGER_LENGTH and not self.packs
        return "eager" if short else "sdpa"

    def checkpoints(self, *, gpu: bool) -> bool:
        """Return whether activations are computed again in the backward pass, on a machine with or without a GPU."""
        if self.gradient_checkpointing is None:
            return gpu and self.quantization is not None
        return self.gradient_checkpointing


# Fields that transformers has under the same name and with the same meaning.
_OF_THE_SAME_NAME = {
    *("seed", "learning_rate", "weight_decay", "max_grad_norm", "gradient_accumulation_steps"),
    *("save_steps", "save_total_limit", "logging_steps"),
}


def common_arguments(
    config: CommonConfig, output_dir: str, *, use_cpu: bool, dtype: str, evaluate: bool = False
) -> dict[str, Any]:
    """Return the keyword arguments of transformers.TrainingArguments and of its subclasses in TRL.

    `dtype` (fp32, bf16, fp16) is config.dtype resolved on this machine; `evaluate` means that there are held-out
    records. Arguments that are not the user's choice are fixed here, with their reasons.
    """
    return {
        "output_dir": output_dir,
        **config.model_dump(include=_OF_THE_SAME_NAME),
        "data_seed": config.seed,
        "optim": config.optimizer,
        "lr_scheduler_type": config.scheduler,
        # transformers reads a value below 1 as a share of all steps
        "warmup_steps": config.warmup_steps if config.warmup_ratio is None else config.warmup_ratio,
        "per_device_train_batch_size": config.batch_size,
        "num_train_epochs": config.epochs,
        "max_steps": -1 if config.max_steps is None else config.max_steps,
        "bf16": dtype == "bf16",
        "fp16": dtype == "fp16",
        "gradient_checkpointing": config.checkpoints(gpu=not use_cpu),
        "save_strategy": "steps",
        "use_cpu": use_cpu,
        "eval_strategy": "steps" if evaluate else "no",
        "eval_steps": config.eval_steps or config.save_steps,
        "per_device_eval_batch_size": config.batch_size,
        "load_best_model_at_end": evaluate and config.keep_best,
        "metric_for_best_model": "eval_loss",
        "greater_is_better": False,
        "logging_nan_inf_filter": False,  # a NaN loss must be seen, not averaged away
        "report_to": [],
        "disable_tqdm": True,
        "dataloader_pin_memory": not use_cpu,
    }
