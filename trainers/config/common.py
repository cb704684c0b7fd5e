"""What every training method is told: the model's weights, the optimiser, how much, how often to save.

A method's own table adds to it (`SftConfig`); the names are the field's own words, and `common_arguments` is the one
place where they become transformers'.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from assay.trainers.config.adapter import AdapterTable, LoraTable, NoAdapter, Positive

# `[config.alarm]`: when a run that has gone wrong is stopped. Torch-free.


class AlarmTable(BaseModel):
    """A loss that is no number always stops the run. `spikes = false` lets it jump.

    A spike is a logged loss above `spike_factor` times the median of the last `window` good ones, and at least
    `spike_margin` nats above it; `patience` of them in a row stop the run.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    spikes: bool = True
    spike_factor: Annotated[float, Field(gt=1)] = 3.0
    spike_margin: Annotated[float, Field(ge=0)] = 1.0
    window: Annotated[int, Field(ge=1)] = 20
    patience: Annotated[int, Field(ge=1)] = 2


# `[config.quantization]`, `qat`, `layerwise` and `groups`: how the weights are kept, and how fast they move.

Rate = Annotated[float, Field(gt=0)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class QuantizationTable(_Table):
    """The frozen base's linear layers as bitsandbytes keeps them; an adapter is trained on top (QLoRA, Dettmers et
    al. 2023, arXiv 2305.14314).

    `nf4` and `fp4` are 4 bits in blocks of 64 with an fp32 scale each: 4.5 bits a parameter, or 4.127 with
    `double_quant`, which stores the scales in 8 bits. `int8` is LLM.int8 (Dettmers et al. 2022). `compute_dtype` is
    what weights are expanded to for a product; auto is the run's own arithmetic. `upcast_fp32` keeps what is not
    quantised (embedding, head, norms) in fp32 instead of the compute type: steadier, at twice the bytes.
    """

    type: Literal["nf4", "fp4", "int8"] = "nf4"
    double_quant: bool = True
    compute_dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    upcast_fp32: bool = True


class QatTable(_Table):
    """Quantisation-aware training: products see the weight rounded to `type`, the gradient passes as if it were not
    (straight-through estimator, Bengio et al. 2013, arXiv 1308.3432; Jacob et al. 2018, arXiv 1712.05877).

    `q4_0` and `q8_0` are GGUF's types in blocks of 32, bit for bit as the export writes a layer's matrix; `nf4` is
    bitsandbytes' in blocks of 64. Output head and embedding are not rounded.
    """

    type: Literal["q4_0", "q8_0", "nf4"] = "q4_0"


class LayerwiseTable(_Table):
    """Learning rate × decay^(distance from the top): the head has the whole rate, the embedding the least (Howard and
    Ruder 2018, arXiv 1801.06146)."""

    decay: Annotated[float, Field(gt=0, le=1)] = 0.9


class GroupsTable(_Table):
    """Learning rates of parts of the model; a part that is not named has `learning_rate`.

    `head` is the output projection or classifier with the final norm, `embedding` the embedding of tokens (and of
    positions, where it is learnt), `backbone` the layers between. Tied weights count as embedding.
    """

    embedding: Rate | None = None
    backbone: Rate | None = None
    head: Rate | None = None


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


class CommonConfig(BaseModel):
    """The part of a training table that does not depend on the method.

    `dtype` is the arithmetic of the forward pass: bf16 and fp16 mean autocast (fp16 with a loss scaler), auto is bf16
    where the device has it in hardware, else fp16 on CUDA and fp32 on a CPU; what is trained and its optimiser state
    are always fp32. `base_dtype` is what a frozen base is kept in that is not quantised: auto is bf16 where the
    arithmetic is, which takes half the memory of fp32 and keeps the residual stream in it too; fp32 has autocast do the
    rounding, product by product. `gradient_checkpointing`, if absent, is on where a base is quantised and there is a
    GPU: who quantises is short of memory. One step takes `batch_size` × `gradient_accumulation_steps` sequences.
    `warmup_ratio` is of all steps, and replaces `warmup_steps`. Of the checkpoints the last `save_total_limit` are
    kept. Where `[data]` holds records out, the loss on them is measured every `eval_steps` (as often as checkpoints are
    saved, if absent) and at the end; `keep_best` then keeps the checkpoint where it was lowest, and that is what the
    run gives.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    has_loss_scaler: ClassVar[bool] = True  # without one, arithmetic in fp16 is not to be had

    method: str
    # weights
    adapter: Annotated[AdapterTable, Field(discriminator="type")] = LoraTable()
    quantization: QuantizationTable | None = None
    qat: QatTable | None = None
    layerwise: LayerwiseTable | None = None
    groups: GroupsTable | None = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    # optimiser
    optimizer: Optimizer = "adamw_torch"
    learning_rate: Annotated[float, Field(gt=0)] = 2e-4
    scheduler: Literal["constant", "constant_with_warmup", "linear", "cosine"] = "cosine"
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    warmup_ratio: Annotated[float, Field(gt=0, lt=1)] | None = None
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    # how much
    batch_size: Positive = 16
    gradient_accumulation_steps: Positive = 1
    epochs: Annotated[float, Field(gt=0)] = 1.0
    max_steps: Positive | None = None
    max_length: Positive = 1024
    # machine
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    base_dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    gradient_checkpointing: bool | None = None
    # checkpoints and log, in steps
    save_steps: Positive = 50
    save_total_limit: Positive = 3
    logging_steps: Positive = 1
    eval_steps: Positive | None = None
    keep_best: bool = False
    alarm: AlarmTable = AlarmTable()

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
                f"{kept}: the base is quantised; quantization.upcast_fp32 says what the rest is kept in"
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
        """Whether every weight is trained."""
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
        """Whether activations are computed again in the backward pass, on a machine with or without a GPU."""
        if self.gradient_checkpointing is None:
            return gpu and self.quantization is not None
        return self.gradient_checkpointing


def common_arguments(
    config: CommonConfig, output_dir: str, *, use_cpu: bool, dtype: str, evaluate: bool = False
) -> dict[str, Any]:
    """Keyword arguments of transformers.TrainingArguments and its heirs in TRL; `evaluate` says that there
    are held-out records. What is no choice of the user's is fixed here, with its reason."""
    return {
        "output_dir": output_dir,
        "seed": config.seed,
        "data_seed": config.seed,
        "optim": config.optimizer,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": config.scheduler,
        # transformers reads a value below 1 as a share of all steps
        "warmup_steps": config.warmup_steps if config.warmup_ratio is None else config.warmup_ratio,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "per_device_train_batch_size": config.batch_size,
        "gradient_accumulation_steps": config.gradient_accumulation_steps,
        "num_train_epochs": config.epochs,
        "max_steps": -1 if config.max_steps is None else config.max_steps,
        "bf16": dtype == "bf16",
        "fp16": dtype == "fp16",
        "gradient_checkpointing": config.checkpoints(gpu=not use_cpu),
        "save_steps": config.save_steps,
        "save_total_limit": config.save_total_limit,
        "save_strategy": "steps",
        "use_cpu": use_cpu,
        "logging_steps": config.logging_steps,
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
