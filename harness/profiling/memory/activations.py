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

from assay.harness.profiling.memory.architecture import WIDTH, Architecture, Linear, float_width, is_float
from assay.harness.profiling.memory.optimizers import adapted, adapter_shapes
from assay.harness.profiling.memory.setup import Setup

# Tokens and vocabulary entries that TRL's fused head (trl.kernels.chunked_logprob) looks at together.
CHUNK_TOKENS = 4096
CHUNK_VOCABULARY = 32768
FP32 = 4
# Where there is no Triton the fold makes seven fp32 tensors and a mask of a tile's size (measured, torch 2.13).
FOLD_ON_CPU = 7 * FP32 + 1
# fp32 tensors of answer tokens x vocabulary in assay.trainers.rl.policy (counted by the bytes alive, torch 2.13): kept
# for the backward pass (log-softmax, its exponential), at that pass's peak, and at the peak where nothing is kept.
ANSWERS_KEPT, ANSWERS_PEAK, ANSWERS_READ = 2, 5, 4


@dataclass(frozen=True, slots=True)
class Kept:
    """Bytes that one block's forward pass leaves for its backward pass, by what they are."""

    activations: int
    scores: int
    weight_copies: int
    deltas: int

    @property
    def total(self) -> int:
        return self.activations + self.scores + self.weight_copies + self.deltas


@dataclass(frozen=True, slots=True)
class _Block:
    architecture: Architecture
    setup: Setup

    @property
    def tokens(self) -> int:
        return self.setup.tokens

    @property
    def e(self) -> int:
        return WIDTH[self.setup.rest()]

    @property
    def c(self) -> int:
        return WIDTH[self.setup.compute]

    @property
    def o(self) -> int:
        """Bytes of the MLP's intermediate values: bitsandbytes' 4-bit layers answer in their input's type."""
        return self.e if self.setup.weights in ("nf4", "fp4") else self.c

    @property
    def full(self) -> bool:
        return self.setup.adapter is None

    @property
    def targets(self) -> tuple[Linear, ...]:
        adapter = self.setup.adapter
        return () if adapter is None else adapted(self.architecture, adapter)

    def inputs(self, names: tuple[str, ...], width: int, own: int) -> int:
        """Return the bytes kept of one input [T, width] of `own` bytes that the layers `names` share."""
        here, one = [t for t in self.targets if t.name in names], self.tokens * width
        if self.full:
            return one * own if own == self.c else one * self.c * len(names)
        if self.setup.weights == "int8":
            return one * own + (one * self.c * len(here) if own != self.c else 0)
        if not here:
            return 0
        if not self.setup.autocast:
            return one * own
        if self.setup.quantised and self.setup.gpu and own == self.c:
            return one * own
        return one * self.c * len(here)

    def norm(self) -> int:
        kept = self.tokens * self.architecture.hidden * FP32 + self.tokens * FP32
        return kept + (self.tokens * self.architecture.hidden * self.e if self.full else 0)

    def attention(self) -> int:
        a, tokens, setup = self.architecture, self.tokens, self.setup
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
        kept = 3 * self.tokens * self.architecture.intermediate * self.o
        return kept + self.inputs(("down_proj",), self.architecture.intermediate, self.o)

    def mlp_part(self) -> int:
        """Return the bytes that the second half of a block keeps."""
        return (
            self.norm() + self.inputs(("gate_proj", "up_proj"), self.architecture.hidden, self.e) + self.mlp()
        )

    def ranks(self) -> int:
        adapter = self.setup.adapter
        if adapter is None or adapter.type in ("loha", "lokr"):
            return 0
        kept = self.tokens * adapter.r * len(self.targets) * self.c
        if adapter.type == "dora":  # the base's and the adapter's output, each to be scaled by the magnitude
            kept += 2 * self.tokens * sum(t.outputs for t in self.targets) * self.c
        return kept

    def copies_its_input(self) -> bool:
        """Whether PEFT's layer works on a copy of an input that already has the type it computes in."""
        return not self.full and self.setup.autocast and not (self.setup.quantised and self.setup.gpu)


def kept_by_block(architecture: Architecture, setup: Setup) -> Kept:
    """Return the bytes that one block keeps where gradients run through it."""
    block = _Block(architecture, setup)
    activations = (
        block.norm()
        + block.inputs(("q_proj", "k_proj", "v_proj"), architecture.hidden, block.e)
        + block.attention()
        + block.mlp_part()
        + block.ranks()
    )
    scores = 0
    if setup.attention == "eager":
        each = FP32 + (block.c if block.c != FP32 else 0)
        scores = setup.sequences * architecture.heads * setup.length**2 * each
    return Kept(activations, scores, _weight_copies(architecture, setup), _deltas(block))


