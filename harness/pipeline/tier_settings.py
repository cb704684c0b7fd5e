"""The settings by which a showcase trains a tier and generates with it, chosen by the memory that is predicted.

The lab is written for the pocket model. For the published tiers the first of PRESETS that fits is taken, all of them of
16 sequences a step: LoRA as long as it fits, then with checkpointing in smaller batches, then on a base in NF4 (QLoRA,
Dettmers et al. 2023, arXiv 2305.14314). Generation needs the weights whole: the adapter of a quantised base is loaded
onto its rounded weights, and so is a merge. The rates are that paper's, 1e-4 from 33B on and 2e-4 below; the pocket
model, which was trained from scratch a moment ago, bears 1e-3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from assay.harness.errors import MissingToolError, UnmeasuredError
from assay.harness.experiment import AnyVariant, Experiment, MergeVariant, TrainVariant
from assay.harness.models.resolve import POCKET
from assay.harness.pipeline.step_memory import generation_setup
from assay.harness.profiling.memory import Architecture, Setup, Tier, checked_config, predict
from assay.harness.profiling.memory.architecture import WIDTH, Dtype, gib
from assay.harness.profiling.memory.devices import Device, cpu_device, nvml_device
from assay.harness.profiling.memory.verdict import State, state_of
from assay.trainers.config import TrainConfig
from assay.trainers.errors import MissingExtraError

RATE, LARGE_RATE = 2e-4, 1e-4
LARGE = 30e9  # parameters
ROWS = (64, 16, 4, 1)  # generated together
# Copies of the model in fp32: a merge beside its base's rounded weights, and the two models of a link.
HOST_COPIES = 2
# Presets of the training table, 16 sequences a step each; the first that fits is taken.
SMALLEST = {"batch_size": 1, "gradient_accumulation_steps": 16, "gradient_checkpointing": True}
PRESETS: tuple[dict[str, Any], ...] = (
    {"batch_size": 16, "gradient_accumulation_steps": 1},
    {"batch_size": 4, "gradient_accumulation_steps": 4, "gradient_checkpointing": True},
    SMALLEST,
    SMALLEST | {"quantization": {"type": "nf4"}},
)


@dataclass(frozen=True, slots=True)
class TierSettings:
    """The settings chosen for a tier on a device.

    `changes` are settings of the lab's training table, which `config` holds whole. `rows` are generated together, in
    `dtype`. `state` says whether the larger of the two peaks fits.
    """

    changes: Mapping[str, Any]
    config: TrainConfig
    rows: int
    dtype: Dtype
    train_bytes: int
    generate_bytes: int
    state: State
    device: Device

    @property
    def quantised(self) -> bool:
        return self.config.quantization is not None

    def to_json(self) -> dict[str, Any]:
        of_the_table = {"batch_size", "gradient_accumulation_steps", "learning_rate"}
        return self.config.model_dump(include=of_the_table) | {
            "method": "qlora" if self.quantised else "lora",
            "gradient_checkpointing": bool(self.config.gradient_checkpointing),
            "engine_dtype": self.dtype,
            "engine_batch_size": self.rows,
            "predicted_train_bytes": self.train_bytes,
            "predicted_generate_bytes": self.generate_bytes,
            "verdict": self.state,
            "device": asdict(self.device),
        }

    def __str__(self) -> str:
        config = self.config
        kind = "QLoRA on nf4" if self.quantised else "LoRA"
        checkpointing = ", checkpointing" if config.gradient_checkpointing else ""
        return (
            f"{kind}, {config.batch_size} x {config.gradient_accumulation_steps} sequences a step{checkpointing}, "
            f"lr {config.learning_rate:g}; generating {self.rows} at once in {self.dtype}; predicted "
            f"{gib(self.train_bytes)} to train and {gib(self.generate_bytes)} to generate, of {_room(self.device)}: "
            f"{self.state}"
        )

    def apply(self, lab: Experiment) -> Experiment:
        """Return the lab with these settings in place of the pocket model's."""

        def changed(variant: AnyVariant) -> AnyVariant:
            if isinstance(variant, TrainVariant):
                return variant.model_copy(update={"config": {**variant.config, **self.changes}})
            if isinstance(variant, MergeVariant) and self.quantised:  # into the weights it was trained on
                return variant.model_copy(update={"onto": "trained"})
            return variant

        engine = lab.engine.model_copy(update={"dtype": self.dtype, "batch_size": self.rows})
        return lab.model_copy(update={"engine": engine, "variant": tuple(map(changed, lab.variant))})


