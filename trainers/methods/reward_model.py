"""`method = "reward"`: a Bradley–Terry reward model, by TRL's RewardTrainer, measured on pairs it has not seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assay.trainers import TRAINERS
from assay.trainers.artifact import Artifact, model_folder
from assay.trainers.config import NoAdapter, RewardModelConfig
from assay.trainers.config.preference import reward_arguments
from assay.trainers.data.preferences import as_examples
from assay.trainers.errors import TrainingError
from assay.trainers.model.adapters import attach_adapter
from assay.trainers.model.optimizers import make_optimizer
from assay.trainers.model.precision import arithmetic
from assay.trainers.model.prepare import base_dtype
from assay.trainers.preference import reward_report
from assay.trainers.preference.model import Preferences
from assay.trainers.preference.parts import (
    check_preferences,
    forget_after,
    in_words,
    load_tokenizer,
    metrics_callback,
)
from assay.trainers.preference.reward_report import Scored
from assay.trainers.preference.scorer import load_classifier, load_reward_model
from assay.trainers.run.callback import step_callback
from assay.trainers.run.folder import CHECKPOINTS, OnStep, train_into
from assay.trainers.run.runtime import quiet_libraries


@TRAINERS.register("reward")
def train_reward_model(
    base: Artifact,
    config: RewardModelConfig,
    preferences: Preferences,
    out: Path,
    on_step: OnStep | None = None,
) -> Artifact:
    """Train an adapter with a score head on pairs, into `out`; then load it again and score the pairs held out.

    `out` also gets `held_out.jsonl` (every held-out pair's scores) and `reward_model.json` (accuracy, margins,
    calibration). It is no model to generate with: `assay.trainers.preference.scorer` loads it. Resumes after a kill.
    """
    made = train_into(
        out,
        base,
        config,
        preferences,
        lambda: build_trainer(base, config, preferences, out, on_step),
        lambda trainer: in_words(config, preferences, trainer, "Bradley–Terry, one score a sequence"),
    )
    if reward_report.load_report(out) is None:
        evaluate(out, preferences)
    return made


def evaluate(folder: Path, preferences: Preferences) -> reward_report.RewardReport:
    """Score the held-out pairs with the model as it lies in `folder`, and write what that comes to."""
    held = () if preferences.evaluation is None else preferences.evaluation.pairs()
    scored: list[Scored] = []
    if held:
        with quiet_libraries():
            model = load_reward_model(folder)
            scores = model.score([(p.prompt, answer) for p in held for answer in (p.chosen, p.rejected)])
        scored = [Scored(p.problem_id, a, b) for p, a, b in zip(held, scores[::2], scores[1::2], strict=True)]
    report = reward_report.describe(scored)
    reward_report.save(folder, scored, report)
    return report


def build_trainer(
    base: Artifact,
    config: RewardModelConfig,
    preferences: Preferences,
    out: Path,
    on_step: OnStep | None = None,
) -> Any:
    """The trl.RewardTrainer, ready to train."""
    import torch
    from datasets import Dataset
    from transformers import PrinterCallback
    from trl import RewardConfig as TrlConfig
    from trl import RewardTrainer

    assert not isinstance(config.adapter, NoAdapter)
    use_cpu, dtype = not torch.cuda.is_available(), arithmetic(config)
    held = preferences.evaluation
    args = TrlConfig(
        **reward_arguments(
            config, str(out / CHECKPOINTS), use_cpu=use_cpu, dtype=dtype, evaluate=held is not None
        )
    )
    tokenizer = load_tokenizer(base)
    check_preferences(config, preferences, tokenizer)
    classifier = load_classifier(str(model_folder(base)), base_dtype(config, dtype))
    model = attach_adapter(classifier, config.adapter, "SEQ_CLS")
    forget_after(out)
    trainer = RewardTrainer(
        model,
        args=args,
        train_dataset=Dataset.from_list(as_examples(preferences.kept)),
        eval_dataset=None if held is None else Dataset.from_list(as_examples(held.kept)),
        processing_class=tokenizer,
        optimizers=(make_optimizer(model, config, args), None),
        callbacks=[
            step_callback(out, out / CHECKPOINTS, config.alarm, on_step, scaled=dtype == "fp16"),
            metrics_callback(out),
        ],
    )
    if len(trainer.train_dataset) == 0:
        raise TrainingError(f"no pair is within max_length={config.max_length} tokens; raise it")
    trainer.remove_callback(PrinterCallback)
    return trainer
