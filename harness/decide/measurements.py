"""Speed and memory of a gate: raw samples of benchmarks and peaks, held against a baseline's on the same hardware.

Speed is compared by the Hodges-Lehmann estimate of the ratio of two samples of seconds, with the one-sided bounds that
invert the Mann-Whitney test (Hollander and Wolfe 1999, section 4.3): they assume no distribution, but samples that
are independent. What differs between two sessions on one machine is in no sample; the margin has to allow for it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from pydantic import Field

from assay.harness.errors import BadInputError
from assay.harness.experiment.tables import Table
from assay.harness.leaderboard.schema import Leaderboard
from assay.trainers.files import read_bytes

State = Literal["pass", "regression", "undecided", "unmeasured"]
FEWEST = 5  # raw samples of a benchmark, of each side
_MOST = 2000  # raw samples of a side that are taken, evenly from all


class SpeedTable(Table):
    """How benchmarks are held against the baseline's, by their raw samples on the same hardware."""

    margin: float = Field(default=0.1, gt=0, lt=10)
    """The slowdown that does not matter: 0.1 is 10 %."""


class MemoryTable(Table):
    """How peak memory is held against the baseline's, on the same hardware."""

    margin: float = Field(default=0.1, gt=0, lt=10)
    """The growth that does not matter: 0.1 is 10 %."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that a gate looked at: what came out, in a sentence, and its figures."""

    name: str
    state: State
    words: str
    figures: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "state": self.state, "words": self.words, **self.figures}


@dataclass(frozen=True, slots=True)
class Measurements:
    """Seconds of each round of each benchmark, peak bytes by name, and the hardware that they are of (a fingerprint:
    only figures of equal ones are compared)."""

    hardware: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    peak_bytes: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "hardware": dict(self.hardware),
            "seconds": {name: list(values) for name, values in self.seconds.items()},
            "peak_bytes": dict(self.peak_bytes),
        }

    @staticmethod
    def from_json(value: Any, place: str) -> Measurements:
        """Raises BadInputError where the value is not what `to_json` returns."""
        try:
            seconds = {str(n): tuple(map(float, v)) for n, v in value.get("seconds", {}).items()}
            peaks = {str(n): int(v) for n, v in value.get("peak_bytes", {}).items()}
            return Measurements(dict(value.get("hardware", {})), seconds, peaks)
        except (AttributeError, TypeError, ValueError) as error:
            raise BadInputError(f"{place}: its measurements cannot be read ({error})") from error


