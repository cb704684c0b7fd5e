"""The numbers that an adapter adds to a model and the bytes of optimiser state, from the shapes of what is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from assay.harness.errors import BadInputError
from assay.harness.profiling.memory.architecture import Architecture, Linear
from assay.trainers.config import LowRankTable
from assay.trainers.config.common import Optimizer

OPTIMIZERS: tuple[Optimizer, ...] = get_args(Optimizer)
PAGED: tuple[Optimizer, ...] = ("paged_adamw_32bit", "paged_adamw_8bit")
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")  # the linear layers of one block's attention

# bitsandbytes: smaller tensors keep 32-bit state; one fp32 scale for 256 numbers of 8 bits.
_MIN_8BIT = 4096
_SCALE_BLOCK = 256

Shape = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Trained:
    """`count` tensors [rows, columns] that are trained, each number `width` bytes."""

    rows: int
    columns: int
    count: int
    width: int
    embedding: bool = False

    @property
    def numbers(self) -> int:
        return self.rows * self.columns * self.count


def state_bytes(optimizer: Optimizer, trained: Sequence[Trained]) -> int:
    """Return the bytes of state after the first step.

    AdamW: two numbers for each that is trained, of its own width. 8-bit (Dettmers et al. 2021, arXiv 2110.02861): two
    bytes and the scales; embeddings stay at 32 bits, as transformers' Trainer asks. Adafactor (1804.04235), as
    transformers runs it: a row and a column of fp32 for a matrix, no momentum. SGD without momentum keeps nothing.
    """
    return sum(_state(optimizer, t) for t in trained)


def step_scratch_bytes(optimizer: Optimizer, trained: Sequence[Trained], *, foreach: bool) -> int:
    """Return the bytes that a step needs beside its state: torch's AdamW makes the square root of its second moment, of
    all tensors at once where it runs `foreach` (on a GPU), of one after another elsewhere; Adafactor one update at a
    time.
    """
    largest = max((t.rows * t.columns * t.width for t in trained), default=0)
    match optimizer:
        case "adamw_torch":
            return sum(t.numbers * t.width for t in trained) if foreach else largest
        case "adafactor":
            return 2 * largest
        case _:
            return 0


def _state(optimizer: Optimizer, t: Trained) -> int:
    match optimizer:
        case "adamw_torch" | "adamw_torch_fused":
            return 2 * t.numbers * t.width
        case "paged_adamw_32bit":
            return 2 * t.numbers * 4
        case "adamw_8bit" | "paged_adamw_8bit":
            each = t.rows * t.columns
            if t.embedding or each < _MIN_8BIT:
                return 2 * t.numbers * 4
            return t.count * 2 * (each + 4 * -(-each // _SCALE_BLOCK))
        case "adafactor":
            return t.count * 4 * (t.rows + t.columns if min(t.rows, t.columns) > 1 else t.rows * t.columns)
        case "sgd":
            return 0


def adapted(architecture: Architecture, adapter: LowRankTable) -> tuple[Linear, ...]:
    """Return the linear layers of one block that the adapter is put on. Raises BadInputError for an unknown name."""
    if adapter.target_modules == "all-linear":
        return architecture.block
    known = {linear.name: linear for linear in architecture.block}
    unknown = [name for name in adapter.target_modules if name not in known]
    if unknown:
        raise BadInputError(
            f"{architecture.name} has no linear layer {', '.join(map(repr, unknown))}; it has: {', '.join(known)}"
        )
    return tuple(known[name] for name in known if name in adapter.target_modules)


def adapter_shapes(linear: Linear, adapter: LowRankTable) -> list[Shape]:
    """Return the shapes of the tensors that the adapter adds to one linear layer; a vector is one row.

    LoRA (arXiv 2106.09685): A [r, inputs], B [outputs, r]. DoRA (2402.09353): LoRA and a magnitude for each output.
    LoHa (2108.06098): two such pairs. LoKr (2212.10650, 2309.14859): a Kronecker product, as PEFT cuts it.
    """
    r = adapter.r
    pair = [(r, linear.inputs), (linear.outputs, r)]
    match adapter.type:
        case "lora" | "rslora":
            return pair
        case "dora":
            return [*pair, (1, linear.outputs)]
        case "loha":
            return pair + pair
        case "lokr":
            return _lokr_shapes(linear, r)


def adapter_parameters(architecture: Architecture, adapter: LowRankTable) -> int:
    """Return the number of the adapter's parameters: for LoRA r·(inputs + outputs) over the adapted layers of all
    blocks.
    """
    shapes = [s for linear in adapted(architecture, adapter) for s in adapter_shapes(linear, adapter)]
    return architecture.layers * sum(rows * columns for rows, columns in shapes)


def _lokr_shapes(linear: Linear, r: int) -> list[Shape]:
    """Return the shapes of LoKr's W = w1 ⊗ w2 with w1 [outputs₁, inputs₁] whole and w2 [outputs₂, inputs₂] of rank r
    where that is smaller.
    """
    in_small, in_large = _near_square(linear.inputs)
    out_small, out_large = _near_square(linear.outputs)
    second = [(out_large, r), (r, in_large)] if r < max(out_large, in_large) / 2 else [(out_large, in_large)]
    return [(out_small, in_small), *second]


def _near_square(n: int) -> Shape:
    """Return two factors of n, the pair nearest its square root that PEFT's search reaches."""
    m, k, length = 1, n, 1 + n
    while m < k:
        new = m + 1
        while n % new:
            new += 1
        if new + n // new > length:
            break
        m, k = new, n // new
    return (m, k) if m <= k else (k, m)
