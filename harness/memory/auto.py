"""Which tier a device can carry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.errors import BadInputError
from harness.memory.architecture import Architecture
from harness.memory.devices import Device
from harness.memory.predict import Prediction, predict
from harness.memory.setup import Setup
from harness.memory.tiers import Tier, find_tier, tier_names
from harness.memory.verdict import State, state_of

CPU_TIERS = ("pocket", "tiny")  # larger ones fit many machines' RAM, but not a user's patience


@dataclass(frozen=True, slots=True)
class Candidate:
    """A tier with its prediction on the device; `reason` where it could not be predicted."""

    tier: Tier
    prediction: Prediction | None
    state: State
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    chosen: Candidate
    candidates: tuple[Candidate, ...]


def choose_tier(device: Device, setup_for: Callable[[Architecture], Setup]) -> Choice:
    """The largest tier that fits comfortably; without a GPU only pocket and tiny are looked at. Where none fits, the
    smallest is named with its verdict."""
    names = [name for name in tier_names() if device.gpu or name in CPU_TIERS]
    candidates = [_candidate(find_tier(name), device, setup_for) for name in names]
    fitting = [c for c in candidates if c.state == "fits"]
    return Choice(fitting[-1] if fitting else candidates[0], tuple(candidates))


def _candidate(tier: Tier, device: Device, setup_for: Callable[[Architecture], Setup]) -> Candidate:
    try:
        prediction = predict(tier.architecture, setup_for(tier.architecture))
    except BadInputError as error:
        return Candidate(tier, None, "does not fit", str(error))
    return Candidate(tier, prediction, state_of(prediction.peak_bytes, device))