def _weight_copies(architecture: Architecture, setup: Setup) -> int:
    """Return the bytes of autocast's copies of one block's matrices; bitsandbytes' layers make none that last."""
    if not setup.autocast:
        return 0
    c = WIDTH[setup.compute]
    copies = 0
    if is_float(setup.weights) and setup.weights != setup.compute:
        copies += c * sum(linear.weights for linear in architecture.block)
    if setup.adapter is not None and setup.adapter.type not in ("loha", "lokr"):
        shapes = [s for t in adapted(architecture, setup.adapter) for s in adapter_shapes(t, setup.adapter)]
        copies += c * sum(rows * columns for rows, columns in shapes)
    return copies


def _deltas(block: _Block) -> int:
    """Return the bytes of the deltas [outputs, inputs] by which LoHa and LoKr multiply, and which are kept; LoRA makes
    none.
    """
    adapter = block.setup.adapter
    if adapter is None or adapter.type not in ("loha", "lokr"):
        return 0
    return block.c * sum(t.weights for t in block.targets)


def outside_the_graph(architecture: Architecture, setup: Setup) -> int:
    """Return the bytes that the first block does not keep where nothing before it trains: its first norm, and the
    copies of q, k and v that only a gradient of their input would need. Checkpointing makes the embedding's output
    require a gradient.
    """
    if setup.adapter is None or setup.checkpointing:
        return 0
    block = _Block(architecture, setup)
    copies = 0
    if setup.autocast and is_float(setup.weights) and setup.weights != setup.compute:
        qkv = [
            linear.weights for linear in architecture.block if linear.name in ("q_proj", "k_proj", "v_proj")
        ]
        copies = block.c * sum(qkv)
    return block.norm() + copies


def block_input_bytes(architecture: Architecture, setup: Setup) -> int:
    """Return the bytes of one block's input, which checkpointing keeps: [T, h] in the residual stream's type."""
    block = _Block(architecture, setup)
    return block.tokens * architecture.hidden * block.e


def recomputed_bytes(architecture: Architecture, setup: Setup) -> int:
    """Return the bytes of one block's activations, made again under checkpointing.

    An fp32 input is the one that was kept, and so are the inputs of int8 layers.
    """
    block = _Block(architecture, setup)
    again = block_input_bytes(architecture, setup) if block.e == FP32 else 0
    return kept_by_block(architecture, setup).activations - again - int8_inputs_bytes(architecture, setup)


def int8_inputs_bytes(architecture: Architecture, setup: Setup) -> int:
    """Return the bytes of the inputs of one block's int8 layers.

    MatMul8bitLt keeps them where checkpointing's hooks do not see them.
    """
    if setup.weights != "int8" or not setup.checkpointing:
        return 0
    block, a = _Block(architecture, setup), architecture
    norms = 2 * a.hidden * block.e
    return block.tokens * (norms + (a.heads * a.head_dim + a.intermediate) * block.c)


def mask_bytes(architecture: Architecture, setup: Setup) -> int:
    """Return the bytes of eager attention's additive mask [sequences, 1, L, L], which checkpointing keeps for all
    blocks.
    """
    if setup.attention != "eager" or not setup.checkpointing:
        return 0
    return setup.sequences * setup.length**2 * _Block(architecture, setup).e


def kept_after_blocks(architecture: Architecture, setup: Setup) -> int:
    """Return the bytes of the last norm, the rotary tables, and what the head keeps of its input."""
    block = _Block(architecture, setup)
    kept = block.norm() + 2 * setup.length * architecture.head_dim * block.e
    if setup.objective == "reward":
        return kept
    h = architecture.hidden
    if setup.loss == "chunked":  # a copy of the hidden states without the last position
        return kept + block.tokens * h * block.e
    return kept + (block.tokens * h * block.c if block.full else 0)


def head_copy_bytes(architecture: Architecture, setup: Setup) -> int:
    """Return the bytes of autocast's copy of the whole output head; the fused loss casts a slice at a time."""
    if setup.objective == "reward" or not setup.autocast or setup.loss == "chunked":
        return 0
    if setup.rest() == setup.compute:
        return 0
    return architecture.embedding_parameters * WIDTH[setup.compute]


