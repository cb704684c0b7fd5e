"""A profile's figures: pure arithmetic over its raw record, their tables, and the peak against the length.

Latency: median with a distribution-free interval from order statistics (Conover 1999, section 3.2) and the coefficient
of variation; tail percentiles only where there are samples to hold them. TTFT, TPOT and ITL are defined in
`assay.harness.profiling.measure.inference`. Memory is kept apart by who counts it, and an increase is over what the
process held after its imports, and after the libraries' kernels were used once.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.harness import formatting
from assay.harness.console import new_table
from assay.harness.errors import BadInputError
from assay.harness.profiling.measure.job import Job, Record
from assay.trainers.files import write_text

if TYPE_CHECKING:
    from rich.console import RenderableType

CONFIDENCE = 0.95
P99_NEEDS = 500  # samples: 5 in the tail
NO_WORKLOAD = ("name", "source", "random_config", "phases", "threads", "seed")  # fields of a job
# Counters of memory that a table shows, by their keys in a summary.
MEMORY = {
    "allocated_peak_bytes": "allocated",
    "reserved_peak_bytes": "reserved",
    "process_peak_bytes": "process (NVML)",
    "device_peak_bytes": "device (NVML)",
    "rss_peak_bytes": "host RSS",
    "rss_peak_increase_bytes": "RSS increase",
}


def summarise(record: Record) -> dict[str, Any]:
    """Return the summary of one profile (schema 1): status, speed by phase, memory by phase. What was not measured is
    absent from `speed` and named in `unmeasured` with the reason."""
    start, stop = record.start, record.first("stop")
    job = start["job"]
    speed = {phase: figures for phase in job["phases"] if (figures := _speed(record, phase, job)) is not None}
    status = {"status": "killed", "detail": "the profile itself was killed"} if stop is None else stop
    reason = status["detail"] or status["status"]
    joules, no_energy = _energy(record)
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
        "workload": {k: v for k, v in job.items() if k not in NO_WORKLOAD},
        "allocator_cap_bytes": None,  # unless the measured process says that it set one
        **facts,
        "speed": speed,
        "memory": _memory(record),
        "device_before_bytes": _device_before(record),
        "energy_j": joules,
        "energy_unmeasured": no_energy,
        "snapshot": status.get("snapshot"),
        "foreign_pids": sorted({p for e in record.of("memory") for p in e.get("foreign_pids", ())}),
        "unmeasured": {phase: reason for phase in job["phases"] if phase not in speed},
        "raw": str(record.path),
    }


def series(values: Sequence[float]) -> dict[str, Any]:
    """Return the median with its interval, spread and count of a series of seconds."""
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
    """Return the median's interval from two order statistics, by the binomial distribution; None where n is too small
    to give the confidence (fewer than 6 for 95 %).
    """
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
    figures: dict[str, Any] = {"seconds": series([e["seconds"] for e in kept]), "warmup_dropped": dropped}
    rows, prompt, new = job["batch_size"], job["prompt_tokens"], job["new_tokens"]
    match phase:
        case "prefill" | "train":
            figures["tok_per_s"] = _rates(rows * prompt, (e["seconds"] for e in kept))
        case "decode":
            figures["ttft_s"] = series([e["ttft_s"] for e in kept])
            figures["tpot_s"] = series([(e["seconds"] - e["ttft_s"]) / (new - 1) for e in kept])
            figures["itl_s"] = series([s for e in kept for s in e["steps_s"]])
            figures["tok_per_s"] = _rates(rows * (new - 1), (e["seconds"] - e["ttft_s"] for e in kept))
        case "generate":
            figures["tok_per_s"] = _rates(kept[0]["new_tokens"], (e["seconds"] for e in kept))
    return figures


def _rates(tokens: int, seconds: Iterable[float]) -> dict[str, Any]:
    return series([tokens / s for s in seconds])


def _memory(record: Record) -> dict[str, dict[str, int]]:
    """Return by phase what the process held at its end and at most, as each counter has it.

    `*_increase_bytes` is over what it held before the model was loaded: the end of the imports, or of `kernels`, whose
    `*_left_bytes` is what running one block of the model left behind.
    """
    imported, kernels = record.first("end", "import"), record.first("end", "kernels")
    base = kernels or imported
    by_phase: dict[str, dict[str, int]] = {}
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
        by_phase[phase] = figures
    return by_phase


def _device_before(record: Record) -> int | None:
    """Return the bytes of the device in use when it was first looked at, before the measured process came to use it."""
    seen = (s["device_bytes"] for s in record.of("memory") if s.get("device_bytes") is not None)
    return next(seen, None)


def _energy(record: Record) -> tuple[dict[str, float] | None, str | None]:
    """Return the joules of the whole device in each phase, by NVML's counter; or None, and why none were measured."""
    seen = [(s["t"], s["energy_mj"]) for s in record.of("memory") if "energy_mj" in s]
    if not seen:
        return None, "no CUDA device was watched by NVML"
    if all(mj is None for _, mj in seen):
        return None, "this device does not count its energy (NVML does from Volta on)"
    joules = {}
    for end in record.of("end"):
        begin = record.first("begin", end["phase"])
        assert begin is not None
        inside = [mj for t, mj in seen if mj is not None and begin["t"] <= t <= end["t"]]
        if len(inside) >= 2:
            joules[end["phase"]] = (inside[-1] - inside[0]) / 1000
    return (joules, None) if joules else (None, "every phase ended before NVML was asked twice")


