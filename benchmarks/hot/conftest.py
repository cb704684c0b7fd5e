"""Our own hot paths under pytest-benchmark, to be compared between commits on one machine.

    make hot                                       # run, save, and compare with the last saved run
    pytest benchmarks/hot --benchmark-autosave     # save under .benchmarks/, named by commit
    pytest benchmarks/hot --benchmark-compare      # beside the last saved run; =0003 beside that one
    pytest benchmarks/hot --benchmark-compare --benchmark-compare-fail=min:25%

Nothing is asserted about time. Compare minima: on a shared machine only they hold still. `make test` runs each once,
without timing, so that none of them rots.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from assay.suites import Suite, load_suite

Benchmark = Callable[..., Any]


@pytest.fixture(scope="session")
def suite() -> Suite:
    return load_suite("humaneval")
