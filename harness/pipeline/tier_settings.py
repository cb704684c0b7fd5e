"""How a showcase trains a tier and generates with it on the device at hand: chosen by the memory that is predicted.

The lab is written for the pocket model. For the published tiers the first of WAYS that fits is taken, all of them of
16 sequences a step: LoRA as long as it fits, then with checkpointing in smaller batches, then on a base in NF4 (QLoRA,
Dettmers et al. 2023, arXiv 2305.14314). Generation needs the weights whole: the adapter of a quantised base is loaded
onto its rounded weights, and so is a merge. The rates are that paper's, 1e-4 from 33B on and 2e-4 below; the pocket
model, which was trained from scratch a moment ago, bears 1e-3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from assay.harness.errors import MissingToolError, UnmeasuredError
from assay.harness.experiment import AnyVariant, Experiment, MergeVariant, TrainVariant
from assay.harness.generation.batching import PREFILL_TOKENS
from assay.harness.models.resolve import POCKET
from assay.harness.profiling.memory import Architecture, Tier, make_setup, predict
from assay.harness.profiling.memory.architecture import WIDTH, Dtype
from assay.harness.profiling.memory.devices import Device, cpu_device, nvml_device
from assay.harness.profiling.memory.table import gib
from assay.harness.profiling.memory.verdict import State, state_of

RATE, LARGE_RATE = 2e-4, 1e-4
LARGE = 30e9  # parameters
ROWS = (64, 16, 4, 1)  # generated together
HOST_COPIES = (
    2  # of the model in fp32: a merge beside its base's rounded weights, and the two models of a link
)


Choice = TypeVar("Choice")


@dataclass(frozen=True, slots=True)
class TierSettings:
    """`batch` x `accumulation` sequences a step."""

    batch: int
    accumulation: int = 1
    checkpointing: bool = False
    quantised: bool = False


WAYS = (
    TierSettings(16),
    TierSettings(4, 4, True),
    TierSettings(1, 16, True),
    TierSettings(1, 16, True, quantised=True),
)


@dataclass(frozen=True, slots=True)
class Fit:
    """What was chosen. `dtype` is what generation computes in; `state` says whether the larger peak fits."""

    way: TierSettings
    rows: int
    dtype: Dtype
    rate: float
    train_bytes: int
    generate_bytes: int
    state: State
    device: Device

    def to_json(self) -> dict[str, Any]:
        return {
            "method": "qlora" if self.way.quantised else "lora",
            "batch_size": self.way.batch,
            "gradient_accumulation_steps": self.way.accumulation,
            "gradient_checkpointing": self.way.checkpointing,
            "learning_rate": self.rate,
            "engine_dtype": self.dtype,
            "engine_batch_size": self.rows,
            "predicted_train_bytes": self.train_bytes,
            "predicted_generate_bytes": self.generate_bytes,
            "verdict": self.state,
            "device": self.device.to_json(),
        }

    def __str__(self) -> str:
        way = self.way
        kind = "QLoRA on nf4" if way.quantised else "LoRA"
        checkpointing = ", checkpointing" if way.checkpointing else ""
        return (
            f"{kind}, {way.batch} x {way.accumulation} sequences a step{checkpointing}, lr {self.rate:g}; "
            f"generating {self.rows} at once in {self.dtype}; predicted {gib(self.train_bytes)} "
            f"to train and {gib(self.generate_bytes)} to generate, of {_room(self.device)}: {self.state}"
        )

    def apply(self, lab: Experiment) -> Experiment:
        """The lab with these settings in place of the pocket model's."""
        way = self.way
        changes: dict[str, Any] = {
            "learning_rate": self.rate,
            "batch_size": way.batch,
            "gradient_accumulation_steps": way.accumulation,
        }
        if way.checkpointing:
            changes["gradient_checkpointing"] = True
        table = _training(lab).config
        if way.quantised:  # alpha at r, so that the adapter does not amplify the rounding
            adapter = table["adapter"]
            changes |= {"quantization": {"type": "nf4"}, "adapter": adapter | {"alpha": adapter["r"]}}
        variants: list[AnyVariant] = []
        for variant in lab.variant:
            if isinstance(variant, TrainVariant):
                variants.append(variant.model_copy(update={"config": table | changes}))
            elif isinstance(variant, MergeVariant) and way.quantised:  # into the weights it was trained on
                variants.append(variant.model_copy(update={"onto": "trained"}))
            else:
                variants.append(variant)
        engine = lab.engine.model_copy(update={"dtype": self.dtype, "batch_size": self.rows})
        return lab.model_copy(update={"engine": engine, "variant": tuple(variants)})


