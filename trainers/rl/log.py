"""The logs of a reinforcement run: `rl_log.jsonl`, one JSON line an update, and `rollouts.jsonl`, one an answer."""

from __future__ import annotations

import json
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
from assay.trainers.run.log import LOG, OnStep, TrainingStep, append_step, read_steps, rows_of, rss_bytes

RL_LOG = "rl_log.jsonl"
ROLLOUTS = "rollouts.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
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
    held_pass_rate: float | None = None
    gap: float | None = None
    kl: float | None = None
    kl_coefficient: float
    policy_loss: float
    value_loss: float | None = None
    entropy: float | None = None
    clip_fraction: float | None = None
    value_clip_fraction: float | None = None
    drift: float | None = None
    explained_variance: float | None = None
    grad_norm: float | None = None
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
    """Append one update."""
    append_rows(path, [asdict(step)])


def read_rl_steps(path: Path) -> list[RlStep]:
    """Return the updates logged. A half-written last line, as a kill leaves, is left out."""
    return [RlStep(**row) for row in rows_of(path)]


def log_as_training_step(update: RlStep, out: Path, on_step: OnStep | None) -> None:
    """Log the update as every method logs its steps; `loss` is the policy's."""
    import torch

    assert update.grad_norm is not None  # our own loop always has it
    cuda = torch.cuda.is_available()
    took_s = update.generate_s + update.execute_wait_s + update.train_s
    before = read_steps(out / LOG)
    step = TrainingStep(
        step=update.step,
        total_steps=update.total_steps,
        epoch=0.0,
        loss=update.policy_loss,
        learning_rate=update.learning_rate,
        grad_norm=update.grad_norm,
        tokens=update.tokens,
        tok_per_s=(update.tokens - (before[-1].tokens if before else 0)) / max(took_s, 1e-9),
        rss_bytes=rss_bytes(),
        vram_bytes=int(torch.cuda.max_memory_allocated()) if cuda else None,
    )
    append_step(out / LOG, step)
    if on_step is not None:
        on_step(step)


def append_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Append `rows`, one line of JSON each."""
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)


def judged_fields(verdict: Verdict, reward: Reward | None, held_passed: bool | None) -> dict[str, Any]:
    """Return the fields of an answer's line in `rollouts.jsonl` that say how it was judged and paid."""
    return {
        "outcome": str(verdict.outcome),
        "mode": verdict.mode,
        "reward": None if reward is None else reward.total,
        "components": None if reward is None else reward.components,
        "why": "infra: not measured" if reward is None else reward.reason,
        "held_passed": held_passed,
    }


@dataclass(frozen=True, slots=True)
class ScoredRollout:
    """An answer that was measured: its reward, and whether it passed the checks held out (None: there are none)."""

    sample: RolloutSample
    reward: Reward
    held_passed: bool | None


@dataclass(frozen=True, slots=True)
class Update:
    """The figures of one update's epochs, means over their minibatches."""

    policy_loss: float
    value_loss: float
    entropy: float
    clip_fraction: float
    value_clip_fraction: float
    drift: float
    grad_norm: float


@dataclass(frozen=True, slots=True)
class UpdateFacts:
    """The other figures of an update, named as in `RlStep`."""

    step: int
    kl: float
    kl_coefficient: float
    explained_variance: float | None
    learning_rate: float
    tokens: int
    train_s: float


class Means(NamedTuple):
    """The mean rewards of an update's measured answers; the held-out pass rate and the gap are None where no checks are
    held out."""

    reward: float
    components: dict[str, float]
    pass_rate: float
    held_pass_rate: float | None
    gap: float | None


def mean_reward(answers: Sequence[tuple[Reward, bool | None]]) -> Means:
    """Return the means over (reward, whether the held-out checks passed; None: unknown) of at least one answer."""
    n = len(answers)
    rewards = [reward for reward, _ in answers]
    gap = hacking_gap([(reward.passed, passed) for reward, passed in answers if passed is not None])
    return Means(
        reward=sum(reward.total for reward in rewards) / n,
        components={name: sum(r.components[name] for r in rewards) / n for name in rewards[0].components},
        pass_rate=sum(reward.passed for reward in rewards) / n,
        held_pass_rate=None if gap is None else gap.held_out,
        gap=None if gap is None else gap.gap,
    )


def mean_update(updates: Sequence[Update]) -> Update:
    """Return the means over minibatches."""
    return Update(*(sum(getattr(u, f.name) for u in updates) / len(updates) for f in fields(Update)))


def describe_update(
    config: PpoConfig,
    rollout: Rollout,
    scored: Sequence[ScoredRollout | None],
    verdicts: Mapping[str, Verdict],
    update: Update,
    facts: UpdateFacts,
    alarm: str | None,
) -> RlStep:
    """Return the line of one PPO update; `scored` is None for an answer that was not measured."""
    known = [answer for answer in scored if answer is not None]
    n = len(known)
    return RlStep(
        total_steps=config.max_steps,
        **mean_reward([(answer.reward, answer.held_passed) for answer in known])._asdict(),
        **asdict(update),
        **asdict(facts),
        length=sum(len(answer.sample.drawn.token_ids) for answer in known) / n,
        unfinished=sum(not answer.sample.drawn.ended for answer in known) / n,
        answers=n,
        infra=len(scored) - n,
        tampering=sum(bool(answer.reward.reason) for answer in known),
        generate_s=rollout.generate_s,
        execute_wait_s=rollout.wait_s,
        execute_s=rollout.busy_s,
        alarm=alarm,
        outcomes=dict(Counter(str(verdicts[f"paid/{key}"].outcome) for key in range(len(scored)))),
    )
