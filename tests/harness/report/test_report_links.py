"""The chain's cells: rounding errors, and links that were measured before there were any."""

from __future__ import annotations

from typing import Any

import pytest

from assay.harness.leaderboard.schema import LinkRow
from assay.harness.report.sections.links import HEAD, figures

ROUNDING = {"tensors": 28, "rmse_mean": 0.01, "relative_mean": 0.0912, "relative_worst": 0.0958, "worst": "w"}


@pytest.mark.parametrize(
    ("weights", "cell"),
    [
        (None, "unmeasured"),
        ({"relative": 0.1}, "unmeasured"),
        ({"relative": 0.0, "rounding": None}, "–"),
        ({"relative": 0.1, "rounding": ROUNDING}, "9.12%, worst 9.58%"),
    ],
)
def test_rounding_is_a_column(weights: dict[str, Any] | None, cell: str) -> None:
    link = LinkRow.model_validate(
        {"a": "x", "b": "y", "verdict": "undecided", "tokens": {"equal": 1, "texts": 1}, "weights": weights}
    )
    cells = figures(link)
    assert len(cells) == len(HEAD)
    assert cells[HEAD.index("rounding")] == cell
