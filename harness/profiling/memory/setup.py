"""What is to be run, as far as memory depends on it: one Setup for inference and for every way of training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from assay.harness.errors import BadInputError
from assay.harness.profiling.memory.architecture import Architecture, Dtype, WeightFormat, is_float
from assay.harness.profiling.memory.optimizers import PAGED, Adapter, Optimizer

Objective = Literal["inference", "sft", "dpo", "kto", "orpo", "reward", "ppo", "grpo"]
Attention = Literal["eager", "sdpa", "flash"]
Loss = Literal["full", "chunked", "answers"]
Reference = Literal["none", "shared", "separate"]
Value = Literal["none", "head", "model"]
Method = Literal["inference", "full", "lora", "qlora", "int8"]

OBJECTIVES: tuple[Objective, ...] = get_args(Objective)
METHODS: tuple[Method, ...] = get_args(Method)
ATTENTIONS: tuple[Attention, ...] = get_args(Attention)

# Sequences of one example in one forward pass: a preference is a pair.
SEQUENCES: dict[Objective, int] = {"dpo": 2, "orpo": 2, "reward": 2}
NEEDS_REFERENCE: tuple[Objective, ...] = ("dpo", "kto", "ppo", "grpo")
SAMPLES_ITSELF: tuple[Objective, ...] = ("ppo", "grpo")


@dataclass(frozen=True, slots=True)
class Setup:
    """One run.

    `weights` is how the base is loaded; `compute` the type of matrix products, by autocast where the two differ;
    `upcast` what PEFT's prepare_model_for_kbit_training does to the unquantised rest of a quantised model. `adapter`
    None trains every weight. One step takes `batch` examples of `length` tokens at most; inference reads `batch`
    prompts of `length` tokens and writes `new_tokens` to each. `loss` full makes all logits and casts them to fp32, as
    transformers' own loss does; chunked is TRL's fused head; answers is our PPO's, which makes whole logits at the
    answers' tokens alone. `reference` shared is the policy without its adapter. PPO's sequences of `length` end in
    answers of `new_tokens`. `drawn` sequences are written at once, by PPO and inference (0: as many as `batch`);
    `refilled` says whether prompts are read while other rows are being written, as in continuous batches.
    `gpu` False is the CPU: no paging, and optimiser steps go tensor by tensor.
    """

    objective: Objective = "sft"
    weights: WeightFormat = "bf16"
    double_quant: bool = True
    upcast: bool = True
    compute: Dtype = "bf16"
    adapter: Adapter | None = None
    optimizer: Optimizer = "adamw_torch"
    batch: int = 1
    length: int = 2048
    new_tokens: int = 512
    drawn: int = 0
    refilled: bool = True
    accumulation: int = 1
    checkpointing: bool = False
    attention: Attention = "sdpa"
    loss: Loss = "chunked"
    reference: Reference = "none"
    value: Value = "none"
    gpu: bool = True

    @property
    def trains(self) -> bool:
        return self.objective != "inference"

    @property
    def quantised(self) -> bool:
        return not is_float(self.weights)

    @property
    def autocast(self) -> bool:
        """Whether matrix products are cast: in training, whenever they are not fp32; inference casts nothing."""
        return self.trains and self.compute != "fp32"

    @property
    def sequences(self) -> int:
        """Sequences in one forward pass of the policy."""
        return self.batch * SEQUENCES.get(self.objective, 1)

    @property
    def tokens(self) -> int:
        """Tokens in one forward pass of the policy."""
        return self.sequences * self.length

    @property
    def answers(self) -> int:
        """Tokens of the answers that one forward pass of PPO learns from."""
        return self.sequences * min(self.new_tokens, self.length)

    def rest(self) -> Dtype:
        """The type of what is never quantised: embedding, head, norms, biases."""
        if self.quantised:
            return "fp32" if self.trains and self.upcast else self.compute
        match self.weights:
            case "fp32" | "bf16" | "fp16":
                return self.weights
            case _:
                raise AssertionError(self.weights)


def make_setup(
    method: Method, architecture: Architecture, objective: Objective = "sft", **changes: object
) -> Setup:
    """What a training table says of a method where it says no more, with `changes` to single fields of Setup.

    full: fp32 weights under autocast (16 B a parameter with AdamW); lora: the base as stored, an fp32 adapter of rank
    16 on all linear layers; qlora: NF4 with double quantisation and the rest cast to fp32; int8: LLM.int8. Raises
    BadInputError where the parts do not fit each other.
    """
    base = Setup(objective=objective)
    if method == "inference":
        base = Setup(objective="inference", weights=architecture.dtype, compute=architecture.dtype)
    elif objective == "inference":
        base = replace(base, weights=_loaded_as(method, architecture))
    elif method == "full":
        base = replace(base, weights="fp32", adapter=None)
    else:
        base = replace(
            base,
            weights=_loaded_as(method, architecture),
            adapter=Adapter(),
            checkpointing=method in ("qlora", "int8") and bool(changes.get("gpu", base.gpu)),
        )
    if base.objective in NEEDS_REFERENCE:
        base = replace(base, reference="separate" if base.adapter is None else "shared")
    if base.objective == "ppo":
        base = replace(base, value="head", loss="answers")
    changed = replace(base, **changes)  # type: ignore[arg-type]
    check(changed, architecture)
    return changed


def _check_table(setup: Setup) -> None:
    """What trainings refuse: their tables (`assay.trainers.config`), bitsandbytes and PEFT."""
    if not setup.trains:
        return
    if setup.objective == "kto" and setup.batch < 2:
        raise BadInputError("batch 1: KTO's KL term is estimated across a batch; at least 2")
    if setup.quantised and setup.reference == "separate":
        raise BadInputError(
            "a separate reference would be in full precision, another model than the quantised base: shared"
        )
    if (
        setup.weights in ("nf4", "fp4")
        and setup.adapter is not None
        and setup.adapter.kind in ("loha", "lokr")
    ):
        raise BadInputError(
            f"{setup.adapter.kind} cannot be computed on {setup.weights} weights: lora or dora, or int8"
        )
    if not setup.gpu and setup.optimizer in PAGED:
        raise BadInputError(
            f"optimizer {setup.optimizer} pages between a GPU's memory and the host's: adamw_8bit"
        )
    if not setup.gpu and setup.compute == "fp16":
        raise BadInputError("training in fp16 needs a GPU, where its loss scaler is: bf16 or fp32")
    if setup.objective == "reward" and (setup.quantised or setup.adapter is None):
        raise BadInputError("a reward model is trained as an adapter on a base as stored: method lora")
    if setup.objective in SAMPLES_ITSELF and setup.accumulation > 1:
        raise BadInputError(
            f"accumulation {setup.accumulation}: a minibatch of {setup.objective} is its batch; leave it at 1"
        )
    if setup.objective != "ppo":
        return
    if setup.optimizer != "adamw_torch":
        raise BadInputError(f"optimizer {setup.optimizer}: ppo uses adamw_torch")
    if setup.compute == "fp16":
        raise BadInputError("compute fp16: ppo runs in fp32 or bf16; fp16 would need a loss scaler")


def _loaded_as(method: Method, architecture: Architecture) -> WeightFormat:
    formats: dict[Method, WeightFormat] = {"qlora": "nf4", "int8": "int8", "full": "fp32"}
    return formats.get(method, architecture.dtype)


def check(setup: Setup, architecture: Architecture) -> None:
    """Refuse what cannot run: BadInputError says which two settings disagree."""
    for name in ("batch", "length", "accumulation"):
        if getattr(setup, name) < 1:
            raise BadInputError(f"{name} must be at least 1, got {getattr(setup, name)}")
    if setup.new_tokens < 0:
        raise BadInputError(f"new_tokens must be 0 or more, got {setup.new_tokens}")
    if setup.trains and setup.quantised and setup.adapter is None:
        raise BadInputError(
            f"{setup.weights} weights cannot be trained themselves: train an adapter on them, or load them as bf16"
        )
    if setup.reference == "shared" and setup.adapter is None:
        raise BadInputError(
            "a shared reference is the policy with its adapter switched off; full fine-tuning has none: "
            "reference = separate"
        )
    if setup.trains and setup.compute == "fp32" and setup.weights in ("bf16", "fp16"):
        raise BadInputError(f"{setup.weights} weights compute in {setup.weights}; for fp32 load them as fp32")
    if {setup.compute, setup.weights} >= {"bf16", "fp16"}:
        raise BadInputError(
            f"{setup.weights} weights cannot compute in {setup.compute}: load them as one of the two"
        )
    if (setup.loss == "answers") != (setup.objective == "ppo"):
        raise BadInputError(
            f"loss {setup.loss} does not go with {setup.objective}: ppo's loss is answers, and ppo's alone"
        )
    _check_table(setup)
    limit = architecture.max_positions
    asked = setup.length + (0 if setup.trains else setup.new_tokens)
    if limit and asked > limit:
        raise BadInputError(f"{asked} tokens do not fit the context of {architecture.name}, {limit} tokens")
