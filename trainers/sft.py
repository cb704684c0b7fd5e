"""Supervised fine-tuning of a LoRA adapter: TRL's SFTTrainer over PEFT, loss on the assistant's tokens only."""

from __future__ import annotations

import hashlib
import json
import math
import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trainers import TRAINERS
from trainers.artifact import Artifact, ArtifactKind, describe, identify, model_folder, record_path
from trainers.config import SftConfig, lora_arguments, sft_arguments
from trainers.data import Records
from trainers.errors import MissingExtraError, TrainingError
from trainers.quiet import quiet_libraries
from trainers.steplog import TrainingStep, append_step, keep_until, read_steps, rss_bytes

LOG = "train_log.jsonl"
_CHECKPOINTS = "checkpoints"
_INPUTS = "inputs.json"
_EAGER_LENGTH = 1024

OnStep = Callable[[TrainingStep], None]


@TRAINERS.register("sft")
def train_sft(
    base: Artifact, config: SftConfig, records: Records, out: Path, on_step: OnStep | None = None
) -> Artifact:
    """Train an adapter of `base` on `records` into the folder `out` and return it.

    `out` holds the PEFT folder with the tokenizer, `train_log.jsonl` (one line a step) and, while training,
    `checkpoints/`. Called again after a kill with the same inputs, it goes on from the newest whole checkpoint;
    with other inputs it refuses the folder. Raises TrainingError (base is not trainable, loss not finite) and
    MissingExtraError.
    """
    if base.kind not in (ArtifactKind.BASE, ArtifactKind.MERGED):
        raise TrainingError(f"SFT starts from a base or merged model; {base.path} is of kind {base.kind}")
    out.mkdir(parents=True, exist_ok=True)
    _claim(out, base, config, records)
    if record_path(out).is_file():  # done already, by a run that was killed behind it
        shutil.rmtree(out / _CHECKPOINTS, ignore_errors=True)
        return identify(out, base=base)
    try:
        with quiet_libraries(), _seeded(config.seed):
            checkpoint = _newest_checkpoint(out / _CHECKPOINTS)
            keep_until(out / LOG, 0 if checkpoint is None else int(checkpoint.name.rpartition("-")[2]))
            trainer = build_trainer(base, config, records, out, on_step)
            trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
            recipe = _recipe(config, records, trainer)
            trainer.model.save_pretrained(str(out))
            trainer.processing_class.save_pretrained(str(out))
    except ImportError as e:
        raise MissingExtraError(e.name or "a training package", "train") from e
    adapter = describe(ArtifactKind.ADAPTER, out, base, recipe)
    shutil.rmtree(out / _CHECKPOINTS, ignore_errors=True)
    return adapter


