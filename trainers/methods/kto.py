"""KTO, by TRL's KTOTrainer, from single answers that are good or bad (or pairs, taken apart)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assay.trainers import TRAINERS
from assay.trainers.artifact import Artifact
from assay.trainers.config import KtoConfig
from assay.trainers.config.preference import kto_arguments
from assay.trainers.data.preferences import as_examples
from assay.trainers.errors import TrainingError
from assay.trainers.model.optimizers import make_optimizer
from assay.trainers.model.precision import arithmetic
from assay.trainers.model.prepare import Prepare, prepare_model
from assay.trainers.preference.model import LabeledCompletion, Preferences
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


@TRAINERS.register("kto")
def train_kto(
    base: Artifact, config: KtoConfig, preferences: Preferences, out: Path, on_step: OnStep | None = None
) -> Artifact:
    """Train on good and bad answers into the folder `out`. Resumes after a kill. Raises TrainingError."""
    return train_into(
        out,
        base,
        config,
        preferences,
        lambda: build_trainer(base, config, preferences, out, on_step),
        lambda trainer: in_words(config, preferences, trainer, _loss_in_words(config, preferences)),
    )


def build_trainer(
    base: Artifact,
    config: KtoConfig,
    preferences: Preferences,
    out: Path,
    on_step: OnStep | None = None,
    prepare: Prepare = prepare_model,
) -> Any:
    """The trl.KTOTrainer, ready to train."""
    import torch
    from datasets import Dataset
    from transformers import PrinterCallback
    from trl import KTOConfig as TrlConfig
    from trl import KTOTrainer

    use_cpu, dtype = not torch.cuda.is_available(), arithmetic(config)
    held = preferences.evaluation
    arguments = kto_arguments(
        config, str(out / CHECKPOINTS), use_cpu=use_cpu, dtype=dtype, evaluate=held is not None
    )
    args = TrlConfig(**arguments)
    tokenizer = load_tokenizer(base)
    check_preferences(config, preferences, tokenizer)
    opinions = preferences.opinions()
    if len({o.good for o in opinions}) < 2:
        raise TrainingError("kto needs answers of both kinds, good and bad; all of these are of one")
    model = load_policy(base, config, prepare)
    forget_after(out)

    def build(policy: Any) -> Any:
        return KTOTrainer(
            policy,
            ref_model=make_reference(base, config),
            args=args,
            train_dataset=Dataset.from_list(as_examples(mixed(opinions, config.batch_size, config.seed))),
            eval_dataset=None if held is None else Dataset.from_list(as_examples(held.opinions())),
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


def mixed(opinions: Sequence[LabeledCompletion], batch_size: int, seed: int) -> list[LabeledCompletion]:
    """Shuffled once: TRL pairs the answers of a batch with each other's prompts when it is made, and reads the data in
    that order. A last batch of one would be paired with itself and is left out."""
    order = random.Random(seed).sample(list(opinions), len(opinions))
    return order[:-1] if len(order) % batch_size == 1 else order


def _loss_in_words(config: KtoConfig, preferences: Preferences) -> str:
    good = sum(o.good for o in preferences.opinions())
    return (
        f"β={config.beta:g}, weights {config.desirable_weight:g} for {good} good answers and "
        f"{config.undesirable_weight:g} for {len(preferences.opinions()) - good} bad ones, log-probabilities summed"
    )
