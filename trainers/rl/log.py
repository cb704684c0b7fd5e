"""What a reinforcement run says of itself, one JSON line an update: `rl_log.jsonl`; and every answer it was paid for:
`rollouts.jsonl`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

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
