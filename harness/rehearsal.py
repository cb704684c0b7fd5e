"""What a training would do, told before it is done: data, parameters, steps and memory; no weight is loaded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from harness.errors import BadInputError, MissingToolError
from harness.memory import Adapter, Prediction, Setup, predict, read_architecture
from harness.training import Job
from trainers.artifact import model_folder
from trainers.config import NoAdapter, SftConfig
from trainers.errors import MissingExtraError, TrainersError

_OPTIMIZERS = {"adamw_8bit": "adamw_bnb_8bit"}  # two names for one in transformers
_KINDS = {"rslora": "lora"}  # of one size
_EAGER_LENGTH = 1024


@dataclass(frozen=True)
class Rehearsal:
    """`tokens_longest` is after the cut at max_length. `memory` is None where it could not be predicted, for the
    reason given."""

    dtype: str
    records: str
    cut: int
    unanswered: int
    tokens: int
    tokens_longest: int
    effective_batch: int
    steps: int | None
    steps_reason: str
    trainable_parameters: int
    total_parameters: int
    warnings: tuple[str, ...]
    memory: Prediction | None
    memory_reason: str

    def to_json(self) -> dict[str, Any]:
        memory = {"unmeasured": self.memory_reason} if self.memory is None else self.memory.to_json()
        plain = {k: getattr(self, k) for k in self.__dataclass_fields__ if not k.startswith("memory")}
        return plain | {"warnings": list(self.warnings), "memory": memory}


def rehearse(job: Job) -> Rehearsal:
    """Tokenise the data, count the parameters, predict the memory. Raises AssayError for what could not be trained:
    targets the model lacks, a dtype or a quantisation this machine cannot do."""
    try:
        return _rehearse(job)
    except MissingExtraError as error:
        raise MissingToolError(str(error)) from error
    except ImportError as error:
        raise MissingToolError(
            f"{error.name} is not installed; install it with: pip install 'assay[train]'"
        ) from error
    except TrainersError as error:
        raise BadInputError(str(error)) from error


def _rehearse(job: Job) -> Rehearsal:
    from trainers.adapters import adapter_parameters, alpha_warning, check_targets, empty_model
    from trainers.optimizers import check_optimizer
    from trainers.precision import resolve_dtype
    from trainers.prepare import check_adapter_on, compute_dtype
    from trainers.quantize import check_supported
    from trainers.quiet import quiet_libraries

    config = job.config
    with quiet_libraries():
        dtype = resolve_dtype(config.dtype)
        check_optimizer(config)
        check_adapter_on(config)
        if config.quantization is not None:
            check_supported(config.quantization, compute_dtype(config, dtype))
        model = empty_model(str(model_folder(job.base)))
        total = sum(p.numel() for p in model.parameters())
        trained = total
        if not isinstance(config.adapter, NoAdapter):
            check_targets(model, config.adapter)
            trained = adapter_parameters(model, config.adapter)
            total += trained
        encoded = _encoded(job)
    lengths = [min(len(ids), config.max_length) for ids in encoded.input_ids]
    steps, reason = _steps(job, len(lengths) - encoded.unanswered(config.max_length))
    memory, why = _memory(job, dtype, max(lengths))
    warning = alpha_warning(config.adapter, config.quantization)
    return Rehearsal(
        dtype=dtype,
        records=job.records.counts(),
        cut=encoded.longer_than(config.max_length),
        unanswered=encoded.unanswered(config.max_length),
        tokens=sum(lengths),
        tokens_longest=max(lengths),
        effective_batch=config.batch_size * config.gradient_accumulation_steps,
        steps=steps,
        steps_reason=reason,
        trainable_parameters=trained,
        total_parameters=total,
        warnings=(() if warning is None else (warning,)),
        memory=memory,
        memory_reason=why,
    )


def _encoded(job: Job) -> Any:
    from transformers import AutoTokenizer

    from trainers.encode import encode
    from trainers.templates import choose_template

    config = job.config
    if not isinstance(config, SftConfig):
        raise BadInputError(
            f"method {config.method!r}: what its training would do is not told beforehand yet; --dry-run knows 'sft'"
        )
    tokenizer = AutoTokenizer.from_pretrained(str(model_folder(job.base)))
    template = choose_template(tokenizer, config.template)
    return encode(job.records.kept, tokenizer, template, config.loss)


def _packs(job: Job) -> bool:
    return isinstance(job.config, SftConfig) and job.config.packing


def _steps(job: Job, rows: int) -> tuple[int | None, str]:
    config = job.config
    if config.max_steps is not None:
        return config.max_steps, ""
    if _packs(job):
        return None, "packing decides how many rows there are when it is done"
    batches = math.ceil(rows / config.batch_size)
    per_epoch = max(1, math.ceil(batches / config.gradient_accumulation_steps))
    return math.ceil(per_epoch * config.epochs), ""


def _memory(job: Job, dtype: str, longest: int) -> tuple[Prediction | None, str]:
    try:
        return predict(
            read_architecture(model_folder(job.base), job.base_name), setup_of(job, dtype, longest)
        ), ""
    except BadInputError as error:  # an architecture or a combination that the prediction does not know
        return None, str(error)


def setup_of(job: Job, dtype: str, longest: int) -> Setup:
    """The training as the memory prediction's terms have it; `longest` is the longest sequence of a batch."""
    import torch

    config, gpu = job.config, torch.cuda.is_available()
    table = config.quantization
    length = config.max_length if _packs(job) else longest
    adapter = None
    if not isinstance(config.adapter, NoAdapter):
        kind: Any = _KINDS.get(config.adapter.type, config.adapter.type)
        modules = config.adapter.target_modules
        adapter = Adapter(kind, config.adapter.r, modules if modules == "all-linear" else tuple(modules))
    eager = not gpu and config.max_length <= _EAGER_LENGTH and not _packs(job)
    optimizer: Any = _OPTIMIZERS.get(config.optimizer, config.optimizer)
    compute: Any = dtype
    return Setup(
        objective="sft",
        weights="fp32" if table is None else table.type,
        double_quant=table is not None and table.double_quant,
        upcast=table is not None and table.upcast_fp32,
        compute=compute,
        adapter=adapter,
        optimizer=optimizer,
        batch=config.batch_size,
        length=length,
        accumulation=config.gradient_accumulation_steps,
        checkpointing=config.gradient_checkpointing,
        attention="eager" if eager else "sdpa",
        gpu=gpu,
    )
