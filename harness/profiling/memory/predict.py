"""Predicted memory of a run, component by component: arithmetic on shapes, no torch, no device.

The peak is not the sum of everything: activations are gone when the optimiser steps, gradients are not yet there when
the loss is taken. Each component says in which phases of a step it is there; the peak is the largest phase. What
cannot be derived from shapes (the device's context, the allocator's rounding and fragmentation, libraries in host
memory) is named as unmeasured, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from assay.harness.generation.token_choice import scratch_bytes
from assay.harness.profiling.memory.activations import ANSWERS_KEPT, ANSWERS_READ, Block
from assay.harness.profiling.memory.architecture import WIDTH, Architecture, matrix_bytes
from assay.harness.profiling.memory.optimizers import (
    PAGED,
    Trained,
    adapted,
    adapter_parameters,
    adapter_shapes,
    state_bytes,
    step_scratch_bytes,
)
from assay.harness.profiling.memory.setup import SAMPLES_ITSELF, Setup, check

ALWAYS = ("loss", "backward", "backward end", "update")
INFERENCE = ("prefill", "admission", "decode")
UNMEASURED = (
    ("device context", "the driver's and the libraries' own memory; measured when the run is profiled"),
    ("fragmentation", "what the allocator reserves beyond what is used; measured when the run is profiled"),
)
# Bytes a vocabulary entry of a row that drawing a token by torch takes beside its logits: 64-bit noise.
DRAW_BY_TORCH = 34
_ROLLOUT_NUMBERS = 5  # a token's old and reference log-probabilities, value, reward, advantage, in fp32


@dataclass(frozen=True, slots=True)
class Component:
    """One part of the memory: `phases` are the parts of a step that hold its bytes, `note` says what they are."""

    name: str
    bytes: int
    phases: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Prediction:
    """Bytes by component and by phase; `peak_bytes` is the largest phase."""

    architecture: Architecture
    setup: Setup
    components: tuple[Component, ...]

    @property
    def phases(self) -> dict[str, int]:
        order = dict.fromkeys(phase for c in self.components for phase in c.phases)
        return {p: sum(c.bytes for c in self.components if p in c.phases) for p in order}

    @property
    def peak_phase(self) -> str:
        return max(self.phases.items(), key=lambda item: item[1])[0]

    @property
    def peak_bytes(self) -> int:
        return max(self.phases.values())

    def bytes_of(self, name: str) -> int:
        """Return the bytes of the component called `name`; 0 where this run has none of it."""
        return sum(c.bytes for c in self.components if c.name == name)

    @property
    def static_bytes(self) -> int:
        """The bytes that every phase holds: weights, adapter, optimiser state, further models."""
        phases = set(self.phases)
        return sum(c.bytes for c in self.components if set(c.phases) == phases)

    @property
    def trained_parameters(self) -> int:
        return sum(t.numbers for t in trained_tensors(self.architecture, self.setup))

    def to_json(self) -> dict[str, Any]:
        at_peak = self.peak_phase
        return {
            "components": [asdict(c) | {"at_peak": at_peak in c.phases} for c in self.components],
            "phases": self.phases,
            "peak_phase": at_peak,
            "peak_bytes": self.peak_bytes,
            "trained_parameters": self.trained_parameters,
            "unmeasured": [{"name": name, "reason": reason} for name, reason in UNMEASURED],
        }


def predict(architecture: Architecture, setup: Setup) -> Prediction:
    """Return the memory that `setup` needs on one device, in bytes.

    Raises BadInputError for settings that cannot run together.
    """
    check(setup, architecture)
    parts = _training(architecture, setup) if setup.trains else _inference(architecture, setup)
    return Prediction(architecture, setup, tuple(c for c in parts if c.bytes > 0))


def trained_tensors(architecture: Architecture, setup: Setup) -> list[Trained]:
    """Return the tensors that a step changes: an adapter's, always fp32, or all of the model's, and a value or reward
    head.
    """
    tensors: list[Trained] = []
    if setup.trains:
        tensors = (_adapter_tensors if setup.adapter else _base_tensors)(architecture, setup)
    if setup.value_head or setup.objective == "reward":
        tensors.append(Trained(1, architecture.hidden + setup.value_head, 1, 4))
    return tensors


def weight_components(
    architecture: Architecture, setup: Setup, phases: tuple[str, ...]
) -> Iterator[Component]:
    """Yield the base model as it is loaded: linear layers in their format, everything else in floating point."""
    a, rest = architecture, setup.rest()
    width = WIDTH[rest]
    linears = a.layers * sum(
        matrix_bytes(x.outputs, x.inputs, setup.weights, double_quant=setup.double_quant) for x in a.block
    )
    kind = setup.weights
    if kind in ("nf4", "fp4"):
        kind_note = f"{kind} with double quantisation" if setup.double_quant else f"{kind}, fp32 scales"
    else:
        kind_note = f"{kind} with a scale for each row" if kind == "int8" else kind
    yield Component("linear weights", linears, phases, kind_note)
    tied = ", also the output head" if a.tied else ""
    yield Component("embedding", a.embedding_parameters * width, phases, rest + tied)
    yield Component("output head", a.head_parameters * width, phases, rest)
    biases = a.layers * sum(x.outputs for x in a.block if x.bias)
    # bitsandbytes casts the bias of a 4-bit layer to the type of what it is given, and leaves it so.
    biased = WIDTH[setup.compute] if kind in ("nf4", "fp4") else width
    small = (a.small_parameters - biases) * width + biases * biased
    yield Component("norms and biases", small, phases, rest)


def _training(a: Architecture, s: Setup) -> Iterator[Component]:
    phases = (*_before_learning(s), *ALWAYS)
    trained = trained_tensors(a, s)
    numbers = sum(t.numbers for t in trained)
    yield from weight_components(a, s, phases)
    yield from _further_models(a, s, phases)
    if s.adapter is not None:
        size = adapter_parameters(a, s.adapter)
        yield Component("adapter", 4 * size, phases, f"{s.adapter.type}, rank {s.adapter.r}, fp32")
    where = "paged: moves to host memory when the device is full" if s.gpu and s.optimizer in PAGED else ""
    yield Component("optimizer state", state_bytes(s.optimizer, trained), phases, where or s.optimizer)
    gradients = sum(t.numbers * t.width for t in trained)
    if s.accumulation > 1:
        yield Component("gradients", gradients, phases, f"of {numbers:,} numbers, kept between passes")
    elif s.adapter is None:  # the head's come first, the first block's last
        width = WIDTH[s.weights]
        first = width * a.linear_parameters // a.layers
        yield Component(
            "gradients", gradients - first, ("backward end", "update"), f"of {numbers:,} numbers in all"
        )
        yield Component("first block's gradients", first, ("update",), "the last to be made")
        yield Component(
            "head gradient", width * a.embedding_parameters, ("backward",), "the first to be made"
        )
    else:
        yield Component("gradients", gradients, ALWAYS[1:], f"of {numbers:,} numbers")
    scratch = step_scratch_bytes(s.optimizer, trained, foreach=s.gpu)
    yield Component("optimizer scratch", scratch, ("update",), "temporary tensors of one step")
    yield from _activations(a, s)
    if s.objective in SAMPLES_ITSELF:
        yield from _rollout(a, s)


def _before_learning(s: Setup) -> tuple[str, ...]:
    """Return the phases before the loss: drawing answers, and our PPO's passes of policy and reference over them."""
    if s.objective not in SAMPLES_ITSELF:
        return ()
    return ("rollout", "weigh") if s.objective == "ppo" else ("rollout",)


