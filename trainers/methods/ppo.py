"""`method = "ppo"`: from a base model and an environment to an adapter, with everything the run said on the way."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from assay.sandbox import VerdictCache
from assay.suites.sources import verdicts_path
from assay.trainers import TRAINERS
from assay.trainers.artifact import Artifact, ArtifactKind, describe, model_folder
from assay.trainers.config.rl import PpoConfig
from assay.trainers.data.problems import Environment
from assay.trainers.errors import MissingExtraError, TrainingError
from assay.trainers.model.precision import arithmetic
from assay.trainers.model.prepare import Prepare, prepare_model
from assay.trainers.rl.check_split import split_checks
from assay.trainers.rl.log import RlStep
from assay.trainers.rl.loop import UNFINISHED, Ppo
from assay.trainers.rl.policy import Policy, save_value_head
from assay.trainers.rl.reward import judge_of
from assay.trainers.rl.rollout import TrainingProblem, exercise_of, render
from assay.trainers.rl.updates import newest_step
from assay.trainers.run.facts import measure, save_facts, weights_in_words
from assay.trainers.run.folder import CHECKPOINTS, OnStep, claim, finished, save_weights, seeded
from assay.trainers.run.isolation import record_isolation, refuse_weak
from assay.trainers.run.log import LOG, TrainingStep, append_step, keep_until, read_steps, rss_bytes
from assay.trainers.run.runtime import quiet_libraries


@TRAINERS.register("ppo")
def train_ppo(
    base: Artifact, config: PpoConfig, environment: Environment, out: Path, on_step: OnStep | None = None
) -> Artifact:
    """Train a policy that starts as `base` in `environment`, into the folder `out`.

    Beside the adapter (or model) `out` holds `rl_log.jsonl` (one line an update), `rollouts.jsonl` (every answer with
    its verdict and its reward by component), `value_head/` and `training.json`. Called again after a kill it goes on
    from the newest checkpoint and comes to the same curve. Raises TrainingError and MissingExtraError.
    """
    if base.kind not in (ArtifactKind.BASE, ArtifactKind.MERGED, ArtifactKind.TUNED):
        raise TrainingError(
            f"training starts from a base, tuned or merged model; {base.path} is of kind {base.kind}"
        )
    out.mkdir(parents=True, exist_ok=True)
    claim(out, base, config, environment)
    refuse_weak(out, allow_weak=environment.allow_weak)
    if (whole := finished(out, base)) is not None:
        return whole
    started = time.perf_counter()
    try:
        with quiet_libraries(), seeded(config.seed):
            resumed = newest_step(out / CHECKPOINTS)
            keep_until(out / LOG, resumed)
            ppo, tokenizer, left_out = _build(base, config, environment, out)
            ready = time.perf_counter()
            with VerdictCache(verdicts_path()) as cache, environment.sandbox(config.rollout) as sandbox:
                walls = record_isolation(out, sandbox.isolation)
                ppo.run(sandbox, lambda done: _log(done, out, on_step), cache)
            trained = time.perf_counter()
            done = SimpleNamespace(
                model=ppo.policy.model,
                processing_class=tokenizer,
                state=SimpleNamespace(global_step=config.max_steps),
            )
            save_weights(done, config, out)
            save_value_head(ppo.policy, out)
    except ImportError as e:
        raise MissingExtraError(e.name or "a training package", "train") from e
    facts = measure(
        done,
        read_steps(out / LOG),
        config,
        environment,
        base,
        resumed=resumed > 0,
        load_s=ready - started,
        train_s=trained - ready,
        walls=walls,
    )
    save_facts(out, facts)
    said = _in_words(config, environment, ppo, left_out, walls.label)
    made = describe(ArtifactKind.TUNED if config.full else ArtifactKind.ADAPTER, out, base, said)
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
    return made


def _build(base: Artifact, config: PpoConfig, environment: Environment, out: Path) -> tuple[Ppo, Any, int]:
    """(the run, its tokenizer, how many problems were left out because their checks cannot be halved)."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(model_folder(base)))
    exercises, left_out = exercises_of(environment, config, tokenizer)
    policy = make_policy(base, config)
    sampler = environment.sampler()(policy.model, tokenizer, batch_size=config.rollout.batch_size)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    ppo = Ppo(
        policy,
        sampler,
        exercises,
        config,
        out,
        pad_id=int(pad),
        decode=lambda ids: str(tokenizer.decode(list(ids), skip_special_tokens=True)),
        stop=environment.stop,
        judge=judge_of(config.reward, config.rollout.style),
    )
    return ppo, tokenizer, left_out


