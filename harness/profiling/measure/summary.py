"""From a raw record to figures: pure arithmetic over what was written down.

Latency: median with a distribution-free interval from order statistics (Conover 1999, section 3.2) and the coefficient
of variation; tail percentiles only where there are samples to hold them. TTFT, TPOT and ITL are defined in
`assay.harness.profiling.measure.inference`. Memory is kept apart by who counts it, and an increase is over
what the process held
after its imports, and after the libraries' kernels were used once.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from assay.harness import formatting
from assay.harness.errors import BadInputError
from assay.harness.profiling.measure.job import Job, Record

if TYPE_CHECKING:
    from rich.console import RenderableType

CONFIDENCE = 0.95
P99_NEEDS = 500  # samples: 5 in the tail


def summarise(record: Record) -> dict[str, Any]:
    """The summary of one profile (schema 1): status, speed by phase, memory by phase. What was not measured is
    absent from `speed` and named in `unmeasured` with the reason."""
    start, stop = record.start, record.first("stop")
    job = start["job"]
    speed = {phase: found for phase in job["phases"] if (found := _speed(record, phase, job)) is not None}
    status = {"status": "killed", "detail": "the profile itself was killed"} if stop is None else stop
    reason = status["detail"] or status["status"]
    facts = {k: v for event in record.of("fact") for k, v in event.items() if k not in ("event", "t")}
    return {
        "schema": 1,
        "name": job["name"],
        "sha256": None if job["source"] is None else job["source"]["sha256"],
        "random_weights": job["source"] is None,
        "status": status["status"],
        "detail": status["detail"],
        "created": start["created"],
        "machine": start["machine"],
        "load_average": start["load_average"],
        "workload": {
            k: job[k]
            for k in (
                "training",
                "exact_memory",
                "batch_size",
                "prompt_tokens",
                "new_tokens",
                "samples",
                "repeats",
                "warmup",
                "device",
                "dtype",
                "weights",
                "memory_limit_bytes",
            )
        },
        "allocator_cap_bytes": None,  # unless the measured process says that it set one
        **facts,
        "speed": speed,
        "memory": _memory(record),
        "device_before_bytes": _device_before(record),
        "energy_j": _energy(record),
        "energy_unmeasured": _no_energy(record),
        "snapshot": status.get("snapshot"),
        "foreign_pids": sorted({p for e in record.of("memory") for p in e.get("foreign_pids", ())}),
        "unmeasured": {phase: reason for phase in job["phases"] if phase not in speed},
        "raw": str(record.path),
    }


def series(values: Sequence[float]) -> dict[str, Any]:
    """Median with its interval, spread and count of a series of seconds."""
    ordered = sorted(values)
    n = len(ordered)
    mean = statistics.fmean(ordered)
    interval = median_interval(ordered)
    return {
        "n": n,
        "median": statistics.median(ordered),
        "low": None if interval is None else interval[0],
        "high": None if interval is None else interval[1],
        "least": ordered[0],
        "most": ordered[-1],
        "cv": statistics.stdev(ordered) / mean if n > 1 and mean > 0 else None,
        "p99": ordered[math.ceil(0.99 * n) - 1] if n >= P99_NEEDS else None,
    }


def median_interval(ordered: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """The median's interval from two order statistics, by the binomial distribution; None where n is too small to
    give the confidence (fewer than 6 for 95 %)."""
    n, tail, rank = len(ordered), 0.0, 0
    while rank < n // 2:
        tail += math.comb(n, rank) / 2**n
        if 2 * tail > 1 - confidence:
            break
        rank += 1
    return None if rank == 0 else (ordered[rank - 1], ordered[n - rank])


def _speed(record: Record, phase: str, job: dict[str, Any]) -> dict[str, Any] | None:
    kept = [e for e in record.of("time", phase) if not e["warmup"]]
    if not kept or (phase != "load" and len(kept) < job["repeats"]):
        return None
    dropped = sum(e["warmup"] for e in record.of("time", phase))
    found: dict[str, Any] = {"seconds": series([e["seconds"] for e in kept]), "warmup_dropped": dropped}
    rows, prompt, new = job["batch_size"], job["prompt_tokens"], job["new_tokens"]
    match phase:
        case "prefill":
            found["tok_per_s"] = _rates(rows * prompt, (e["seconds"] for e in kept))
        case "decode":
            found["ttft_s"] = series([e["ttft_s"] for e in kept])
            found["tpot_s"] = series([(e["seconds"] - e["ttft_s"]) / (new - 1) for e in kept])
            found["itl_s"] = series([s for e in kept for s in e["steps_s"]])
            found["tok_per_s"] = _rates(rows * (new - 1), (e["seconds"] - e["ttft_s"] for e in kept))
        case "train":
            found["tok_per_s"] = _rates(rows * prompt, (e["seconds"] for e in kept))
        case "generate":
            found["tok_per_s"] = _rates(kept[0]["new_tokens"], (e["seconds"] for e in kept))
    return found


def _rates(tokens: int, seconds: Iterable[float]) -> dict[str, Any]:
    return series([tokens / s for s in seconds])


def _memory(record: Record) -> dict[str, dict[str, int]]:
    """By phase: what the process held at its end and at most, as each counter has it. `*_increase_bytes` is over what
    it held before the model was loaded: the end of the imports, or of `kernels`, whose `*_left_bytes` is what running
    one block of the model left behind."""
    imported, kernels = record.first("end", "import"), record.first("end", "kernels")
    base = kernels or imported
    found: dict[str, dict[str, int]] = {}
    samples = list(record.of("memory"))
    for end in record.of("end"):
        phase = end["phase"]
        begin = record.first("begin", phase)
        assert begin is not None
        figures = {k: v for k, v in end.items() if k.endswith("_bytes")}
        during = [s for s in samples if begin["t"] <= s["t"] <= end["t"]]
        for counter in ("device_bytes", "process_bytes", "anon_bytes"):
            seen = [s[counter] for s in during if s.get(counter) is not None]
            if seen:
                figures[counter.replace("_bytes", "_peak_bytes")] = max(seen)
        if phase == "kernels" and imported is not None:
            figures |= {
                f"{c}_left_bytes": end[f"{c}_bytes"] - imported[f"{c}_bytes"]
                for c in ("rss", "allocated")
                if f"{c}_bytes" in end and f"{c}_bytes" in imported
            }
        elif base is not None and phase != "import":
            for c in ("rss", "allocated"):
                if f"{c}_peak_bytes" in figures and f"{c}_bytes" in base:
                    figures[f"{c}_peak_increase_bytes"] = figures[f"{c}_peak_bytes"] - base[f"{c}_bytes"]
                    figures[f"{c}_increase_bytes"] = figures[f"{c}_bytes"] - base[f"{c}_bytes"]
        found[phase] = figures
    return found


def _device_before(record: Record) -> int | None:
    """Bytes of the device in use when it was first looked at, before the measured process came to use it."""
    seen = (s["device_bytes"] for s in record.of("memory") if s.get("device_bytes") is not None)
    return next(seen, None)


def _no_energy(record: Record) -> str | None:
    """Why there is no energy to tell; None where there is."""
    seen = [s["energy_mj"] for s in record.of("memory") if "energy_mj" in s]
    if not seen:
        return "no CUDA device was watched by NVML"
    if all(mj is None for mj in seen):
        return "this device does not count its energy (NVML does from Volta on)"
    return None if _energy(record) else "every phase ended before NVML was asked twice"


def _energy(record: Record) -> dict[str, float] | None:
    """Joules of the whole device in each phase, by NVML's counter; None where the device has none."""
    counted = [(s["t"], s["energy_mj"]) for s in record.of("memory") if s.get("energy_mj") is not None]
    found = {}
    for end in record.of("end"):
        begin = record.first("begin", end["phase"])
        assert begin is not None
        inside = [mj for t, mj in counted if begin["t"] <= t <= end["t"]]
        if len(inside) >= 2:
            found[end["phase"]] = (inside[-1] - inside[0]) / 1000
    return found or None


