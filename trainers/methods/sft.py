"""Supervised fine-tuning: TRL's SFTTrainer over the prepared model, with the loss on the assistant's tokens only.

A run from its records to the saved adapter reads in four files, in this order:

    methods/sft.py       this file: tokens and labels in, a trainer out
    data/encode.py       a chat → token ids and labels: which tokens are learned from
    model/prepare.py     the base loaded, quantised where asked, with its adapter
    methods/_trl.py      the run: folder, checkpoints, training, saving, what it took

What these call by name (the optimiser's groups, the step log with its alarms, the configuration's translation) can be
read when it matters.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.trainers import TRAINERS
from assay.trainers.artifact import Artifact
from assay.trainers.config import SftConfig
from assay.trainers.config.sft import sft_arguments
from assay.trainers.data import Records
from assay.trainers.data.encode import Encoded, encode
from assay.trainers.errors import TrainingError
from assay.trainers.methods import _trl
from assay.trainers.model.precision import arithmetic
from assay.trainers.model.prepare import Prepare, describe_weights, prepare_model
from assay.trainers.run.log import OnStep
from assay.trainers.templates import Template, choose_template, load_tokenizer

_LEARNED_FROM = {"all": "every token", "assistant": "assistant turns", "completion": "the last turn"}


@TRAINERS.register("sft")
def train_sft(
    base: Artifact, config: SftConfig, records: Records, out: Path, on_step: OnStep | None = None
) -> Artifact:
    """Train on `records` into the folder `out`: an adapter of `base`, or with `adapter.type = "none"` a whole model.

    `out` holds the PEFT (or model) folder with the tokenizer, `train_log.jsonl` (one line a step), `training.json`
    (what it took) and, while training, `checkpoints/`. Called again after a kill with the same inputs, it goes on
    from the newest complete checkpoint; with other inputs it refuses the folder. Raises TrainingError (the base is not
    trainable, the loss not finite) and MissingExtraError.
    """
    data: list[_Tokens] = []

    def build() -> Any:
        data.append(_tokenise(base, config, records))
        return build_trainer(base, config, records, out, on_step, tokens=data[0])

    return _trl.train_into(
        out, base, config, records, build, lambda trainer: _recipe(config, records, data[0], trainer)
    )


def build_trainer(
    base: Artifact,
    config: SftConfig,
    records: Records,
    out: Path,
    on_step: OnStep | None = None,
    prepare: Prepare = prepare_model,
    tokens: _Tokens | None = None,
) -> Any:
    """Return the trl.SFTTrainer, ready to train: records tokenised and masked (`tokens`, where they are already), model
    prepared."""
    from trl import SFTConfig as TrlConfig
    from trl import SFTTrainer

    data = tokens or _tokenise(base, config, records)
    args = TrlConfig(
        **_trl.trainer_arguments(config, out, sft_arguments(config), evaluate=data.held_out is not None)
    )
    return _trl.assemble(
        SFTTrainer,
        _trl.load_policy(base, config, prepare),
        config,
        args,
        out,
        on_step,
        train_dataset=_dataset(data.train),
        eval_dataset=None if data.held_out is None else _dataset(data.held_out),
        processing_class=data.tokenizer,
    )


@dataclass(frozen=True, slots=True)
class _Tokens:
    """The records as the model reads them, with the tokenizer and the template that made them."""

    tokenizer: Any
    template: Template
    train: Encoded
    held_out: Encoded | None


def _tokenise(base: Artifact, config: SftConfig, records: Records) -> _Tokens:
    _trl.check_held_out(config, records.evaluation)
    tokenizer = load_tokenizer(base)
    template = choose_template(tokenizer, config.template)
    if not template.native:
        tokenizer.chat_template = template.saved

    def encoded(part: Records, which: str) -> Encoded:
        rows = encode(part.kept, tokenizer, template, config.loss)
        if rows.unanswered(config.max_length) == len(rows.labels):
            raise TrainingError(
                f"no {which}chat has an answer within max_length={config.max_length} tokens; raise it"
            )
        return rows

    train = encoded(records, "")
    held_out = None if records.evaluation is None else encoded(records.evaluation, "held-out ")
    return _Tokens(tokenizer, template, train, held_out)


def _dataset(encoded: Encoded) -> Any:
    from datasets import Dataset

    return Dataset.from_dict({"input_ids": encoded.input_ids, "labels": encoded.labels})


def _recipe(config: SftConfig, records: Records, data: _Tokens, trainer: Any) -> str:
    """Return what was done in one sentence that a person can repeat, with the chats that TRL cut or left out."""
    state = trainer.state
    text = (
        f"{config.method.upper()} with TRL: {describe_weights(config)}, {state.global_step} steps of "
        f"{config.batch_size}x{config.gradient_accumulation_steps} chats, lr {config.learning_rate:g} "
        f"{config.scheduler}, {config.optimizer}, {arithmetic(config)}, seed {config.seed}; "
        f"{len(records.kept)} records (sha256 {records.sha256[:12]}), template {data.template.name}, "
        f"loss on {_LEARNED_FROM[config.loss]}{', packed' if config.packing else ''}"
    )
    if data.held_out is not None:
        text += f", {len(data.held_out.labels)} more held out"
    text += _trl.describe_unused(config, data.held_out)
    if cut := data.train.longer_than(config.max_length):
        text += f", {cut} of them longer than {config.max_length} tokens"
    if lost := data.train.unanswered(config.max_length):
        text += f", {lost} without an answer after the cut"
    if config.keep_best and state.best_metric is not None:
        text += (
            f"; the checkpoint of step {state.best_global_step} was best on the held-out records "
            f"(loss {state.best_metric:.4g})"
        )
    return text
