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
from assay.trainers.config import OrpoConfig, common_arguments
from assay.trainers.errors import TrainingError
from assay.trainers.model.optimizers import make_optimizer
from assay.trainers.model.precision import arithmetic
from assay.trainers.model.prepare import Prepare, prepare_model
from assay.trainers.preference.model import Pair, Preferences
from assay.trainers.preference.parts import (
    check_preferences,
    forget_after,
    in_words,
    load_policy,
    load_tokenizer,
    metrics_callback,
)
from assay.trainers.run.callback import step_callback
from assay.trainers.run.folder import CHECKPOINTS, OnStep, train_into

if TYPE_CHECKING:
    from torch import Tensor

IGNORED = -100


@TRAINERS.register("orpo")
def train_orpo(
    base: Artifact, config: OrpoConfig, preferences: Preferences, out: Path, on_step: OnStep | None = None
) -> Artifact:
    """Train on pairs into the folder `out`. Resumes after a kill. Raises TrainingError."""
    said = f"λ={config.beta:g}, NLL of the preferred answer, log-probabilities averaged, no reference model"
    return train_into(
        out,
        base,
        config,
        preferences,
        lambda: build_trainer(base, config, preferences, out, on_step),
        lambda trainer: in_words(config, preferences, trainer, said, by="a loss of our own"),
    )


def odds_ratio_loss(chosen: Tensor, rejected: Tensor) -> tuple[Tensor, Tensor]:
    """(−log σ(log odds ratio), log odds ratio) of mean log-probabilities per token, [rows] each (eqs. 4 and 7).

    log odds = log p − log(1 − p) of p = exp(mean log-probability).
    """
    import torch

    def log_odds(logp: Tensor) -> Tensor:
        logp = logp.float().clamp(max=-1e-7)  # p = 1 has infinite odds
        return logp - torch.log(-torch.expm1(logp))

    ratio = log_odds(chosen) - log_odds(rejected)
    return -torch.nn.functional.logsigmoid(ratio), ratio


def orpo_loss(log_p: Tensor, labels: Tensor, beta: float) -> tuple[Tensor, dict[str, float]]:
    """NLL of the preferred answers + β·odds-ratio loss, and what to log of it.

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
    """The transformers.Trainer with ORPO's loss, ready to train."""
    import torch
    from peft import PeftModel
    from transformers import PrinterCallback, Trainer, TrainingArguments
    from trl.trainer import add_fused_lm_head

    use_cpu, dtype = not torch.cuda.is_available(), arithmetic(config)
    held = preferences.evaluation
    tokenizer = load_tokenizer(base)
    check_preferences(config, preferences, tokenizer)
    train = tokenise(preferences.pairs(), tokenizer, config.max_length)
    args = TrainingArguments(
        **common_arguments(
            config, str(out / CHECKPOINTS), use_cpu=use_cpu, dtype=dtype, evaluate=held is not None
        ),
        remove_unused_columns=False,
        prediction_loss_only=True,
        include_num_input_tokens_seen="non_padding",
    )
    model = load_policy(base, config, prepare)
    add_fused_lm_head(model.get_base_model() if isinstance(model, PeftModel) else model)
    forget_after(out)
    seen: dict[str, float] = {}
    held_out: list[tuple[int, dict[str, float]]] = []
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id

    class Orpo(Trainer):  # type: ignore[misc]  # the hook that transformers offers
        loss_is_scaled_for_ga = False

        def compute_loss(
            self, model: Any, inputs: dict[str, Tensor], return_outputs: bool = False, **_: Any
        ) -> Any:
            labels, outputs = inputs["labels"], model(**inputs, fused_lm_head=True)
            loss, found = orpo_loss(outputs.log_probs, labels, config.beta)
            if model.training:
                seen.update(found)
            else:
                held_out.append((len(labels), found))
            return (loss, outputs) if return_outputs else loss

    trainer = Orpo(
        model,
        args=args,
        data_collator=lambda rows: collate(rows, pad),
        train_dataset=train,
        eval_dataset=None if held is None else tokenise(held.pairs(), tokenizer, config.max_length),
        processing_class=tokenizer,
        optimizers=(make_optimizer(model, config, args), None),
        callbacks=[
            step_callback(out, out / CHECKPOINTS, config.alarm, on_step, scaled=dtype == "fp16"),
            metrics_callback(out, lambda evaluating: _of_all(held_out) if evaluating else dict(seen)),
        ],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _of_all(batches: list[tuple[int, dict[str, float]]]) -> dict[str, float]:
    """Means over the held-out batches by their rows, named as TRL names such figures; the batches are forgotten."""
    rows = sum(n for n, _ in batches)
    means = {f"eval_{name}": sum(n * found[name] for n, found in batches) / rows for name in batches[0][1]}
    batches.clear()
    return means


def tokenise(pairs: tuple[Pair, ...], tokenizer: Any, max_length: int) -> list[dict[str, list[int]]]:
    """Token ids and labels of each pair. Pairs whose prompt leaves no room for an answer are left out; TrainingError
    where that leaves none."""
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
    """Preferred answers first, then the others, padded on the right."""
    import torch

    sides = [(row[f"{side}_ids"], row[f"{side}_labels"]) for side in ("chosen", "rejected") for row in rows]
    width = max(len(ids) for ids, _ in sides)
    return {
        "input_ids": torch.tensor([ids + [pad_id] * (width - len(ids)) for ids, _ in sides]),
        "attention_mask": torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids, _ in sides]),
        "labels": torch.tensor([labels + [IGNORED] * (width - len(labels)) for _, labels in sides]),
    }


def _encode(pair: Pair, answer: str, tokenizer: Any) -> tuple[list[int], list[int]]:
    """(ids of the prompt as it is asked, ids of prompt and answer)."""
    if isinstance(pair.prompt, str):
        end = tokenizer.eos_token or ""
        texts = (pair.prompt, pair.prompt + answer + end)
    else:
        chat = [dict(m) for m in pair.prompt]
        texts = (
            tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True),
            tokenizer.apply_chat_template([*chat, {"role": "assistant", "content": answer}], tokenize=False),
        )
    first, second = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts)
    return list(first), list(second)


def _common(a: list[int], b: list[int]) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
