"""The tiers of the course, as data: which model, its published architecture, and what the course says it needs."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from assay.harness.errors import BadInputError
from assay.harness.models.resolve import POCKET, POCKET_FOLDER
from assay.harness.profiling.memory.architecture import Architecture, parse_architecture, read_architecture
from assay.harness.profiling.memory.devices import Device
from assay.harness.profiling.memory.predict import Prediction, predict
from assay.harness.profiling.memory.setup import Setup
from assay.harness.profiling.memory.verdict import State, state_of

DEFAULT_TIER = "small"


@dataclass(frozen=True, slots=True)
class Tier:
    """`claim_bytes` is the course's figure for the memory that the tier needs; None where it names none."""

    name: str
    model: str
    architecture: Architecture
    claim_bytes: int | None


def published_config(tier: str) -> dict[str, Any]:
    """The tier's published config.json, from which transformers can build the model without its weights."""
    row = _row(tier)
    if "config" not in row:
        config: dict[str, Any] = json.loads((POCKET_FOLDER / "config.json").read_text(encoding="utf-8"))
        return config
    text = (files(__package__) / "tier_configs" / row["config"]).read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def find_tier(name: str) -> Tier:
    """The tier called `name`; BadInputError names the known ones."""
    row = _row(name)
    model = row["model"]
    if model == POCKET:
        architecture = read_architecture(POCKET_FOLDER, name=POCKET)
    else:
        architecture = parse_architecture(
            published_config(name), name=model, tokenizer_size=row["tokenizer_size"]
        )
    claim = row.get("claim_gb")
    return Tier(name, model, architecture, None if claim is None else round(claim * 1e9))


def tier_names() -> list[str]:
    """All tiers, the smallest first."""
    return list(_table())


def _row(name: str) -> dict[str, Any]:
    rows = _table()
    if name not in rows:
        near = difflib.get_close_matches(name, rows, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise BadInputError(f"no tier {name!r}{hint} Known: {', '.join(rows)}")
    return rows[name]


@lru_cache
def _table() -> dict[str, dict[str, Any]]:
    return tomllib.loads((files(__package__) / "tier_configs" / "tiers.toml").read_text(encoding="utf-8"))


# Which tier a device can carry.

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