def parse_lengths(text: str) -> tuple[int, ...]:
    """Return the lengths in tokens from "64,128,256", in ascending order. BadInputError names one that is none."""
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
    """Return a point for each length: predicted and measured peak in bytes, None with the reason in `detail`."""
    points = []
    for summary in summaries:
        row: Mapping[str, Any] = next((r for r in summary["comparison"] if r["kind"] == "peak"), {})
        done = summary["status"] == "done"
        points.append(
            {
                "tokens": summary["workload"]["prompt_tokens"],
                "status": summary["status"],
                "detail": summary["detail"],
                "predicted_bytes": row.get("predicted_bytes"),
                "measured_bytes": row.get("measured_bytes") if done else None,
                "error": row.get("error") if done else None,
                "by": row.get("note", ""),
                "raw": summary["raw"],
            }
        )
    return points


def render_curve(name: str, points: Sequence[Mapping[str, Any]]) -> RenderableType:
    from rich.text import Text

    columns = ("tokens", "predicted", "measured", "error", "beyond the length before")
    table = new_table(Text(f"{name}: peak memory against sequence length"), *columns, right=columns)
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
    """Return what one more token of length cost, between two measured points."""
    if before is None or before["measured_bytes"] is None or point["measured_bytes"] is None:
        return ""
    per_token = (point["measured_bytes"] - before["measured_bytes"]) / (point["tokens"] - before["tokens"])
    return f"{formatting.size(per_token)} a token"


def write_summary(path: Path, summary: Mapping[str, Any]) -> None:
    """Publish a summary as JSON, whole."""
    write_text(path, json.dumps(summary, indent=2, allow_nan=False) + "\n")


def render(summary: Mapping[str, Any]) -> RenderableType:
    """Return the tables of speed, memory, and predicted next to measured."""
    from rich.console import Group
    from rich.text import Text

    w = summary["workload"]
    training = w["training"]
    written = "" if training is not None and training["objective"] != "ppo" else f" + {w['new_tokens']}"
    weights = "random weights" if summary["random_weights"] else f"sha256 {summary['sha256'][:12]}"
    machine = summary["machine"]
    head = (
        f" ({weights}): batch {w['batch_size']}, {w['prompt_tokens']}{written} tokens; "
        f"{summary.get('backend', 'never loaded')}; {machine['cpu']}, "
        f"{machine['cores']} cores{', ' + machine['gpu'] if machine['gpu'] else ''}; "
        f"load {summary['load_average'][0]:.1f}"
    )
    parts = [_speed_table(summary), _memory_table(summary)]
    if summary["comparison"]:
        parts.append(comparison(summary["comparison"]))
    title = Text.assemble((summary["name"], "bold"), head)
    return Group(title, *parts, *map(Text, _remarks(summary)))


