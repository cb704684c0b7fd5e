"""Supervised fine-tuning: TRL's SFTTrainer over the prepared model, loss on the assistant's tokens only."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from trainers import TRAINERS
from trainers.artifact import Artifact, model_folder
from trainers.config import SftConfig, sft_arguments
from trainers.data import Records
from trainers.errors import TrainingError
from trainers.folder import CHECKPOINTS, LOG, OnStep, train_into
from trainers.optimizers import make_optimizer
from trainers.precision import resolve_dtype
from trainers.prepare import prepare_model, restore, trainable_copies
from trainers.recipe import in_words
from trainers.steplog import TrainingStep, append_step, read_steps, rss_bytes

_EAGER_LENGTH = 1024


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

    def build() -> Any:
        return build_trainer(base, config, records, out, on_step)

    def describe_run(trainer: Any) -> str:
        cut = _longer_than(config.max_length, records, trainer)
        return in_words(config, records, trainer.state.global_step) + (
            f", {cut} of them longer than {config.max_length} tokens" if cut else ""
        )

    return train_into(out, base, config, records, build, describe_run)


def build_trainer(
    base: Artifact, config: SftConfig, records: Records, out: Path, on_step: OnStep | None = None
) -> Any:
    """The trl.SFTTrainer, ready to train: dataset tokenised and masked, model prepared (adapter, quantisation,
    rates)."""
    import torch
    from datasets import Dataset
    from transformers import AutoTokenizer, PrinterCallback
    from trl import SFTConfig as TrlConfig
    from trl import SFTTrainer

    tokenizer = AutoTokenizer.from_pretrained(str(model_folder(base)))
    use_cpu = not torch.cuda.is_available()
    dtype = resolve_dtype(config.dtype)
    arguments = sft_arguments(config, str(out / CHECKPOINTS), use_cpu=use_cpu, dtype=dtype)
    args = TrlConfig(**arguments)
    # On CPU, torch's fused attention spends more on its backward pass than plain matrices do at short lengths.
    attention = "eager" if use_cpu and config.max_length <= _EAGER_LENGTH and not config.packing else "sdpa"
    model = prepare_model(base, config, dtype, attention)
    kept_fp32 = trainable_copies(model) if config.quantization is not None else {}
    trainer = SFTTrainer(
        model,
        args=args,
        train_dataset=Dataset.from_list([{"messages": r.as_dicts()} for r in records.kept]),
        processing_class=tokenizer,
        optimizers=(make_optimizer(model, config, args), None),
        callbacks=[_step_callback(out / LOG, on_step)],
    )
    restore(trainer.model, kept_fp32)
    if len(trainer.train_dataset) == 0:
        raise TrainingError(f"no chat has an answer within max_length={config.max_length} tokens; raise it")
    trainer.remove_callback(PrinterCallback)  # it prints to stdout, which is for results
    return trainer


def _step_callback(log: Path, on_step: OnStep | None) -> Any:
    from transformers import TrainerCallback

    logged = read_steps(log)

    class StepLog(TrainerCallback):  # type: ignore[misc]  # the hook that transformers offers
        def __init__(self) -> None:
            self.began = time.monotonic()
            # TRL counts from 0 again in a resumed run; the log says what was read before.
            self.before = logged[-1].tokens if logged else 0
            self.tokens = self.before

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.began = time.monotonic()

        def on_log(self, _args: Any, state: Any, _control: Any, logs: dict[str, float], **_: Any) -> None:
            if "loss" not in logs:
                return
            took_s = max(time.monotonic() - self.began, 1e-9)
            tokens = self.before + int(logs.get("num_tokens", 0))
            step = TrainingStep(
                step=state.global_step,
                total_steps=state.max_steps,
                epoch=float(logs.get("epoch", 0.0)),
                loss=float(logs["loss"]),
                learning_rate=float(logs["learning_rate"]),
                grad_norm=float(logs.get("grad_norm", math.nan)),
                tokens=tokens,
                tok_per_s=max(tokens - self.tokens, 0) / took_s,
                rss_bytes=rss_bytes(),
            )
            self.tokens = tokens
            append_step(log, step)
            if on_step is not None:
                on_step(step)
            if not math.isfinite(step.loss):
                raise TrainingError(
                    f"loss is {step.loss} at step {step.step}; lower learning_rate "
                    f"({step.learning_rate:g} now) or max_grad_norm, or train in fp32"
                )

    return StepLog()


def _longer_than(max_length: int, records: Records, trainer: Any) -> int:
    """How many chats TRL has cut (or dropped, where the cut left no answer): it says so to nobody."""
    template = trainer.chat_template  # None: the tokenizer's own
    chats = [r.as_dicts() for r in records.kept]
    tokenizer = trainer.processing_class
    texts = tokenizer.apply_chat_template(chats, tokenize=False, chat_template=template)
    return sum(len(ids) > max_length for ids in tokenizer(texts, add_special_tokens=False)["input_ids"])