def read_benchmarks(path: Path) -> Measurements:
    """Read pytest-benchmark's JSON, which has raw samples only where it was told to keep them."""
    try:
        value = json.loads(read_bytes(path))
        seconds = {b["fullname"]: tuple(map(float, b["stats"].get("data", ()))) for b in value["benchmarks"]}
        hardware = benchmark_hardware(value["machine_info"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInputError(
            f"{path} is not pytest-benchmark's JSON ({error!r}): write it by --benchmark-json=FILE"
        ) from error
    if lacking := [name for name, values in seconds.items() if not values]:
        raise BadInputError(
            f"{path}: {lacking[0]} has no raw samples: run pytest with --benchmark-save-data or --benchmark-json"
        )
    return Measurements(hardware, seconds)


def benchmark_hardware(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fingerprint of the machine that pytest-benchmark describes."""
    cpu = info.get("cpu", {})
    return {
        "node": info.get("node"), "machine": info.get("machine"), "system": info.get("system"),
        "cpu": cpu.get("brand_raw"), "cores": cpu.get("count"), "python": info.get("python_version"),
    }  # fmt: skip


def peaks_of(board: Leaderboard) -> Measurements:
    """Return the peak memory of each variant of a run that was profiled."""
    machine = board.machine
    hardware = {key: machine.get(key) for key in ("device", "gpu", "cpu", "cores")}
    peaks = {f"{row.variant}, resident": row.peak_rss_bytes for row in board.rows if row.peak_rss_bytes}
    peaks |= {f"{row.variant}, on the device": row.vram_bytes for row in board.rows if row.vram_bytes}
    return Measurements(hardware, {}, peaks)


def check_measurements(
    candidate: Measurements, baseline: Measurements, speed: SpeedTable, memory: MemoryTable
) -> list[Check]:
    """Return a check for each benchmark and each peak that the baseline has."""
    checks = []
    other = _difference(candidate.hardware, baseline.hardware)
    for name, before in baseline.seconds.items():
        now = candidate.seconds.get(name)
        if now is None:
            checks.append(Check(f"speed of {name}", "undecided", "the candidate has no such benchmark"))
        elif other:
            checks.append(Check(f"speed of {name}", "unmeasured", other))
        else:
            checks.append(_speed(name, now, before, speed.margin))
    for name, peak in baseline.peak_bytes.items():
        grown = candidate.peak_bytes.get(name)
        if grown is None:
            checks.append(Check(f"memory of {name}", "undecided", "the candidate has no such peak"))
        elif other:
            checks.append(Check(f"memory of {name}", "unmeasured", other))
        else:
            checks.append(_memory(name, grown, peak, memory.margin))
    return checks


def _difference(candidate: Mapping[str, Any], baseline: Mapping[str, Any]) -> str:
    """Return how the hardware differs; empty where it does not."""
    names = [name for name in {**baseline, **candidate} if candidate.get(name) != baseline.get(name)]
    if not names:
        return ""
    now, before = ({n: side.get(n) for n in names} for side in (candidate, baseline))
    return (
        f"measured on other hardware ({now} in place of {before}); figures of two machines are not compared"
    )


def _speed(name: str, now: tuple[float, ...], before: tuple[float, ...], margin: float) -> Check:
    label = f"speed of {name}"
    if min(len(now), len(before)) < FEWEST:
        few = f"{len(now)} and {len(before)} raw samples; {FEWEST} of each are needed"
        return Check(label, "unmeasured", few)
    if min(*now, *before) <= 0:
        return Check(label, "unmeasured", "some sample took no time at all")
    ratio, low, high = slowdown(now, before)
    words = (
        f"{ratio:.3f} times the baseline's seconds, bounds {low:.3f} and {high:.3f}, margin {1 + margin:g}"
    )
    state: State = "undecided"
    if high < 1 + margin:
        state = "pass"
    elif low > 1 and ratio > 1 + margin:
        state = "regression"
    return Check(label, state, words, {"ratio": ratio, "lower": low, "upper": high, "margin": margin})


def slowdown(
    now: tuple[float, ...], before: tuple[float, ...], confidence: float = 0.95
) -> tuple[float, float, float]:
    """Return the ratio of seconds, now over before, with its one-sided bounds at `confidence` each."""
    after, earlier = (np.log(np.array(_thinned(values))) for values in (now, before))
    ratios = np.sort((after[:, None] - earlier[None, :]).ravel())
    m, n = len(after), len(earlier)
    reach = NormalDist().inv_cdf(confidence) * math.sqrt(m * n * (m + n + 1) / 12)
    k = max(0, math.floor(m * n / 2 - reach - 0.5))
    return float(np.exp(np.median(ratios))), float(np.exp(ratios[k])), float(np.exp(ratios[m * n - 1 - k]))


def _thinned(values: tuple[float, ...]) -> tuple[float, ...]:
    step = math.ceil(len(values) / _MOST)
    return values[::step]


def _memory(name: str, now: int, before: int, margin: float) -> Check:
    ratio = now / before if before > 0 else math.inf
    words = f"{now / 2**20:,.0f} MiB, {ratio:.3f} times the baseline's {before / 2**20:,.0f}, margin {1 + margin:g}"
    state: State = "pass" if ratio <= 1 + margin else "regression"
    return Check(f"memory of {name}", state, words, {"ratio": ratio, "margin": margin})
