"""ORPO (Hong et al. 2024, arXiv 2403.07691): a loss of our own on transformers' Trainer, and no reference model.

TRL keeps an ORPOTrainer among its experiments. It takes the NLL over prompt and answer where the paper takes it over
the answer, and appends an end-of-text to a chat that its template has ended already; both change what is learned. Its
output head that never makes all logits, which its DPO learns by, serves here too.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.trainers import TRAINERS
from assay.trainers.artifact import Artifact
from assay.trainers.config import OrpoConfig
from assay.trainers.data.encode import IGNORED
from assay.trainers.data.preferences import Pair, Preferences
from assay.trainers.errors import TrainingError
from assay.trainers.methods import _trl
from assay.trainers.model.prepare import Prepare, prepare_model
from assay.trainers.run.log import OnStep
from assay.trainers.templates import render

if TYPE_CHECKING:
    from torch import Tensor


@TRAINERS.register("orpo")
def train_orpo(
    base: Artifact, config: OrpoConfig, preferences: Preferences, out: Path, on_step: OnStep | None = None
) -> Artifact:
    """Train on pairs into the folder `out`. Resumes after a kill. Raises TrainingError."""
    loss = f"λ={config.beta:g}, NLL of the preferred answer, log-probabilities averaged, no reference model"
    return _trl.train_on_preferences(
        build_trainer, base, config, preferences, out, on_step, loss, by="a loss of our own"
    )


def odds_ratio_loss(chosen: Tensor, rejected: Tensor) -> tuple[Tensor, Tensor]:
    """Return (−log σ(log odds ratio), log odds ratio) of mean log-probabilities per token, [rows] each (eqs. 4 and 7).

    log odds = log p − log(1 − p) of p = exp(mean log-probability).
    """
    import torch

    def log_odds(logp: Tensor) -> Tensor:
        logp = logp.float().clamp(max=-1e-7)  # p = 1 has infinite odds
        return logp - torch.log(-torch.expm1(logp))

    ratio = log_odds(chosen) - log_odds(rejected)
    return -torch.nn.functional.logsigmoid(ratio), ratio


def orpo_loss(log_p: Tensor, labels: Tensor, beta: float) -> tuple[Tensor, dict[str, float]]:
    """Return the NLL of the preferred answers + β·odds-ratio loss, and its parts for the log.

    `log_p` [rows, tokens − 1], of the tokens from the second on, and `labels` [rows, tokens] (−100 outside the answer)
    hold the preferred answers in the first half of the rows and the others in the second. The NLL is the mean over rows
    of a row's mean.
    """
    mask = labels[:, 1:] != IGNORED
    mean = (log_p * mask).sum(1) / mask.sum(1).clamp(min=1)
    chosen, rejected = mean.chunk(2)
    penalty, ratio = odds_ratio_loss(chosen, rejected)
    loss = -chosen.mean() + beta * penalty.mean()
    return loss, {
        "nll": -chosen.mean().item(),
        "odds_ratio_loss": penalty.mean().item(),
        "log_odds_ratio": ratio.mean().item(),
        "rewards/accuracies": (chosen > rejected).float().mean().item(),
        "logps/chosen": chosen.mean().item(),
        "logps/rejected": rejected.mean().item(),
    }


def build_trainer(
    base: Artifact,
    config: OrpoConfig,
    preferences: Preferences,
    out: Path,
    on_step: OnStep | None = None,
    prepare: Prepare = prepare_model,
) -> Any:
    """Return the transformers.Trainer with ORPO's loss, ready to train."""
    from peft import PeftModel
    from transformers import Trainer, TrainingArguments
    from trl.trainer import add_fused_lm_head

    held_out = preferences.evaluation
    tokenizer = _trl.preference_tokenizer(base, config, preferences)
    train = tokenise(preferences.pairs(), tokenizer, config.max_length)
    args = TrainingArguments(
        **_trl.trainer_arguments(config, out, {}, evaluate=held_out is not None),
        remove_unused_columns=False,
        prediction_loss_only=True,
        include_num_input_tokens_seen="non_padding",
    )
    model = _trl.load_policy(base, config, prepare)
    add_fused_lm_head(model.get_base_model() if isinstance(model, PeftModel) else model)
    of_last_batch: dict[str, float] = {}
    of_held_out: list[tuple[int, dict[str, float]]] = []
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id

    class Orpo(Trainer):  # type: ignore[misc]  # the hook that transformers offers
        loss_is_scaled_for_ga = False

        def compute_loss(
            self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, **_: Any
        ) -> Any:
            labels, outputs = inputs["labels"], model(**inputs, fused_lm_head=True)
            loss, figures = orpo_loss(outputs.log_probs, labels, config.beta)
            if model.training:
                of_last_batch.update(figures)
            else:
                of_held_out.append((len(labels), figures))
            return (loss, outputs) if return_outputs else loss

    def figures(evaluating: bool) -> dict[str, float]:
        return _means(of_held_out) if evaluating else dict(of_last_batch)

    return _trl.assemble(
        Orpo,
        model,
        config,
        args,
        out,
        on_step,
        callbacks=[_trl.metrics_callback(out, figures)],
        data_collator=lambda rows: collate(rows, pad),
        train_dataset=train,
        eval_dataset=None if held_out is None else tokenise(held_out.pairs(), tokenizer, config.max_length),
        processing_class=tokenizer,
    )


