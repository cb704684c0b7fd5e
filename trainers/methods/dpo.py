"""DPO and IPO, by TRL's DPOTrainer. A test holds TRL's own loss against the papers' vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assay.trainers import TRAINERS
from assay.trainers.artifact import Artifact
from assay.trainers.config import DpoConfig, IpoConfig
from assay.trainers.config.preference import dpo_arguments
from assay.trainers.data.preferences import Preferences
from assay.trainers.methods import _trl
from assay.trainers.model.prepare import Prepare, prepare_model
from assay.trainers.run.log import OnStep


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
    loss = _describe_loss(config)
    return _trl.train_on_preferences(build_trainer, base, config, preferences, out, on_step, loss)


def build_trainer(
    base: Artifact,
    config: DpoConfig | IpoConfig,
    preferences: Preferences,
    out: Path,
    on_step: OnStep | None = None,
    prepare: Prepare = prepare_model,
) -> Any:
    """Return the trl.DPOTrainer, ready to train."""
    from trl import DPOConfig as TrlConfig
    from trl import DPOTrainer

    evaluate = preferences.evaluation is not None
    args = TrlConfig(**_trl.trainer_arguments(config, out, dpo_arguments(config), evaluate=evaluate))
    tokenizer = _trl.preference_tokenizer(base, config, preferences)
    return _trl.assemble_on_preferences(
        DPOTrainer,
        _trl.load_policy(base, config, prepare),
        config,
        args,
        out,
        on_step,
        preferences,
        ref_model=_trl.make_reference(base, config),
        processing_class=tokenizer,
    )


def _describe_loss(config: DpoConfig | IpoConfig) -> str:
    if isinstance(config, IpoConfig):
        return f"IPO at τ={config.beta:g}, log-probabilities averaged over an answer's tokens"
    smoothing = (
        f", {config.smoothing} label smoothing {config.label_smoothing:g}" if config.label_smoothing else ""
    )
    return f"sigmoid at β={config.beta:g}{smoothing}, log-probabilities summed over an answer's tokens"
