"""A trained reward model, loaded: scores answers, judges between two, and knows how far it can be trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from assay.trainers.artifact import identify, is_reward_model, model_folder
from assay.trainers.errors import TrainingError
from assay.trainers.model.precision import torch_dtype
from assay.trainers.preference.reward_report import RewardReport, load_report
from assay.trainers.run.runtime import quiet_libraries

Prompt = str | Sequence[dict[str, str]]
Item = tuple[Prompt, str]


class RewardModel:
    """`score` gives r(prompt, answer); only differences between answers to one prompt mean something."""

    def __init__(self, model: Any, tokenizer: Any, folder: Path, batch_size: int = 32) -> None:
        self._model, self._tokenizer, self._folder, self._batch_size = model, tokenizer, folder, batch_size

    def score(self, items: Sequence[Item]) -> list[float]:
        """One number an item, as the training rendered it (`trl.RewardTrainer`'s way)."""
        import torch

        rows = [self._ids(prompt, answer) for prompt, answer in items]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        found = [0.0] * len(rows)
        pad = self._model.config.get_text_config().pad_token_id
        for start in range(0, len(order), self._batch_size):
            piece = order[start : start + self._batch_size]
            width = max(len(rows[i]) for i in piece)
            ids = torch.tensor([rows[i] + [pad] * (width - len(rows[i])) for i in piece])
            mask = torch.tensor([[1] * len(rows[i]) + [0] * (width - len(rows[i])) for i in piece])
            with torch.no_grad():
                device = self._model.device
                scores = self._model(input_ids=ids.to(device), attention_mask=mask.to(device)).logits[:, 0]
            for i, score in zip(piece, scores.float().tolist(), strict=True):
                found[i] = score
        return found

    def prefer(self, prompt: Prompt, one: str, other: str) -> float:
        """The chance, by this model, that `one` is the better answer (Bradley–Terry)."""
        a, b = self.score([(prompt, one), (prompt, other)])
        return 1 / (1 + math.exp(b - a)) if b - a < 700 else 0.0

    @cached_property
    def report(self) -> RewardReport:
        """What it came to on pairs held out. Raises TrainingError where none were."""
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
            text = self._tokenizer.apply_chat_template(chat, tokenize=False)
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids


def load_reward_model(folder: Path) -> RewardModel:
    """The reward model that `method = "reward"` left in `folder`. Raises ArtifactError and TrainingError."""
    artifact = identify(folder)
    if not is_reward_model(artifact):
        raise TrainingError(f'{folder} is no reward model: train one with method = "reward"')
    with quiet_libraries():
        from peft import PeftModel
        from transformers import AutoTokenizer

        base = load_classifier(str(model_folder(artifact)))
        model = PeftModel.from_pretrained(base, str(folder))
        tokenizer = AutoTokenizer.from_pretrained(str(folder))
    return RewardModel(model.eval(), tokenizer, folder)


def load_classifier(folder: str, dtype: str = "fp32") -> Any:
    """The causal model's backbone, kept in `dtype`, with one score a sequence in place of its head."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=1, dtype=torch_dtype(dtype), attn_implementation="sdpa"
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    model.config.get_text_config().pad_token_id = pad  # tells where a sequence ends
    return model.to("cuda" if torch.cuda.is_available() else "cpu")