def _activations(a: Architecture, s: Setup) -> Iterator[Component]:
    block = Block(a, s)
    yield from _checkpointed(block) if s.checkpointing else _all_kept(block)
    yield Component(
        "last norm", block.kept_after_blocks(), ("loss",), "and the rotary tables, the head's input"
    )
    yield Component("head copy", block.head_copy(), ("loss",), "the output head cast by autocast")
    notes = {
        "full": "three fp32 tensors [tokens, vocabulary]",
        "chunked": "one tile at a time",
        "answers": "three more of them at the beginning of the backward pass",
    }
    kept = ANSWERS_KEPT * 4 * s.answers * a.vocab if s.loss == "answers" else 0
    yield Component("answers' log-softmax", kept, ("loss",), "two fp32 tensors [answer tokens, vocabulary]")
    yield Component("logits", block.loss() - kept, ("loss",), notes[s.loss])
    scratch = block.backward_scratch()
    yield Component("backward scratch", scratch, ("backward", "backward end"), "gradients within one block")
    multiplied = (*_before_learning(s), "backward", "backward end")
    yield Component("dequantised weight", block.dequantised(), multiplied, f"the largest, in {s.compute}")


def _all_kept(block: Block) -> Iterator[Component]:
    """Yield every block's activations, up to the backward pass of the last block; at its end the first block's are
    left.
    """
    a, phases = block.a, ("loss", "backward")
    spared = 0 if block.full else block.norm()  # nothing before the first block trains
    copies = a.layers * block.weight_copies() - block.spared_copies()
    yield Component("activations", a.layers * block.activations() - spared, phases, "of all blocks")
    yield Component(
        "attention scores", a.layers * block.scores(), phases, "eager attention keeps [L, L] matrices"
    )
    yield Component("autocast copies", copies, phases, "weights cast, kept for the backward pass")
    yield Component(
        "adapter deltas", a.layers * block.deltas(), phases, "the adapter's products as whole matrices"
    )
    yield Component("first block", block.kept(), ("backward end",), "what the first block kept")


