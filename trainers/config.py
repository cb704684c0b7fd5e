"""What a training run is told: one table per method, told apart by `method`. Torch-free.

Field names are the field's own words; `sft_arguments` and `lora_arguments` are the one place where they turn into
TRL's and PEFT's. A test holds every field against what those libraries received.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(ge=1)]


class LoraTable(BaseModel):
    """`[lora]`: W + (alpha/r)·B·A (Hu et al. 2021, arXiv 2106.09685)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    r: Positive = 16
    alpha: Annotated[float, Field(gt=0)] = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    target_modules: Literal["all-linear"] | Annotated[list[str], Field(min_length=1)] = "all-linear"
    bias: Literal["none", "all", "lora_only"] = "none"


class SftConfig(BaseModel):
    """Supervised fine-tuning of a LoRA adapter.

    `dtype` is the arithmetic of the forward pass: bf16 means autocast over fp32 weights, auto is bf16 where the
    device has it in hardware and fp32 elsewhere; the adapter itself and its optimiser state are always fp32. One step
    takes `batch_size` × `gradient_accumulation_steps` sequences; `group_by_length` puts sequences of like length in one
    batch, which saves padding and shuffles less well.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Literal["sft"]
    lora: LoraTable = LoraTable()
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    # optimiser
    optimizer: Literal["adamw_torch", "adamw_torch_fused", "adafactor", "sgd"] = "adamw_torch"
    learning_rate: Annotated[float, Field(gt=0)] = 2e-4
    scheduler: Literal["constant", "constant_with_warmup", "linear", "cosine"] = "cosine"
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    # how much
    batch_size: Positive = 16
    gradient_accumulation_steps: Positive = 1
    epochs: Annotated[float, Field(gt=0)] = 1.0
    max_steps: Positive | None = None
    # sequences
    max_length: Positive = 1024
    packing: bool = False
    group_by_length: bool = False
    assistant_only_loss: bool = True
    # machine
    dtype: Literal["auto", "fp32", "bf16"] = "auto"
    gradient_checkpointing: bool = False
    # checkpoints, in steps
    save_steps: Positive = 50
    save_total_limit: Positive = 3


TrainConfig = SftConfig


def sft_arguments(config: SftConfig, output_dir: str, *, use_cpu: bool, bf16: bool) -> dict[str, Any]:
    """Keyword arguments of trl.SFTConfig; `bf16` is what `dtype` came to on this machine. What is no choice of the
    user's is fixed here, with its reason."""
    return {
        "output_dir": output_dir,
        "seed": config.seed,
        "data_seed": config.seed,
        "optim": config.optimizer,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": config.scheduler,
        "warmup_steps": config.warmup_steps,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "per_device_train_batch_size": config.batch_size,
        "gradient_accumulation_steps": config.gradient_accumulation_steps,
        "num_train_epochs": config.epochs,
        "max_steps": -1 if config.max_steps is None else config.max_steps,
        "max_length": config.max_length,
        "packing": config.packing,
        "train_sampling_strategy": "group_by_length" if config.group_by_length else "random",
        "assistant_only_loss": config.assistant_only_loss,
        "bf16": bf16,
        "gradient_checkpointing": config.gradient_checkpointing,
        "save_steps": config.save_steps,
        "save_total_limit": config.save_total_limit,
        "save_strategy": "steps",
        "use_cpu": use_cpu,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # a NaN loss must be seen, not averaged away
        "report_to": [],
        "disable_tqdm": True,
        "use_cache": False,  # packed sequences leak into each other when a cache is kept
        "dataloader_pin_memory": not use_cpu,
    }


def lora_arguments(config: LoraTable) -> dict[str, Any]:
    """Keyword arguments of peft.LoraConfig."""
    modules = config.target_modules
    return {
        "r": config.r,
        "lora_alpha": config.alpha,
        "lora_dropout": config.dropout,
        "target_modules": modules if isinstance(modules, str) else list(modules),
        "bias": config.bias,
        "task_type": "CAUSAL_LM",
    }
