"""RLOO and GRPO, by TRL: control arms for our PPO, on the same problems, the same reward and the same budget.

TRL draws with transformers' own `generate` and executes nothing beside it, so their wall time is not PPO's; what an
update costs is counted in answers and tokens.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from assay.sandbox import Executor, Outcome, Sandbox, VerdictCache
from assay.suites.extraction.extract import Form, extract
from assay.suites.model import chat_messages
from assay.trainers import TRAINERS
from assay.trainers.artifact import Artifact
from assay.trainers.config import GrpoConfig, RlooConfig
from assay.trainers.config.rl import GroupConfig, group_arguments
from assay.trainers.data.problems import Environment
from assay.trainers.errors import TrainingError
from assay.trainers.methods import _trl
from assay.trainers.model.precision import arithmetic
from assay.trainers.model.prepare import describe_weights, prepare_model
from assay.trainers.rl import log as rl_log
from assay.trainers.rl.check_split import TrainingProblem, describe_left_out, training_problems
from assay.trainers.rl.reward import Reward, lint_counts, score
from assay.trainers.rl.rollout import programs_of
from assay.trainers.run.log import LOG, OnStep, keep_until, read_steps
from assay.trainers.templates import load_tokenizer

GroupTable = RlooConfig | GrpoConfig


@TRAINERS.register("rloo")
@TRAINERS.register("grpo")
def train_groups(
    base: Artifact, config: GroupTable, environment: Environment, out: Path, on_step: OnStep | None = None
) -> Artifact:
    """Train in `environment` into the folder `out`, which also gets `rl_log.jsonl` (one line an update, as PPO's),
    `rollouts.jsonl` and `preference_log.jsonl` (TRL's figures an optimiser step). Raises TrainingError."""
    if config.reward.model is not None:
        raise TrainingError(
            "reward.model: rloo and grpo are paid by execution alone here; leave the reward model out"
        )
    return _trl.train_in_environment(
        base,
        config,
        environment,
        out,
        lambda sandbox, cache: build_trainer(base, config, environment, sandbox, out, on_step, cache),
        lambda trainer, isolation: _recipe(config, environment, trainer, isolation),
    )


def build_trainer(
    base: Artifact,
    config: GroupTable,
    environment: Environment,
    sandbox: Sandbox,
    out: Path,
    on_step: OnStep | None = None,
    cache: VerdictCache | None = None,
) -> Any:
    """Return the trl.RLOOTrainer or trl.GRPOTrainer, ready to train."""
    import trl
    from datasets import Dataset

    arguments = _trl.trainer_arguments(config, out, group_arguments(config))
    if isinstance(config, GrpoConfig):
        arguments |= {"scale_rewards": "group" if config.scale_rewards else "none", "loss_type": "grpo"}
        kind, args = trl.GRPOTrainer, trl.GRPOConfig(**arguments)
    else:
        kind, args = trl.RLOOTrainer, trl.RLOOConfig(**arguments)
    tokenizer = load_tokenizer(base)
    problems, left_out = training_problems(environment, config.reward, config.rollout.style, tokenizer)
    if len(problems) < config.rollout.prompts:
        raise TrainingError(
            f"rollout.prompts: {config.rollout.prompts} problems a step are asked for and there are "
            f"{len(problems)}{describe_left_out(left_out)}; TRL leaves an incomplete batch out and would learn from "
            f"none: set rollout.prompts to at most {len(problems)}, or give more problems"
        )
    chat = config.rollout.style == "chat"
    rows = [
        {"prompt": chat_messages(p.problem) if chat else p.prompt, "place": place}
        for place, p in enumerate(problems)
    ]
    steps = read_steps(out / LOG)
    done = steps[-1].step if steps else 0
    keep_until(out / rl_log.ROLLOUTS, done)
    keep_until(out / rl_log.RL_LOG, done // steps_per_update(config))
    log = UpdateLog(config, out)
    trainer = _trl.assemble(
        kind,
        prepare_model(base, config, arithmetic(config), "sdpa"),
        config,
        args,
        out,
        on_step,
        callbacks=[_trl.metrics_callback(out), log.callback()],
        reward_funcs=execution_reward(problems, config, sandbox, out, log, cache),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    log.time_generation(trainer)
    return trainer


def execution_reward(
    problems: Sequence[TrainingProblem],
    config: GroupTable,
    sandbox: Sandbox,
    out: Path,
    log: UpdateLog | None = None,
    cache: VerdictCache | None = None,
) -> Any:
    """Return the reward as TRL calls it, once an update: a number for each answer, None where its execution was not
    measured (infra).

    The held-out checks are executed beside the ones that pay, and pay nothing. Raises TrainingError where no answer
    could be measured.
    """
    form: Form = "reply" if config.rollout.style == "chat" else "completion"

    def reward(
        completions: Sequence[Any], completion_ids: Sequence[Sequence[int]], place: Sequence[int], **more: Any
    ) -> list[float | None]:
        of_answers = [problems[p] for p in place]
        texts = [c if isinstance(c, str) else c[0]["content"] for c in completions]
        candidates = [
            extract(p.problem, text, form).program for p, text in zip(of_answers, texts, strict=True)
        ]
        to_run = [
            program
            for key, (problem, candidate) in enumerate(zip(of_answers, candidates, strict=True))
            for program in programs_of(key, problem, candidate, config.rollout)
        ]
        began = time.perf_counter()
        verdicts = {v.id: v for v in Executor(sandbox, cache=cache).run(to_run)}
        took_s = time.perf_counter() - began
        state = more.get("trainer_state")
        step = 1 + (0 if state is None else int(state.global_step))
        findings = lint_counts(candidates, config.reward)
        answers, rows = [], []
        for key, (problem, candidate) in enumerate(zip(of_answers, candidates, strict=True)):
            verdict, other = verdicts[f"paid/{key}"], verdicts.get(f"held/{key}")
            n_tokens = len(completion_ids[key])
            paid = score(candidate, verdict, n_tokens, config.reward, findings=findings[key])
            held_passed = None if other is None or other.outcome is Outcome.INFRA else other.passed
            answers.append(ScoredAnswer(paid, held_passed, str(verdict.outcome), n_tokens))
            rows.append(
                {
                    "step": step,
                    "problem_id": problem.problem.id,
                    "text": texts[key],
                    "n_tokens": n_tokens,
                    **rl_log.judged_fields(verdict, paid, held_passed),
                }
            )
        rl_log.append_rows(out / rl_log.ROLLOUTS, rows)
        if all(answer.reward is None for answer in answers):
            raise TrainingError(
                f"step {step}: none of {len(answers)} answers could be measured (infra); see `assay doctor`"
            )
        if log is not None:
            log.add(answers, took_s)
        return [None if answer.reward is None else answer.reward.total for answer in answers]

    reward.__name__ = "execution"  # TRL's figures carry it
    return reward


def steps_per_update(config: GroupConfig) -> int:
    """Return how many of TRL's optimiser steps make one update of ours."""
    return config.rollout.batch // config.batch_size * int(config.epochs)


@dataclass(frozen=True, slots=True)
class ScoredAnswer:
    """One answer: its reward (None: infra, not measured), whether the held-out checks passed (None: not known)."""

    reward: Reward | None
    held_passed: bool | None
    outcome: str
    tokens: int


class UpdateLog:
    """The log of RLOO's and GRPO's updates in PPO's terms.

    TRL logs optimiser steps, of which an update has several, and measures neither checks nor verdicts nor the time of
    executing. This gathers both into one `RlStep` an update: `add` takes an update's answers, `callback` writes the
    line when the update's last optimiser step is logged. Create it after the log has been cut back to where a resumed
    run goes on.
    """

    def __init__(self, config: GroupConfig, out: Path) -> None:
        self.config = config
        self.file = out / rl_log.RL_LOG
        self.steps_per_update = steps_per_update(config)
        before = rl_log.read_rl_steps(self.file)
        self.tokens_before = before[-1].tokens if before else 0
        self._begin()

    def _begin(self) -> None:
        self.answers: list[ScoredAnswer] = []
        self.logs: list[dict[str, float]] = []
        self.generate_s = self.execute_s = self.took_s = 0.0

    def add(self, answers: Sequence[ScoredAnswer], execute_s: float) -> None:
        """Take an update's answers, which were executed in `execute_s` seconds of wall time."""
        self.answers += answers
        self.execute_s += execute_s

    def time_generation(self, trainer: Any) -> None:
        """Time TRL's `_generate`, in which its trainers draw."""
        plain = trainer._generate

        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter()
            try:
                return plain(*args, **kwargs)
            finally:
                self.generate_s += time.perf_counter() - began

        trainer._generate = timed

    def callback(self) -> Any:
        """Return the transformers.TrainerCallback that writes the lines."""
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
                    rl_log.append_rl_step(log.file, log._line(state.global_step // log.steps_per_update))
                    log._begin()

        return Updates()

    def _line(self, update: int) -> rl_log.RlStep:
        config = self.config
        paid = [(a.reward, a.held_passed) for a in self.answers if a.reward is not None]
        length = fmean(a.tokens for a in self.answers if a.reward is not None)
        kl = self._mean("kl")
        return rl_log.RlStep(
            step=update,
            total_steps=config.max_steps,
            **rl_log.mean_reward(paid)._asdict(),
            # TRL's is a mean over tokens: RLOO's k1 of the policy that drew, GRPO's k3 over the update's steps
            kl=None if kl is None else kl * self._mean_of_all("completions/mean_length", length),
            kl_coefficient=config.beta,
            policy_loss=self._mean_of_all("loss", math.nan),
            entropy=self._mean("entropy"),
            clip_fraction=self._mean("clip_ratio/region_mean"),
            grad_norm=self._mean("grad_norm"),
            learning_rate=self._mean_of_all("learning_rate", 0.0),
            length=length,
            unfinished=self._mean_of_all("completions/clipped_ratio", 0.0),
            answers=len(paid),
            infra=len(self.answers) - len(paid),
            tampering=sum(bool(reward.reason) for reward, _ in paid),
            tokens=self.tokens_before + int(max(row.get("num_tokens", 0.0) for row in self.logs)),
            generate_s=self.generate_s,
            execute_wait_s=self.execute_s,  # TRL executes nothing while it draws
            execute_s=self.execute_s,
            train_s=max(0.0, self.took_s - self.generate_s - self.execute_s),
            outcomes=dict(Counter(answer.outcome for answer in self.answers)),
        )

    def _mean(self, name: str) -> float | None:
        """Return the mean over the update's optimiser steps that have the figure; None where none has it."""
        values = [row[name] for row in self.logs if math.isfinite(row.get(name, math.nan))]
        return fmean(values) if values else None

    def _mean_of_all(self, name: str, default: float) -> float:
        mean = self._mean(name)
        return default if mean is None else mean


def _recipe(config: GroupTable, environment: Environment, trainer: Any, isolation: str) -> str:
    """Return what was done in one sentence that a person can repeat."""
    rollout = config.rollout
    paid = ", ".join(f"{name} {w:g}" for name, w in config.reward.weights().items() if w)
    left_out = len(environment.kept) - len(trainer.train_dataset)
    return (
        f"{config.method.upper()} with TRL: {describe_weights(config)}, {config.max_steps} updates of "
        f"{rollout.prompts} problems × {rollout.samples} at T={rollout.temperature:g} "
        f"({trainer.state.global_step} optimiser steps of {config.batch_size}), β={config.beta:g}, "
        f"lr {config.learning_rate:g} {config.scheduler}, reward {paid} on {config.reward.checks} checks "
        f"({isolation}), {arithmetic(config)}, seed {config.seed}; {environment.counts()} "
        f"(sha256 {environment.sha256[:12]}){describe_left_out(left_out)}"
    )