def _checkpointed(block: Block) -> Iterator[Component]:
    layers, phases, again = block.a.layers, ("loss", "backward"), ("backward", "backward end")
    yield Component("activations", layers * block.input_stream(), phases, "checkpointed: each block's input")
    yield Component("attention mask", block.mask(), phases, "of eager attention")
    hidden = layers * block.int8_inputs()
    yield Component("int8 inputs", hidden, phases, "of all int8 layers; checkpointing cannot free them")
    again_bytes = block.recomputed()
    yield Component("recomputed block", again_bytes, again, "one block's activations, made again")
    note = "of one block; eager attention keeps [L, L] matrices"
    yield Component("attention scores", block.scores(), again, note)
    copies = block.weight_copies()
    yield Component("autocast copies", copies, again, "of one block's weights")
    yield Component("adapter deltas", block.deltas(), again, "one block's products as whole matrices")
    if block.full:
        note = "casts of trained weights last to the end of the pass"
        yield Component("autocast cache", layers * copies, ("loss",), note)


def _further_models(a: Architecture, s: Setup, phases: tuple[str, ...]) -> Iterator[Component]:
    if s.reference == "separate":
        total = sum(c.bytes for c in weight_components(a, s, phases))
        yield Component("reference model", total, phases, "a second copy of the weights")
    if s.value_head:
        yield Component("value head", 4 * (a.hidden + 1), phases, "one number a token, fp32")
    if s.objective == "reward":
        yield Component("reward head", 4 * a.hidden, phases, "one number a sequence, fp32")


