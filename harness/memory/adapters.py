"""How many numbers an adapter adds to a model, in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.errors import BadInputError
from harness.memory.architecture import Architecture, Linear

AdapterKind = Literal["lora", "dora", "loha", "lokr"]
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")

Shape = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Adapter:
    """`targets` are names of a block's linear layers, or "all-linear"."""

    kind: AdapterKind = "lora"
    rank: int = 16
    targets: Sequence[str] | Literal["all-linear"] = "all-linear"


def adapted(architecture: Architecture, adapter: Adapter) -> tuple[Linear, ...]:
    """The linear layers of one block that the adapter is put on. BadInputError for a name that no layer has."""
    if adapter.rank < 1:
        raise BadInputError(f"an adapter's rank must be at least 1, got {adapter.rank}")
    if adapter.targets == "all-linear":
        return architecture.block
    known = {linear.name: linear for linear in architecture.block}
    unknown = [name for name in adapter.targets if name not in known]
    if unknown:
        raise BadInputError(
            f"{architecture.name} has no linear layer {', '.join(map(repr, unknown))}; it has: {', '.join(known)}"
        )
    return tuple(known[name] for name in known if name in adapter.targets)


def adapter_shapes(linear: Linear, adapter: Adapter) -> list[Shape]:
    """The shapes of the tensors that the adapter adds to one linear layer; a vector is one row.

    LoRA (arXiv 2106.09685): A [r, inputs], B [outputs, r]. DoRA (2402.09353): LoRA and a magnitude for each output.
    LoHa (2108.06098): two such pairs. LoKr (2212.10650, 2309.14859): a Kronecker product, as PEFT cuts it.
    """
    r = adapter.rank
    pair = [(r, linear.inputs), (linear.outputs, r)]
    match adapter.kind:
        case "lora":
            return pair
        case "dora":
            return [*pair, (1, linear.outputs)]
        case "loha":
            return pair + pair
        case "lokr":
            return _lokr_shapes(linear, r)


def adapter_parameters(architecture: Architecture, adapter: Adapter) -> int:
    """All numbers of the adapter: for LoRA r·(inputs + outputs) over the adapted layers of all blocks."""
    shapes = [s for linear in adapted(architecture, adapter) for s in adapter_shapes(linear, adapter)]
    return architecture.layers * sum(rows * columns for rows, columns in shapes)


def _lokr_shapes(linear: Linear, r: int) -> list[Shape]:
    """W = w1 ⊗ w2 with w1 [outputs₁, inputs₁] whole and w2 [outputs₂, inputs₂] of rank r where that is smaller."""
    in_small, in_large = _near_square(linear.inputs)
    out_small, out_large = _near_square(linear.outputs)
    second = [(out_large, r), (r, in_large)] if r < max(out_large, in_large) / 2 else [(out_large, in_large)]
    return [(out_small, in_small), *second]


def _near_square(n: int) -> Shape:
    """n as a product of two factors, the pair nearest its square root that PEFT's search reaches."""
    m, k, length = 1, n, 1 + n
    while m < k:
        new = m + 1
        while n % new:
            new += 1
        if new + n // new > length:
            break
        m, k = new, n // new
    return (m, k) if m <= k else (k, m)
