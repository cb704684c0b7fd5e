"""Supervised fine-tuning: TRL's SFTTrainer over the prepared model, loss on the assistant's tokens only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.trainers import TRAINERS
from assay.trainers.artifact import Artifact, model_folder
from assay.trainers.config import SftConfig, sft_arguments
from assay.trainers.data import Records
from assay.trainers.data.encode import Encoded, encode
from assay.trainers.data.inputs import check_held_out, unused_in_words
from assay.trainers.errors import TrainingError
from assay.trainers.model.optimizers import make_optimizer
from assay.trainers.model.precision import arithmetic
from assay.trainers.model.prepare import Prepare, prepare_model, restore, trainable_copies
from assay.trainers.run.callback import step_callback
from assay.trainers.run.facts import in_words
from assay.trainers.run.folder import CHECKPOINTS, OnStep, train_into
from assay.trainers.templates import Template, choose_template


@TRAINERS.register("sft")
def train_sft(
    base: Artifact, config: SftConfig, records: Records, out: Path, on_step: OnStep | None = None
) -> Artifact:
    """Train on `records` into the folder `out`: an adapter of `base`, or with `adapter.type = "none"` a whole model.

    `out` holds the PEFT (or model) folder with the tokenizer, `train_log.jsonl` (one line a step), `training.json`
    (what it took) and, while training, `checkpoints/`. Called again after a kill with the same inputs, it goes on
    from the newest whole checkpoint; with other inputs it refuses the folder. Raises TrainingError (base is not
    trainable, loss not finite) and MissingExtraError.
    """

    data: list[_Tokens] = []

    def build() -> Any:
        data.append(_tokenise(base, config, records))
        return _build(base, config, data[0], out, on_step)

    def describe_run(trainer: Any) -> str:
        said = in_words(config, records, trainer.state.global_step)
        return f"{said}, {_data_in_words(config, data[0])}{_best(trainer, config)}"

    return train_into(out, base, config, records, build, describe_run)


def build_trainer(
    base: Artifact,
    config: SftConfig,
    records: Records,
    out: Path,
    on_step: OnStep | None = None,
    prepare: Prepare = prepare_model,
) -> Any:
    """The trl.SFTTrainer, ready to train: dataset tokenised and masked, model prepared (adapter, quantisation,
    rates)."""
    return _build(base, config, _tokenise(base, config, records), out, on_step, prepare)


@dataclass(frozen=True, slots=True)
class _Tokens:
    """The records as the model reads them, with what made them so."""

    tokenizer: Any
    template: Template
    train: Encoded
    held: Encoded | None


def _tokenise(base: Artifact, config: SftConfig, records: Records) -> _Tokens:
    from transformers import AutoTokenizer

    check_held_out(config, records.evaluation)
    tokenizer = AutoTokenizer.from_pretrained(str(model_folder(base)))
    template = choose_template(tokenizer, config.template)
    if not template.native:
        tokenizer.chat_template = template.saved
    train = encode(records.kept, tokenizer, template, config.loss)
    if train.unanswered(config.max_length) == len(train.labels):
        raise TrainingError(f"no chat has an answer within max_length={config.max_length} tokens; raise it")
    held = None
    if records.evaluation is not None:
        held = encode(records.evaluation.kept, tokenizer, template, config.loss)
        if held.unanswered(config.max_length) == len(held.labels):
            raise TrainingError(
                f"no held-out chat has an answer within max_length={config.max_length} tokens; raise it"
            )
    return _Tokens(tokenizer, template, train, held)


def _build(
    base: Artifact,
    config: SftConfig,
    data: _Tokens,
    out: Path,
    on_step: OnStep | None,
    prepare: Prepare = prepare_model,
) -> Any:
    import torch
    from transformers import PrinterCallback
    from trl import SFTConfig as TrlConfig
    from trl import SFTTrainer

    use_cpu = not torch.cuda.is_available()
    dtype = arithmetic(config)
    arguments = sft_arguments(
        config, str(out / CHECKPOINTS), use_cpu=use_cpu, dtype=dtype, evaluate=data.held is not None
    )
    args = TrlConfig(**arguments)
    model = prepare(base, config, dtype, config.attention(gpu=not use_cpu))
    kept_fp32 = trainable_copies(model) if config.quantization is not None else {}
    trainer = SFTTrainer(
        model,
        args=args,
        train_dataset=_dataset(data.train),
        eval_dataset=None if data.held is None else _dataset(data.held),
        processing_class=data.tokenizer,
        optimizers=(make_optimizer(model, config, args), None),
        callbacks=[step_callback(out, out / CHECKPOINTS, config.alarm, on_step, scaled=dtype == "fp16")],
    )
    restore(trainer.model, kept_fp32)
    trainer.remove_callback(PrinterCallback)  # it prints to stdout, which is for results
    return trainer


def _dataset(encoded: Encoded) -> Any:
    from datasets import Dataset

    return Dataset.from_dict({"input_ids": encoded.input_ids, "labels": encoded.labels})


def _data_in_words(config: SftConfig, data: _Tokens) -> str:
    """What of the records was learned from: TRL cuts and leaves out without a word."""
    tokens = {"all": "every token", "assistant": "assistant turns", "completion": "the last turn"}
    said = (
        f"template {data.template.name}, loss on {tokens[config.loss]}{', packed' if config.packing else ''}"
    )
    if data.held is not None:
        said += f", {len(data.held.labels)} more held out"
    said += unused_in_words(config, data.held)
    cut = data.train.longer_than(config.max_length)
    if cut:
        said += f", {cut} of them longer than {config.max_length} tokens"
    if lost := data.train.unanswered(config.max_length):
        said += f", {lost} without an answer after the cut"
    return said


def _best(trainer: Any, config: SftConfig) -> str:
    if not config.keep_best or trainer.state.best_metric is None:
        return ""
    step = trainer.state.best_global_step
    return f"; the checkpoint of step {step} was best on the held-out records (loss {trainer.state.best_metric:.4g})"
