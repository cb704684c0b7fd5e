"""PPO with execution feedback, from top to bottom: draw, execute, score, learn. TRL no longer has one.

An update draws a batch of answers and executes them meanwhile (`rl/rollout.py`), computes what policy and reference say
of every token (`rl/policy.py`), pays for verdicts and charges for leaving the reference (`rl/reward.py`), turns rewards
into advantages and takes some epochs of clipped steps (`rl/objective.py`). `rl/check_split.py` decides which checks
pay, `rl/log.py` what is logged, and `methods/_trl.py` is the run around it, as of every method.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from assay.sandbox import Outcome, Sandbox, StandIn, Verdict, VerdictCache
from assay.trainers import TRAINERS
from assay.trainers.artifact import Artifact
from assay.trainers.config.rl import PpoConfig
from assay.trainers.data.problems import Environment, Sampler
from assay.trainers.errors import TrainingError
from assay.trainers.methods._trl import train_in_environment
from assay.trainers.model.precision import arithmetic
from assay.trainers.model.prepare import describe_weights
from assay.trainers.rl import log as rl_log
from assay.trainers.rl import objective
from assay.trainers.rl.check_split import TrainingProblem, choose, describe_left_out, training_problems
from assay.trainers.rl.objective import KlController
from assay.trainers.rl.policy import (
    CHECKPOINT_FILES,
    Batch,
    Episode,
    Policy,
    PolicyOutput,
    load_newest,
    make_batch,
    make_policy,
    save_checkpoint,
    save_value_head,
)
from assay.trainers.rl.reward import (
    ModelScores,
    Reward,
    lint_counts,
    potential_terms,
    reward_model_scores,
    score,
    syntax_potentials,
)
from assay.trainers.rl.rollout import Rollout, RolloutSample, roll_out
from assay.trainers.run.folder import CHECKPOINTS
from assay.trainers.run.log import OnStep, keep_until
from assay.trainers.templates import load_tokenizer

if TYPE_CHECKING:
    from torch import Tensor

UNFINISHED = "unfinished"  # the one component that depends on how an answer ended, and not on its program


@TRAINERS.register("ppo")
def train_ppo(
    base: Artifact, config: PpoConfig, environment: Environment, out: Path, on_step: OnStep | None = None
) -> Artifact:
    """Train a policy that starts as `base` in `environment`, into the folder `out`.

    Beside the adapter (or model) `out` holds `rl_log.jsonl` (one line an update), `rollouts.jsonl` (every answer with
    its verdict and its reward by component), `value_head/` and `training.json`. Called again after a kill it goes on
    from the newest checkpoint and comes to the same curve. Raises TrainingError, SandboxError and MissingExtraError.
    """
    return train_in_environment(
        base,
        config,
        environment,
        out,
        lambda sandbox, cache: PpoTrainer(base, config, environment, sandbox, cache, out, on_step),
        lambda trainer, isolation: _recipe(config, environment, trainer, isolation),
        CHECKPOINT_FILES,
    )


class PpoTrainer:
    """A run of PPO in the form that `train_into` takes: `train`, `model`, `processing_class`, `state.global_step`."""

    def __init__(
        self,
        base: Artifact,
        config: PpoConfig,
        environment: Environment,
        sandbox: Sandbox,
        cache: VerdictCache,
        out: Path,
        on_step: OnStep | None = None,
    ) -> None:
        self.ppo, self.processing_class, self.left_out = build_ppo(base, config, environment, out)
        self.model = self.ppo.policy.model
        self.state = SimpleNamespace(global_step=0)
        self._sandbox, self._cache, self._out, self._on_step = sandbox, cache, out, on_step

    def train(self, resume_from_checkpoint: str | None = None) -> None:
        """Make all updates from the newest checkpoint on, which `Ppo.run` finds itself, and save the value head."""
        self.ppo.run(
            self._sandbox,
            lambda step: rl_log.log_as_training_step(step, self._out, self._on_step),
            self._cache,
        )
        save_value_head(self.ppo.policy, self._out)
        self.state.global_step = self.ppo.config.max_steps


def build_ppo(base: Artifact, config: PpoConfig, environment: Environment, out: Path) -> tuple[Ppo, Any, int]:
    """Return (the run, its tokenizer, how many problems were left out because their checks cannot be split)."""
    tokenizer = load_tokenizer(base)
    problems, left_out = training_problems(environment, config.reward, config.rollout.style, tokenizer)
    policy = make_policy(base, config)
    sampler = environment.sampler()(policy.model, tokenizer, batch_size=config.rollout.batch_size)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    ppo = Ppo(
        policy,
        sampler,
        problems,
        config,
        out,
        pad_id=int(pad),
        decode=lambda ids: str(tokenizer.decode(list(ids), skip_special_tokens=True)),
        stop=environment.stop,
        model_scores=reward_model_scores(config.reward, config.rollout.style),
    )
    return ppo, tokenizer, left_out


class Ppo:
    """The loop: the policy, its optimiser and what it learns from. `model_scores` scores answers where a reward model
    pays."""

    def __init__(
        self,
        policy: Policy,
        sampler: Sampler,
        problems: Sequence[TrainingProblem],
        config: PpoConfig,
        out: Path,
        *,
        pad_id: int,
        decode: Callable[[Sequence[int]], str],
        stop: tuple[str, ...] = (),
        model_scores: ModelScores | None = None,
    ) -> None:
        import torch

        self.policy, self.sampler, self.problems = policy, sampler, problems
        self.config, self.out = config, out
        self.pad_id, self.decode, self.stop, self.model_scores = pad_id, decode, stop, model_scores
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
        self,
        sandbox: Sandbox | StandIn,
        on_step: Callable[[rl_log.RlStep], None],
        cache: VerdictCache | None = None,
    ) -> None:
        """Make the updates that are still to be made, from the newest checkpoint on. Raises TrainingError."""
        config, checkpoints = self.config, self.out / CHECKPOINTS
        first = load_newest(checkpoints, self.policy, self.optimizer, self.controller)
        for name in (rl_log.RL_LOG, rl_log.ROLLOUTS):
            keep_until(self.out / name, first)
        self.tokens = sum(s.tokens for s in rl_log.read_rl_steps(self.out / rl_log.RL_LOG)[-1:])
        for step in range(first, config.max_steps):
            done = self._step(sandbox, step, cache)
            rl_log.append_rl_step(self.out / rl_log.RL_LOG, done)
            if (step + 1) % config.save_steps == 0:
                keep = config.save_total_limit
                save_checkpoint(checkpoints, step + 1, self.policy, self.optimizer, self.controller, keep)
            on_step(done)
            if done.alarm is not None and config.kl.on_alarm == "stop":
                raise TrainingError(f"stopped at step {step + 1}: {done.alarm}; {_advice(config)}")

    def _step(self, sandbox: Sandbox | StandIn, step: int, cache: VerdictCache | None) -> rl_log.RlStep:
        import torch

        config = self.config
        began = time.perf_counter()
        self.policy.model.eval()  # no dropout: the policy that learns is the one that drew
        chosen = choose(self.problems, step, config.rollout.prompts, config.seed)
        rollout = roll_out(self.sampler, sandbox, chosen, config.rollout, config.seed, step, self.stop, cache)
        try:
            episodes = [Episode(s.drawn.prompt_ids, s.drawn.token_ids) for s in rollout.samples]
            batch = make_batch(episodes, self.pad_id, self.policy.device)
            # While the last programs still run.
            before, ref_logp = self.policy.see_all(batch, config.batch_size)
            scored, verdicts = self._score(rollout)
        except BaseException:
            rollout.abandon()
            raise
        self._write_answers(step + 1, rollout.samples, scored, verdicts)
        measured = [i for i, answer in enumerate(scored) if answer is not None]
        if not measured:
            raise TrainingError(
                f"step {step + 1}: none of {len(scored)} answers could be measured (infra); see `assay doctor`"
            )
        rows = torch.tensor(measured, device=batch.ids.device)
        batch, before, ref_logp = _rows(batch, before, ref_logp, rows)
        known = [answer for answer in scored if answer is not None]
        rewards, kl = self._token_rewards(known, batch, before, ref_logp)
        gained = objective.advantages(rewards, before.value, batch.mask, config.gamma, config.lam)
        returns = gained + before.value
        critic = objective.explained_variance(before.value, returns, batch.mask)
        if config.whiten:
            gained = objective.whiten(gained, batch.mask)
        rate = self._set_rate(step)
        coefficient = self.controller.coefficient
        update = self._learn(batch, before, gained, returns, step)
        self.controller.update(kl, len(known))
        self.tokens += int(batch.attention.sum())
        train_s = max(0.0, time.perf_counter() - began - rollout.generate_s - rollout.wait_s)
        facts = rl_log.UpdateFacts(
            step + 1, kl, coefficient, None if math.isnan(critic) else critic, rate, self.tokens, train_s
        )
        return rl_log.describe_update(
            config, rollout, scored, verdicts, update, facts, self.controller.alarm(kl)
        )

    def _score(self, rollout: Rollout) -> tuple[list[rl_log.ScoredRollout | None], dict[str, Verdict]]:
        """Return each answer with its reward, None where its execution was not measured, and all verdicts."""
        samples, config = rollout.samples, self.config
        model_scores = [None] * len(samples) if self.model_scores is None else self.model_scores(samples)
        findings = lint_counts([sample.program for sample in samples], config.reward)
        verdicts = rollout.verdicts()
        scored: list[rl_log.ScoredRollout | None] = []
        for key, (sample, model_score) in enumerate(zip(samples, model_scores, strict=True)):
            tokens = len(sample.drawn.token_ids)
            verdict = verdicts[f"paid/{key}"]
            reward = score(sample.program, verdict, tokens, config.reward, model_score, findings[key])
            held_out = verdicts.get(f"held/{key}")
            if reward is None or (held_out is not None and held_out.outcome is Outcome.INFRA):
                scored.append(None)
                continue
            if config.unfinished:
                reward = _less_unfinished(reward, sample, config.unfinished)
            scored.append(rl_log.ScoredRollout(sample, reward, None if held_out is None else held_out.passed))
        return scored, verdicts

    def _token_rewards(
        self, known: Sequence[rl_log.ScoredRollout], batch: Batch, before: PolicyOutput, ref_logp: Tensor
    ) -> tuple[Tensor, float]:
        """Return rewards [rows, steps] and the mean KL of a sequence in nats.

        Every token has the KL penalty, the last the answer's reward too, and shaping where it is asked for.
        """
        import torch

        config = self.config
        per_token = objective.estimate(before.logp, ref_logp, config.kl.estimator) * batch.mask
        rewards = -self.controller.coefficient * per_token
        totals = torch.tensor([answer.reward.total for answer in known], device=rewards.device)
        if config.baseline == "group":
            totals = _less_group_mean(totals, [answer.sample.problem.problem.id for answer in known])
        last = batch.mask.sum(1).long() - 1
        rewards[torch.arange(len(known), device=rewards.device), last] += totals
        if config.shaping.syntax:
            potentials = torch.zeros_like(rewards)
            for row, answer in enumerate(known):
                prompt, tokens = answer.sample.problem.problem.prompt, answer.sample.drawn.token_ids
                alive = syntax_potentials(prompt, tokens, self.decode)
                potentials[row, : len(alive)] = torch.tensor(alive) * config.shaping.syntax
            rewards = rewards + potential_terms(potentials, batch.mask, config.gamma)
        return rewards, per_token.sum(1).mean().item()

    def _learn(
        self, batch: Batch, before: PolicyOutput, gained: Tensor, returns: Tensor, step: int
    ) -> rl_log.Update:
        """Take the epochs of clipped steps over one batch, in minibatches of rows."""
        import torch

        config, updates = self.config, []
        self.policy.recompute_activations()
        order = torch.Generator().manual_seed((config.seed << 20) + step)
        clipped = [*self.policy.trainable(), *self.policy.value_head.parameters()]
        for _ in range(int(config.epochs)):
            for index in torch.randperm(len(batch.ids), generator=order).split(config.batch_size):
                rows = index.to(batch.ids.device)
                piece = batch.rows(rows)
                steps, mask = piece.steps, piece.mask
                seen = self.policy.see(piece)
                policy = objective.policy_loss(
                    seen.logp, before.logp[rows, :steps], gained[rows, :steps], mask, config.clip
                )
                value, value_clipped = objective.value_loss(
                    seen.value, before.value[rows, :steps], returns[rows, :steps], mask, config.value_clip
                )
                entropy = objective.masked_mean(seen.entropy, mask)
                loss = policy.loss + config.value_weight * value - config.entropy_weight * entropy
                if not math.isfinite(loss.item()):
                    raise TrainingError(f"loss is {loss.item()} at step {step + 1}; {_advice(config)}")
                loss.backward()
                norm = torch.nn.utils.clip_grad_norm_(clipped, config.max_grad_norm)
                self.optimizer.step()
                # Before the next forward pass, whose peak they would add to.
                self.optimizer.zero_grad(set_to_none=True)
                updates.append(
                    rl_log.Update(
                        policy.loss.item(),
                        value.item(),
                        entropy.item(),
                        policy.clip_fraction,
                        value_clipped,
                        policy.approx_kl,
                        norm.item(),
                    )
                )
        return rl_log.mean_update(updates)

    def _set_rate(self, step: int) -> float:
        config = self.config
        warmup = config.warmup_steps
        if config.warmup_ratio is not None:
            warmup = math.ceil(config.warmup_ratio * config.max_steps)
        factor = objective.rate_factor(config.scheduler, step, warmup, config.max_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = group["base"] * factor
        return config.learning_rate * factor

    def _write_answers(
        self,
        step: int,
        samples: Sequence[RolloutSample],
        scored: Sequence[rl_log.ScoredRollout | None],
        verdicts: dict[str, Verdict],
    ) -> None:
        """Append every answer with its verdict and its reward, component by component, to `rollouts.jsonl`."""
        rows = [
            {
                "step": step,
                "problem_id": sample.problem.problem.id,
                "index": sample.index,
                "seed": sample.seed,
                "text": sample.drawn.text,
                "n_tokens": len(sample.drawn.token_ids),
                "ended": sample.drawn.ended,
                **rl_log.judged_fields(
                    verdicts[f"paid/{key}"],
                    None if answer is None else answer.reward,
                    None if answer is None else answer.held_passed,
                ),
            }
            for key, (sample, answer) in enumerate(zip(samples, scored, strict=True))
        ]
        rl_log.append_rows(self.out / rl_log.ROLLOUTS, rows)


def _rows(
    batch: Batch, before: PolicyOutput, ref_logp: Tensor, rows: Tensor
) -> tuple[Batch, PolicyOutput, Tensor]:
    """Return the measured rows; the others are in no statistic and are not learned from."""
    kept = batch.rows(rows)
    steps = kept.steps
    return kept, PolicyOutput(*(t[rows, :steps] for t in before)), ref_logp[rows, :steps]


def _less_unfinished(reward: Reward, sample: RolloutSample, weight: float) -> Reward:
    """Return the reward with its component for an answer cut at the length limit: −1 there, 0 elsewhere."""
    cut = 0.0 if sample.drawn.ended else -1.0
    return replace(
        reward, total=reward.total + weight * cut, components=reward.components | {UNFINISHED: cut}
    )


def _less_group_mean(totals: Tensor, problems: Sequence[str]) -> Tensor:
    """Return each answer's reward less the mean of its problem's answers in this batch, a baseline that no action
    changes."""
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


def _recipe(config: PpoConfig, environment: Environment, trainer: PpoTrainer, isolation: str) -> str:
    """Return what was done in one sentence that a person can repeat."""
    rollout, kl = config.rollout, config.kl
    weights = config.reward.weights() | {UNFINISHED: config.unfinished}
    paid = ", ".join(f"{name} {w:g}" for name, w in weights.items() if w)
    price = f"KL {kl.estimator} at {kl.coefficient:g}" + (
        f", adaptive to {kl.target:g}" if kl.adaptive else ""
    )
    size = trainer.ppo.policy.reference_bytes()
    reference = "the adapter switched off" if size == 0 else f"a copy of {size / 2**20:.1f} MiB"
    return (
        f"PPO with execution feedback: {describe_weights(config)}, {config.max_steps} updates of {rollout.prompts} "
        f"problems × {rollout.samples} at T={rollout.temperature:g}, {int(config.epochs)} epochs of minibatches "
        f"of {config.batch_size}, lr {config.learning_rate:g} {config.scheduler}, clip {config.clip:g}, "
        f"γ {config.gamma:g}, λ {config.lam:g}, {price}, reward {paid} on {config.reward.checks} checks "
        f"({isolation}), reference: {reference}, {arithmetic(config)}, seed {config.seed}; "
        f"{environment.counts()} (sha256 {environment.sha256[:12]}){describe_left_out(trainer.left_out)}"
    )