def _means(batches: list[tuple[int, dict[str, float]]]) -> dict[str, float]:
    """Return the means over the held-out batches by their rows, named as TRL names such figures; empty `batches`."""
    rows = sum(n for n, _ in batches)
    means = {f"eval_{name}": sum(n * batch[name] for n, batch in batches) / rows for name in batches[0][1]}
    batches.clear()
    return means


def tokenise(pairs: tuple[Pair, ...], tokenizer: Any, max_length: int) -> list[dict[str, list[int]]]:
    """Return the token ids and labels of each pair. Pairs whose prompt leaves no room for an answer are left out.

    Raises TrainingError where that leaves none.
    """
    rows = []
    for pair in pairs:
        row: dict[str, list[int]] = {}
        for side, answer in (("chosen", pair.chosen), ("rejected", pair.rejected)):
            prompt_ids, ids = _encode(pair, answer, tokenizer)
            shared = _common(prompt_ids, ids)
            row[f"{side}_ids"] = ids[:max_length]
            row[f"{side}_labels"] = [IGNORED if i < shared else t for i, t in enumerate(ids)][:max_length]
        if all(any(t != IGNORED for t in row[f"{side}_labels"]) for side in ("chosen", "rejected")):
            rows.append(row)
    if not rows:
        raise TrainingError(f"no pair has both answers within max_length={max_length} tokens; raise it")
    return rows


def collate(rows: list[dict[str, list[int]]], pad_id: int) -> dict[str, Tensor]:
    """Return a batch: preferred answers first, then the others, padded on the right."""
    import torch

    sides = [(row[f"{side}_ids"], row[f"{side}_labels"]) for side in ("chosen", "rejected") for row in rows]
    width = max(len(ids) for ids, _ in sides)
    return {
        "input_ids": torch.tensor([ids + [pad_id] * (width - len(ids)) for ids, _ in sides]),
        "attention_mask": torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids, _ in sides]),
        "labels": torch.tensor([labels + [IGNORED] * (width - len(labels)) for _, labels in sides]),
    }


def _encode(pair: Pair, answer: str, tokenizer: Any) -> tuple[list[int], list[int]]:
    """Return (ids of the prompt with the request for an answer, ids of prompt and answer)."""
    if isinstance(pair.prompt, str):
        end = tokenizer.eos_token or ""
        texts = (pair.prompt, pair.prompt + answer + end)
    else:
        chat = [dict(m) for m in pair.prompt]
        answered = [*chat, {"role": "assistant", "content": answer}]
        texts = (render(tokenizer, chat, answer_next=True), render(tokenizer, answered))
    first, second = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts)
    return list(first), list(second)


def _common(a: list[int], b: list[int]) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
