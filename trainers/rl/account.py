"""What an update comes to, in figures: from answers, rewards and losses to one line of the log."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

from sandbox import Verdict
from trainers.config.rl import PpoConfig
from trainers.rl.halves import hacking_gap
from trainers.rl.log import RlStep
from trainers.rl.reward import Reward
from trainers.rl.rollout import Attempt, Rollout


@dataclass(frozen=True, slots=True)
class Paid:
    """An answer that was measured: its reward, and whether it passed the checks held out (None: there are none)."""

    attempt: Attempt
    reward: Reward
    held: bool | None


@dataclass(frozen=True, slots=True)
class Update:
    """What the epochs of one update did, means over their minibatches."""

    policy_loss: float
    value_loss: float
    entropy: float
    clip_fraction: float
    value_clip_fraction: float
    drift: float
    grad_norm: float


@dataclass(frozen=True, slots=True)
class Facts:
    """The rest of an update's figures; `took_s` is all of its wall time."""

    step: int
    kl: float
    kl_coefficient: float
    explained_variance: float
    learning_rate: float
    tokens: int
    took_s: float


class Means(NamedTuple):
    """What an update's measured answers were paid, on average; `held` and `gap` are None where no checks are held
    out."""

    reward: float
    components: dict[str, float]
    passed: float
    held: float | None
    gap: float | None


def mean_reward(found: Sequence[tuple[Reward, bool | None]]) -> Means:
    """Of (reward, whether the held-out checks passed: None where that is not known) of each answer; at least one."""
    n = len(found)
    gap = hacking_gap([(reward.passed, held) for reward, held in found if held is not None])
    return Means(
        reward=sum(r.total for r, _ in found) / n,
        components={name: sum(r.components[name] for r, _ in found) / n for name in found[0][0].components},
        passed=sum(r.passed for r, _ in found) / n,
        held=None if gap is None else gap.held,
        gap=None if gap is None else gap.gap,
    )


def mean_update(found: Sequence[Update]) -> Update:
    return Update(*(sum(getattr(u, f.name) for u in found) / len(found) for f in fields(Update)))


def describe(
    config: PpoConfig,
    rollout: Rollout,
    paid: Sequence[Paid | None],
    verdicts: Mapping[str, Verdict],
    update: Update,
    facts: Facts,
    alarm: str | None,
) -> RlStep:
    known = [p for p in paid if p is not None]
    n = len(known)
    means = mean_reward([(p.reward, p.held) for p in known])
    executing = rollout.executing
    return RlStep(
        step=facts.step,
        total_steps=config.max_steps,
        reward=means.reward,
        components=means.components,
        pass_rate=means.passed,
        held_pass_rate=means.held,
        gap=means.gap,
        kl=facts.kl,
        kl_coefficient=facts.kl_coefficient,
        policy_loss=update.policy_loss,
        value_loss=update.value_loss,
        entropy=update.entropy,
        clip_fraction=update.clip_fraction,
        value_clip_fraction=update.value_clip_fraction,
        drift=update.drift,
        explained_variance=None if math.isnan(facts.explained_variance) else facts.explained_variance,
        grad_norm=update.grad_norm,
        learning_rate=facts.learning_rate,
        length=sum(len(p.attempt.drawn.token_ids) for p in known) / n,
        unfinished=sum(not p.attempt.drawn.ended for p in known) / n,
        answers=n,
        infra=len(paid) - n,
        tampering=sum(bool(p.reward.why) for p in known),
        tokens=facts.tokens,
        generate_s=rollout.generate_s,
        execute_wait_s=executing.wait_s,
        execute_s=executing.busy_s,
        train_s=max(0.0, facts.took_s - rollout.generate_s - executing.wait_s),
        alarm=alarm,
        outcomes=dict(Counter(str(verdicts[f"paid/{key}"].outcome) for key in range(len(paid)))),
    )
