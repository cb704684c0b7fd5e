"""The run of a trainer: what the methods share, from the claimed folder to the saved and described weights.

A method builds its trainer (`assemble`) and describes what it did; `train_into` does the rest, and the same for all:

    claim the folder → find the newest checkpoint → build → train → save the weights → record what it took → describe

`assemble` gives any trainer of transformers or TRL our optimiser, logs and alarms, and keeps its reference cheap. The
functions behind it are for the methods that learn from preferences: the tokenizer's check, the reference model, the
log of margins, the text of the recipe.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from assay.sandbox import Sandbox, VerdictCache
from assay.suites.sources import verdicts_path
from assay.trainers.artifact import Artifact, ArtifactKind, describe, model_folder
from assay.trainers.config import CommonConfig
from assay.trainers.config.common import common_arguments
from assay.trainers.data.inputs import TrainingData
from assay.trainers.data.preferences import Preferences, as_examples
from assay.trainers.data.problems import Environment
from assay.trainers.errors import TrainingError, needs_extra
from assay.trainers.model.optimizers import make_optimizer
from assay.trainers.model.precision import arithmetic, base_dtype, torch_dtype
from assay.trainers.model.prepare import (
    Prepare,
    describe_weights,
    parameter_bytes,
    prepare_model,
    restore,
    trainable_copies,
)
from assay.trainers.run import folder
from assay.trainers.run.callback import step_callback
from assay.trainers.run.facts import measure, save_facts
from assay.trainers.run.log import LOG, OnStep, append_line, keep_until, read_steps
from assay.trainers.run.runtime import bound_compiled_products, quiet_libraries
from assay.trainers.templates import load_tokenizer

METRICS = "preference_log.jsonl"


def train_into(
    out: Path,
    base: Artifact,
    config: CommonConfig,
    data: TrainingData,
    build: Callable[[], Any],
    recipe: Callable[[Any], str],
    isolation: folder.RewardIsolation | None = None,
    checkpoint_files: Sequence[str] | None = None,
) -> Artifact:
    """Train what `build` returns, from the newest checkpoint on, and save it in `out`; return the artifact.

    `build` returns a transformers.Trainer, or an object with its `train`, `model`, `processing_class` and
    `state.global_step`; `recipe` describes the run once it has ended. `isolation` is that of the sandbox which executed
    answers, where the method has one. `checkpoint_files` are those of a complete checkpoint, where it is not
    transformers'. Raises TrainingError and MissingExtraError.
    """
    if (finished := folder.claim(out, base, config, data)) is not None:
        return finished
    started = time.perf_counter()
    bound_compiled_products()
    with needs_extra("train", "a training package"), quiet_libraries(), folder.seeded(config.seed):
        checkpoint = folder.resume_point(out, config, checkpoint_files)
        trainer = build()
        ready = time.perf_counter()
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        trained = time.perf_counter()
        if not trainer.state.global_step:
            raise TrainingError(
                f"{config.method} made no step on {data.counts()}: nothing was learned, and nothing is kept"
            )
        text = recipe(trainer)
        folder.save_weights(trainer, config, out)
    facts = measure(
        trainer,
        read_steps(out / LOG),
        config,
        data,
        base,
        resumed=checkpoint is not None,
        load_s=ready - started,
        train_s=trained - ready,
        isolation=isolation,
    )
    save_facts(out, facts)
    artifact = describe(ArtifactKind.TUNED if config.full else ArtifactKind.ADAPTER, out, base, text)
    shutil.rmtree(out / folder.CHECKPOINTS, ignore_errors=True)
    return artifact


def train_in_environment(
    base: Artifact,
    config: Any,
    environment: Environment,
    out: Path,
    build: Callable[[Sandbox, VerdictCache], Any],
    recipe: Callable[[Any, str], str],
    checkpoint_files: Sequence[str] | None = None,
) -> Artifact:
    """Run `train_into` with a sandbox and the verdict cache open, for `build(sandbox, cache)`; the folder records the
    isolation of its rewards.

    `recipe` gets the trainer and the label of that isolation. A finished folder is returned without a sandbox.
    """
    folder.refuse_weak(out, allow_weak=environment.allow_weak)
    if (finished := folder.claim(out, base, config, environment)) is not None:
        return finished
    with VerdictCache(verdicts_path()) as cache, environment.sandbox(config.rollout) as sandbox:
        isolation = folder.record_isolation(out, sandbox.isolation)
        return train_into(
            out,
            base,
            config,
            environment,
            lambda: build(sandbox, cache),
            lambda trainer: recipe(trainer, isolation.label),
            isolation,
            checkpoint_files,
        )


def trainer_arguments(
    config: CommonConfig, out: Path, own: dict[str, Any], *, evaluate: bool = False
) -> dict[str, Any]:
    """Return the library's keyword arguments for `config` on this machine; `own` are those of the method alone."""
    import torch

    use_cpu, checkpoints = not torch.cuda.is_available(), str(out / folder.CHECKPOINTS)
    dtype = arithmetic(config)
    return common_arguments(config, checkpoints, use_cpu=use_cpu, dtype=dtype, evaluate=evaluate) | own


