"""Memory and speed of the four tiers on a GPU, predicted and measured, and the course's claims held against both.

    python -m benchmarks.gpu_tiers [--budget-s 480] [--tiers tiny,small] [--only qlora,dpo] [--out DIR]
    python -m benchmarks.gpu_tiers --list                      # the cells, with what is predicted; needs no GPU
    python -m benchmarks.gpu_tiers --device cpu --tiers pocket # all of the code on a machine without one

A cell is one tier doing one thing at a stated batch and length, on random weights at the published architecture, in a
process of its own, as `assay profile` measures it. Each writes CELL.json (figures, every component predicted and
measured) and CELL.jsonl.gz (the raw record) into DIR as soon as it is done; called again, the script goes on with
what is missing, smallest tiers first, and begins no cell after `--budget-s`. So the whole may be split over several
calls: all cells should take about 15 minutes on one 80 GB card. A cell that is predicted not to fit by more than a
tenth is recorded as skipped; one nearer than that is tried, and running out of memory is a result. At the end of every
call table.md and table.json are made anew of what is there. Exit code: 0 everything measured (or skipped for its
size), 1 a cell failed, 2 cells are still unmeasured.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.harness.hardware import describe_machine
from assay.harness.profiling.measure import Job, profile, summarise, with_prediction
from assay.harness.profiling.measure.job import Training
from assay.harness.profiling.measure.predicted import setup_of
from assay.harness.profiling.memory import Prediction, Tier, find_tier, predict, published_config
from assay.harness.profiling.memory.devices import Device, find_device, nvml_device
from assay.trainers.files import write_text
from benchmarks.gpu_tiers_table import write_tables

REFERENCE = Path("results/reference/gpu")
TIERS = ("tiny", "small", "medium", "large")
HOPELESS = 1.1  # predicted over the device's memory: from here on a cell is not tried
DONE = ("done", "out of memory", "killed", "skipped")
NO_GPU = "unmeasured: no CUDA device"

INFERENCE = {"batch_size": 4, "prompt_tokens": 512, "new_tokens": 32, "phases": ("load", "prefill", "decode")}
SEQUENCES = {"batch_size": 1, "prompt_tokens": 1024, "phases": ("load", "train")}
ANSWERS = {"batch_size": 2, "prompt_tokens": 512, "new_tokens": 128, "phases": ("load", "train")}
QLORA: dict[str, Any] = {"method": "qlora", "checkpointing": True}

CELLS: dict[str, dict[str, Any]] = {
    "inference-bf16": INFERENCE,
    "inference-int8": INFERENCE | {"weights": "int8"},
    "inference-nf4": INFERENCE | {"weights": "nf4"},
    "qlora": SEQUENCES | {"training": QLORA},
    "qlora-no-upcast": SEQUENCES | {"training": QLORA | {"upcast": False}},
    "lora": SEQUENCES | {"training": {"method": "lora", "checkpointing": True}},
    "lora-no-checkpointing": SEQUENCES | {"training": {"method": "lora"}},
    "lora-fp32-base": SEQUENCES | {"training": {"method": "lora", "base": "fp32", "checkpointing": True}},
    "dpo": SEQUENCES | {"training": QLORA | {"objective": "dpo"}},
    "ppo": ANSWERS | {"training": QLORA | {"objective": "ppo"}},
}
# Under a cap of the allocator as on a small card, and every weight trained, where that is cheap to try.
CAPPED = SEQUENCES | {"training": QLORA, "memory_limit_bytes": 4 << 30}
FULL: dict[str, Any] = {"method": "full", "checkpointing": True}
MORE: dict[str, dict[str, dict[str, Any]]] = {
    "tiny": {
        "qlora-4gib-card": CAPPED,
        "full": SEQUENCES | {"training": FULL},
        "full-8bit": SEQUENCES | {"training": FULL | {"optimizer": "adamw_8bit"}},
    },
    "small": {"qlora-4gib-card": CAPPED},
}
# Peak memory against sequence length, of the default tier.
CURVE_TIER, CURVE = "small", (256, 512, 2048, 4096)


@dataclass(frozen=True, slots=True)
class Cell:
    """One measurement. `name` is unique in its tier."""

    tier: Tier
    name: str
    job: Job

    @property
    def file(self) -> str:
        return f"{self.tier.name}-{self.name}.json"

    def prediction(self, *, gpu: bool) -> Prediction:
        setup = setup_of(self.job, self.tier.architecture, gpu=gpu, compute="bf16")
        return predict(self.tier.architecture, setup)


def cells(tiers: list[str], only: list[str] | None, device: str) -> Iterator[Cell]:
    for name in tiers:
        wanted = CELLS | MORE.get(name, {})
        if name == CURVE_TIER or (device == "cpu" and name == "pocket"):
            lengths = CURVE if device != "cpu" else tuple(n // 8 for n in CURVE)
            wanted |= {
                f"qlora-length-{n}": SEQUENCES | {"prompt_tokens": n, "training": QLORA} for n in lengths
            }
        for cell, workload in wanted.items():
            if only is None or any(cell == o or cell.startswith(f"{o}-length") for o in only):
                yield Cell(find_tier(name), cell, _job(name, cell, workload, device))


def _job(tier: str, cell: str, workload: dict[str, Any], device: str) -> Job:
    given = dict(workload)
    if device == "cpu":  # the code, not the figures: small enough for any machine
        given["prompt_tokens"] = min(given["prompt_tokens"], 64)
        given["new_tokens"] = 8
    training = given.pop("training", None)
    return Job(
        name=f"{tier}-{cell}",
        random_config=published_config(tier),
        device="cpu" if device == "cpu" else "cuda",
        dtype="bf16",
        repeats=1 if device == "cpu" else 3,
        warmup=1,
        exact_memory=device == "cpu",
        training=None if training is None else Training(**training),
        **given,
    )


def measure(cell: Cell, out: Path, device: Device | None) -> dict[str, Any]:
    """Run the cell, or say why not; its JSON, as it is written."""
    predicted = cell.prediction(gpu=cell.job.device != "cpu")
    if device is not None and predicted.peak_bytes > HOPELESS * device.total_bytes:
        return _entry(cell, {"status": "skipped", "detail": _too_large(predicted, device)}, predicted)
    raw = out / f"{cell.tier.name}-{cell.name}.jsonl"
    raw.unlink(missing_ok=True)  # of a call that was cut short
    began = time.monotonic()
    summary = with_prediction(summarise(profile(cell.job, raw)), cell.job, cell.tier.architecture)
    packed = raw.with_suffix(".jsonl.gz")
    with raw.open("rb") as plain, gzip.open(packed, "wb") as file:
        shutil.copyfileobj(plain, file)
    raw.unlink()
    return _entry(cell, summary | {"raw": packed.name, "wall_s": time.monotonic() - began}, predicted)


def _too_large(predicted: Prediction, device: Device) -> str:
    return (
        f"not tried: {predicted.peak_bytes / 2**30:.1f} GiB are predicted, {device.name} has "
        f"{device.total_bytes / 2**30:.1f} GiB"
    )


def _entry(cell: Cell, summary: dict[str, Any], predicted: Prediction) -> dict[str, Any]:
    return {
        "tier": cell.tier.name,
        "cell": cell.name,
        "claim_bytes": cell.tier.claim_bytes,
        "job": cell.job.model_dump(mode="json", exclude={"random_config"}),
        "predicted_peak_bytes": predicted.peak_bytes,
        **({"machine": describe_machine()} | summary),
    }


def unmeasured(cell: Cell, reason: str) -> dict[str, Any]:
    return _entry(cell, {"status": "unmeasured", "detail": reason}, cell.prediction(gpu=True))


def read_done(path: Path) -> dict[str, Any] | None:
    """A cell's result of an earlier call, None where there is none to be kept: absent, cut short, or failed."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if found.get("status") in DONE else None


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def run(
    wanted: list[Cell], out: Path, budget_s: float, device: Device | None, where: str
) -> list[dict[str, Any]]:
    """Every cell's result: of an earlier call, of this one, or unmeasured with the reason."""
    began, found = time.monotonic(), []
    out.mkdir(parents=True, exist_ok=True)
    for cell in wanted:
        path = out / cell.file
        entry = read_done(path)
        if entry is None and device is None and where != "cpu":
            entry = unmeasured(cell, NO_GPU)
        elif entry is None and time.monotonic() - began > budget_s:
            entry = unmeasured(cell, "unmeasured: this call's --budget-s was used up; call again")
        elif entry is None:
            entry = measure(cell, out, device)
            write_json(path, entry)
            print(_line(entry), flush=True)
        found.append(entry)
    return found