def make_policy(base: Artifact, config: PpoConfig, prepare: Prepare = prepare_model) -> Policy:
    """The prepared model with a value head, its reference being the adapter's absence or a copy."""
    import copy

    import torch

    dtype = arithmetic(config)
    model = prepare(base, config, dtype, "sdpa")
    if config.quantization is None:  # a quantised model is where it was loaded
        model.to("cuda" if torch.cuda.is_available() else "cpu")
    frozen = None
    if config.reference == "copy":
        if config.full:
            frozen = copy.deepcopy(model)
        else:
            with model.disable_adapter():
                frozen = copy.deepcopy(model.get_base_model())
            frozen = _without_adapter(frozen)
        frozen.eval().requires_grad_(False)
    if config.checkpoints(gpu=torch.cuda.is_available()):
        model.gradient_checkpointing_enable()
        model.enable_input_require_grads()
    return Policy(
        model,
        copy=frozen,
        temperature=config.rollout.temperature,
        value_reaches_backbone=config.value_reaches_backbone,
        bf16=dtype == "bf16",
    )


def exercises_of(environment: Environment, config: Any, tokenizer: Any) -> tuple[list[TrainingProblem], int]:
    """The problems as they are practised, and how many were left out because their checks cannot be halved, or made as
    weak as it is asked."""
    table, found, left_out = config.reward, [], 0
    for problem in environment.kept:
        halves = split_checks(problem) if table.checks == "half" else None
        if table.checks == "half" and halves is None:
            left_out += 1
            continue
        prompt = render(problem, config.rollout.style, tokenizer)
        exercise = exercise_of(problem, prompt, halves, table.weak)
        if exercise.paid:
            found.append(exercise)
        else:
            left_out += 1
    if not found and table.weak == "types":
        raise TrainingError(
            'reward.weak = "types": no problem has a check of the form `assert call(...) == literal`; leave weak out'
        )
    if not found:
        raise TrainingError(
            'reward.checks = "half": no problem has two checks that can be told apart; use "all"'
        )
    return found, left_out


def left_out_in_words(left_out: int) -> str:
    return f"; {left_out} problems left out, their checks cannot be halved or weakened" if left_out else ""


def _without_adapter(model: Any) -> Any:
    """A copy of the base with its adapter layers taken off again."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            parent, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(parent), leaf, module.get_base_layer())
    return model


def _log(done: RlStep, out: Path, on_step: OnStep | None) -> None:
    """The step as every method logs it; `loss` is the policy's."""
    import torch

    assert done.grad_norm is not None  # ours always says it
    cuda = torch.cuda.is_available()
    took = done.generate_s + done.execute_wait_s + done.train_s
    before = read_steps(out / LOG)
    step = TrainingStep(
        step=done.step,
        total_steps=done.total_steps,
        epoch=0.0,
        loss=done.policy_loss,
        learning_rate=done.learning_rate,
        grad_norm=done.grad_norm,
        tokens=done.tokens,
        tok_per_s=(done.tokens - (before[-1].tokens if before else 0)) / max(took, 1e-9),
        rss_bytes=rss_bytes(),
        vram_bytes=int(torch.cuda.max_memory_allocated()) if cuda else None,
    )
    append_step(out / LOG, step)
    if on_step is not None:
        on_step(step)


def _in_words(config: PpoConfig, environment: Environment, ppo: Ppo, left_out: int, isolation: str) -> str:
    rollout, kl = config.rollout, config.kl
    weights = config.reward.weights() | {UNFINISHED: config.unfinished}
    paid = ", ".join(f"{name} {w:g}" for name, w in weights.items() if w)
    price = f"KL {kl.estimator} at {kl.coefficient:g}" + (
        f", adaptive to {kl.target:g}" if kl.adaptive else ""
    )
    size = ppo.policy.reference_bytes()
    reference = "the adapter switched off" if size == 0 else f"a copy of {size / 2**20:.1f} MiB"
    said = (
        f"PPO with execution feedback: {weights_in_words(config)}, {config.max_steps} updates of {rollout.prompts} "
        f"problems × {rollout.samples} at T={rollout.temperature:g}, {int(config.epochs)} epochs of minibatches "
        f"of {config.batch_size}, lr {config.learning_rate:g} {config.scheduler}, clip {config.clip:g}, "
        f"γ {config.gamma:g}, λ {config.lam:g}, {price}, reward {paid} on {config.reward.checks} checks "
        f"({isolation}), reference: {reference}, {arithmetic(config)}, seed {config.seed}; "
        f"{environment.counts()} (sha256 {environment.sha256[:12]})"
    )
    return said + left_out_in_words(left_out)
