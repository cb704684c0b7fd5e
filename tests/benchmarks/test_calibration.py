"""The promises of the statistics in their hardest corners: a part of `python -m benchmarks.calibration`."""

from __future__ import annotations

import pytest

from benchmarks import calibration


@pytest.mark.parametrize("cell", calibration.quick_cells(), ids=lambda cell: cell["kind"])
def test_no_promise_is_broken_in_its_hardest_corner(cell: calibration.Cell) -> None:
    row = calibration.measure(cell)
    field = calibration.PROMISES[cell["kind"]][0]
    assert 0 <= row["result"][field] <= 1
    assert calibration.verdict(row) != "broken", row


def test_a_promise_that_is_broken_is_called_so() -> None:
    cell = {"kind": "ranks", "runs": 2000}
    row = {"cell": cell, "result": {"claimed": 0.23}, "mc_se": {"claimed": 0.009}}
    assert calibration.verdict(row) == "broken"
    held = {"cell": cell, "result": {"claimed": 0.04}, "mc_se": {"claimed": 0.0044}}
    assert calibration.verdict(held) == ""
    covered = {
        "cell": {"kind": "paired", "runs": 4000},
        "result": {"covered": 0.915},
        "mc_se": {"covered": 0.0044},
    }
    assert calibration.verdict(covered) == "broken"
    covered["result"]["covered"] = 0.93
    assert calibration.verdict(covered) == ""


def test_the_grid_has_the_cells_that_the_promises_name() -> None:
    cells = list(calibration.grid())
    assert len({calibration.key_of(cell) for cell in cells}) == len(cells)
    for methods in (5, 10):
        for seeds in (3, 5):
            ranks = [
                c for c in cells if c["kind"] == "ranks" and (c["methods"], c["seeds"]) == (methods, seeds)
            ]
            assert {0.0, 0.1, 0.3} <= {c["su"] for c in ranks}
            assert all(c["runs"] >= 2000 for c in ranks)
    for kind in ("estimate", "paired", "crossed_estimate", "crossed_difference"):
        assert all(c["runs"] >= 4000 for c in cells if c["kind"] == kind)
