"""RLOO and GRPO, by TRL: control arms for our PPO, on the same problems, the same reward and the same budget.

TRL draws with transformers' own `generate` and executes nothing beside it, so their wall time is not PPO's; what an
update costs is counted in answers and tokens.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assay.sandbox import Executor, Outcome, Program, Sandbox, VerdictCache
from assay.suites.extraction.extract import Form, extract
from assay.suites.model import chat_messages
from assay.suites.sources import verdicts_path
from assay.trainers import TRAINERS
from assay.trainers.artifact import Artifact
from assay.trainers.config import GrpoConfig, RlooConfig
from assay.trainers.config.rl import group_arguments
from assay.trainers.data.problems import Environment, limits_of
from assay.trainers.errors import TrainingError
from assay.trainers.methods.ppo import exercises_of, left_out_in_words
from assay.trainers.model.optimizers import make_optimizer
from assay.trainers.model.precision import arithmetic
from assay.trainers.model.prepare import prepare_model
from assay.trainers.preference.parts import forget_after, load_tokenizer, metrics_callback, with_adapter_off
from assay.trainers.rl.log import RL_LOG, ROLLOUTS, append_rows
from assay.trainers.rl.reward import score
from assay.trainers.rl.rollout import TrainingProblem
from assay.trainers.rl.updates import Judged, UpdateLog, steps_per_update
from assay.trainers.run.callback import step_callback
from assay.trainers.run.facts import weights_in_words
from assay.trainers.run.folder import CHECKPOINTS, OnStep, claim, finished, train_into
from assay.trainers.run.isolation import record_isolation, refuse_weak
from assay.trainers.run.log import LOG, keep_until, read_steps

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
    out.mkdir(parents=True, exist_ok=True)
    claim(out, base, config, environment)
    refuse_weak(out, allow_weak=environment.allow_weak)
    if (whole := finished(out, base)) is not None:
        return whole
    with VerdictCache(verdicts_path()) as cache, environment.sandbox(config.rollout) as sandbox:
        walls = record_isolation(out, sandbox.isolation)
        return train_into(
            out,
            base,
            config,
            environment,
            lambda: build_trainer(base, config, environment, sandbox, out, on_step, cache),
            lambda trainer: _in_words(config, environment, trainer, walls.label),
            walls,
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
    """The trl.RLOOTrainer or trl.GRPOTrainer, ready to train."""
    import torch
    import trl
    from datasets import Dataset
    from transformers import PrinterCallback

    use_cpu, dtype = not torch.cuda.is_available(), arithmetic(config)
    arguments = group_arguments(config, str(out / CHECKPOINTS), use_cpu=use_cpu, dtype=dtype)
    if isinstance(config, GrpoConfig):
        arguments |= {"scale_rewards": "group" if config.scale_rewards else "none", "loss_type": "grpo"}
        kind, args = trl.GRPOTrainer, trl.GRPOConfig(**arguments)
    else:
        kind, args = trl.RLOOTrainer, trl.RLOOConfig(**arguments)
    tokenizer = load_tokenizer(base)
    exercises, left_out = exercises_of(environment, config, tokenizer)
    if len(exercises) < config.rollout.prompts:
        raise TrainingError(
            f"rollout.prompts: {config.rollout.prompts} problems a step are asked for and there are "
            f"{len(exercises)}{left_out_in_words(left_out)}; TRL leaves an incomplete batch out and would learn from "
            f"none: set rollout.prompts to at most {len(exercises)}, or give more problems"
        )
    chat = config.rollout.style == "chat"
    rows = [
        {"prompt": chat_messages(e.problem) if chat else e.prompt, "place": place}
        for place, e in enumerate(exercises)
    ]
    forget_after(out)
    steps = read_steps(out / LOG)
    done = steps[-1].step if steps else 0
    keep_until(out / ROLLOUTS, done)
    keep_until(out / RL_LOG, done // steps_per_update(config))
    log = UpdateLog(config, out)
    model = prepare_model(base, config, dtype, "sdpa")

    def build(policy: Any) -> Any:
        return kind(
            policy,
            reward_funcs=execution_reward(exercises, config, sandbox, out, log, cache),
            args=args,
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            optimizers=(make_optimizer(policy, config, args), None),
            callbacks=[
                step_callback(out, out / CHECKPOINTS, config.alarm, on_step, scaled=dtype == "fp16"),
                metrics_callback(out),
                log.callback(),
            ],
        )

    trainer = with_adapter_off(build, model, config)
    log.time_generation(trainer)
    trainer.remove_callback(PrinterCallback)
    return trainer


def execution_reward(
    exercises: Sequence[TrainingProblem],
    config: GroupTable,
    sandbox: Sandbox,
    out: Path,
    log: UpdateLog | None = None,
    cache: VerdictCache | None = None,
) -> Any:
    """The reward as TRL calls it, once an update: a number for each answer, None where its execution was not measured
    (infra). The held-out checks are executed beside the ones that pay, and pay nothing. Raises TrainingError where no
    answer could be measured."""
    form: Form = "reply" if config.rollout.style == "chat" else "completion"

    def reward(
        completions: Sequence[Any], completion_ids: Sequence[Sequence[int]], place: Sequence[int], **more: Any
    ) -> list[float | None]:
        asked = [exercises[p] for p in place]
        texts = [c if isinstance(c, str) else c[0]["content"] for c in completions]
        programs = [extract(e.problem, text, form).program for e, text in zip(asked, texts, strict=True)]
        began = time.perf_counter()
        verdicts = {v.id: v for v in Executor(sandbox, cache=cache).run(_programs(asked, programs, config))}
        took_s = time.perf_counter() - began
        state = more.get("trainer_state")
        step = 1 + (0 if state is None else int(state.global_step))
        found, rows = [], []
        for key, (e, program) in enumerate(zip(asked, programs, strict=True)):
            verdict, other = verdicts[str(key)], verdicts.get(f"held/{key}")
            one = score(program, verdict, len(completion_ids[key]), config.reward)
            held = None if other is None or other.outcome is Outcome.INFRA else other.passed
            found.append(Judged(one, held, str(verdict.outcome), len(completion_ids[key])))
            rows.append(
                {
                    "step": step,
                    "problem_id": e.problem.id,
                    "text": texts[key],
                    "n_tokens": len(completion_ids[key]),
                    "outcome": str(verdict.outcome),
                    "mode": verdict.mode,
                    "reward": None if one is None else one.total,
                    "components": None if one is None else one.components,
                    "why": "infra: not measured" if one is None else one.why,
                    "held_passed": held,
                }
            )
        append_rows(out / ROLLOUTS, rows)
        if all(j.reward is None for j in found):
            raise TrainingError(
                f"step {step}: none of {len(found)} answers could be measured (infra); see `assay doctor`"
            )
        if log is not None:
            log.judge(found, took_s)
        return [None if j.reward is None else j.reward.total for j in found]

    reward.__name__ = "execution"  # TRL's figures carry it
    return reward


def _programs(asked: Sequence[TrainingProblem], programs: Sequence[str], config: GroupTable) -> list[Program]:
    """An answer's number names the program with the checks that pay; `held/` before it, the one with the others."""
    return [
        Program(
            id=f"{half}{key}",
            candidate=program,
            checks=checks,
            entry_point=e.problem.entry_point,
            limits=limits_of(config.rollout),
            prelude=e.problem.prompt,
            mode=e.problem.mode,
        )
        for key, (e, program) in enumerate(zip(asked, programs, strict=True))
        for half, checks in (("", e.paid), ("held/", e.held))
        if checks
    ]


def _in_words(config: GroupTable, environment: Environment, trainer: Any, isolation: str) -> str:
    rollout = config.rollout
    paid = ", ".join(f"{name} {w:g}" for name, w in config.reward.weights().items() if w)
    left_out = len(environment.kept) - len(trainer.train_dataset)
    return (
        f"{config.method.upper()} with TRL: {weights_in_words(config)}, {config.max_steps} updates of "
        f"{rollout.prompts} problems × {rollout.samples} at T={rollout.temperature:g} "
        f"({trainer.state.global_step} optimiser steps of {config.batch_size}), β={config.beta:g}, "
        f"lr {config.learning_rate:g} {config.scheduler}, reward {paid} on {config.reward.checks} checks "
        f"({isolation}), "
        f"{arithmetic(config)}, seed {config.seed}; {environment.counts()} "
        f"(sha256 {environment.sha256[:12]}){left_out_in_words(left_out)}"
    )
