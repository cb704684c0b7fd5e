"""A reward model as one component of the reward: its scores, standardised by what it gave its own held-out answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from suites.prompts import chat_messages
from trainers.config.rl import RewardTable
from trainers.rl.rollout import Attempt

Judge = Callable[[Sequence[Attempt]], list[float]]


def judge_of(table: RewardTable) -> Judge | None:
    """The judge that `table` names; None where no reward model pays. Raises TrainingError and ArtifactError.

    The mean and the spread are of the reward model's held-out answers, so that a weight of 1 means one standard
    deviation of what it has seen, and not of what this policy writes.
    """
    if table.model is None:
        return None
    from trainers.preference.scorer import load_reward_model

    model = load_reward_model(table.model)

    def judge(attempts: Sequence[Attempt]) -> list[float]:
        raw = model.score([(chat_messages(a.exercise.problem), a.drawn.text) for a in attempts])
        return [(score - model.mean) / model.spread for score in raw]

    return judge
