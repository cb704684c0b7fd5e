"""Peak memory against sequence length."""

from __future__ import annotations

import io
from typing import Any

import pytest

from assay.harness.errors import BadInputError
from assay.harness.profiling.measure import Job
from assay.harness.profiling.measure.summary import at_length, curve, parse_lengths, render_curve

MIB = 1 << 20


def summary(tokens: int, measured: int | None, status: str = "done") -> dict[str, Any]:
    row = {
        "kind": "peak",
        "predicted_bytes": tokens * MIB,
        "measured_bytes": measured,
        "error": 0.25,
        "note": "RSS",
    }
    return {
        "status": status,
        "detail": "no more" if status != "done" else "",
        "workload": {"prompt_tokens": tokens},
        "comparison": [{"kind": "component"}, row],
        "raw": f"{tokens}.jsonl",
    }


def test_lengths_are_numbers_in_order() -> None:
    assert parse_lengths("512, 64,64,128") == (64, 128, 512)
    for bad in ("", "64,x", "0", "-3"):
        with pytest.raises(BadInputError, match="--lengths"):
            parse_lengths(bad)


def test_a_length_changes_nothing_else() -> None:
    job = Job(name="tiny", random_config={}, batch_size=3)
    longer = at_length(job, 2048)
    assert (longer.prompt_tokens, longer.name, longer.batch_size) == (2048, "tiny-2048", 3)


def test_a_length_that_did_not_fit_is_unmeasured_and_no_zero() -> None:
    points = curve([summary(64, 80 * MIB), summary(128, 112 * MIB), summary(256, 90 * MIB, "out of memory")])
    assert [p["measured_bytes"] for p in points] == [80 * MIB, 112 * MIB, None]
    assert (points[2]["error"], points[2]["detail"]) == (None, "no more")
    assert points[2]["predicted_bytes"] == 256 * MIB
    from rich.console import Console

    out = io.StringIO()
    Console(file=out, width=140).print(render_curve("tiny", points))
    assert "512 KiB a token" in out.getvalue()
    assert "unmeasured: out of memory" in out.getvalue()
