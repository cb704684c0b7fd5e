"""Does a run fit a device, and if it does not, which single changes would help and by how much."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from assay.harness.errors import BadInputError
from assay.harness.profiling.memory.architecture import Architecture, WeightFormat
from assay.harness.profiling.memory.devices import Device
from assay.harness.profiling.memory.optimizers import Adapter, state_bytes
from assay.harness.profiling.memory.predict import Prediction, predict, trained_tensors
from assay.harness.profiling.memory.setup import SAMPLES_ITSELF, Setup

State = Literal["fits", "tight", "does not fit"]
# The device's context, the allocator's rounding and fragmentation are not predicted: what they usually take stays free.
COMFORTABLE = 0.85
_WORTH_TELLING = 0.005  # of the peak


@dataclass(frozen=True, slots=True)
class Option:
    """One change, what the peak would then be, and whether that fits."""

    change: str
    setup: Setup
    peak_bytes: int
    saves_bytes: int
    state: State

    def to_json(self) -> dict[str, Any]:
        return {
            "change": self.change,
            "peak_bytes": self.peak_bytes,
            "saves_bytes": self.saves_bytes,
            "verdict": self.state,
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """fits: at most 85 % of the room; tight: it fits by the prediction, but what is not predicted may not.

    `options` are single changes, the greatest saving first; `together` applies as many of them, in that order, as it
    takes to fit. Both are empty where the run fits.
    """

    state: State
    device: Device
    options: tuple[Option, ...]
    together: Option | None

    def to_json(self) -> dict[str, Any]:
        return {
            "verdict": self.state,
            "device": self.device.to_json(),
            "comfortable_share": COMFORTABLE,
            "options": [o.to_json() for o in self.options],
            "together": self.together.to_json() if self.together else None,
        }


def judge(prediction: Prediction, device: Device) -> Verdict:
    state = state_of(prediction.peak_bytes, device)
    if state == "fits":
        return Verdict(state, device, (), None)
    options = find_options(prediction, device)
    return Verdict(state, device, options, _together(prediction, device))


def state_of(peak_bytes: int, device: Device) -> State:
    if peak_bytes <= COMFORTABLE * device.room_bytes:
        return "fits"
    return "tight" if peak_bytes <= device.room_bytes else "does not fit"


def find_options(prediction: Prediction, device: Device) -> tuple[Option, ...]:
    """Single changes that lower the peak, the greatest saving first."""
    found = []
    for change, setup in _changes(prediction.architecture, prediction.setup):
        try:
            peak = predict(prediction.architecture, setup).peak_bytes
        except BadInputError:  # a change that the other settings do not allow is no option
            continue
        saved = prediction.peak_bytes - peak
        if saved > _WORTH_TELLING * prediction.peak_bytes:
            found.append(Option(change, setup, peak, saved, state_of(peak, device)))
    return tuple(sorted(found, key=lambda option: -option.saves_bytes))


def _together(prediction: Prediction, device: Device) -> Option | None:
    """Changes piled up, the greatest saving of each round first, until it fits; sequences are halved once at most.
    None where fewer than two changes are there to be piled up."""
    current, told = prediction, list[str]()
    while state_of(current.peak_bytes, device) != "fits":
        shortened = current.setup.length < prediction.setup.length
        options = [
            option
            for option in find_options(current, device)
            if not (shortened and option.setup.length < current.setup.length)
        ]
        if not options:
            break
        told.append(options[0].change)
        current = predict(prediction.architecture, options[0].setup)
    if len(told) < 2:
        return None
    peak = current.peak_bytes
    saved = prediction.peak_bytes - peak
    return Option("; ".join(told), current.setup, peak, saved, state_of(peak, device))


def _changes(a: Architecture, s: Setup) -> Iterator[tuple[str, Setup]]:
    if s.trains:
        yield from _training_changes(a, s)
    if s.attention == "eager":
        yield "attention sdpa: no stored score matrices", replace(s, attention="sdpa")
    if not s.quantised and not s.trains:
        yield "weights nf4 with double quantisation", replace(s, weights="nf4", double_quant=True)
    if not s.quantised and s.trains and s.adapter is not None:
        quantised = replace(s, weights="nf4", double_quant=True, checkpointing=s.checkpointing or s.gpu)
        again = ", checkpointing" if quantised.checkpointing and not s.checkpointing else ""
        yield f"QLoRA: weights nf4 with double quantisation{again}", quantised
    if s.weights == "int8":
        yield (
            "weights nf4 with double quantisation instead of int8",
            replace(s, weights="nf4", double_quant=True),
        )
    if s.weights in ("nf4", "fp4") and not s.double_quant:
        yield "double quantisation of the scales", replace(s, double_quant=True)
    if s.batch > 1:
        told, accumulation = f"batch 1 instead of {s.batch}", 1
        if s.trains and s.objective not in SAMPLES_ITSELF:
            accumulation = s.accumulation * s.batch
            told += f", {accumulation} accumulation steps"
        yield told, replace(s, batch=1, accumulation=accumulation)
    if s.length >= 512:
        yield f"sequences of {s.length // 2} tokens instead of {s.length}", replace(s, length=s.length // 2)


def _training_changes(a: Architecture, s: Setup) -> Iterator[tuple[str, Setup]]:
    if s.adapter is None:
        shared = "shared" if s.reference == "separate" else s.reference
        stored: WeightFormat = "bf16" if s.compute == "bf16" else "fp32"
        lora = replace(s, adapter=Adapter(), weights=stored, reference=shared)
        yield "LoRA of rank 16 instead of all weights", lora
    if not s.checkpointing:
        yield (
            "gradient checkpointing: recompute activations, about a third slower",
            replace(s, checkpointing=True),
        )
    if s.loss == "full":
        yield "chunked loss: never all logits at once", replace(s, loss="chunked")
    if s.quantised and s.upcast:
        yield f"leave the unquantised rest in {s.compute} (no fp32 upcast)", replace(s, upcast=False)
    if s.reference == "separate" and s.adapter is not None:
        yield "reference shared: the policy with its adapter off", replace(s, reference="shared")
    if s.value == "model":
        yield "a value head instead of a value model", replace(s, value="head")
    trained = trained_tensors(a, s)
    if s.gpu and state_bytes("paged_adamw_8bit", trained) < state_bytes(s.optimizer, trained):
        yield "optimizer paged_adamw_8bit", replace(s, optimizer="paged_adamw_8bit")
