"""The tables of `benchmarks.gpu_tiers`: cells, components, and the course's claims."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from assay.harness.profiling.measure.predicted import process_bytes

GIB, GB = 2**30, 10**9
Entry = dict[str, Any]


def write_tables(found: Sequence[Entry], out: Path | None) -> str:
    """The tables as Markdown; in `out` also as table.md and table.json, where it is given."""
    text = "\n".join(lines(found)) + "\n"
    if out is not None:
        (out / "table.md").write_text(text, encoding="utf-8")
        rows = [
            {k: e.get(k) for k in ("tier", "cell", "status", "detail", "predicted_peak_bytes")} for e in found
        ]
        for row, entry in zip(rows, found, strict=True):
            row |= {"measured_peak_bytes": measured(entry), "whole_bytes": whole(entry)[0]}
        table = {"cells": rows, "claims": [claim_json(e) for e in found if e["claim_bytes"]]}
        (out / "table.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    return text


def lines(found: Sequence[Entry]) -> Iterator[str]:
    machine = next((e["machine"] for e in found if e["status"] not in ("unmeasured", "skipped")), None)
    if machine is None:
        yield "Nothing of this was measured here; the predictions stand.\n"
    else:
        versions = ", ".join(f"{k} {v}" for k, v in machine["packages"].items())
        yield f"{machine['device']}; {machine['cpu']}, {machine['cores']} cores; {versions}\n"
    yield "## Peak of each cell\n"
    yield "Measured is the most that the CUDA allocator held over the libraries' workspaces (CPU: increase of RSS).\n"
    yield from table(
        (
            "tier",
            "cell",
            "batch × tokens",
            "predicted",
            "measured",
            "error",
            "reserved",
            "process",
            "tokens/s",
            "energy, warm-up too",
            "status",
        ),
        [cell_row(e) for e in found],
    )
    yield "\n## The course's claims\n"
    yield "By the process's memory as NVML tells it, else what its allocator reserved; where unmeasured by the"
    yield "prediction, which leaves the device's context out.\n"
    yield from table(("tier", "claim", "held by", "not held by"), list(claim_rows(found)))
    curve = [e for e in found if "-length-" in e["cell"] or e["cell"] == "qlora"]
    if any("-length-" in e["cell"] for e in curve):
        yield "\n## Peak against sequence length\n"
        yield from table(("tier", "tokens", "predicted", "measured"), list(curve_rows(curve)))
    components = [e for e in found if e.get("comparison")]
    if components:
        yield "\n## Components\n"
        yield from table(
            ("tier", "cell", "component", "predicted", "measured", "error"), list(component_rows(components))
        )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "--|" * len(head)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"


def measured(entry: Entry) -> int | None:
    row = next((r for r in entry.get("comparison") or () if r["kind"] == "peak"), None)
    return None if row is None or entry["status"] != "done" else row["measured_bytes"]


def whole(entry: Entry) -> tuple[int | None, str]:
    """The most that the process held on the device, context and all, and by whose count."""
    if entry["status"] != "done":
        return None, ""
    phases = [f for name, f in entry["memory"].items() if name not in ("import", "kernels")]
    held = [n for f in phases if (n := process_bytes(f, entry.get("device_before_bytes"))[0]) is not None]
    if held:
        return max(held), "process"
    reserved = [f["reserved_peak_bytes"] for f in phases if "reserved_peak_bytes" in f]
    return (max(reserved), "reserved") if reserved else (None, "")


def gib(n: int | None) -> str:
    if n is None:
        return "unmeasured"
    return f"{n / GIB:.2f} GiB" if n >= GIB // 10 else f"{n / 2**20:.1f} MiB"


def off(predicted: int | None, found: int | None) -> str:
    return f"{100 * (predicted / found - 1):+.1f} %" if predicted is not None and found else ""


def cell_row(e: Entry) -> tuple[str, ...]:
    job, found = e["job"], measured(e)
    answers = (
        f" + {job['new_tokens']}" if job["training"] is None or job["training"]["objective"] == "ppo" else ""
    )
    phases = [f for name, f in (e.get("memory") or {}).items() if name not in ("import", "kernels")]
    reserved = max((f["reserved_peak_bytes"] for f in phases if "reserved_peak_bytes" in f), default=None)
    process = whole(e)[0] if whole(e)[1] == "process" else None
    speed = (e.get("speed") or {}).get("decode") or (e.get("speed") or {}).get("train")
    rate = "unmeasured" if not speed or "tok_per_s" not in speed else f"{speed['tok_per_s']['median']:,.0f}"
    joules = [f"{e['energy_j'][p]:,.0f} J" for p in ("decode", "train") if p in (e.get("energy_j") or {})]
    status = e["status"] if e["status"] == "done" else f"{e['status']}: {e['detail']}"
    if e["status"] == "unmeasured":
        status = e["detail"]
    return (
        e["tier"],
        e["cell"],
        f"{job['batch_size']} × {job['prompt_tokens']}{answers}",
        gib(e["predicted_peak_bytes"]),
        gib(found),
        off(e["predicted_peak_bytes"], found),
        gib(reserved),
        gib(process),
        rate,
        joules[0] if joules else "unmeasured",
        status,
    )


def claim_json(e: Entry) -> Entry:
    """Whether the course's figure covers this cell, by what was measured or else by what is predicted."""
    held, counter = whole(e)
    size = e["predicted_peak_bytes"] if held is None else held
    return {
        "tier": e["tier"],
        "cell": e["cell"],
        "claim_bytes": e["claim_bytes"],
        "bytes": size,
        "by": counter or "prediction",
        "held": size <= e["claim_bytes"],
    }


def claim_rows(found: Sequence[Entry]) -> Iterator[tuple[str, ...]]:
    for tier in dict.fromkeys(e["tier"] for e in found if e["claim_bytes"]):
        rows = [claim_json(e) for e in found if e["tier"] == tier]

        def told(held: bool, rows: Sequence[Entry] = rows) -> str:
            chosen = [r for r in rows if r["held"] is held]
            return "; ".join(f"{r['cell']} {r['bytes'] / GB:.1f} GB ({r['by']})" for r in chosen) or "none"

        yield tier, f"~{rows[0]['claim_bytes'] / GB:.0f} GB", told(True), told(False)


def curve_rows(curve: Sequence[Entry]) -> Iterator[tuple[str, ...]]:
    for tier in dict.fromkeys(e["tier"] for e in curve if "-length-" in e["cell"]):
        chosen = sorted((e for e in curve if e["tier"] == tier), key=lambda e: int(e["job"]["prompt_tokens"]))
        for e in chosen:
            yield tier, f"{e['job']['prompt_tokens']:,}", gib(e["predicted_peak_bytes"]), gib(measured(e))


def component_rows(found: Sequence[Entry]) -> Iterator[tuple[str, ...]]:
    for e in found:
        for r in e["comparison"]:
            predicted = "not predicted" if r["predicted_bytes"] is None else gib(r["predicted_bytes"])
            error = "" if r["error"] is None else f"{100 * r['error']:+.1f} %"
            yield e["tier"], e["cell"], r["name"], predicted, gib(r["measured_bytes"]), error
