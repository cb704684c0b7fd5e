"""The activation formulas against what autograd really keeps, on a random Qwen2 of real proportions."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import pytest

from assay.harness.profiling.memory import (
    ATTENTION,
    Architecture,
    Prediction,
    Setup,
    parse_architecture,
    predict,
)
from assay.trainers.config import LowRankTable
from tests.harness.profiling.memory.setups import adapter_table, make_setup

pytestmark = pytest.mark.train

# Qwen2.5-Coder-1.5B's proportions at an eighth: f = 4·h and more, few key-value heads, more vocabulary than width.
CONFIG = {
    "model_type": "qwen2",
    "hidden_size": 192,
    "intermediate_size": 1024,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "vocab_size": 1500,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
}
WEIGHTS = ("linear weights", "embedding", "output head", "norms and biases")
ALL, QKVO = adapter_table(rank=8), adapter_table(rank=8, targets=ATTENTION)
SAVED_ERROR = 0.005
PEAK_ERROR = 0.05
CHECKPOINTED_ERROR = 0.07
FULL_CHECKPOINTED_ERROR = (
    0.15  # weights are as large as activations here, and their gradients come one by one
)


@dataclass(frozen=True)
class Measured:
    saved: int
    peak: int


def case(
    weights: Any,
    compute: Any,
    adapter: LowRankTable | None,
    attention: Any = "sdpa",
    checkpointing: bool = False,
) -> Setup:
    return Setup(
        weights=weights,
        compute=compute,
        adapter=adapter,
        attention=attention,
        checkpointing=checkpointing,
        batch=2,
        length=256,
        loss="full",
        gpu=False,
    )


CASES = {
    "LoRA, fp32": case("fp32", "fp32", ALL),
    "LoRA, bf16 base": case("bf16", "bf16", ALL),
    "LoRA, fp32 base under autocast": case("fp32", "bf16", ALL),
    "LoRA on attention only": case("fp32", "bf16", QKVO),
    "LoRA, eager attention": case("bf16", "bf16", ALL, "eager"),
    "LoRA, eager attention in fp32": case("fp32", "fp32", QKVO, "eager"),
    "full, fp32": case("fp32", "fp32", None),
    "full under autocast": case("fp32", "bf16", None),
    "full, eager attention": case("fp32", "bf16", None, "eager"),
}
CHECKPOINTED = {
    "LoRA, fp32": case("fp32", "fp32", ALL, checkpointing=True),
    "LoRA, bf16 base": case("bf16", "bf16", ALL, checkpointing=True),
    "LoRA, autocast, eager": case("fp32", "bf16", ALL, "eager", True),
    "LoRA on attention, eager": case("fp32", "fp32", QKVO, "eager", True),
    "full under autocast": case("fp32", "bf16", None, checkpointing=True),
}


def build(setup: Setup, config: dict[str, Any] = CONFIG) -> Any:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    dtype = torch.float32 if setup.weights == "fp32" else torch.bfloat16
    model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model(**config), dtype=dtype, attn_implementation=setup.attention
    )
    if setup.adapter is not None:
        targets = setup.adapter.target_modules
        names = targets if isinstance(targets, str) else list(targets)
        model = get_peft_model(
            model, LoraConfig(r=setup.adapter.r, target_modules=names, task_type="CAUSAL_LM")
        )
    return prepare(model, setup)


def prepare(model: Any, setup: Setup) -> Any:
    model.train()
    model.config.use_cache = False
    if setup.checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
    return model


def measure(model: Any, setup: Setup) -> Measured:
    """One forward pass under saved-tensor hooks, then a whole step by the bytes alive; gradients are part of it."""
    import torch

    from tests.harness.profiling.memory.live import LiveBytes, SavedBytes

    ids = torch.randint(0, CONFIG["vocab_size"], (setup.batch, setup.length))
    known = [*model.parameters(), *model.buffers(), ids]

    def cast() -> AbstractContextManager[Any]:
        return torch.autocast("cpu", dtype=torch.bfloat16) if setup.autocast else nullcontext()

    with SavedBytes(known) as hooks, cast():
        loss = model(input_ids=ids, labels=ids).loss
    saved = hooks.total
    del loss, hooks
    with LiveBytes(known) as live:
        with cast():
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
    return Measured(saved, live.peak)


def architecture() -> Architecture:
    return parse_architecture(CONFIG, name="eighth")


def saved_by_prediction(prediction: Prediction) -> int:
    """The loss phase without what the model holds anyway, with log-softmax's result for the three tensors of logits."""
    a, s = prediction.architecture, prediction.setup
    kept = prediction.phases["loss"] - prediction.static_bytes - prediction.bytes_of("logits")
    return kept + 4 * s.tokens * a.vocab


