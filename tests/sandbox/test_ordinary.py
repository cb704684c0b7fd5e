"""Ordinary problems beyond functions from data to data, judged: right programs pass, wrong ones and cheats do not."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

import pytest

from assay.sandbox import Sandbox
from tests.sandbox.ordinary.judged import Judged, judge_all
from tests.sandbox.ordinary.problems import load

PROBLEMS = load()
NAMES = [f"{problem.group}/{problem.name}" for problem in PROBLEMS]


@cache
def judged(mode: Any) -> dict[str, Judged]:
    with Sandbox(mode=mode) as sandbox:
        return dict(zip(NAMES, judge_all(sandbox, PROBLEMS), strict=True))


def test_the_set_is_wide_enough() -> None:
    roles = Counter(role for problem in PROBLEMS for role, _ in problem.programs())
    assert len(set(NAMES)) == len(NAMES) >= 100
    assert roles["right"] >= 100
    assert roles["wrong"] >= 90
    assert all("right" in [role for role, _ in problem.programs()] for problem in PROBLEMS)


@pytest.mark.isolated
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_in_shared_mode_right_programs_pass_and_wrong_ones_do_not(name: str) -> None:
    """So the checks are right about the programs; cheats are what split mode is for."""
    problem = judged("shared")[name]
    assert problem.right_passes, problem.right
    assert [verdict for role, verdict in problem.verdicts if role == "wrong" and verdict.passed] == []


@pytest.mark.isolated
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_in_split_mode_right_programs_pass_and_no_others(name: str) -> None:
    """Programs that know no answer pass only where the problem is judged shared, and then its verdicts say so."""
    problem = judged("split")[name]
    assert problem.right_passes, problem.right
    assert len({verdict.mode for _, verdict in problem.verdicts}) == 1
    passed = [verdict for verdict in problem.wrong_passes if verdict.mode == "split"]
    assert passed == []
    assert [verdict for role, verdict in problem.verdicts if role == "wrong" and verdict.passed] == []


@pytest.mark.isolated
@pytest.mark.slow
def test_most_ordinary_problems_are_judged_split() -> None:
    modes = Counter(problem.mode for problem in judged("split").values())
    print(dict(modes))
    assert modes["split"] >= 90
