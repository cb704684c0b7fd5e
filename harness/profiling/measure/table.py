"""A profile's summary for a person, and on disk."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.harness import formatting

if TYPE_CHECKING:
    from rich.console import RenderableType

MEMORY = {
    "allocated_peak_bytes": "allocated",
    "reserved_peak_bytes": "reserved",
    "process_peak_bytes": "process (NVML)",
    "device_peak_bytes": "device (NVML)",
    "rss_peak_bytes": "host RSS",
    "rss_peak_increase_bytes": "RSS increase",
}


def write_summary(path: Path, summary: Mapping[str, Any]) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(part, path)


def render(summary: Mapping[str, Any]) -> RenderableType:
    """Speed, memory, and the predicted beside the measured."""
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
    parts: list[RenderableType] = [
        Text.assemble((summary["name"], "bold"), head),
        _speed(summary),
        _memory(summary),
    ]
    if summary["comparison"]:
        parts.append(comparison(summary["comparison"]))
    parts += [Text(remark) for remark in _remarks(summary)]
    return Group(*parts)


def _speed(summary: Mapping[str, Any]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(title="Speed", title_justify="left")
    for column in ("phase", "median", "95 % interval", "CV", "tokens/s", "n (dropped)"):
        table.add_column(column, justify="left" if column == "phase" else "right")
    for phase, found in summary["speed"].items():
        rate = found.get("tok_per_s")
        _row(table, phase, found["seconds"], rate, f"{found['seconds']['n']} ({found['warmup_dropped']})")
        for name, label in (("ttft_s", "TTFT"), ("tpot_s", "TPOT"), ("itl_s", "ITL")):
            if name in found:
                _row(table, f"  {label}", found[name], None, str(found[name]["n"]))
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


def _memory(summary: Mapping[str, Any]) -> RenderableType:
    from rich.table import Table

    counters = [key for key in MEMORY if any(key in figures for figures in summary["memory"].values())]
    table = Table(title="Most memory held in each phase", title_justify="left")
    table.add_column("phase")
    for key in counters:
        table.add_column(MEMORY[key], justify="right")
    for phase, figures in summary["memory"].items():
        table.add_row(phase, *(formatting.size(figures[k]) if k in figures else "" for k in counters))
    return table


def _remarks(summary: Mapping[str, Any]) -> Iterator[str]:
    w, told = summary["workload"], summary["prediction"]
    if told["beyond"] is not None:
        yield (
            f"Prediction of the peak: {told['verdict']}: measured {100 * told['beyond']:+.1f} % beyond it, where "
            f"{100 * told['within']:g} % are allowed"
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
        yield f"Other processes used this device meanwhile (pids {pids}): device memory and speed are theirs too"
    if summary["status"] != "done":
        yield f"Status: {summary['status']}: {summary['detail']}"


def comparison(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Predicted beside measured, a line a component."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title="Memory, predicted and measured", title_justify="left")
    for column in ("component", "predicted", "measured", "error"):
        table.add_column(column, justify="left" if column == "component" else "right")
    table.add_column("what it is", overflow="fold")
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
    """Three significant figures from microseconds up."""
    for scale, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if value * scale >= 1 or unit == "µs":
            break
    return f"{value * scale:.3g} {unit}" if value * scale < 1000 else f"{value * scale:,.0f} {unit}"
