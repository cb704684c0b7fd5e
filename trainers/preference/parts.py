"""What the preference methods share: the model and its reference, the log of margins, the recipe's words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from assay.trainers.artifact import Artifact, model_folder
from assay.trainers.config import CommonConfig
from assay.trainers.data.inputs import check_held_out, unused_in_words
from assay.trainers.errors import TrainingError
from assay.trainers.model.precision import arithmetic, torch_dtype
from assay.trainers.model.prepare import Prepare, base_dtype, prepare_model, restore, trainable_copies
from assay.trainers.preference.model import Preferences
from assay.trainers.run.facts import weights_in_words
from assay.trainers.run.log import LOG, keep_until, read_steps

METRICS = "preference_log.jsonl"


def load_tokenizer(base: Artifact) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(str(model_folder(base)))


def check_preferences(config: CommonConfig, preferences: Preferences, tokenizer: Any) -> None:
    """Raise TrainingError where the preferences are chats and the model has no template for them, or where the best
    checkpoint is asked for and no pair is held out to tell it by."""
    check_held_out(config, preferences.evaluation)
    if tokenizer.chat_template is None and any(not isinstance(row.prompt, str) for row in preferences.kept):
        raise TrainingError(
            "the pairs are chats and this model has no chat template; make pairs of bare completions"
        )


def load_policy(base: Artifact, config: CommonConfig, prepare: Prepare = prepare_model) -> Any:
    """The prepared model (adapter on, or whole) on the attention that suits its length."""
    import torch

    return prepare(base, config, arithmetic(config), config.attention(gpu=torch.cuda.is_available()))


def make_reference(base: Artifact, config: Any) -> Any:
    """The separate frozen copy, or None where the policy with its adapter off serves."""
    if config.reference != "copy":
        return None
    from transformers import AutoModelForCausalLM

    kept = torch_dtype(base_dtype(config, arithmetic(config)))
    return AutoModelForCausalLM.from_pretrained(str(model_folder(base)), dtype=kept)


def with_adapter_off(build: Callable[[Any], Any], model: Any, config: Any) -> Any:
    """`build(model)`, a TRL trainer whose reference is `model` with its adapter off, or the copy it was given.

    TRL puts a second adapter "ref" into a model that comes with one, a copy of the first as it is now. A fresh
    adapter changes nothing, so that copy costs memory and time to say what switching off says; it is taken out again,
    and TRL then switches off. Trainable weights that TRL cast (quantised bases) are put back into fp32.
    """
    kept_fp32 = trainable_copies(model) if config.quantization is not None else {}
    trainer = build(model)
    if "ref" in getattr(trainer.model, "peft_config", {}):
        trainer.model.delete_adapter("ref")
        trainer.model.set_adapter("default")
    restore(trainer.model, kept_fp32)
    return trainer


def reference_bytes(trainer: Any) -> int:
    """What the reference costs beyond the policy."""
    reference = getattr(trainer, "ref_model", None)
    if reference is None:
        return 0
    return sum(p.numel() * p.element_size() for p in reference.parameters())


def metrics_callback(out: Path, extra: Callable[[bool], dict[str, float]] | None = None) -> Any:
    """Writes what a preference method logs beside the loss (margins, accuracies, log-probabilities), a line a step.
    `extra` is asked for more, and told whether the line is of held-out records."""
    from transformers import TrainerCallback

    class Metrics(TrainerCallback):  # type: ignore[misc]  # the hook that transformers offers
        def on_log(self, _args: Any, state: Any, _control: Any, logs: dict[str, float], **_: Any) -> None:
            if "loss" not in logs and "eval_loss" not in logs:
                return
            row: dict[str, Any] = {"step": state.global_step, "eval": "eval_loss" in logs}
            row |= {name: float(value) for name, value in logs.items() if isinstance(value, int | float)}
            row |= extra(row["eval"]) if extra is not None else {}
            with (out / METRICS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")

    return Metrics()


def forget_after(out: Path) -> None:
    """Cut the log of margins back to where a resumed run goes on."""
    steps = read_steps(out / LOG)
    keep_until(out / METRICS, steps[-1].step if steps else 0)


def in_words(config: Any, preferences: Preferences, trainer: Any, what: str, by: str = "TRL") -> str:
    """`what` says the loss with its convention."""
    size = reference_bytes(trainer)
    if not hasattr(config, "reference"):
        reference = ""
    elif size == 0:
        reference = ", reference: the adapter switched off, no memory of its own"
    else:
        reference = f", reference: a copy of {size / 2**20:.1f} MiB"
    return (
        f"{config.method.upper()} with {by}: {what}; {weights_in_words(config)}{reference}, "
        f"{trainer.state.global_step} steps of {config.batch_size}x{config.gradient_accumulation_steps}, "
        f"lr {config.learning_rate:g} {config.scheduler}, {arithmetic(config)}, seed {config.seed}; "
        f"{preferences.counts()} (sha256 {preferences.sha256[:12]}){_lost(config, preferences, trainer)}"
        f"{unused_in_words(config, preferences.evaluation)}"
    )


def _lost(config: Any, preferences: Preferences, trainer: Any) -> str:
    """What of the preferences was not learned from, or not measured; tokenising leaves it out without a word."""
    said = ""
    for part, dataset, where in (
        (preferences, trainer.train_dataset, ""),
        (preferences.evaluation, trainer.eval_dataset, " held out"),
    ):
        if part is None:
            continue
        given, what = (part.opinions(), "answers") if config.method == "kto" else (part.kept, "pairs")
        lost = len(given) - len(dataset)
        if config.method == "kto" and not where and len(given) % config.batch_size == 1:
            lost -= 1
            said += f"; 1 of {len(given)} {what} left out: alone in the last batch"
        if lost:
            said += (
                f"; {lost} of {len(given)} {what}{where} left out: no room within {config.max_length} tokens"
            )
    return said
