"""DPO and IPO, by TRL's DPOTrainer. A test holds TRL's own loss against the papers' vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assay.trainers import TRAINERS
from assay.trainers.artifact import Artifact
from assay.trainers.config import DpoConfig, IpoConfig
from assay.trainers.config.preference import dpo_arguments
from assay.trainers.data.preferences import as_examples
from assay.trainers.model.optimizers import make_optimizer
from assay.trainers.model.precision import arithmetic
from assay.trainers.model.prepare import Prepare, prepare_model
from assay.trainers.preference.model import Preferences
from assay.trainers.preference.parts import (
    check_preferences,
    forget_after,
    in_words,
    load_policy,
    load_tokenizer,
    make_reference,
    metrics_callback,
    with_adapter_off,
)
from assay.trainers.run.callback import step_callback
from assay.trainers.run.folder import CHECKPOINTS, OnStep, train_into


@TRAINERS.register("dpo")
@TRAINERS.register("ipo")
def train_dpo(
    base: Artifact,
    config: DpoConfig | IpoConfig,
    preferences: Preferences,
    out: Path,
    on_step: OnStep | None = None,
) -> Artifact:
    """Train on pairs into the folder `out`; `base` is where the policy starts and the reference that it is held to.

    `out` also gets `preference_log.jsonl`: margins, accuracies and log-probabilities a step. Resumes after a kill.
    """
    return train_into(
        out,
        base,
        config,
        preferences,
        lambda: build_trainer(base, config, preferences, out, on_step),
        lambda trainer: in_words(config, preferences, trainer, _loss_in_words(config)),
    )


def build_trainer(
    base: Artifact,
    config: DpoConfig | IpoConfig,
    preferences: Preferences,
    out: Path,
    on_step: OnStep | None = None,
    prepare: Prepare = prepare_model,
) -> Any:
    """The trl.DPOTrainer, ready to train."""
    import torch
    from datasets import Dataset
    from transformers import PrinterCallback
    from trl import DPOConfig as TrlConfig
    from trl import DPOTrainer

    use_cpu, dtype = not torch.cuda.is_available(), arithmetic(config)
    held = preferences.evaluation
    arguments = dpo_arguments(
        config, str(out / CHECKPOINTS), use_cpu=use_cpu, dtype=dtype, evaluate=held is not None
    )
    args = TrlConfig(**arguments)
    tokenizer = load_tokenizer(base)
    check_preferences(config, preferences, tokenizer)
    model = load_policy(base, config, prepare)
    forget_after(out)

    def build(policy: Any) -> Any:
        return DPOTrainer(
            policy,
            ref_model=make_reference(base, config),
            args=args,
            train_dataset=Dataset.from_list(as_examples(preferences.kept)),
            eval_dataset=None if held is None else Dataset.from_list(as_examples(held.kept)),
            processing_class=tokenizer,
            optimizers=(make_optimizer(policy, config, args), None),
            callbacks=[
                step_callback(out, out / CHECKPOINTS, config.alarm, on_step, scaled=dtype == "fp16"),
                metrics_callback(out),
            ],
        )

    trainer = with_adapter_off(build, model, config)
    trainer.remove_callback(PrinterCallback)
    return trainer


def _loss_in_words(config: DpoConfig | IpoConfig) -> str:
    if isinstance(config, IpoConfig):
        return f"IPO at τ={config.beta:g}, log-probabilities averaged over an answer's tokens"
    smoothing = (
        f", {config.smoothing} label smoothing {config.label_smoothing:g}" if config.label_smoothing else ""
    )
    return f"sigmoid at β={config.beta:g}{smoothing}, log-probabilities summed over an answer's tokens"