def peak_by_prediction(prediction: Prediction) -> int:
    return max(n for phase, n in prediction.phases.items() if phase != "update") - prediction.static_bytes


@pytest.mark.slow
@pytest.mark.parametrize("setup", CASES.values(), ids=CASES)
def test_kept_activations_and_peak(setup: Setup) -> None:
    prediction, found = predict(architecture(), setup), measure(build(setup), setup)
    assert saved_by_prediction(prediction) == pytest.approx(found.saved, rel=SAVED_ERROR)
    assert peak_by_prediction(prediction) == pytest.approx(found.peak, rel=PEAK_ERROR)


@pytest.mark.parametrize("setup", CHECKPOINTED.values(), ids=CHECKPOINTED)
def test_peak_under_checkpointing(setup: Setup) -> None:
    prediction, found = predict(architecture(), setup), measure(build(setup), setup)
    allowed = FULL_CHECKPOINTED_ERROR if setup.adapter is None else CHECKPOINTED_ERROR
    assert peak_by_prediction(prediction) == pytest.approx(found.peak, rel=allowed)


def test_checkpointing_and_kernels_matter_as_much_as_predicted() -> None:
    """The two levers that a plan recommends, measured: what they save is what was said."""
    plain, lean = CASES["LoRA, eager attention"], case("bf16", "bf16", ALL, checkpointing=True)
    predicted = [peak_by_prediction(predict(architecture(), s)) for s in (plain, lean)]
    found = [measure(build(s), s).peak for s in (plain, lean)]
    assert found[0] - found[1] == pytest.approx(predicted[0] - predicted[1], rel=PEAK_ERROR)


@pytest.mark.parametrize("chunks", [1, 2])
def test_the_chunked_loss_takes_one_tile(chunks: int) -> None:
    import torch
    from trl.kernels.chunked_logprob import ChunkedLogProbFunction

    from assay.harness.profiling.memory.activations import CHUNK_VOCABULARY, FP32, Block
    from tests.harness.profiling.memory.live import LiveBytes

    vocabulary, tokens, hidden = CHUNK_VOCABULARY * chunks, 96, 64
    setup = case("fp32", "fp32", ALL)
    config = CONFIG | {"vocab_size": vocabulary, "hidden_size": hidden, "num_attention_heads": 2}
    a = parse_architecture(config, name="wide")
    states = torch.randn(tokens, hidden, requires_grad=True)
    head, targets = torch.randn(vocabulary, hidden), torch.randint(0, vocabulary, (tokens,))
    with LiveBytes([states, head, targets]) as live:
        found = ChunkedLogProbFunction.apply(
            states, head, None, targets, 1.0, CHUNK_VOCABULARY, None, 1.0, ("log_probs",)
        )
        found[0].sum().backward()
    chunked = replace(setup, loss="chunked", batch=1, length=tokens)
    assert Block(a, chunked).loss() == pytest.approx(live.peak, rel=0.01)
    assert live.peak < 3 * FP32 * tokens * vocabulary * 4


def test_a_prefill_takes_what_is_predicted() -> None:
    """The engine that evaluation runs on, by the bytes alive while prompts are read and copied into its cache."""
    from assay.harness.generation.token_choice import Draws
    from assay.harness.generation.types import Sampling
    from assay.harness.profiling.measure.random_weights import load_random
    from tests.harness.profiling.memory.live import LiveBytes

    rows, length, new = 3, 200, 40
    engine = load_random(CONFIG, device="cpu", dtype="bf16", seed=0).engine
    a = architecture()
    setup = make_setup(
        "inference", a, "inference", batch=rows, length=length, new_tokens=new, refilled=False, gpu=False
    )
    weights = sum(c.bytes for c in predict(a, setup).components if c.name in WEIGHTS)
    with LiveBytes([*engine.model.parameters(), *engine.model.buffers()]) as live:
        engine.begin(rows, length + new, Sampling(max_new_tokens=new))
        engine.admit([[7] * length] * rows, [1] * rows, Draws([0] * rows, [0] * rows))
    assert predict(a, setup).phases["prefill"] - weights == pytest.approx(live.peak, rel=0.02)


