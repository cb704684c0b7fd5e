"""`method = "reward"`: a Bradley–Terry reward model, by TRL's RewardTrainer, measured on pairs held out, and loaded.

`load_reward_model` gives what a policy's reward asks (`assay.trainers.rl.reward`): scores of answers, with the mean and
the spread by which they are standardised.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from assay.trainers import TRAINERS
from assay.trainers.artifact import Artifact, identify, is_reward_model, model_folder
from assay.trainers.config import NoAdapter, RewardModelConfig
from assay.trainers.config.preference import reward_arguments
from assay.trainers.data.preferences import Preferences
from assay.trainers.errors import TrainingError
from assay.trainers.methods import _trl
from assay.trainers.model.precision import arithmetic, base_dtype, torch_dtype
from assay.trainers.model.prepare import attach_adapter
from assay.trainers.preference import reward_report
from assay.trainers.preference.reward_report import RewardReport, Scored, load_report
from assay.trainers.run.log import OnStep
from assay.trainers.run.runtime import quiet_libraries
from assay.trainers.templates import render

Prompt = str | Sequence[dict[str, str]]
Item = tuple[Prompt, str]


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
    calibration). The model scores answers and cannot generate: `load_reward_model` loads it. Resumes after a kill.
    """
    loss = "Bradley–Terry, one score a sequence"
    artifact = _trl.train_on_preferences(build_trainer, base, config, preferences, out, on_step, loss)
    if load_report(out) is None:
        evaluate(out, preferences)
    return artifact


def evaluate(folder: Path, preferences: Preferences) -> RewardReport:
    """Score the held-out pairs with the model saved in `folder`, and write the report on them there."""
    pairs = () if preferences.evaluation is None else preferences.evaluation.pairs()
    scored: list[Scored] = []
    if pairs:
        with quiet_libraries():
            model = load_reward_model(folder)
            scores = model.score([(p.prompt, answer) for p in pairs for answer in (p.chosen, p.rejected)])
        scored = [
            Scored(p.problem_id, a, b) for p, a, b in zip(pairs, scores[::2], scores[1::2], strict=True)
        ]
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
    """Return the trl.RewardTrainer, ready to train."""
    from trl import RewardConfig as TrlConfig
    from trl import RewardTrainer

    assert not isinstance(config.adapter, NoAdapter)
    evaluate = preferences.evaluation is not None
    args = TrlConfig(**_trl.trainer_arguments(config, out, reward_arguments(config), evaluate=evaluate))
    tokenizer = _trl.preference_tokenizer(base, config, preferences)
    classifier = load_classifier(str(model_folder(base)), base_dtype(config, arithmetic(config)))
    trainer = _trl.assemble_on_preferences(
        RewardTrainer,
        attach_adapter(classifier, config.adapter, "SEQ_CLS"),
        config,
        args,
        out,
        on_step,
        preferences,
        processing_class=tokenizer,
    )
    if len(trainer.train_dataset) == 0:
        raise TrainingError(f"no pair is within max_length={config.max_length} tokens; raise it")
    return trainer


class RewardModel:
    """A trained reward model. `score` gives r(prompt, answer); only differences between answers to one prompt have a
    meaning."""

    def __init__(self, model: Any, tokenizer: Any, folder: Path, batch_size: int = 32) -> None:
        self._model, self._tokenizer, self._folder, self._batch_size = model, tokenizer, folder, batch_size

    def score(self, items: Sequence[Item]) -> list[float]:
        """Return one score an item, its text rendered as in training (`trl.RewardTrainer`'s way)."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        rows = [self._ids(prompt, answer) for prompt, answer in items]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        results = [0.0] * len(rows)
        pad = self._model.config.get_text_config().pad_token_id
        for start in range(0, len(order), self._batch_size):
            piece = order[start : start + self._batch_size]
            tokens = [torch.tensor(rows[i], device=self._model.device) for i in piece]
            ids = pad_sequence(tokens, batch_first=True, padding_value=pad)
            mask = pad_sequence([torch.ones_like(row) for row in tokens], batch_first=True)
            with torch.no_grad():
                scores = self._model(input_ids=ids, attention_mask=mask).logits[:, 0]
            for i, score in zip(piece, scores.float().tolist(), strict=True):
                results[i] = score
        return results

    def prefer(self, prompt: Prompt, one: str, other: str) -> float:
        """Return the probability that `one` is the better answer, by this model (Bradley–Terry)."""
        a, b = self.score([(prompt, one), (prompt, other)])
        return 1 / (1 + math.exp(b - a)) if b - a < 700 else 0.0

    @cached_property
    def report(self) -> RewardReport:
        """The report on the pairs held out. Raises TrainingError where none were."""
        report = load_report(self._folder)
        if report is None or report.scores is None:
            raise TrainingError(
                f"{self._folder}: this reward model was never measured on pairs held out, so its scores have no known "
                "scale; train it with data.eval_fraction"
            )
        return report

    @property
    def mean(self) -> float:
        """The mean score of held-out answers."""
        assert self.report.scores is not None
        return self.report.scores.mean

    @property
    def spread(self) -> float:
        """The standard deviation of held-out answers' scores."""
        assert self.report.scores is not None
        return max(self.report.scores.spread, 1e-6)

    def _ids(self, prompt: Prompt, answer: str) -> list[int]:
        if isinstance(prompt, str):
            text = prompt + answer + (self._tokenizer.eos_token or "")
        else:
            chat = [*(dict(m) for m in prompt), {"role": "assistant", "content": answer}]
            text = render(self._tokenizer, chat)
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids


def load_reward_model(folder: Path) -> RewardModel:
    """Load the reward model that `method = "reward"` left in `folder`. Raises ArtifactError and TrainingError."""
    artifact = identify(folder)
    if not is_reward_model(artifact):
        raise TrainingError(f'{folder} is no reward model: train one with method = "reward"')
    with quiet_libraries():
        from peft import PeftModel
        from transformers import AutoTokenizer

        base = load_classifier(str(model_folder(artifact)))
        model = PeftModel.from_pretrained(base, str(folder))
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
    return RewardModel(model.eval(), tokenizer, folder)


def load_classifier(folder: str, dtype: str = "fp32") -> Any:
    """Load the causal model's backbone, kept in `dtype`, with one score a sequence in place of its head."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(
        folder,
        num_labels=1,
        dtype=torch_dtype(dtype),
        attn_implementation="sdpa",
        trust_remote_code=False,
        use_safetensors=True,
    )
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    model.config.get_text_config().pad_token_id = pad  # marks where a sequence ends
    return model.to("cuda" if torch.cuda.is_available() else "cpu")