def assemble(
    kind: Callable[..., Any],
    model: Any,
    config: CommonConfig,
    args: Any,
    out: Path,
    on_step: OnStep | None,
    *,
    callbacks: Iterable[Any] = (),
    **arguments: Any,
) -> Any:
    """Return `kind(model, …)`, a trainer of transformers or TRL with our optimiser, step log and alarms.

    TRL puts a second adapter "ref" into a model that comes with one, a copy of the first as it is now. A fresh adapter
    changes nothing, so that copy costs memory and time for what switching the adapter off does as well; it is taken out
    again, and TRL then switches off. Trainable weights that TRL cast (quantised bases) are put back into fp32.
    """
    from transformers import PrinterCallback

    kept_fp32 = trainable_copies(model) if config.quantization is not None else {}
    scaled = arithmetic(config) == "fp16"
    trainer = kind(
        model,
        args=args,
        optimizers=(make_optimizer(model, config, args), None),
        callbacks=[
            step_callback(out, out / folder.CHECKPOINTS, config.alarm, on_step, scaled=scaled),
            *callbacks,
        ],
        **arguments,
    )
    if "ref" in getattr(trainer.model, "peft_config", {}):
        trainer.model.delete_adapter("ref")
        trainer.model.set_adapter("default")
    restore(trainer.model, kept_fp32)
    trainer.remove_callback(PrinterCallback)  # it prints to stdout, which is for results
    return trainer


def check_held_out(config: CommonConfig, evaluation: object | None) -> None:
    """Raise TrainingError where the best checkpoint is asked for and nothing is held out to choose it by."""
    if config.keep_best and evaluation is None:
        raise TrainingError("keep_best: no records are held out; give eval_fraction, eval_file or eval_split")


def describe_unused(config: CommonConfig, evaluation: object | None) -> str:
    """Return a note where `eval_steps` has no records to evaluate on; it may come from a machine's environment, for
    trainings with and without them."""
    unused = config.eval_steps is not None and evaluation is None
    return ", eval_steps unused: nothing is held out" if unused else ""


def load_policy(base: Artifact, config: CommonConfig, prepare: Prepare = prepare_model) -> Any:
    """Return the prepared model (adapter on, or every weight) on the attention that suits its length."""
    import torch

    attention = config.attention(gpu=torch.cuda.is_available())
    return prepare(base, config, arithmetic(config), attention)


# Methods that learn from preferences.


def train_on_preferences(
    build: Callable[..., Any],
    base: Artifact,
    config: CommonConfig,
    preferences: Preferences,
    out: Path,
    on_step: OnStep | None,
    loss: str,
    by: str = "TRL",
) -> Artifact:
    """Run `train_into` with the trainer that a method's `build` makes; `loss` and `by` are for the recipe."""
    return train_into(
        out,
        base,
        config,
        preferences,
        lambda: build(base, config, preferences, out, on_step),
        lambda trainer: describe_preferences(config, preferences, trainer, loss, by),
    )


def preference_tokenizer(base: Artifact, config: CommonConfig, preferences: Preferences) -> Any:
    """Return the base's tokenizer. Raises TrainingError where it cannot render the preferences."""
    tokenizer = load_tokenizer(base)
    check_preferences(config, preferences, tokenizer)
    return tokenizer


def check_preferences(config: CommonConfig, preferences: Preferences, tokenizer: Any) -> None:
    """Raise TrainingError where the preferences are chats and the model has no template for them, or where the best
    checkpoint is asked for and no pair is held out to choose it by."""
    check_held_out(config, preferences.evaluation)
    if tokenizer.chat_template is None and any(not isinstance(row.prompt, str) for row in preferences.kept):
        raise TrainingError(
            "the pairs are chats and this model has no chat template; make pairs of bare completions"
        )