# Peak memory against sequence length: the same job at several lengths, each in a process of its own.


def parse_lengths(text: str) -> tuple[int, ...]:
    """Lengths in tokens from "64,128,256", in ascending order. BadInputError names one that is none."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    bad = [part for part in parts if not part.isdigit() or int(part) < 1]
    if bad or not parts:
        raise BadInputError(
            f"--lengths takes numbers of tokens such as 256,512,1024; got {(bad or [text])[0]!r}"
        )
    return tuple(sorted({int(part) for part in parts}))


def at_length(job: Job, tokens: int) -> Job:
    return job.model_copy(update={"prompt_tokens": tokens, "name": f"{job.name}-{tokens}"})


def curve(summaries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A point for each length: predicted and measured peak in bytes, None with the reason in `detail`."""
    points = []
    for summary in summaries:
        row: Mapping[str, Any] = next((r for r in summary["comparison"] if r["kind"] == "peak"), {})
        whole = summary["status"] == "done"
        points.append(
            {
                "tokens": summary["workload"]["prompt_tokens"],
                "status": summary["status"],
                "detail": summary["detail"],
                "predicted_bytes": row.get("predicted_bytes"),
                "measured_bytes": row.get("measured_bytes") if whole else None,
                "error": row.get("error") if whole else None,
                "by": row.get("note", ""),
                "raw": summary["raw"],
            }
        )
    return points


def render_curve(name: str, points: Sequence[Mapping[str, Any]]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(f"{name}: peak memory against sequence length"), title_justify="left")
    for column in ("tokens", "predicted", "measured", "error", "beyond the length before"):
        table.add_column(column, justify="right")
    before: Mapping[str, Any] | None = None
    for point in points:
        predicted, measured, error = point["predicted_bytes"], point["measured_bytes"], point["error"]
        unmeasured = f"{formatting.UNMEASURED}: {point['status']}"
        table.add_row(
            f"{point['tokens']:,}",
            "not predicted" if predicted is None else formatting.size(predicted),
            Text(unmeasured) if measured is None else formatting.size(measured),
            "" if error is None else f"{100 * error:+.1f} %",
            _slope(before, point),
        )
        before = point
    return table


def _slope(before: Mapping[str, Any] | None, point: Mapping[str, Any]) -> str:
    """What one more token of length cost, between two measured points."""
    if before is None or before["measured_bytes"] is None or point["measured_bytes"] is None:
        return ""
    per_token = (point["measured_bytes"] - before["measured_bytes"]) / (point["tokens"] - before["tokens"])
    return f"{formatting.size(per_token)} a token"