def find_fit(tier: Tier, architecture: Architecture, device: Device, lab: Experiment) -> Fit:
    """The first way, and the most rows, that fit the device. The pocket model has the lab's own. UnmeasuredError where
    nothing fits."""
    pocket = tier.model == POCKET
    table = _training(lab).config
    dtype: Dtype = "fp32" if pocket else device.default_compute
    rate = table["learning_rate"] if pocket else LARGE_RATE if architecture.parameters > LARGE else RATE
    ways = [w for w in WAYS if (w == WAYS[0] if pocket else device.gpu or not w.quantised)]
    training = {w: _training_bytes(w, dtype, table["max_length"], architecture, device) for w in ways}
    generating = {n: _generating_bytes(n, dtype, lab, architecture, device) for n in ROWS}
    way, rows = _first(training, device), _first(generating, device)
    if way is not None and rows is not None:
        peaks = training[way], generating[rows]
        return Fit(way, rows, dtype, rate, *peaks, state_of(max(peaks), device), device)
    raise UnmeasuredError(
        f"{tier.name} does not fit {_room(device)}: at least {gib(min(training.values()))} to train and "
        f"{gib(min(generating.values()))} to generate in {dtype}, as predicted; take a smaller tier or a larger device"
    )


def device_at_hand() -> Device:
    """The GPU, where torch, which trains and generates, can use one; without it this machine's memory."""
    try:
        import torch
    except ImportError as error:
        raise MissingToolError(
            f"{error.name} is not installed; install it with: pip install 'assay[train]'"
        ) from error
    if not torch.cuda.is_available():
        return cpu_device()
    device = nvml_device()
    if device is None:
        raise MissingToolError(
            "torch sees a CUDA device and NVML does not, so its free memory is not known: pip install 'assay[gpu]'"
        )
    return device


def check_host(architecture: Architecture, host: Device) -> None:
    """Merging and comparing work in fp32 in host memory. UnmeasuredError where it is certain that they cannot: the
    kernel would kill the process, and what was found so far with it."""
    needed = HOST_COPIES * WIDTH["fp32"] * architecture.parameters
    if needed > host.room_bytes:
        raise UnmeasuredError(
            f"{HOST_COPIES} copies of the model in fp32 in host memory, which rounded weights, a merge and its "
            f"comparison need at the least, are {gib(needed)}, and this machine has {gib(host.room_bytes)} "
            f"({host.source})"
        )


def _first(peaks: Mapping[Choice, int], device: Device) -> Choice | None:
    """The first that fits comfortably, without one the first that fits tightly."""
    states = {choice: state_of(peak, device) for choice, peak in peaks.items()}
    fitting = [c for state in ("fits", "tight") for c, found in states.items() if found == state]
    return fitting[0] if fitting else None


def _training(lab: Experiment) -> TrainVariant:
    return next(v for v in lab.variant if isinstance(v, TrainVariant))


def _training_bytes(
    way: TierSettings, dtype: Dtype, longest: int, architecture: Architecture, device: Device
) -> int:
    setup = make_setup(
        "qlora" if way.quantised else "lora",
        architecture,
        weights="nf4" if way.quantised else "fp32" if dtype == "fp16" else dtype,
        compute=dtype,
        batch=way.batch,
        accumulation=way.accumulation,
        checkpointing=way.checkpointing,
        length=min(longest, architecture.max_positions or longest),
        optimizer="adamw_torch",
        attention="sdpa" if device.gpu else "eager",  # the trainers' choice for short sequences
        gpu=device.gpu,
    )
    return predict(architecture, setup).peak_bytes


def _generating_bytes(
    rows: int, dtype: Dtype, lab: Experiment, architecture: Architecture, device: Device
) -> int:
    """With prompts as long as the longest sequence that is trained on, which the suite's own stay far below."""
    longest, new_tokens = _training(lab).config["max_length"], lab.sampling.max_new_tokens
    length = min(longest, (architecture.max_positions or longest + new_tokens) - new_tokens)
    setup = make_setup(
        "inference",
        architecture,
        "inference",
        weights=dtype,
        compute=dtype,
        batch=min(rows, max(1, PREFILL_TOKENS // length)),
        drawn=rows,
        length=length,
        new_tokens=new_tokens,
        gpu=device.gpu,
    )
    return predict(architecture, setup).peak_bytes


def _room(device: Device) -> str:
    return f"the {gib(device.room_bytes)} of {device.name} ({device.source})"