def _rollout(a: Architecture, s: Setup) -> Iterator[Component]:
    """Yield the memory of sampling before the update: a cache for all sequences at their full length, which PPO's
    sampler keeps to its next update. PPO draws without autocast, in the type of what is not quantised.
    """
    block = Block(a, s)
    ppo = s.objective == "ppo"
    rows = s.drawn or s.sequences
    width = WIDTH[s.rest() if ppo else s.compute]
    cached = ("rollout", "weigh", *ALWAYS) if ppo else ("rollout",)
    cache = a.kv_values_per_token * width * rows * s.length
    yield Component("KV cache", cache, cached, f"{rows} sequences of {s.length} tokens")
    drawing = rows * a.vocab * (width + 4) + _draw_bytes(a, s, rows, ours=ppo)
    yield Component("decode logits", drawing, ("rollout",), "of one step, and the noise of the draw")
    if ppo:
        read = ANSWERS_READ * 4 * s.answers * a.vocab
        yield Component("answers' logits", read, ("weigh",), "four fp32 tensors [answer tokens, vocabulary]")
        scratch = block.forward_scratch(s.tokens, s.length)
        yield Component("forward scratch", scratch, ("weigh",), "the live tensors of one block")
    numbers = 4 * _ROLLOUT_NUMBERS * rows * s.length
    yield Component("rollout buffers", numbers, (*_before_learning(s), *ALWAYS), "five numbers a token")


def _inference(a: Architecture, s: Setup) -> Iterator[Component]:
    block, width = Block(a, s), WIDTH[s.compute]
    yield from weight_components(a, s, INFERENCE)
    if s.adapter is not None:
        yield Component(
            "adapter", 4 * adapter_parameters(a, s.adapter), INFERENCE, f"rank {s.adapter.r}, fp32"
        )
    rows, capacity = s.drawn or s.batch, s.length + s.new_tokens
    cache, phases = a.kv_values_per_token * width, INFERENCE if s.refilled else INFERENCE[1:]
    yield Component("KV cache", cache * rows * capacity, phases, f"{rows} x {capacity} tokens, {s.compute}")
    prompt = cache * s.batch * s.length
    yield Component("prompt's cache", prompt, INFERENCE[:2], "its keys and values before they are copied in")
    scratch = block.forward_scratch(s.batch * s.length, s.length)
    yield Component("prefill scratch", scratch, ("prefill",), "the live tensors of one block")
    decode = block.forward_scratch(rows, 1)
    yield Component("decode scratch", decode, ("decode",), "the live tensors of one block")
    drawing = rows * a.vocab * (width + 4) + _draw_bytes(a, s, rows, ours=True)
    note = "of the last position, in fp32, and the noise of a sampled token"
    yield Component("logits", drawing, INFERENCE[1:], note)
    for phase, tokens in (("prefill", s.batch * s.length), ("decode", rows)):
        products = block.int8_product(tokens)
        yield Component(f"int8 {phase}", products, (phase,), "inputs and products of one layer")
    yield Component("dequantised weight", block.dequantised(), INFERENCE, f"the largest, in {s.compute}")


def _draw_bytes(a: Architecture, s: Setup, rows: int, ours: bool) -> int:
    """Return the bytes of a draw's noise: our generator's on a CPU is made by the row, a device's and TRL's for all
    rows at once.
    """
    return scratch_bytes(rows, a.vocab) if ours and not s.gpu else DRAW_BY_TORCH * rows * a.vocab


def _adapter_tensors(a: Architecture, s: Setup) -> list[Trained]:
    assert s.adapter is not None
    shapes = [shape for linear in adapted(a, s.adapter) for shape in adapter_shapes(linear, s.adapter)]
    return [Trained(rows, columns, a.layers, 4) for rows, columns in shapes]


def _base_tensors(a: Architecture, s: Setup) -> list[Trained]:
    width = WIDTH[s.weights]
    tensors = [Trained(x.outputs, x.inputs, a.layers, width) for x in a.block]
    tensors += [Trained(1, x.outputs, a.layers, width) for x in a.block if x.bias]
    tensors.append(Trained(1, a.hidden, 2 * a.layers + 1, width))
    tensors.append(Trained(a.vocab, a.hidden, 1, width, embedding=True))
    if a.head_norms:
        tensors.append(Trained(1, a.head_dim, 2 * a.layers, width))
    if not a.tied:
        tensors.append(Trained(a.vocab, a.hidden, 1, width))
    return tensors