def assemble_on_preferences(
    kind: Callable[..., Any],
    model: Any,
    config: CommonConfig,
    args: Any,
    out: Path,
    on_step: OnStep | None,
    preferences: Preferences,
    **arguments: Any,
) -> Any:
    """Return TRL's trainer `kind` over the rows of `preferences`, with the log of margins."""
    from datasets import Dataset

    held_out = preferences.evaluation

    return assemble(
        kind,
        model,
        config,
        args,
        out,
        on_step,
        callbacks=[metrics_callback(out)],
        train_dataset=Dataset.from_list(as_examples(preferences.kept)),
        eval_dataset=None if held_out is None else Dataset.from_list(as_examples(held_out.kept)),
        **arguments,
    )


def make_reference(base: Artifact, config: Any) -> Any:
    """Return the separate frozen copy, or None where the policy with its adapter off serves."""
    if config.reference != "copy":
        return None
    from transformers import AutoModelForCausalLM

    kept = torch_dtype(base_dtype(config, arithmetic(config)))
    return AutoModelForCausalLM.from_pretrained(
        str(model_folder(base)), dtype=kept, trust_remote_code=False, use_safetensors=True
    )


def reference_bytes(trainer: Any) -> int:
    """Return what the reference costs beyond the policy, in bytes."""
    reference = getattr(trainer, "ref_model", None)
    return 0 if reference is None else parameter_bytes(reference)


def metrics_callback(out: Path, extra: Callable[[bool], dict[str, float]] | None = None) -> Any:
    """Return the callback that logs what a method measures beside the loss (margins, accuracies, log-probabilities).

    One line a step in `preference_log.jsonl`, which is cut back to where a resumed run goes on. `extra` is called for
    further figures with whether the line is of held-out records.
    """
    from transformers import TrainerCallback

    steps = read_steps(out / LOG)
    keep_until(out / METRICS, steps[-1].step if steps else 0)

    class Metrics(TrainerCallback):  # type: ignore[misc]  # the hook that transformers offers
        def on_log(self, _args: Any, state: Any, _control: Any, logs: dict[str, float], **_: Any) -> None:
            if "loss" not in logs and "eval_loss" not in logs:
                return
            row: dict[str, Any] = {"step": state.global_step, "eval": "eval_loss" in logs}
            row |= {name: float(value) for name, value in logs.items() if isinstance(value, int | float)}
            row |= extra(row["eval"]) if extra is not None else {}
            append_line(out / METRICS, row)

    return Metrics()


def describe_preferences(
    config: Any, preferences: Preferences, trainer: Any, loss: str, by: str = "TRL"
) -> str:
    """Return the recipe of a training on preferences; `loss` is the loss with its convention."""
    size = reference_bytes(trainer)
    if not hasattr(config, "reference"):
        reference = ""
    elif size == 0:
        reference = ", reference: the adapter switched off, no memory of its own"
    else:
        reference = f", reference: a copy of {size / 2**20:.1f} MiB"
    return (
        f"{config.method.upper()} with {by}: {loss}; {describe_weights(config)}{reference}, "
        f"{trainer.state.global_step} steps of {config.batch_size}x{config.gradient_accumulation_steps}, "
        f"lr {config.learning_rate:g} {config.scheduler}, {arithmetic(config)}, seed {config.seed}; "
        f"{preferences.counts()} (sha256 {preferences.sha256[:12]}){_describe_lost(config, preferences, trainer)}"
        f"{describe_unused(config, preferences.evaluation)}"
    )


def _describe_lost(config: Any, preferences: Preferences, trainer: Any) -> str:
    """Return how many preferences were not learned from, or not measured; TRL's tokenising drops them silently."""
    text = ""
    for part, dataset, where in (
        (preferences, trainer.train_dataset, ""),
        (preferences.evaluation, trainer.eval_dataset, " held out"),
    ):
        if part is None:
            continue
        given, what = (part.opinions(), "answers") if config.method == "kto" else (part.kept, "pairs")
        lost = len(given) - len(dataset)
        if config.method == "kto" and not where and len(given) % config.batch_size == 1:
            lost -= 1
            text += f"; 1 of {len(given)} {what} left out: alone in the last batch"
        if lost:
            text += (
                f"; {lost} of {len(given)} {what}{where} left out: no room within {config.max_length} tokens"
            )
    return text
