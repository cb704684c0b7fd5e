"""What a reinforcement run says of itself, one JSON line an update: `rl_log.jsonl`; and every answer it was paid for:
`rollouts.jsonl`."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

from assay.sandbox import Verdict
from assay.trainers.config.rl import PpoConfig
from assay.trainers.rl.check_split import hacking_gap
from assay.trainers.rl.reward import Reward
from assay.trainers.rl.rollout import Rollout, RolloutSample

RL_LOG = "rl_log.jsonl"
ROLLOUTS = "rollouts.jsonl"


@dataclass(frozen=True, slots=True)
class RlStep:
    """One update of ppo, rloo or grpo.

    `reward` is the mean over measured answers, before the KL penalty; `components` are its unweighted means;
    `pass_rate` is on the checks that pay, `held_pass_rate` on those held out, `gap` their difference (None where none
    are held out). `kl` is nats a sequence from the reference, `kl_coefficient` its price in this update. Of the
    update: `policy_loss`, `value_loss`, `entropy` (nats a token), `clip_fraction`, `value_clip_fraction`, `drift` (k3
    from the policy that drew, over the last pass), `explained_variance` (of the critic, before the update),
    `grad_norm` (before clipping, mean over minibatches). `length` is in tokens; `unfinished` the share of answers cut
    at the limit. `infra` answers were not measured and are in none of these. None is a figure that the method does
    not have (rloo and grpo have no critic) or that was not asked for (a KL that costs nothing).

    Seconds of wall time: `generate_s` with execution beside it, `execute_wait_s` the execution that hid behind
    nothing, `execute_s` all of it, `train_s` everything else.
    """

    step: int
    total_steps: int
    reward: float
    components: dict[str, float]
    pass_rate: float
    held_pass_rate: float | None
    gap: float | None
    kl: float | None
    kl_coefficient: float
    policy_loss: float
    value_loss: float | None
    entropy: float | None
    clip_fraction: float | None
    value_clip_fraction: float | None
    drift: float | None
    explained_variance: float | None
    grad_norm: float | None
    learning_rate: float
    length: float
    unfinished: float
    answers: int
    infra: int
    tampering: int
    tokens: int
    generate_s: float
    execute_wait_s: float
    execute_s: float
    train_s: float
    alarm: str | None = None
    outcomes: dict[str, int] = field(default_factory=dict)


def append_rl_step(path: Path, step: RlStep) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(step), allow_nan=False) + "\n")


def read_rl_steps(path: Path) -> list[RlStep]:
    """The updates logged. A half-written last line, as a kill leaves, is left out."""
    if not path.is_file():
        return []
    return [RlStep(**json.loads(line)) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def append_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)


# What an update comes to, in figures: from answers, rewards and losses to one line of the log.


@dataclass(frozen=True, slots=True)
class ScoredRollout:
    """An answer that was measured: its reward, and whether it passed the checks held out (None: there are none)."""

    attempt: RolloutSample
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
    paid: Sequence[ScoredRollout | None],
    verdicts: Mapping[str, Verdict],
    update: Update,
    facts: Facts,
    alarm: str | None,
) -> RlStep:
    known = [p for p in paid if p is not None]
    n = len(known)
    means = mean_reward([(p.reward, p.held) for p in known])
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
        execute_wait_s=rollout.wait_s,
        execute_s=rollout.busy_s,
        train_s=max(0.0, facts.took_s - rollout.generate_s - rollout.wait_s),
        alarm=alarm,
        outcomes=dict(Counter(str(verdicts[f"paid/{key}"].outcome) for key in range(len(paid)))),
    )
