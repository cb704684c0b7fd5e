"""The profile step: a variant's memory and speed, measured alone in a process of its own.

A figure of the evaluation itself would be of one process that has held every variant, beside a sandbox at work. The
raw record lies in the step's folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assay.harness.console import Progress
from assay.harness.pipeline.plan import Step
from assay.harness.profiling.measure import Job, profile, summarise
from assay.harness.profiling.measure.job import OUT_OF_MEMORY, Source
from assay.trainers.artifact import Artifact

RAW = "profile.jsonl"
SETTLED = ("done", OUT_OF_MEMORY)  # what a second try would not change
NOT_ASKED = "variants share one process; a [profile] table in the experiment measures each alone in its own"
ON_A_SERVER = "the model is on a server"


def measure(step: Step, artifact: Artifact, work: Path, progress: Progress) -> dict[str, Any]:
    """Profile the model as the step's configuration says; the step's record. How it ended is its status."""
    raw = work / RAW
    raw.unlink(missing_ok=True)  # of a run that was killed within it
    job = Job.model_validate({"name": step.variant, "source": Source.of(artifact), **step.config["job"]})
    with progress.task(step.name):
        summary = summarise(profile(job, raw))
    del summary["raw"]
    return {"profile": summary}


def unsettled(record: dict[str, Any]) -> str:
    """Why a finished profile is to be done again; empty where it is not."""
    found = record["profile"]
    return "" if found["status"] in SETTLED else f"it ended with {found['status']} ({found['detail']})"


def figures(record: dict[str, Any] | None, machine: dict[str, Any], why: str) -> dict[str, Any]:
    """What a leaderboard's row says of a profile, `record` being that of its step and `machine` the one that the
    leaderboard is of; where there is none, for the reason `why`. Peaks are over all phases, imports included."""
    if record is None:
        return _nothing(why)
    found, profiled = record["profile"], record["machine"]
    if found["status"] != "done":
        return _nothing(f"{found['status']}: {found['detail']}")
    if any(profiled[key] != machine[key] for key in ("device", "cpu", "cores")):
        return _nothing(f"profiled on another machine ({profiled['device']}); not comparable")
    unmeasured = {}
    peaks = {
        name: max((m[counter] for m in found["memory"].values() if counter in m), default=None)
        for name, counter in (("peak_rss_bytes", "rss_peak_bytes"), ("vram_bytes", "allocated_peak_bytes"))
    }
    if peaks["peak_rss_bytes"] is None:
        unmeasured["peak_rss_bytes"] = "this system does not tell a process's peak"
    if peaks["vram_bytes"] is None:
        unmeasured["vram_bytes"] = "the profiled process used no CUDA device"
    told = {
        "workload": found["workload"],
        "load_average": found["load_average"][0],
        "added_rss_bytes": max(
            (
                m["rss_peak_increase_bytes"]
                for m in found["memory"].values()
                if "rss_peak_increase_bytes" in m
            ),
            default=None,
        ),
        "prefill_tok_per_s": _rate(found, "prefill"),
        "decode_tok_per_s": _rate(found, "decode"),
        "generate_tok_per_s": _rate(found, "generate"),
    }
    return {**peaks, "profile": told, "unmeasured": unmeasured}


def _nothing(why: str) -> dict[str, Any]:
    return {
        "peak_rss_bytes": None,
        "vram_bytes": None,
        "profile": None,
        "unmeasured": {"peak_rss_bytes": why, "vram_bytes": why},
    }


def _rate(found: dict[str, Any], phase: str) -> float | None:
    speed = found["speed"].get(phase)
    return None if speed is None or "tok_per_s" not in speed else speed["tok_per_s"]["median"]
