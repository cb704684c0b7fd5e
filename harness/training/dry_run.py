"""What a training would do, told before it is done: data, parameters, steps and memory; no weight is loaded."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from assay.harness.errors import BadInputError, MissingToolError
from assay.harness.profiling.memory import (
    Adapter,
    Architecture,
    Prediction,
    Setup,
    make_setup,
    predict,
    read_architecture,
)
from assay.harness.profiling.memory.setup import Objective
from assay.harness.training.file import Job
from assay.harness.training.token_counts import Lengths, lengths_of
from assay.trainers.artifact import model_folder
from assay.trainers.config import NoAdapter, RewardModelConfig, SftConfig, TrainConfig
from assay.trainers.config.rl import GroupConfig, PpoConfig
from assay.trainers.data.preferences import Preferences
from assay.trainers.errors import MissingExtraError, TrainersError
from assay.trainers.model.prepare import alpha_warning
from assay.trainers.preference.build import few

_KINDS = {"rslora": "lora"}  # of one size
_EAGER_LENGTH = 1024
# IPO is DPO with another loss of the same tensors; RLOO and GRPO differ in the advantage alone.
_OBJECTIVES: dict[str, Objective] = {
    "sft": "sft",
    "dpo": "dpo",
    "ipo": "dpo",
    "kto": "kto",
    "orpo": "orpo",
    "reward": "reward",
    "ppo": "ppo",
    "rloo": "grpo",
    "grpo": "grpo",
}


@dataclass(frozen=True)
class Rehearsal:
    """`lengths` are of the data as the method reads them. Of a reinforcement method `steps` are updates, each on
    `answers` fresh ones of `answer_tokens` in all at most. Parameters are those that `training.json` counts: a value
    head is not among them. `memory` is None where it could not be predicted, for the reason given."""

    dtype: str
    records: str
    lengths: Lengths
    effective_batch: int
    steps: int | None
    steps_reason: str
    answers: int | None
    answer_tokens: int | None
    trainable_parameters: int
    total_parameters: int
    warnings: tuple[str, ...]
    memory: Prediction | None
    memory_reason: str

    def to_json(self) -> dict[str, Any]:
        memory = {"unmeasured": self.memory_reason} if self.memory is None else self.memory.to_json()
        apart = ("lengths", "memory", "memory_reason")
        plain = {k: getattr(self, k) for k in self.__dataclass_fields__ if k not in apart}
        return plain | asdict(self.lengths) | {"warnings": list(self.warnings), "memory": memory}


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
    from assay.trainers.model.optimizers import check_optimizer
    from assay.trainers.model.precision import arithmetic, compute_dtype
    from assay.trainers.model.prepare import adapter_parameters, check_adapter_on, check_targets, empty_model
    from assay.trainers.model.quantize import check_supported
    from assay.trainers.run.runtime import quiet_libraries

    config = job.config
    with quiet_libraries():
        dtype = arithmetic(config)
        check_optimizer(config)
        check_adapter_on(config)
        if config.quantization is not None:
            check_supported(config.quantization, compute_dtype(config, dtype))
        judges = isinstance(config, RewardModelConfig)
        model = empty_model(str(model_folder(job.base)), classifier=judges)
        total = sum(p.numel() for p in model.parameters())
        trained = total
        if not isinstance(config.adapter, NoAdapter):
            check_targets(model, config.adapter)
            trained = adapter_parameters(model, config.adapter)
            total += trained
        if judges:  # of one score a sequence; PEFT keeps the head that it trains beside the one that it found
            head, made = int(model.score.in_features), sum(p.numel() for p in model.score.parameters())
            trained, total = trained + head, total - made + 2 * head
        lengths = lengths_of(config, job.records, _tokenizer(job))
    steps, reason = _steps(config, lengths.rows)
    memory, why = _memory(job, dtype, lengths.longest)
    rollout = config.rollout if isinstance(config, PpoConfig | GroupConfig) else None
    return Rehearsal(
        dtype=dtype,
        records=job.records.counts(),
        lengths=lengths,
        effective_batch=config.batch_size * config.gradient_accumulation_steps,
        steps=steps,
        steps_reason=reason,
        answers=None if rollout is None else rollout.batch,
        answer_tokens=None if rollout is None else rollout.batch * rollout.max_new_tokens,
        trainable_parameters=trained,
        total_parameters=total,
        warnings=tuple(_warnings(job)),
        memory=memory,
        memory_reason=why,
    )


def _tokenizer(job: Job) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(model_folder(job.base)))


def _warnings(job: Job) -> Iterator[str]:
    config = job.config
    if warning := alpha_warning(config.adapter, config.quantization):
        yield warning
    if isinstance(job.records, Preferences):
        yield from few(len(job.records.kept), "pairs" if job.records.paired else "answers")
    if isinstance(config, PpoConfig) and config.reward.model is not None:
        yield "the memory of the reward model in reward.model is not in the prediction"


def packs(config: TrainConfig) -> bool:
    return isinstance(config, SftConfig) and config.packing


def _steps(config: TrainConfig, rows: int) -> tuple[int | None, str]:
    if config.max_steps is not None:
        return config.max_steps, ""
    if packs(config):
        return None, "packing decides how many rows there are when it is done"
    batches = math.ceil(rows / config.batch_size)
    per_epoch = max(1, math.ceil(batches / config.gradient_accumulation_steps))
    return math.ceil(per_epoch * config.epochs), ""


def _memory(job: Job, dtype: str, longest: int) -> tuple[Prediction | None, str]:
    try:
        architecture = read_architecture(model_folder(job.base), job.base_name)
        return predict(architecture, setup_of(job.config, architecture, dtype, longest)), ""
    except BadInputError as error:  # an architecture or a combination that the prediction does not know
        return None, str(error)


def setup_of(config: TrainConfig, architecture: Architecture, dtype: str, longest: int) -> Setup:
    """The training as the memory prediction's terms have it; `longest` is the longest sequence of a batch, for a
    reinforcement method the longest prompt."""
    import torch

    from assay.trainers.model.precision import base_dtype

    gpu, table = torch.cuda.is_available(), config.quantization
    adapter = None
    if not isinstance(config.adapter, NoAdapter):
        kind: Any = _KINDS.get(config.adapter.type, config.adapter.type)
        modules = config.adapter.target_modules
        adapter = Adapter(kind, config.adapter.r, modules if modules == "all-linear" else tuple(modules))
    # what `trainers` asks for: eager attention for short sequences on a CPU, but where policies draw or score
    short = not gpu and config.max_length <= _EAGER_LENGTH and not packs(config)
    scores = isinstance(config, PpoConfig | GroupConfig | RewardModelConfig)
    changes: dict[str, Any] = {
        "weights": base_dtype(config, dtype) if table is None else table.type,
        "double_quant": table is not None and table.double_quant,
        "upcast": table is not None and table.upcast_fp32,
        "compute": dtype,
        "adapter": adapter,
        "optimizer": config.optimizer,
        "batch": config.batch_size,
        "length": config.max_length if packs(config) else longest,
        "accumulation": config.gradient_accumulation_steps,
        "checkpointing": config.checkpoints(gpu=gpu),
        "attention": "eager" if short and not scores else "sdpa",
        "gpu": gpu,
    }
    if getattr(config, "reference", None) == "copy":
        changes["reference"] = "separate"
    if isinstance(config, PpoConfig | GroupConfig):
        written = config.rollout.max_new_tokens
        changes |= {"length": longest + written, "new_tokens": written, "drawn": _drawn(config)}
    if isinstance(config, GroupConfig) and not config.beta:
        changes["reference"] = "none"
    # the loss and the reference are otherwise the objective's own
    return make_setup(
        "full" if adapter is None else "lora", architecture, _OBJECTIVES[config.method], **changes
    )


def _drawn(config: PpoConfig | GroupConfig) -> int:
    """Sequences written at once: our engine refills slots, TRL draws a whole batch."""
    rollout = config.rollout
    return min(rollout.batch_size, rollout.batch) if isinstance(config, PpoConfig) else rollout.batch