def test_ppo_learns_within_what_is_predicted() -> None:
    """Its own policy, a minibatch whose logits outweigh its activations."""
    import torch

    from assay.trainers.rl.objective import policy_loss
    from assay.trainers.rl.policy import Episode, Policy, make_batch
    from tests.harness.profiling.memory.live import LiveBytes

    wide = CONFIG | {"vocab_size": 20000, "num_hidden_layers": 1}
    a = parse_architecture(wide, name="wide")
    setup = make_setup(
        "lora", a, "ppo", weights="bf16", adapter=ALL, batch=2, length=96, new_tokens=64, gpu=False
    )
    policy = Policy(build(setup, wide), bf16=True)
    batch = make_batch([Episode([3] * 32, [5] * 64)] * 2, 0)
    fixed = [batch.ids, batch.attention, batch.actions, batch.mask, batch.at]
    known = [*policy.model.parameters(), *policy.model.buffers(), *policy.value_head.parameters(), *fixed]
    with LiveBytes(known) as live:
        seen = policy.see(batch)
        loss = policy_loss(seen.logp, seen.logp.detach(), seen.value.detach() + 1, batch.mask, 0.2).loss
        (loss + seen.value.sum() - 0 * seen.entropy.sum()).backward()
    prediction = predict(a, setup)
    drawn = prediction.bytes_of("KV cache") + prediction.bytes_of("rollout buffers")
    expected = max(n for phase, n in prediction.phases.items() if phase != "update")
    assert expected - (
        prediction.static_bytes - prediction.bytes_of("rollout buffers")
    ) - drawn == pytest.approx(live.peak, rel=PEAK_ERROR)
    with LiveBytes(known) as live, torch.no_grad():
        policy.see(batch)
    assert prediction.bytes_of("answers' logits") == pytest.approx(live.peak, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["nf4", "int8"])
@pytest.mark.parametrize("upcast", [True, False])
@pytest.mark.parametrize("adapter", [ALL, QKVO], ids=["all-linear", "attention"])
def test_peak_on_quantised_bases(
    weights: Any, upcast: bool, adapter: LowRankTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With PEFT's path of a GPU, where autocast is on as far as its bitsandbytes layers ask."""
    import torch

    setup = Setup(
        weights=weights, upcast=upcast, adapter=adapter, checkpointing=True, batch=2, length=256, loss="full"
    )
    asked = torch.is_autocast_enabled
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *_: asked("cpu"))
    found = measure(quantised(setup), setup)
    assert peak_by_prediction(predict(architecture(), setup)) == pytest.approx(found.peak, rel=PEAK_ERROR)


def quantised(setup: Setup) -> Any:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**CONFIG), dtype=torch.bfloat16)
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, torch.nn.Linear) and name != "lm_head":
                setattr(module, name, quantised_linear(child, setup.weights))
    model.is_loaded_in_4bit, model.is_loaded_in_8bit = setup.weights == "nf4", setup.weights == "int8"
    if setup.upcast:
        for parameter in model.parameters():
            if parameter.dtype == torch.bfloat16:
                parameter.data = parameter.data.float()
    assert setup.adapter is not None
    targets = setup.adapter.target_modules
    names = targets if isinstance(targets, str) else list(targets)
    adapted = get_peft_model(model, LoraConfig(r=8, target_modules=names, task_type="CAUSAL_LM"))
    return prepare(adapted, setup)


def quantised_linear(linear: Any, kind: str) -> Any:
    import bitsandbytes as bnb
    import torch

    shape, biased = (linear.in_features, linear.out_features), linear.bias is not None
    if kind == "int8":
        made = bnb.nn.Linear8bitLt(*shape, bias=biased, has_fp16_weights=False, threshold=6.0)
        made.weight = bnb.nn.Int8Params(
            linear.weight.data.half(), requires_grad=False, has_fp16_weights=False
        )
    else:
        made = bnb.nn.Linear4bit(*shape, bias=biased, compute_dtype=torch.bfloat16, quant_type=kind)
        made.weight = bnb.nn.Params4bit(linear.weight.data.float(), requires_grad=False, quant_type=kind)
        made.support_avx512bf16_for_cpu = False
    made.bias = linear.bias
    return made.to("cpu")