def choose_settings(tier: Tier, architecture: Architecture, device: Device, lab: Experiment) -> TierSettings:
    """Return the first preset, and the most rows, that fit the device; the pocket model keeps the lab's own settings.

    Raises UnmeasuredError where nothing fits.
    """
    pocket = tier.model == POCKET
    table = _training(lab).config
    dtype: Dtype = "fp32" if pocket else device.default_compute
    rate = table["learning_rate"] if pocket else LARGE_RATE if architecture.parameters > LARGE else RATE
    presets = [p for p in PRESETS if (p == PRESETS[0] if pocket else device.gpu or "quantization" not in p)]
    changes = [_changes(table, preset, rate) for preset in presets]
    configs = [checked_config({**table, **change, "dtype": dtype}) for change in changes]
    longest = min(table["max_length"], architecture.max_positions or table["max_length"])
    training = [
        predict(architecture, Setup.from_config(c, architecture, longest, device)).peak_bytes for c in configs
    ]
    generating = [_generating_bytes(n, dtype, lab, architecture, device) for n in ROWS]
    preset, rows = _first(training, device), _first(generating, device)
    if preset is not None and rows is not None:
        peaks = training[preset], generating[rows]
        state = state_of(max(peaks), device)
        return TierSettings(changes[preset], configs[preset], ROWS[rows], dtype, *peaks, state, device)
    raise UnmeasuredError(
        f"{tier.name} does not fit {_room(device)}: at least {gib(min(training))} to train and "
        f"{gib(min(generating))} to generate in {dtype}, as predicted; take a smaller tier or a larger device"
    )


def _changes(table: Mapping[str, Any], preset: Mapping[str, Any], rate: float) -> dict[str, Any]:
    changes = {**preset, "learning_rate": rate}
    if "quantization" in preset:  # alpha at r, so that the adapter does not amplify the rounding
        changes["adapter"] = table["adapter"] | {"alpha": table["adapter"]["r"]}
    return changes


def device_at_hand() -> Device:
    """Return the GPU where torch, which trains and generates, can use one; without it this machine's memory."""
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError(str(error.name), "train") from error
    if not torch.cuda.is_available():
        return cpu_device()
    device = nvml_device()
    if device is None:
        raise MissingToolError(
            "torch sees a CUDA device and NVML does not, so its free memory is not known: pip install 'assay[gpu]'"
        )
    return device


def check_host(architecture: Architecture, host: Device) -> None:
    """Raise UnmeasuredError where merging and comparing, which work in fp32 in host memory, are certain not to fit.

    The kernel would kill the process, and the results so far with it.
    """
    needed = HOST_COPIES * WIDTH["fp32"] * architecture.parameters
    if needed > host.room_bytes:
        raise UnmeasuredError(
            f"{HOST_COPIES} copies of the model in fp32 in host memory, which rounded weights, a merge and its "
            f"comparison need at the least, are {gib(needed)}, and this machine has {gib(host.room_bytes)} "
            f"({host.source})"
        )


def _first(peaks: Sequence[int], device: Device) -> int | None:
    """Return the place of the first peak that fits comfortably, or else of the first that fits tightly."""
    states = [state_of(peak, device) for peak in peaks]
    return next((states.index(state) for state in ("fits", "tight") if state in states), None)


def _training(lab: Experiment) -> TrainVariant:
    return next(v for v in lab.variant if isinstance(v, TrainVariant))


def _generating_bytes(
    rows: int, dtype: Dtype, lab: Experiment, architecture: Architecture, device: Device
) -> int:
    """Return the peak of generation, with prompts as long as the longest sequence that is trained on, which the suite's
    own stay far below.
    """
    longest, new_tokens = _training(lab).config["max_length"], lab.sampling.max_new_tokens
    length = min(longest, (architecture.max_positions or longest + new_tokens) - new_tokens)
    setup = generation_setup(rows, rows, length, new_tokens, weights=dtype, compute=dtype, gpu=device.gpu)
    return predict(architecture, setup).peak_bytes


def _room(device: Device) -> str:
    return f"the {gib(device.room_bytes)} of {device.name} ({device.source})"
