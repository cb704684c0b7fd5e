"""KTO, by TRL's KTOTrainer, from single answers that are good or bad; a pair counts as one of each."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from assay.trainers import TRAINERS
from assay.trainers.artifact import Artifact
from assay.trainers.config import KtoConfig
from assay.trainers.config.preference import kto_arguments
from assay.trainers.data.preferences import LabeledCompletion, Preferences
from assay.trainers.errors import TrainingError
from assay.trainers.methods import _trl
from assay.trainers.model.prepare import Prepare, prepare_model
from assay.trainers.run.log import OnStep


@TRAINERS.register("kto")
def train_kto(
    base: Artifact, config: KtoConfig, preferences: Preferences, out: Path, on_step: OnStep | None = None
) -> Artifact:
    """Train on good and bad answers into the folder `out`. Resumes after a kill. Raises TrainingError."""
    loss = _describe_loss(config, preferences)
    return _trl.train_on_preferences(build_trainer, base, config, preferences, out, on_step, loss)


def build_trainer(
    base: Artifact,
    config: KtoConfig,
    preferences: Preferences,
    out: Path,
    on_step: OnStep | None = None,
    prepare: Prepare = prepare_model,
) -> Any:
    """Return the trl.KTOTrainer, ready to train."""
    from trl import KTOConfig as TrlConfig
    from trl import KTOTrainer

    held_out = preferences.evaluation
    if held_out is not None:
        held_out = replace(held_out, kept=held_out.opinions())
    args = TrlConfig(
        **_trl.trainer_arguments(config, out, kto_arguments(config), evaluate=held_out is not None)
    )
    tokenizer = _trl.preference_tokenizer(base, config, preferences)
    answers = preferences.opinions()
    if len({answer.good for answer in answers}) < 2:
        raise TrainingError("kto needs answers of both kinds, good and bad; all of these are of one")
    return _trl.assemble_on_preferences(
        KTOTrainer,
        _trl.load_policy(base, config, prepare),
        config,
        args,
        out,
        on_step,
        replace(preferences, kept=mixed(answers, config.batch_size, config.seed), evaluation=held_out),
        ref_model=_trl.make_reference(base, config),
        processing_class=tokenizer,
    )


def mixed(answers: Sequence[LabeledCompletion], batch_size: int, seed: int) -> tuple[LabeledCompletion, ...]:
    """Return the answers shuffled once, without a last batch of one.

    TRL pairs the answers of a batch with each other's prompts when the batches are formed, and reads the data in that
    order; an answer alone in its batch would be paired with itself.
    """
    order = tuple(random.Random(seed).sample(list(answers), len(answers)))
    return order[:-1] if len(order) % batch_size == 1 else order


def _describe_loss(config: KtoConfig, preferences: Preferences) -> str:
    answers = preferences.opinions()
    good = sum(answer.good for answer in answers)
    return (
        f"β={config.beta:g}, weights {config.desirable_weight:g} for {good} good answers and "
        f"{config.undesirable_weight:g} for {len(answers) - good} bad ones, log-probabilities summed"
    )
