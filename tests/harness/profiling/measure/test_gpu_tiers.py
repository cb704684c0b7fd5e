"""The script for a GPU, as far as it goes without one: its cells, its resuming, its tables, what it says of no GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from assay.harness.profiling.memory.devices import Device
from benchmarks import gpu_tiers
from benchmarks.gpu_tiers import CELLS, TIERS, Cell, cells, exit_code, read_done, run, unmeasured, write_json
from benchmarks.gpu_tiers_table import claim_json, lines

GIB = 1 << 30


def card(gib: float) -> Device:
    return Device("a card", int(gib * GIB), int(gib * GIB), True, (9, 0), "given")


def measured(cell: Cell, gib: float, **more: Any) -> dict[str, Any]:
    """What a cell leaves that held `gib`."""
    held = round(gib * GIB)
    phase = {
        "allocated_peak_bytes": held,
        "reserved_peak_bytes": held + GIB,
        "process_peak_bytes": held + 2 * GIB,
    }
    row = {"name": "peak", "kind": "peak", "predicted_bytes": held, "measured_bytes": held, "error": 0.0}
    found = unmeasured(cell, "") | {"status": "done", "memory": {"kernels": {"process_peak_bytes": 99 * GIB}}}
    found["memory"]["train"] = phase
    return found | {"comparison": [row], "speed": {}} | more


def test_every_tier_does_everything_and_each_cell_can_be_predicted() -> None:
    found = list(cells(list(TIERS), None, "cuda"))
    assert {(c.tier.name, c.name) for c in found} >= {(t, n) for t in TIERS for n in CELLS}
    assert len({c.file for c in found}) == len(found)
    assert all(c.prediction(gpu=True).peak_bytes > 0 for c in found)
    assert next(c.name for c in cells(["small"], ["qlora"], "cuda")) == "qlora"
    assert len(list(cells(["small"], ["qlora"], "cuda"))) == 1 + len(gpu_tiers.CURVE)
    assert list(cells(["small"], ["nothing"], "cuda")) == []


def test_what_is_there_is_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def measure(cell: Cell, *_: Any) -> dict[str, Any]:
        made.append(cell.name)
        return measured(cell, 1.0, wall_s=1.0) | ({"status": "failed"} if cell.name == "dpo" else {})

    monkeypatch.setattr(gpu_tiers, "measure", measure)
    wanted = list(cells(["tiny"], ["qlora", "dpo", "ppo"], "cuda"))
    assert exit_code(run(wanted, tmp_path, 60.0, card(79), "cuda")) == 1
    assert made == ["qlora", "dpo", "ppo"]
    run(wanted, tmp_path, 60.0, card(79), "cuda")
    assert made[3:] == ["dpo"]  # what failed is tried again
    (tmp_path / wanted[0].file).write_text('{"status": "do')
    assert read_done(tmp_path / wanted[0].file) is None
    late = run(wanted, tmp_path, -1.0, card(79), "cuda")
    assert [e["status"] for e in late] == ["unmeasured", "unmeasured", "done"]
    assert "--budget-s" in late[0]["detail"]
    assert exit_code(late) == 2


def test_a_cell_far_too_large_is_skipped_with_its_reason(tmp_path: Path) -> None:
    (cell,) = cells(["large"], ["lora-fp32-base"], "cuda")
    (entry,) = run([cell], tmp_path, 60.0, card(79), "cuda")
    assert entry["status"] == "skipped"
    assert "are predicted, a card has 79.0 GiB" in entry["detail"]
    assert json.loads((tmp_path / cell.file).read_text()) == entry
    assert exit_code([entry]) == 0


def test_claims_are_held_by_the_process_and_else_by_the_prediction() -> None:
    (cell,) = cells(["medium"], ["qlora-no-upcast"], "cuda")
    before = claim_json(unmeasured(cell, gpu_tiers.NO_GPU))
    assert (before["by"], before["held"], before["claim_bytes"]) == ("prediction", True, 8 * 10**9)
    after = claim_json(measured(cell, 6.5))
    assert (after["by"], after["bytes"], after["held"]) == ("process", round(8.5 * GIB), False)
    text = "\n".join(lines([measured(cell, 6.5)]))
    assert "| medium | ~8 GB | none | qlora-no-upcast 9.1 GB (process) |" in text
    row = next(line for line in text.splitlines() if line.startswith("| medium | qlora-no-upcast | 1 × 1024"))
    assert [c for c in row.split(" | ") if c.endswith("GiB")][1:] == ["6.50 GiB", "7.50 GiB", "8.50 GiB"]


def test_without_a_gpu_every_row_says_so_and_predictions_stand() -> None:
    code = (
        "import sys; import benchmarks.gpu_tiers as g; g.nvml_device = lambda: None; "
        "sys.argv = ['gpu_tiers', '--tiers', 'tiny,large']; g.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith(("| tiny | ", "| large | "))]
    cells_of = [row for row in rows if "×" in row]
    assert len(cells_of) == 2 * len(CELLS) + len(gpu_tiers.MORE["tiny"])
    assert all(row.endswith("unmeasured: no CUDA device |") for row in cells_of)
    (lora,) = cells(["large"], ["lora"], "cuda")
    assert f"{lora.prediction(gpu=True).peak_bytes / GIB:.2f} GiB" in done.stdout


def test_results_are_written_whole(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": 1})
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "b.json", {"a": float("nan")})


@pytest.mark.slow
@pytest.mark.train
def test_all_of_the_code_runs_on_a_cpu(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.gpu_tiers", "--device", "cpu", "--tiers", "pocket"),
            *("--only", "inference-nf4,ppo", "--out", str(tmp_path)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    names = {p.name for p in tmp_path.iterdir()}
    assert names == {
        *("pocket-inference-nf4.json", "pocket-inference-nf4.jsonl.gz", "pocket-ppo.json"),
        *("pocket-ppo.jsonl.gz", "table.md", "table.json"),
    }
    assert "## Components" in (tmp_path / "table.md").read_text()