def _speed_table(summary: Mapping[str, Any]) -> RenderableType:
    from rich.text import Text

    figures_of = ("median", "95 % interval", "CV", "tokens/s", "n (dropped)")
    table = new_table("Speed", "phase", *figures_of, right=figures_of)
    for phase, figures in summary["speed"].items():
        rate = figures.get("tok_per_s")
        n = f"{figures['seconds']['n']} ({figures['warmup_dropped']})"
        _row(table, phase, figures["seconds"], rate, n)
        for name, label in (("ttft_s", "TTFT"), ("tpot_s", "TPOT"), ("itl_s", "ITL")):
            if name in figures:
                _row(table, f"  {label}", figures[name], None, str(figures[name]["n"]))
    for phase, reason in summary["unmeasured"].items():
        table.add_row(phase, formatting.UNMEASURED, Text(reason), "", "", "")
    return table


def _row(table: Any, label: str, s: Mapping[str, Any], rate: Mapping[str, Any] | None, n: str) -> None:
    few = s["low"] is None
    table.add_row(
        label,
        duration(s["median"]),
        "n < 6" if few else f"{duration(s['low'])}-{duration(s['high'])}",
        "" if s["cv"] is None else f"{100 * s['cv']:.1f} %",
        "" if rate is None else formatting.rate(rate["median"]),
        n,
    )


def _memory_table(summary: Mapping[str, Any]) -> RenderableType:
    counters = [key for key in MEMORY if any(key in figures for figures in summary["memory"].values())]
    names = [MEMORY[key] for key in counters]
    table = new_table("Most memory held in each phase", "phase", *names, right=names)
    for phase, figures in summary["memory"].items():
        table.add_row(phase, *(formatting.size(figures[k]) if k in figures else "" for k in counters))
    return table


def _remarks(summary: Mapping[str, Any]) -> Iterator[str]:
    w, prediction = summary["workload"], summary["prediction"]
    if prediction["beyond"] is not None:
        yield (
            f"Prediction of the peak: {prediction['verdict']}: measured {100 * prediction['beyond']:+.1f} % beyond it, "
            f"where {100 * prediction['within']:g} % are allowed"
        )
    if summary["predicted"] is None:
        yield f"Memory predicted: not done, for {summary['unpredicted']}"
    elif summary["machine"]["gpu"] is None and not w["exact_memory"]:
        yield "The measured peak counts what the heap keeps of freed memory; --exact-memory measures without it"
    if summary["allocator_cap_bytes"] is not None:
        yield f"torch's CUDA allocator was capped at {formatting.size(summary['allocator_cap_bytes'])} (--memory-limit)"
    if summary["energy_j"] is None:
        yield f"Energy: {formatting.UNMEASURED}, {summary['energy_unmeasured']}"
    else:
        yield "Energy: " + ", ".join(
            f"{phase} {joules:.0f} J" for phase, joules in summary["energy_j"].items()
        )
    if summary["foreign_pids"]:
        pids = ", ".join(map(str, summary["foreign_pids"]))
        yield f"Other processes used this device meanwhile (pids {pids}): device memory and speed include them"
    if summary["status"] != "done":
        yield f"Status: {summary['status']}: {summary['detail']}"


def comparison(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Return the table of predicted next to measured memory, a line a component."""
    from rich.text import Text

    figures = ("predicted", "measured", "error")
    table = new_table("Memory, predicted and measured", "component", *figures, "what it is", right=figures)
    for row in rows:
        if row["kind"] == "peak":
            table.add_section()
        predicted, measured, error = row["predicted_bytes"], row["measured_bytes"], row["error"]
        table.add_row(
            Text(row["name"]),
            "not predicted" if predicted is None else formatting.size(predicted),
            formatting.UNMEASURED if measured is None else formatting.size(measured),
            "" if error is None else f"{100 * error:+.1f} %",
            Text(row["note"]),
        )
    return table


def duration(value: float) -> str:
    """Return seconds in three significant figures, from microseconds up."""
    for scale, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if value * scale >= 1 or unit == "µs":
            break
    return f"{value * scale:.3g} {unit}" if value * scale < 1000 else f"{value * scale:,.0f} {unit}"
