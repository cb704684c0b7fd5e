from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pytest

from assay.harness.leaderboard.schema import Leaderboard, read_leaderboard
from assay.suites import Problem
from tests.harness.report.synthetic_run import make_leaderboard, make_problems, make_samples


@dataclass(frozen=True)
class SyntheticRun:
    leaderboard: dict[str, Any]
    samples: dict[str, pd.DataFrame]
    problems: dict[str, Problem]

    @property
    def board(self) -> Leaderboard:
        return read_leaderboard(self.leaderboard)


@pytest.fixture(scope="session")
def _small() -> SyntheticRun:
    problems = make_problems(42)
    samples = make_samples(problems)
    return SyntheticRun(make_leaderboard(problems, samples), samples, problems)


@pytest.fixture
def run(_small: SyntheticRun) -> SyntheticRun:
    """Five variants, 42 problems, 4 samples each; free to be changed by the test."""
    return SyntheticRun(
        copy.deepcopy(_small.leaderboard),
        {v: f.copy() for v, f in _small.samples.items()},
        dict(_small.problems),
    )


@pytest.fixture(scope="session")
def full() -> SyntheticRun:
    """The same at the size of the real thing: 400 problems, 8,000 samples."""
    problems = make_problems()
    samples = make_samples(problems)
    return SyntheticRun(make_leaderboard(problems, samples), samples, problems)
