"""The model as a training run needs it: loaded, quantised or not, with its adapter, or whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from assay.trainers.artifact import Artifact, model_folder
from assay.trainers.config import CommonConfig, LoraTable, NoAdapter
from assay.trainers.errors import TrainingError
from assay.trainers.model.adapters import attach_adapter
from assay.trainers.model.precision import torch_dtype
from assay.trainers.model.qat import fake_quantise
from assay.trainers.model.quantize import check_supported, load_quantized, prepare_for_training

# (base, config, resolved dtype, attention) to the model to train: `prepare_model`, or what a caller has in its place
# (a profile of an architecture whose weights are not at hand).
Prepare = Callable[[Artifact, CommonConfig, str, str], Any]


def prepare_model(base: Artifact, config: CommonConfig, dtype: str, attention: str) -> Any:
    """A PeftModel, or with `adapter.type = "none"` the model itself with every parameter trainable.

    `dtype` is the resolved arithmetic. Raises TrainingError for targets the model lacks and for what bitsandbytes
    cannot do here.
    """
    from transformers import AutoModelForCausalLM

    folder = str(model_folder(base))
    table = config.quantization
    if table is None:
        kept = torch_dtype(base_dtype(config, dtype))
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=kept, attn_implementation=attention)
    else:
        compute = compute_dtype(config, dtype)
        check_supported(table, compute)
        check_adapter_on(config)
        model = load_quantized(folder, table, compute, attention=attention, keep_fp32=table.upcast_fp32)
    return dress(model, config)


def dress(model: Any, config: CommonConfig) -> Any:
    """A loaded base as it is trained: prepared where it is quantised, with its adapter, or whole."""
    import torch

    if config.quantization is not None:
        again = config.checkpoints(gpu=torch.cuda.is_available())
        model = prepare_for_training(model, config.quantization, checkpointing=again)
    if isinstance(config.adapter, NoAdapter):
        if config.qat is not None:
            fake_quantise(model, config.qat.type)
        return model
    return attach_adapter(model, config.adapter)


def check_adapter_on(config: CommonConfig) -> None:
    """Raise TrainingError for an adapter that PEFT cannot compute on the quantised base."""
    table = config.quantization
    if table is not None and table.type != "int8" and config.adapter.type in ("loha", "lokr"):
        raise TrainingError(
            f"adapter.type = {config.adapter.type!r} on a base in {table.type}: PEFT takes the update's shape from the "
            "weight, and 4-bit weights are stored packed in another one; use lora, rslora or dora, or "
            "quantization.type = 'int8'"
        )


def base_dtype(config: CommonConfig, dtype: str) -> str:
    """What the weights of a base that is not quantised are kept in, `dtype` being the resolved arithmetic. In fp16 auto
    is fp32: a residual stream that was trained in bf16 may overflow there. Raises TrainingError where the two do not go
    together."""
    biases = isinstance(config.adapter, LoraTable) and config.adapter.bias != "none"
    if config.base_dtype == "auto":
        return "fp32" if config.full or biases or dtype == "fp16" else dtype
    if config.base_dtype not in ("fp32", dtype):
        raise TrainingError(
            f"base_dtype = {config.base_dtype!r}: the arithmetic came to {dtype} on this machine; set dtype = "
            f"{config.base_dtype!r} too, or base_dtype = 'fp32'"
        )
    return config.base_dtype


def compute_dtype(config: CommonConfig, dtype: str) -> str:
    """What quantised weights are expanded to: as the table says, auto being the run's own arithmetic."""
    assert config.quantization is not None
    wanted = config.quantization.compute_dtype
    return dtype if wanted == "auto" else wanted


def trainable_copies(model: Any) -> dict[str, Any]:
    """The trainable parameters' values, by name."""
    return {n: p.data.detach().clone().float() for n, p in model.named_parameters() if p.requires_grad}


def restore(model: Any, copies: dict[str, Any]) -> None:
    """Put the values back, in fp32: TRL casts the adapter of a quantised model to bf16, whose eight bits lose the
    small steps of a small learning rate."""
    parameters = dict(model.named_parameters())
    for name, value in copies.items():
        parameters[name].data = value.to(parameters[name].device)


def count_parameters(model: Any) -> tuple[int, int]:
    """(trainable, all), a tied weight once and a 4-bit weight as many as it stands for."""
    trainable = total = 0
    for p in model.parameters():
        state = getattr(p, "quant_state", None)
        n = int(p.numel()) if state is None else int(state.shape.numel())
        total += n
        trainable += n if p.requires_grad else 0
    return trainable, total
