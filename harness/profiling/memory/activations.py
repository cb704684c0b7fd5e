"""The bytes that autograd keeps from the forward pass of a Llama-type block, and those that passes need beside it.

Derived from transformers' modelling code (5.x, Qwen2), PEFT's LoRA layers (0.21) and bitsandbytes' autograd functions
(0.50), and held against saved-tensor hooks by a test. T = sequences·L tokens; h, f, V: hidden, intermediate and
vocabulary size; A = heads·head_dim, G = kv_heads·head_dim; e: bytes of the residual stream, which has the embedding's
type; c: bytes of the type that matrix products are computed in. A block keeps:

    norm, twice    its input in fp32 [T, h], 1/rms in fp32 [T]; where weights train also the normalised input [T, h] e
    q, k, v inputs trained base: the norm's output once, or a cast copy for each where e ≠ c
                   LoRA: under autocast a copy in c for each adapted layer (PEFT casts it to the adapter's fp32 and
                   autocast back); on quantised weights on a GPU only where e ≠ c; without autocast one is shared
    int8           each layer keeps its input (MatMul8bitLt), the norm's output itself, checkpointing or not
    LoRA           A·x in c [T, r] for each adapted layer
    sdpa, flash    q [T, A], k and v [T, G], output [T, A] in c, log-sum-exp in fp32 [sequences·heads·L]
    eager          q, repeated k and v [T, A] each, probabilities [sequences·heads, L, L] in fp32 and again in c
    o_proj input   [T, A] in c, where it is not attention's own output
    MLP            gate, silu(gate) and up [T, f] each in c; the product [T, f] where down_proj trains or is adapted;
                   4-bit layers answer in their input's type, so that these are fp32 after a k-bit upcast
    weights        a copy in c of each matrix whose own type is another (autocast), kept for the gradient of its input

Under checkpointing a block keeps its input [T, h] e only, and one block at a time keeps all of the above again.
"""

from __future__ import annotations

from dataclasses import dataclass

from assay.harness.profiling.memory.architecture import WIDTH, Architecture, Linear, is_float
from assay.harness.profiling.memory.optimizers import adapted, adapter_parameters
from assay.harness.profiling.memory.setup import Setup

# Tokens and vocabulary entries that TRL's fused head (trl.kernels.chunked_logprob) looks at together.
CHUNK_TOKENS = 4096
CHUNK_VOCABULARY = 32768
FP32 = 4
QKV = ("q_proj", "k_proj", "v_proj")
# Where there is no Triton the fold makes seven fp32 tensors and a mask of a tile's size (measured, torch 2.13).
FOLD_ON_CPU = 7 * FP32 + 1
# fp32 tensors of answer tokens x vocabulary in assay.trainers.rl.policy (counted by the bytes alive, torch 2.13): kept
# for the backward pass (log-softmax, its exponential), at that pass's peak, and at the peak where nothing is kept.
ANSWERS_KEPT, ANSWERS_PEAK, ANSWERS_READ = 2, 5, 4


