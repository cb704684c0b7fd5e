"""A reward model as one component of the reward: its scores, standardised by what it gave its own held-out answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from suites.prompts import chat_messages
from trainers.config.rl import RewardTable
from trainers.rl.rollout import Attempt

Judge = Callable[[Sequence[Attempt]], list[float]]


def judge_of(table: RewardTable, style: str) -> Judge | None:
    """The judge that `table` names; None where no reward model pays. An answer is scored behind the problem as it was
    asked: a chat, or with `style` "completion" the bare prompt. Raises TrainingError and ArtifactError.

    The mean and the spread are of the reward model's held-out answers, so that a weight of 1 means one standard
    deviation of what it has seen, and not of what this policy writes.
    """
    if table.model is None:
        return None
    from trainers.preference.scorer import Prompt, load_reward_model

    model = load_reward_model(table.model)

    def judge(attempts: Sequence[Attempt]) -> list[float]:
        problems = [a.exercise.problem for a in attempts]
        asked: list[Prompt] = [chat_messages(p) if style == "chat" else p.prompt for p in problems]
        raw = model.score([(p, a.drawn.text) for p, a in zip(asked, attempts, strict=True)])
        return [(score - model.mean) / model.spread for score in raw]

    return judge