def _line(entry: dict[str, Any]) -> str:
    took = f", {entry['wall_s']:.0f} s" if "wall_s" in entry else ""
    return f"{entry['tier']} {entry['cell']}: {entry['status']}{took}. {entry['detail']}"


def exit_code(found: list[dict[str, Any]]) -> int:
    states = {entry["status"] for entry in found}
    if "failed" in states:
        return 1
    return 0 if found and states <= set(DONE) else 2


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tiers", default=",".join(TIERS))
    parser.add_argument("--only", help="cells by name, separated by commas")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--budget-s", type=float, default=480.0, help="begin no cell after so many seconds")
    parser.add_argument("--list", action="store_true", help="predict, and measure nothing")
    given = parser.parse_args()
    only = given.only.split(",") if given.only else None
    wanted = list(cells(given.tiers.split(","), only, given.device))
    if not wanted:
        raise SystemExit(f"no such cell: {given.only}; known: {', '.join(CELLS)}")
    gpu = nvml_device()
    device = find_device("cpu") if given.device == "cpu" else gpu
    if given.list:
        found = [unmeasured(cell, "not asked for") for cell in wanted]
    else:
        out = given.out or (REFERENCE if given.device == "cuda" else Path("results/profiles/tiers-cpu"))
        measuring = None if given.device == "cuda" and gpu is None else device
        found = run(wanted, out, given.budget_s, measuring, given.device)
        if measuring is not None:
            print(write_tables(found, out))
            raise SystemExit(exit_code(found))
    print(write_tables(found, None))
    raise SystemExit(0 if given.list else exit_code(found))


if __name__ == "__main__":
    main()
