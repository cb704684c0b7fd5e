"""The arithmetic between a raw record and its figures."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.harness.errors import BadInputError
from assay.harness.profiling.measure import read_record, summarise
from assay.harness.profiling.measure.summary import median_interval, series

START = {
    "event": "start",
    "format": 1,
    "created": "2026-01-01T00:00:00Z",
    "machine": {"cpu": "c", "cores": 2, "gpu": None},
    "load_average": [0.0, 0.0, 0.0],
    "job": {
        "name": "toy",
        "source": None,
        "phases": ["load", "prefill", "decode"],
        "batch_size": 2,
        "prompt_tokens": 10,
        "new_tokens": 5,
        "samples": 1,
        "repeats": 2,
        "warmup": 1,
        "device": "cpu",
        "dtype": "auto",
        "weights": "stored",
        "memory_limit_bytes": None,
        "training": None,
        "exact_memory": False,
    },
}
MIB = 1 << 20


def written(tmp_path: Path, *events: dict[str, Any]) -> Path:
    path = tmp_path / "raw.jsonl"
    path.write_text("".join(json.dumps(e) + "\n" for e in (START, *events)))
    return path


def time(phase: str, repeat: int, **seconds: Any) -> dict[str, Any]:
    return {"event": "time", "t": 0.0, "phase": phase, "repeat": repeat, "warmup": repeat == 0, **seconds}


def test_the_order_statistics_of_a_median() -> None:
    """Conover's table: the first and last of 6 hold the median with 96.9 %, the 2nd and 9th of 10 with 97.9 %."""
    assert median_interval([1, 2, 3, 4, 5]) is None
    assert median_interval([1, 2, 3, 4, 5, 6]) == (1, 6)
    assert median_interval(list(range(1, 11))) == (2, 9)
    assert median_interval(list(range(1, 101))) == (40, 61)


@given(st.lists(st.floats(0.001, 1000), min_size=1, max_size=60))
def test_a_series_orders_its_figures(values: list[float]) -> None:
    s = series(values)
    assert s["least"] <= s["median"] <= s["most"]
    assert s["n"] == len(values)
    if s["low"] is not None:
        assert s["least"] <= s["low"] <= s["median"] <= s["high"] <= s["most"]


def test_speed_leaves_the_warm_up_out_and_counts_it(tmp_path: Path) -> None:
    decode = [
        time("decode", 0, seconds=99.0, ttft_s=50.0, steps_s=[9.0] * 4),
        time("decode", 1, seconds=1.0, ttft_s=0.2, steps_s=[0.2] * 4),
        time("decode", 2, seconds=2.0, ttft_s=0.4, steps_s=[0.4] * 4),
    ]
    prefill = [time("prefill", i, seconds=s) for i, s in enumerate((9.0, 0.1, 0.4))]
    stop = {"event": "stop", "t": 0.0, "status": "done", "detail": ""}
    made = summarise(read_record(written(tmp_path, *prefill, *decode, stop)))
    assert made["speed"]["prefill"]["tok_per_s"]["median"] == pytest.approx((20 / 0.1 + 20 / 0.4) / 2)
    assert made["speed"]["decode"]["warmup_dropped"] == 1
    assert made["speed"]["decode"]["tpot_s"]["median"] == pytest.approx((0.8 / 4 + 1.6 / 4) / 2)
    assert made["speed"]["decode"]["itl_s"]["n"] == 8
    assert made["speed"]["decode"]["tok_per_s"]["least"] == pytest.approx(2 * 4 / 1.6)
    assert made["unmeasured"] == {"load": "done"}


def test_memory_is_what_was_held_between_begin_and_end(tmp_path: Path) -> None:
    def end(phase: str, t: float, rss: int, peak: int) -> dict[str, Any]:
        return {"event": "end", "t": t, "phase": phase, "rss_bytes": rss * MIB, "rss_peak_bytes": peak * MIB}

    def begin(phase: str, t: float) -> dict[str, Any]:
        return {"event": "begin", "t": t, "phase": phase}

    def sample(t: float, device: int) -> dict[str, Any]:
        return {"event": "memory", "t": t, "device_bytes": device, "energy_mj": 1000 * t, "foreign_pids": [7]}

    events = [
        begin("import", 0),
        end("import", 1, 100, 120),
        sample(1.5, 10**9),
        begin("load", 2),
        sample(2.1, 50),
        sample(2.6, 70),
        end("load", 3, 300, 350),
        sample(3.5, 10**9),
    ]
    made = summarise(read_record(written(tmp_path, *events)))
    assert made["memory"]["load"]["device_peak_bytes"] == 70
    assert made["memory"]["load"]["rss_peak_increase_bytes"] == 250 * MIB
    assert made["energy_j"] == {"load": pytest.approx(0.5)}
    assert made["foreign_pids"] == [7]
    assert made["status"] == "killed"
    assert made["energy_unmeasured"] is None
    (tmp_path / "raw.jsonl").unlink()
    for told, reason in (({}, "no CUDA device"), ({"energy_mj": None}, "does not count")):
        blind = [
            {k: v for k, v in e.items() if k != "energy_mj"} | told for e in events if e["event"] == "memory"
        ]
        quiet = [e for e in events if e["event"] != "memory"] + blind
        found = summarise(read_record(written(tmp_path, *quiet)))
        assert found["energy_j"] is None
        assert reason in found["energy_unmeasured"]


def test_what_the_kernels_keep_is_told_apart_from_the_model(tmp_path: Path) -> None:
    def ends(phase: str, rss: int, peak: int, allocated: int) -> list[dict[str, Any]]:
        sizes = {"rss_bytes": rss, "rss_peak_bytes": peak, "allocated_bytes": allocated}
        sizes |= {"allocated_peak_bytes": 2 * allocated}
        end = {"event": "end", "t": 1.0, "phase": phase, **{k: n * MIB for k, n in sizes.items()}}
        return [{"event": "begin", "t": 0.0, "phase": phase}, end]

    events = [*ends("import", 100, 130, 1), *ends("kernels", 107, 150, 9), *ends("load", 120, 127, 40)]
    memory = summarise(read_record(written(tmp_path, *events)))["memory"]
    assert (memory["kernels"]["rss_left_bytes"], memory["kernels"]["allocated_left_bytes"]) == (
        7 * MIB,
        8 * MIB,
    )
    assert "rss_peak_increase_bytes" not in memory["kernels"]
    assert memory["load"]["rss_peak_increase_bytes"] == 20 * MIB
    assert memory["load"]["allocated_peak_increase_bytes"] == 71 * MIB


def test_a_line_cut_by_a_kill_is_left_out_and_any_other_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path, time("prefill", 0, seconds=1.0))
    whole = path.read_text()
    path.write_text(whole + '{"event": "ti')
    assert len(read_record(path).events) == 2
    path.write_text(whole.replace('{"event": "time"', '{"evt": "time"') + "{}\n")
    with pytest.raises(BadInputError, match=r"raw\.jsonl:2"):
        read_record(path)
    path.write_text("{}\n")
    with pytest.raises(BadInputError):
        read_record(path)


def test_the_interval_covers_the_median_as_often_as_it_says() -> None:
    """By the binomial distribution itself: P(x_(r) < median < x_(n+1-r)) = 1 - 2 P(B <= r - 1)."""
    for n in range(6, 80):
        found = median_interval(list(range(1, n + 1)))
        assert found is not None
        rank = int(found[0])
        outside = 2 * sum(math.comb(n, i) for i in range(rank)) / 2**n
        wider = 2 * sum(math.comb(n, i) for i in range(rank + 1)) / 2**n
        assert outside <= 0.05 < wider
