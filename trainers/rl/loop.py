"""PPO with execution feedback, ours, from top to bottom: draw, execute, weigh, learn.

TRL no longer has one. An update draws a batch of answers and executes them meanwhile (`rollout`), asks the policy and
its reference about every token (`policy`), pays for verdicts and charges for leaving the reference (`reward`, `kl`),
turns rewards into advantages (`gae`) and takes some epochs of clipped steps (`objective`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from assay.sandbox import Outcome, Sandbox, StandIn, Verdict, VerdictCache
from assay.trainers.config.rl import PpoConfig
from assay.trainers.errors import TrainingError
from assay.trainers.rl.log import (
    RL_LOG,
    ROLLOUTS,
    Facts,
    RlStep,
    ScoredRollout,
    Update,
    append_rl_step,
    append_rows,
    describe,
    mean_update,
    read_rl_steps,
)
from assay.trainers.rl.objective import (
    KlController,
    advantages,
    estimate,
    explained_variance,
    masked_mean,
    policy_loss,
    rate_factor,
    value_loss,
    whiten,
)
from assay.trainers.rl.policy import Batch, Episode, Policy, PolicyOutput, make_batch
from assay.trainers.rl.reward import Reward, potential_terms, score, syntax_potentials
from assay.trainers.rl.rollout import Rollout, RolloutSample, TrainingProblem, choose, roll_out
from assay.trainers.rl.sampler import Sampler
from assay.trainers.rl.updates import load_newest, save_checkpoint
from assay.trainers.run.log import keep_until

if TYPE_CHECKING:
    from torch import Tensor

UNFINISHED = "unfinished"  # the one component that depends on how an answer ended, and not on its program
Judge = Callable[[Sequence[RolloutSample]], list[float]]


class Ppo:
    """One run: the policy, its optimiser and what it learns from. `judge` scores attempts where a reward model pays."""

    def __init__(
        self,
        policy: Policy,
        sampler: Sampler,
        exercises: Sequence[TrainingProblem],
        config: PpoConfig,
        out: Path,
        *,
        pad_id: int,
        decode: Callable[[Sequence[int]], str],
        stop: tuple[str, ...] = (),
        judge: Judge | None = None,
    ) -> None:
        import torch

        self.policy, self.sampler, self.exercises, self.config, self.out = (
            policy,
            sampler,
            exercises,
            config,
            out,
        )
        self.pad_id, self.decode, self.stop, self.judge = pad_id, decode, stop, judge
        kl = config.kl
        self.controller = KlController(kl.coefficient, kl.target, kl.adaptive, kl.horizon)
        rates = (config.learning_rate, config.value_learning_rate or config.learning_rate)
        groups = [
            {"params": policy.trainable(), "lr": rates[0], "base": rates[0]},
            {"params": list(policy.value_head.parameters()), "lr": rates[1], "base": rates[1]},
        ]
        self.optimizer = torch.optim.AdamW(groups, weight_decay=config.weight_decay)
        self.tokens = 0

    def run(
        self, sandbox: Sandbox | StandIn, on_step: Callable[[RlStep], None], cache: VerdictCache | None = None
    ) -> None:
        """All updates that are still to be done, from the newest checkpoint on. Raises TrainingError."""
        config, checkpoints = self.config, self.out / "checkpoints"
        first = load_newest(checkpoints, self.policy, self.optimizer, self.controller)
        for name in (RL_LOG, ROLLOUTS):
            keep_until(self.out / name, first)
        self.tokens = sum(s.tokens for s in read_rl_steps(self.out / RL_LOG)[-1:])
        for step in range(first, config.max_steps):
            done = self._step(sandbox, step, cache)
            append_rl_step(self.out / RL_LOG, done)
            if (step + 1) % config.save_steps == 0:
                save_checkpoint(
                    checkpoints,
                    step + 1,
                    self.policy,
                    self.optimizer,
                    self.controller,
                    config.save_total_limit,
                )
            on_step(done)
            if done.alarm is not None and config.kl.on_alarm == "stop":
                raise TrainingError(f"stopped at step {step + 1}: {done.alarm}; {_advice(config)}")

    def _step(self, sandbox: Sandbox | StandIn, step: int, cache: VerdictCache | None) -> RlStep:
        import torch

        config = self.config
        began = time.perf_counter()
        self.policy.model.eval()  # no dropout: the policy that learns is the one that drew
        chosen = choose(self.exercises, step, config.rollout.prompts, config.seed)
        rollout = roll_out(self.sampler, sandbox, chosen, config.rollout, config.seed, step, self.stop, cache)
        try:
            episodes = [Episode(a.drawn.prompt_ids, a.drawn.token_ids) for a in rollout.attempts]
            batch = make_batch(episodes, self.pad_id, self.policy.device)
            # While the last programs still run.
            before, ref_logp = self.policy.see_all(batch, config.batch_size)
            paid, verdicts = self._pay(rollout)
        except BaseException:
            rollout.abandon()
            raise
        self._write_answers(step + 1, rollout.attempts, paid, verdicts)
        measured = [i for i, p in enumerate(paid) if p is not None]
        if not measured:
            raise TrainingError(
                f"step {step + 1}: none of {len(paid)} answers could be measured (infra); see `assay doctor`"
            )
        rows = torch.tensor(measured, device=batch.ids.device)
        batch, before, ref_logp = _rows(batch, before, ref_logp, rows)
        known = [p for p in paid if p is not None]
        rewards, kl = self._token_rewards(known, batch, before, ref_logp)
        gained = advantages(rewards, before.value, batch.mask, config.gamma, config.lam)
        returns = gained + before.value
        critic = explained_variance(before.value, returns, batch.mask)
        if config.whiten:
            gained = whiten(gained, batch.mask)
        rate = self._set_rate(step)
        coefficient = self.controller.coefficient
        update = self._learn(batch, before, gained, returns, step)
        self.controller.update(kl, len(known))
        self.tokens += int(batch.attention.sum())
        facts = Facts(step + 1, kl, coefficient, critic, rate, self.tokens, time.perf_counter() - began)
        return describe(config, rollout, paid, verdicts, update, facts, self._alarm(kl))

    def _pay(self, rollout: Rollout) -> tuple[list[ScoredRollout | None], dict[str, Verdict]]:
        """The reward of each attempt, None where its execution was not measured."""
        table = self.config.reward
        judged = self.judge(rollout.attempts) if self.judge is not None else [None] * len(rollout.attempts)
        verdicts = rollout.verdicts()
        paid: list[ScoredRollout | None] = []
        for key, (attempt, opinion) in enumerate(zip(rollout.attempts, judged, strict=True)):
            tokens = len(attempt.drawn.token_ids)
            reward = score(attempt.program, verdicts[f"paid/{key}"], tokens, table, opinion)
            if reward is not None and self.config.unfinished:
                reward = _less_unfinished(reward, attempt, self.config.unfinished)
            held = verdicts.get(f"held/{key}")
            unknown = held is not None and held.outcome is Outcome.INFRA
            paid.append(
                None
                if reward is None or unknown
                else ScoredRollout(attempt, reward, None if held is None else held.passed)
            )
        return paid, verdicts

    def _token_rewards(
        self, known: Sequence[ScoredRollout], batch: Batch, before: PolicyOutput, ref_logp: Tensor
    ) -> tuple[Tensor, float]:
        """[rows, steps]: the KL penalty on every token, the answer's reward on its last, shaping where it is asked for;
        and the mean KL of a sequence in nats."""
        import torch

        config = self.config
        per_token = estimate(before.logp, ref_logp, config.kl.estimator) * batch.mask
        rewards = -self.controller.coefficient * per_token
        totals = torch.tensor([p.reward.total for p in known], device=rewards.device)
        if config.baseline == "group":
            totals = _less_group_mean(totals, [p.attempt.exercise.problem.id for p in known])
        last = batch.mask.sum(1).long() - 1
        rewards[torch.arange(len(known), device=rewards.device), last] += totals
        if config.shaping.syntax:
            potentials = torch.zeros_like(rewards)
            for row, p in enumerate(known):
                prompt, tokens = p.attempt.exercise.problem.prompt, p.attempt.drawn.token_ids
                found = syntax_potentials(prompt, tokens, self.decode)
                potentials[row, : len(found)] = torch.tensor(found) * config.shaping.syntax
            rewards = rewards + potential_terms(potentials, batch.mask, config.gamma)
        return rewards, per_token.sum(1).mean().item()

    def _learn(
        self, batch: Batch, before: PolicyOutput, gained: Tensor, returns: Tensor, step: int
    ) -> Update:
        """The epochs of clipped steps over one batch, in minibatches of rows."""
        import torch

        config, found = self.config, []
        self.policy.recompute_activations()
        order = torch.Generator().manual_seed((config.seed << 20) + step)
        clipped = [*self.policy.trainable(), *self.policy.value_head.parameters()]
        for _ in range(int(config.epochs)):
            for index in torch.randperm(len(batch.ids), generator=order).split(config.batch_size):
                rows = index.to(batch.ids.device)
                piece = batch.rows(rows)
                steps, mask = piece.steps, piece.mask
                seen = self.policy.see(piece)
                policy = policy_loss(
                    seen.logp, before.logp[rows, :steps], gained[rows, :steps], mask, config.clip
                )
                value, value_clipped = value_loss(
                    seen.value, before.value[rows, :steps], returns[rows, :steps], mask, config.value_clip
                )
                entropy = masked_mean(seen.entropy, mask)
                loss = policy.loss + config.value_weight * value - config.entropy_weight * entropy
                if not math.isfinite(loss.item()):
                    raise TrainingError(f"loss is {loss.item()} at step {step + 1}; {_advice(config)}")
                loss.backward()
                norm = torch.nn.utils.clip_grad_norm_(clipped, config.max_grad_norm)
                self.optimizer.step()
                # Before the next forward pass, whose peak they would add to.
                self.optimizer.zero_grad(set_to_none=True)
                found.append(
                    Update(
                        policy.loss.item(),
                        value.item(),
                        entropy.item(),
                        policy.clip_fraction,
                        value_clipped,
                        policy.approx_kl,
                        norm.item(),
                    )
                )
        return mean_update(found)

    def _set_rate(self, step: int) -> float:
        config = self.config
        warmup = config.warmup_steps
        if config.warmup_ratio is not None:
            warmup = math.ceil(config.warmup_ratio * config.max_steps)
        factor = rate_factor(config.scheduler, step, warmup, config.max_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = group["base"] * factor
        return config.learning_rate * factor

    def _alarm(self, kl: float) -> str | None:
        if not self.controller.alarm(kl):
            return None
        return f"KL is {kl:.3g} nats a sequence, above twice its target of {self.config.kl.target:g}"

    def _write_answers(
        self,
        step: int,
        attempts: Sequence[RolloutSample],
        paid: Sequence[ScoredRollout | None],
        verdicts: dict[str, Verdict],
    ) -> None:
        """Every answer with its verdict and its reward, component by component."""
        rows = []
        for key, (attempt, found) in enumerate(zip(attempts, paid, strict=True)):
            reward = None if found is None else found.reward
            rows.append(
                {
                    "step": step,
                    "problem_id": attempt.exercise.problem.id,
                    "index": attempt.index,
                    "seed": attempt.seed,
                    "text": attempt.drawn.text,
                    "n_tokens": len(attempt.drawn.token_ids),
                    "ended": attempt.drawn.ended,
                    "outcome": str(verdicts[f"paid/{key}"].outcome),
                    "mode": verdicts[f"paid/{key}"].mode,
                    "reward": None if reward is None else reward.total,
                    "components": None if reward is None else reward.components,
                    "why": "infra: not measured" if reward is None else reward.why,
                    "held_passed": None if found is None else found.held,
                }
            )
        append_rows(self.out / ROLLOUTS, rows)


def _rows(
    batch: Batch, before: PolicyOutput, ref_logp: Tensor, rows: Tensor
) -> tuple[Batch, PolicyOutput, Tensor]:
    """The measured rows only; what was not measured is in no statistic and teaches nothing."""
    kept = batch.rows(rows)
    steps = kept.steps
    return kept, PolicyOutput(*(t[rows, :steps] for t in before)), ref_logp[rows, :steps]


def _less_unfinished(reward: Reward, attempt: RolloutSample, weight: float) -> Reward:
    """The same reward with its component for an answer cut at the length limit: −1 there, 0 elsewhere."""
    cut = 0.0 if attempt.drawn.ended else -1.0
    return replace(
        reward, total=reward.total + weight * cut, components=reward.components | {UNFINISHED: cut}
    )


def _less_group_mean(totals: Tensor, problems: Sequence[str]) -> Tensor:
    """Each answer's reward less the mean of its problem's answers in this batch: a baseline that no action changes."""
    import torch

    names = sorted(set(problems))
    group = torch.tensor([names.index(p) for p in problems], device=totals.device)
    sums = torch.zeros(len(names), device=totals.device).index_add(0, group, totals)
    counts = torch.bincount(group, minlength=len(names))
    return totals - (sums / counts)[group]


def _advice(config: PpoConfig) -> str:
    return (
        f"lower learning_rate ({config.learning_rate:g}), raise kl.coefficient ({config.kl.coefficient:g}), or make "
        f"fewer epochs ({int(config.epochs)}) of each batch"
    )
