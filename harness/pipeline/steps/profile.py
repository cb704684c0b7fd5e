"""The profile step: a variant's memory and speed, measured alone in a process of its own.

A figure of the evaluation itself would be of one process that has held every variant, beside a sandbox at work. The
raw record lies in the step's folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.harness.experiment.tables import EngineTable, ProfileTable
from assay.harness.pipeline.fingerprints import resolved_device
from assay.harness.pipeline.steps import Context, StepKind
from assay.harness.pipeline.store import Record, Step
from assay.harness.profiling.measure import Job, profile, summarise
from assay.harness.profiling.measure.job import OUT_OF_MEMORY, Source

RAW = "profile.jsonl"
SETTLED = ("done", OUT_OF_MEMORY)  # what a second try would not change
NOT_REQUESTED = (
    "variants share one process; a [profile] table in the experiment measures each alone in its own"
)
ON_A_SERVER = "the model is on a server"
_NO_PEAK = {
    "peak_rss_bytes": "this system does not tell a process's peak",
    "vram_bytes": "the profiled process used no CUDA device",
}


@dataclass(frozen=True, slots=True)
class ProfileSpec:
    """The workload that is measured; a GGUF file has a dtype of its own."""

    table: ProfileTable
    engine: EngineTable
    gguf: bool

    def config(self) -> dict[str, Any]:
        device, dtype = resolved_device(self.engine.device), "auto" if self.gguf else self.engine.dtype
        job = {"device": device, "threads": self.engine.threads, "dtype": dtype}
        return {"job": self.table.model_dump(mode="json") | job}


def _profile(context: Context, step: Step, work: Path) -> Record:
    """Profile the model in a process of its own; how it ended is the record's status."""
    raw = work / RAW
    raw.unlink(missing_ok=True)  # of a run that was killed within it
    source = Source.of(context.artifact(step.inputs[0]))
    job = Job.model_validate({"name": step.variant, "source": source, **step.config["job"]})
    with context.progress.task(step.name):
        summary = summarise(profile(job, raw))
    del summary["raw"]
    if summary["status"] != "done":
        context.progress.say(f"{step.name}: unmeasured, {summary['status']}: {summary['detail']}")
    return {"profile": summary}


def unsettled(record: Record) -> str:
    """Say why a finished profile must be measured again; empty where it stands."""
    status, detail = record["profile"]["status"], record["profile"]["detail"]
    return "" if status in SETTLED else f"it ended with {status} ({detail})"


def figures(record: Record | None, machine: dict[str, Any], reason: str) -> dict[str, Any]:
    """Return a leaderboard row's part about the profile in `record`, or its absence for `reason`.

    `machine` is the one that the leaderboard is of. Peaks are over all phases, imports included.
    """
    if record is None:
        return _nothing(reason)
    measured, profiled = record["profile"], record["machine"]
    if measured["status"] != "done":
        return _nothing(f"{measured['status']}: {measured['detail']}")
    if any(profiled[key] != machine[key] for key in ("device", "cpu", "cores")):
        return _nothing(f"profiled on another machine ({profiled['device']}); not comparable")
    peaks = {
        "peak_rss_bytes": _peak(measured, "rss_peak_bytes"),
        "vram_bytes": _peak(measured, "allocated_peak_bytes"),
    }
    shown = {
        "workload": measured["workload"],
        "load_average": measured["load_average"][0],
        "added_rss_bytes": _peak(measured, "rss_peak_increase_bytes"),
        **{f"{phase}_tok_per_s": _rate(measured, phase) for phase in ("prefill", "decode", "generate")},
    }
    unmeasured = {name: reason for name, reason in _NO_PEAK.items() if peaks[name] is None}
    return {**peaks, "profile": shown, "unmeasured": unmeasured}


def _nothing(reason: str) -> dict[str, Any]:
    absent = dict.fromkeys((*_NO_PEAK, "profile"))
    return {**absent, "unmeasured": dict.fromkeys(_NO_PEAK, reason)}


def _peak(measured: dict[str, Any], counter: str) -> int | None:
    return max((m[counter] for m in measured["memory"].values() if counter in m), default=None)


def _rate(measured: dict[str, Any], phase: str) -> float | None:
    speed = measured["speed"].get(phase)
    return None if speed is None or "tok_per_s" not in speed else speed["tok_per_s"]["median"]


PROFILE = StepKind("profile", _profile, unsettled=lambda _context, _step, record: unsettled(record))