def build_trainer(
    base: Artifact, config: SftConfig, records: Records, out: Path, on_step: OnStep | None = None
) -> Any:
    """The trl.SFTTrainer, ready to train: dataset tokenised and masked, adapter attached."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback
    from trl import SFTConfig as TrlConfig
    from trl import SFTTrainer

    folder = str(model_folder(base))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    use_cpu = not torch.cuda.is_available()
    # On CPU, torch's fused attention spends more on its backward pass than plain matrices do at short lengths.
    attention = "eager" if use_cpu and config.max_length <= _EAGER_LENGTH and not config.packing else "sdpa"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation=attention)
    _check_modules(model, config)
    trainer = SFTTrainer(
        model,
        args=TrlConfig(
            **sft_arguments(
                config, str(out / _CHECKPOINTS), use_cpu=use_cpu, bf16=_resolve_dtype(config) == "bf16"
            )
        ),
        train_dataset=Dataset.from_list([{"messages": r.as_dicts()} for r in records.kept]),
        processing_class=tokenizer,
        peft_config=LoraConfig(**lora_arguments(config.lora)),
        callbacks=[_step_callback(out / LOG, on_step)],
    )
    if len(trainer.train_dataset) == 0:
        raise TrainingError(f"no chat has an answer within max_length={config.max_length} tokens; raise it")
    trainer.remove_callback(PrinterCallback)  # it prints to stdout, which is for results
    return trainer


def _check_modules(model: Any, config: SftConfig) -> None:
    """PEFT takes a list of which one name fits and says nothing of the others; here each must fit."""
    from torch.nn import Linear

    linears = sorted(
        {name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, Linear)}
    )
    wanted = config.lora.target_modules
    unknown = [] if wanted == "all-linear" else [name for name in wanted if name not in linears]
    if "lm_head" in wanted and model.config.get_text_config().tie_word_embeddings:
        raise TrainingError(
            "lora.target_modules: this model's lm_head is tied to its embedding and a merge would change both; "
            "leave lm_head out"
        )
    if unknown:
        raise TrainingError(
            f"lora.target_modules: this model has no linear layer {', '.join(map(repr, unknown))}; "
            f"it has {', '.join(linears)}"
        )


def _resolve_dtype(config: SftConfig) -> str:
    """fp32 or bf16. Where bf16 must be emulated it is several times slower than fp32."""
    import torch

    if config.dtype != "auto":
        return config.dtype
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if torch.cpu.get_capabilities().get("avx512_bf16") else "fp32"


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


def _claim(out: Path, base: Artifact, config: SftConfig, records: Records) -> None:
    """Mark `out` as belonging to these inputs; refuse a folder that other inputs have begun."""
    inputs = {
        "base": base.sha256,
        "records": records.sha256,
        "config": hashlib.sha256(config.model_dump_json().encode()).hexdigest(),
    }
    marker = out / _INPUTS
    if marker.is_file():
        found = json.loads(marker.read_text(encoding="utf-8"))
        if found != inputs:
            other = ", ".join(k for k in inputs if found.get(k) != inputs[k])
            raise TrainingError(
                f"{out} was begun with another {other}; remove it or train into another folder"
            )
    else:
        part = marker.with_name(f"{_INPUTS}.part")
        part.write_text(json.dumps(inputs, indent=2) + "\n", encoding="utf-8")
        part.replace(marker)


def _newest_checkpoint(folder: Path) -> Path | None:
    """The last checkpoint that is whole; one that a kill cut short is removed."""
    found = [(int(p.name.rpartition("-")[2]), p) for p in folder.glob("checkpoint-*")]
    for _, path in sorted(found, reverse=True):
        needed = (
            "adapter_model.safetensors",
            "optimizer.pt",
            "scheduler.pt",
            "rng_state.pth",
            "trainer_state.json",
        )
        if all((path / name).is_file() for name in needed) and _is_json(path / "trainer_state.json"):
            return path
        shutil.rmtree(path)
    return None


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return True


def _recipe(config: SftConfig, records: Records, trainer: Any) -> str:
    lora, steps = config.lora, trainer.state.global_step
    cut = _longer_than(config.max_length, records, trainer)
    return (
        f"SFT with TRL: LoRA r={lora.r} alpha={lora.alpha:g} on {lora.target_modules}, {steps} steps of "
        f"{config.batch_size}x{config.gradient_accumulation_steps} chats, lr {config.learning_rate:g} "
        f"{config.scheduler}, {_resolve_dtype(config)}, seed {config.seed}; {len(records.kept)} records "
        f"(sha256 {records.sha256[:12]})"
        + (f", {cut} of them longer than {config.max_length} tokens" if cut else "")
    )


def _longer_than(max_length: int, records: Records, trainer: Any) -> int:
    """How many chats TRL has cut (or dropped, where the cut left no answer): it says so to nobody."""
    template = trainer.chat_template  # None: the tokenizer's own
    chats = [r.as_dicts() for r in records.kept]
    tokenizer = trainer.processing_class
    texts = tokenizer.apply_chat_template(chats, tokenize=False, chat_template=template)
    return sum(len(ids) > max_length for ids in tokenizer(texts, add_special_tokens=False)["input_ids"])


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the generators that TRL and PEFT draw from, and give them back as they were afterwards."""
    import numpy as np
    import torch
    from transformers import set_seed

    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        set_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
