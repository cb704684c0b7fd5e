"""RLOO's and GRPO's updates in the words of PPO's log.

TRL logs optimiser steps, of which an update has several, and knows nothing of checks, verdicts and what executing took.
This gathers both into one `RlStep` an update.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.config.rl import GroupConfig
from trainers.rl.account import mean_reward
from trainers.rl.log import RL_LOG, RlStep, append_rl_step, read_rl_steps
from trainers.rl.reward import Reward


def steps_per_update(config: GroupConfig) -> int:
    """TRL's optimiser steps in one update of ours."""
    return config.rollout.batch // config.batch_size * int(config.epochs)


@dataclass(frozen=True, slots=True)
class Judged:
    """One answer: its reward (None: infra, not measured), whether the held-out checks passed (None: not known)."""

    reward: Reward | None
    held: bool | None
    outcome: str
    tokens: int


class UpdateLog:
    """`judge` takes an update's answers, `drew` the seconds that drawing them took; `callback` writes the line when the
    update's last optimiser step is logged. Made after the log has been cut back to where a resumed run goes on."""

    def __init__(self, config: GroupConfig, out: Path) -> None:
        self.config = config
        self.file = out / RL_LOG
        self.steps_per_update = steps_per_update(config)
        before = read_rl_steps(self.file)
        self.tokens_before = before[-1].tokens if before else 0
        self._begin()

    def _begin(self) -> None:
        self.judged: list[Judged] = []
        self.logs: list[dict[str, float]] = []
        self.generate_s = self.execute_s = self.took_s = 0.0

    def judge(self, found: Sequence[Judged], execute_s: float) -> None:
        self.judged += found
        self.execute_s += execute_s

    def time_generation(self, trainer: Any) -> None:
        """TRL's trainers draw in `_generate`, and say of its time nothing."""
        plain = trainer._generate

        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return plain(*args, **kwargs)
            finally:
                self.generate_s += time.perf_counter() - began

        trainer._generate = timed

    def callback(self) -> Any:
        from transformers import TrainerCallback

        log = self

        class Updates(TrainerCallback):  # type: ignore[misc]  # the hook that transformers offers
            def on_step_begin(self, *_: Any, **__: Any) -> None:
                self.began = time.perf_counter()

            def on_step_end(self, *_: Any, **__: Any) -> None:
                log.took_s += time.perf_counter() - self.began

            def on_log(self, _args: Any, state: Any, _control: Any, logs: dict[str, Any], **_: Any) -> None:
                if "loss" not in logs:
                    return
                log.logs.append({k: float(v) for k, v in logs.items() if isinstance(v, int | float)})
                if state.global_step % log.steps_per_update == 0:
                    append_rl_step(log.file, log._line(state.global_step // log.steps_per_update))
                    log._begin()

        return Updates()

    def _line(self, update: int) -> RlStep:
        config = self.config
        known = [j for j in self.judged if j.reward is not None]
        means = mean_reward([(j.reward, j.held) for j in known if j.reward is not None])
        length = sum(j.tokens for j in known) / len(known)
        kl = self._mean("kl")
        return RlStep(
            step=update,
            total_steps=config.max_steps,
            reward=means.reward,
            components=means.components,
            pass_rate=means.passed,
            held_pass_rate=means.held,
            gap=means.gap,
            # TRL's is a mean over tokens: RLOO's k1 of the policy that drew, GRPO's k3 over the update's steps
            kl=None if kl is None else kl * self._mean_of_all("completions/mean_length", length),
            kl_coefficient=config.beta,
            policy_loss=self._mean_of_all("loss", math.nan),
            value_loss=None,
            entropy=self._mean("entropy"),
            clip_fraction=self._mean("clip_ratio/region_mean"),
            value_clip_fraction=None,
            drift=None,
            explained_variance=None,
            grad_norm=self._mean("grad_norm"),
            learning_rate=self._mean_of_all("learning_rate", 0.0),
            length=length,
            unfinished=self._mean_of_all("completions/clipped_ratio", 0.0),
            answers=len(known),
            infra=len(self.judged) - len(known),
            tampering=sum(bool(j.reward.why) for j in known if j.reward is not None),
            tokens=self.tokens_before + int(max(row.get("num_tokens", 0.0) for row in self.logs)),
            generate_s=self.generate_s,
            execute_wait_s=self.execute_s,  # TRL executes nothing while it draws
            execute_s=self.execute_s,
            train_s=max(0.0, self.took_s - self.generate_s - self.execute_s),
            outcomes=dict(Counter(j.outcome for j in self.judged)),
        )

    def _mean(self, name: str) -> float | None:
        """Over the update's optimiser steps that have the figure."""
        found = [row[name] for row in self.logs if math.isfinite(row.get(name, math.nan))]
        return sum(found) / len(found) if found else None

    def _mean_of_all(self, name: str, otherwise: float) -> float:
        found = self._mean(name)
        return otherwise if found is None else found