def backward_scratch_bytes(architecture: Architecture, setup: Setup) -> int:
    """Return the bytes that a block's backward pass needs at its peak beyond what the block kept.

    Either in the MLP, where all is still kept: gradients of the product, of silu(gate) and of up, [T, f] in c (one less
    where the product is kept and goes first; one more where autocast takes PEFT's gradient to fp32 and back), of the
    residual stream, [T, h] in e and again in c where that is another type, and, where it trains, of down_proj's own
    weight. Or, with eager attention, in the softmax, where the MLP's part is gone: three fp32 tensors of scores.
    """
    block, kept = _Block(architecture, setup), kept_by_block(architecture, setup)
    residual = block.tokens * architecture.hidden * (block.e + (block.c if block.c != block.e else 0))
    if block.full:
        residual += architecture.hidden * architecture.intermediate * float_width(setup.weights)
    wide = 3
    if any(t.name == "down_proj" for t in block.targets):
        if block.o == FP32 or setup.weights in ("nf4", "fp4"):
            wide = 2
        if block.o != FP32 and block.copies_its_input():
            wide = 4
    mlp = kept.total + wide * block.tokens * architecture.intermediate * block.o
    attention = 0
    if setup.attention == "eager":
        scores = setup.sequences * architecture.heads * setup.length**2
        attention = kept.total - block.mlp_part() + 3 * FP32 * scores - kept.scores
    return max(mlp, attention) - kept.total + residual


def loss_bytes(architecture: Architecture, setup: Setup) -> int:
    """Return the bytes that the loss holds at its peak.

    answers: five tensors [answer tokens, V] in fp32, two of them kept since the forward pass. full: three [T, V] in
    fp32, when log-softmax's result, the gradient of it and the gradient of the logits are there at once. chunked: one
    tile of logits, on the CPU with the tensors its fold makes, its slice of the head where that is cast, and the
    gradient of the hidden states in fp32; with a trained head that one's too. A reward has one number a sequence.
    """
    if setup.objective == "reward":
        return 0
    block, v = _Block(architecture, setup), architecture.vocab
    if setup.loss == "answers":
        return ANSWERS_PEAK * FP32 * setup.answers * v
    if setup.loss == "full":
        return 3 * FP32 * block.tokens * v
    tile = min(block.tokens, CHUNK_TOKENS) * min(v, CHUNK_VOCABULARY)
    cast = setup.autocast and setup.rest() != setup.compute
    slice_bytes = min(v, CHUNK_VOCABULARY) * architecture.hidden * WIDTH[setup.compute] if cast else 0
    tile_bytes = tile * (block.c + (0 if setup.gpu else FOLD_ON_CPU))
    hidden_bytes = FP32 * block.tokens * architecture.hidden
    return (
        slice_bytes
        + tile_bytes
        + hidden_bytes
        + (FP32 * architecture.embedding_parameters if block.full else 0)
    )


def dequantised_bytes(architecture: Architecture, setup: Setup) -> int:
    """Return the bytes of the largest matrix, made whole in the compute type to multiply by it, one at a time. int8
    multiplies by its codes, and makes the matrix whole for the gradient of its input only.
    """
    if is_float(setup.weights) or (setup.weights == "int8" and not setup.trains):
        return 0
    return max(linear.weights for linear in architecture.block) * WIDTH[setup.compute]


def int8_product_bytes(architecture: Architecture, setup: Setup, tokens: int) -> int:
    """Return the bytes that LLM.int8 makes beside a product's result where nothing is kept: the input in fp16 and in
    int8, the product in int32 and in fp16. Without a kernel of its own, as on a CPU, bitsandbytes quantises in fp32
    (two tensors beside the fp16 input) and scales in fp32 (two more [tokens, outputs] beside the int32 product).
    """
    if setup.weights != "int8" or setup.trains:
        return 0
    if setup.gpu:
        return tokens * max(3 * linear.inputs + 6 * linear.outputs for linear in architecture.block)
    return tokens * max(
        max(10 * linear.inputs, 3 * linear.inputs + 12 * linear.outputs) for linear in architecture.block
    )


def forward_scratch_bytes(architecture: Architecture, setup: Setup, tokens: int, length: int) -> int:
    """Return the bytes of the live set where nothing is kept: of one block three tensors [T, f] of the MLP, or q, k, v
    and the output of attention (and its scores, where it is eager); four of the residual stream [T, h] (the embeddings
    and the block's input, which the model's frames hold, the stream and its normalised copy); and the rotary tables.
    """
    a = architecture
    c, e = WIDTH[setup.compute], WIDTH[setup.rest()]
    attention = tokens * (2 * a.heads + 2 * a.kv_heads) * a.head_dim * c
    if setup.attention == "eager":
        attention += (tokens // length) * a.heads * length**2 * (FP32 + c)
    tables = 2 * length * a.head_dim * e
    return max(3 * tokens * a.intermediate * c, attention) + 4 * tokens * a.hidden * e + tables
