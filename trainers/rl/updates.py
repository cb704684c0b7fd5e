"""RLOO's and GRPO's updates in the words of PPO's log.

TRL logs optimiser steps, of which an update has several, and knows nothing of checks, verdicts and what executing took.
This gathers both into one `RlStep` an update.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.trainers.config.rl import GroupConfig
from assay.trainers.rl.log import RL_LOG, RlStep, append_rl_step, mean_reward, read_rl_steps
from assay.trainers.rl.objective import KlController
from assay.trainers.rl.policy import Policy, load_value_head, save_value_head
from assay.trainers.rl.reward import Reward


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


# Checkpoints of a PPO run: whole or absent, by rename. What is in one decides every later step.

_POLICY = "policy.safetensors"
_OPTIMIZER = "optimizer.pt"
_STATE = "state.json"


def save_checkpoint(
    folder: Path, step: int, policy: Policy, optimizer: Any, controller: KlController, keep: int
) -> None:
    """Write `folder/checkpoint-<step>` and remove all but the newest `keep`."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".part-{step}"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    state = {name: tensor.cpu().contiguous() for name, tensor in policy.state().items()}
    save_file(state, str(part / _POLICY))
    save_value_head(policy, part)
    torch.save(optimizer.state_dict(), part / _OPTIMIZER)
    (part / _STATE).write_text(json.dumps({"step": step, "kl_coefficient": controller.coefficient}))
    final = folder / f"checkpoint-{step}"
    shutil.rmtree(final, ignore_errors=True)
    for file in part.rglob("*"):
        _sync(file)
    part.rename(final)
    _sync(folder)
    for _, old in _found(folder)[:-keep]:
        shutil.rmtree(old)


def load_newest(folder: Path, policy: Policy, optimizer: Any, controller: KlController) -> int:
    """Put everything back as it was after the newest checkpoint's step, and return that step; 0 where there is none."""
    import torch
    from safetensors.torch import load_file

    for part in folder.glob(".part-*"):
        shutil.rmtree(part)
    found = _found(folder)
    if not found:
        return 0
    step, newest = found[-1]
    policy.load_state(load_file(str(newest / _POLICY)))
    load_value_head(policy, newest)
    optimizer.load_state_dict(torch.load(newest / _OPTIMIZER, weights_only=True))
    controller.coefficient = float(json.loads((newest / _STATE).read_text())["kl_coefficient"])
    return step


def newest_step(folder: Path) -> int:
    found = _found(folder)
    return found[-1][0] if found else 0


def _found(folder: Path) -> list[tuple[int, Path]]:
    return sorted((int(p.name.rpartition("-")[2]), p) for p in folder.glob("checkpoint-*"))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