@dataclass(frozen=True, slots=True)
class Block:
    """The bytes of one block's passes in a run: what its forward pass keeps and what its passes need beside that."""

    a: Architecture
    s: Setup

    @property
    def tokens(self) -> int:
        return self.s.tokens

    @property
    def e(self) -> int:
        return WIDTH[self.s.rest()]

    @property
    def c(self) -> int:
        return WIDTH[self.s.compute]

    @property
    def o(self) -> int:
        """Bytes of the MLP's intermediate values: bitsandbytes' 4-bit layers answer in their input's type."""
        return self.e if self.s.weights in ("nf4", "fp4") else self.c

    @property
    def full(self) -> bool:
        return self.s.adapter is None

    @property
    def targets(self) -> tuple[Linear, ...]:
        adapter = self.s.adapter
        return () if adapter is None else adapted(self.a, adapter)

    def inputs(self, names: tuple[str, ...], width: int, own: int) -> int:
        """Return the bytes kept of one input [T, width] of `own` bytes that the layers `names` share."""
        here, one = [t for t in self.targets if t.name in names], self.tokens * width
        if self.full:
            return one * own if own == self.c else one * self.c * len(names)
        if self.s.weights == "int8":
            return one * own + (one * self.c * len(here) if own != self.c else 0)
        if not here:
            return 0
        if not self.s.autocast:
            return one * own
        if self.s.quantised and self.s.gpu and own == self.c:
            return one * own
        return one * self.c * len(here)

    @property
    def casts_base(self) -> bool:
        """Whether autocast copies the matrices of the base, which bitsandbytes' layers never have done to them."""
        return self.s.autocast and is_float(self.s.weights) and self.s.weights != self.s.compute

    @property
    def casts_rest(self) -> bool:
        """Whether autocast copies what is never quantised, such as the output head."""
        return self.s.autocast and self.s.rest() != self.s.compute

    def norm(self) -> int:
        kept = self.tokens * self.a.hidden * FP32 + self.tokens * FP32
        return kept + (self.tokens * self.a.hidden * self.e if self.full else 0)

    def attention(self) -> int:
        a, tokens, setup = self.a, self.tokens, self.s
        wide, narrow = a.heads * a.head_dim, a.kv_heads * a.head_dim
        if setup.attention == "eager":
            kept = tokens * 3 * wide * self.c
        else:
            kept = tokens * (2 * wide + 2 * narrow) * self.c
            kept += setup.sequences * a.heads * setup.length * FP32
        if a.head_norms:
            kept += tokens * (wide + narrow) * FP32 + tokens * (a.heads + a.kv_heads) * FP32
        out = self.inputs(("o_proj",), wide, self.c)
        shared = setup.attention != "eager" and out and not self.copies_its_input()
        return kept + (0 if shared else out)

    def mlp(self) -> int:
        kept = 3 * self.tokens * self.a.intermediate * self.o
        return kept + self.inputs(("down_proj",), self.a.intermediate, self.o)

    def mlp_part(self) -> int:
        """Return the bytes that the second half of a block keeps."""
        return self.norm() + self.inputs(("gate_proj", "up_proj"), self.a.hidden, self.e) + self.mlp()

    def ranks(self) -> int:
        adapter = self.s.adapter
        if adapter is None or adapter.type in ("loha", "lokr"):
            return 0
        kept = self.tokens * adapter.r * len(self.targets) * self.c
        if adapter.type == "dora":  # the base's and the adapter's output, each to be scaled by the magnitude
            kept += 2 * self.tokens * sum(t.outputs for t in self.targets) * self.c
        return kept

    def copies_its_input(self) -> bool:
        """Whether PEFT's layer works on a copy of an input that already has the type it computes in."""
        return not self.full and self.s.autocast and not (self.s.quantised and self.s.gpu)

    def activations(self) -> int:
        """Return the bytes of the activations that one block keeps where gradients run through it."""
        return (
            self.norm()
            + self.inputs(QKV, self.a.hidden, self.e)
            + self.attention()
            + self.mlp_part()
            + self.ranks()
        )

    def scores(self) -> int:
        """Return the bytes of one block's attention probabilities, which eager attention keeps."""
        if self.s.attention != "eager":
            return 0
        each = FP32 + (self.c if self.c != FP32 else 0)
        return self.s.sequences * self.a.heads * self.s.length**2 * each

    def kept(self) -> int:
        """Return all bytes that one block's forward pass leaves for its backward pass."""
        return self.activations() + self.scores() + self.weight_copies() + self.deltas()

    def weight_copies(self) -> int:
        """Return the bytes of autocast's copies of one block's matrices; bitsandbytes' layers make none that last."""
        if not self.s.autocast:
            return 0
        copies = 0
        if self.casts_base:
            copies += self.c * sum(linear.weights for linear in self.a.block)
        if self.s.adapter is not None and self.s.adapter.type not in ("loha", "lokr"):
            copies += self.c * (adapter_parameters(self.a, self.s.adapter) // self.a.layers)
        return copies

    def deltas(self) -> int:
        """Return the bytes of the deltas [outputs, inputs] by which LoHa and LoKr multiply, and which are kept; LoRA
        makes none.
        """
        adapter = self.s.adapter
        if adapter is None or adapter.type not in ("loha", "lokr"):
            return 0
        return self.c * sum(t.weights for t in self.targets)

    def spared_copies(self) -> int:
        """Return the bytes of the copies of q, k and v that the first block does not keep where nothing before it
        trains, because only a gradient of their input would need them. Checkpointing makes the embedding's output
        require a gradient.
        """
        if self.full or self.s.checkpointing or not self.casts_base:
            return 0
        return self.c * sum(linear.weights for linear in self.a.block if linear.name in QKV)

    def input_stream(self) -> int:
        """Return the bytes of one block's input, which checkpointing keeps: [T, h] in the residual stream's type."""
        return self.tokens * self.a.hidden * self.e

    def recomputed(self) -> int:
        """Return the bytes of one block's activations, made again under checkpointing.

        An fp32 input is the one that was kept, and so are the inputs of int8 layers.
        """
        again = self.input_stream() if self.e == FP32 else 0
        return self.activations() - again - self.int8_inputs()

    def int8_inputs(self) -> int:
        """Return the bytes of the inputs of one block's int8 layers.

        MatMul8bitLt keeps them where checkpointing's hooks do not see them.
        """
        if self.s.weights != "int8" or not self.s.checkpointing:
            return 0
        a = self.a
        norms = 2 * a.hidden * self.e
        return self.tokens * (norms + (a.heads * a.head_dim + a.intermediate) * self.c)

    def mask(self) -> int:
        """Return the bytes of eager attention's additive mask [sequences, 1, L, L], which checkpointing keeps for all
        blocks.
        """
        if self.s.attention != "eager" or not self.s.checkpointing:
            return 0
        return self.s.sequences * self.s.length**2 * self.e

    def kept_after_blocks(self) -> int:
        """Return the bytes of the last norm, the rotary tables, and what the head keeps of its input."""
        kept = self.norm() + 2 * self.s.length * self.a.head_dim * self.e
        if self.s.objective == "reward":
            return kept
        hidden = self.tokens * self.a.hidden
        if self.s.loss == "chunked":  # a copy of the hidden states without the last position
            return kept + hidden * self.e
        return kept + (hidden * self.c if self.full else 0)

    def head_copy(self) -> int:
        """Return the bytes of autocast's copy of the whole output head; the fused loss casts a slice at a time."""
        if self.s.objective == "reward" or self.s.loss == "chunked" or not self.casts_rest:
            return 0
        return self.a.embedding_parameters * self.c

    def backward_scratch(self) -> int:
        """Return the bytes that a block's backward pass needs at its peak beyond what the block kept.

         Either in the MLP, where all is still kept: gradients of the product, of silu(gate) and of up, [T, f] in c (one
        less where the product is kept and goes first; one more where autocast takes PEFT's gradient to fp32 and back),
        of the residual stream, [T, h] in e and again in c where that is another type, and, where it trains, of
        down_proj's own weight. Or, with eager attention, in the softmax, where the MLP's part is gone: three fp32
        tensors of scores.
        """
        kept = self.kept()
        residual = self.tokens * self.a.hidden * (self.e + (self.c if self.c != self.e else 0))
        if self.full:
            residual += self.a.hidden * self.a.intermediate * WIDTH[self.s.weights]
        wide = 3
        if any(t.name == "down_proj" for t in self.targets):
            if self.o == FP32 or self.s.weights in ("nf4", "fp4"):
                wide = 2
            if self.o != FP32 and self.copies_its_input():
                wide = 4
        mlp = kept + wide * self.tokens * self.a.intermediate * self.o
        attention = 0
        if self.s.attention == "eager":
            scores = self.s.sequences * self.a.heads * self.s.length**2
            attention = kept - self.mlp_part() + 3 * FP32 * scores - self.scores()
        return max(mlp, attention) - kept + residual

    def loss(self) -> int:
        """Return the bytes that the loss holds at its peak.

         answers: five tensors [answer tokens, V] in fp32, two of them kept since the forward pass. full: three [T, V]
        in fp32, when log-softmax's result, the gradient of it and the gradient of the logits are there at once.
        chunked: one tile of logits, on the CPU with the tensors its fold makes, its slice of the head where that is
        cast, and the gradient of the hidden states in fp32; with a trained head that one's too. A reward has one number
        a sequence.
        """
        if self.s.objective == "reward":
            return 0
        v = self.a.vocab
        if self.s.loss == "answers":
            return ANSWERS_PEAK * FP32 * self.s.answers * v
        if self.s.loss == "full":
            return 3 * FP32 * self.tokens * v
        tile = min(self.tokens, CHUNK_TOKENS) * min(v, CHUNK_VOCABULARY)
        slice_bytes = min(v, CHUNK_VOCABULARY) * self.a.hidden * self.c if self.casts_rest else 0
        tile_bytes = tile * (self.c + (0 if self.s.gpu else FOLD_ON_CPU))
        gradients = self.tokens * self.a.hidden + (self.a.embedding_parameters if self.full else 0)
        return slice_bytes + tile_bytes + FP32 * gradients

    def dequantised(self) -> int:
        """Return the bytes of the largest matrix, made whole in the compute type to multiply by it, one at a time. int8
        multiplies by its codes, and makes the matrix whole for the gradient of its input only.
        """
        if is_float(self.s.weights) or (self.s.weights == "int8" and not self.s.trains):
            return 0
        return max(linear.weights for linear in self.a.block) * self.c

    def int8_product(self, tokens: int) -> int:
        """Return the bytes that LLM.int8 makes beside a product's result where nothing is kept: the input in fp16 and
        in int8, the product in int32 and in fp16. Without a kernel of its own, as on a CPU, bitsandbytes quantises in
        fp32 (two tensors beside the fp16 input) and scales in fp32 (two more [tokens, outputs] beside the int32
        product).
        """
        if self.s.weights != "int8" or self.s.trains:
            return 0
        if self.s.gpu:
            return tokens * max(3 * x.inputs + 6 * x.outputs for x in self.a.block)
        return tokens * max(max(10 * x.inputs, 3 * x.inputs + 12 * x.outputs) for x in self.a.block)

    def forward_scratch(self, tokens: int, length: int) -> int:
        """Return the bytes of the live set where nothing is kept: of one block three tensors [T, f] of the MLP, or q,
        k, v and the output of attention (and its scores, where it is eager); four of the residual stream [T, h] (the
        embeddings and the block's input, which the model's frames hold, the stream and its normalised copy); and the
        rotary tables.
        """
        a = self.a
        attention = tokens * (2 * a.heads + 2 * a.kv_heads) * a.head_dim * self.c
        if self.s.attention == "eager":
            attention += (tokens // length) * a.heads * length**2 * (FP32 + self.c)
        tables = 2 * length * a.head_dim * self.e
        return max(3 * tokens * a.intermediate * self.c, attention) + 4 * tokens * a.hidden * self.e + tables
