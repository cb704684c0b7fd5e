"""What drawing leaves behind where it fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from assay.sandbox import Outcome
from assay.trainers.config.rl import RolloutTable
from assay.trainers.data.problems import SampledAnswer
from assay.trainers.errors import TrainingError
from assay.trainers.rl.check_split import training_problem
from assay.trainers.rl.rollout import roll_out
from tests.threads import comes_back_to


class Sparing:
    """A sampler that answers the first ask only."""

    def draw(self, asks: list[Any], **_: object) -> Iterator[SampledAnswer]:
        yield SampledAnswer(asks[0].key, (1,), (2,), "    return x\n", True)


def test_a_sampler_that_answers_too_few_leaves_no_thread(world: ModuleType) -> None:
    before = threading.active_count()
    problem = world.problem()
    exercise = training_problem(problem, problem.prompt, None, None)
    table = RolloutTable(prompts=1, samples=2, style="completion", max_new_tokens=4)
    with pytest.raises(TrainingError, match="answered 1 of 2 asks"):
        roll_out(Sparing(), world.FakeSandbox(lambda program: Outcome.PASS), [exercise], table, 0, 0)  # type: ignore[arg-type]
    assert comes_back_to(before)
