"""A gate of speed, once there is a baseline of this machine: the first run measures, and the README says what then."""

from pathlib import Path

import pytest
from answers import answer

KEPT = Path(__file__).parent.parent / "speed.json"
pytestmark = [pytest.mark.assay_gate(baseline="speed.json")] if KEPT.exists() else []


def test_speed(benchmark) -> None:
    benchmark.pedantic(answer, args=(2, "+", 3), rounds=50, iterations=100)
