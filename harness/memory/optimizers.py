"""Bytes of optimiser state, from the shapes of what is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from harness.errors import BadInputError

# transformers' own names (TrainingArguments.optim).
Optimizer = Literal[
    "adamw_torch",
    "adamw_torch_fused",
    "adamw_8bit",
    "paged_adamw_32bit",
    "paged_adamw_8bit",
    "adafactor",
    "sgd",
]
OPTIMIZERS: tuple[Optimizer, ...] = get_args(Optimizer)
PAGED: tuple[Optimizer, ...] = ("paged_adamw_32bit", "paged_adamw_8bit")

# bitsandbytes: smaller tensors keep 32-bit state; one fp32 scale for 256 numbers of 8 bits.
_MIN_8BIT = 4096
_SCALE_BLOCK = 256


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


def check_optimizer(name: str) -> Optimizer:
    for known in OPTIMIZERS:
        if name == known:
            return known
    raise BadInputError(f"unknown optimizer {name!r}; known: {', '.join(OPTIMIZERS)}")


def state_bytes(optimizer: Optimizer, trained: Sequence[Trained]) -> int:
    """Bytes of state after the first step.

    AdamW: two numbers for each that is trained, of its own width. 8-bit (Dettmers et al. 2021, arXiv 2110.02861): two
    bytes and the scales; embeddings stay at 32 bits, as transformers' Trainer asks. Adafactor (1804.04235), as
    transformers runs it: a row and a column of fp32 for a matrix, no momentum. SGD without momentum keeps nothing.
    """
    return sum(_state(optimizer, t) for t in trained)


def step_scratch_bytes(optimizer: Optimizer, trained: Sequence[Trained], *, foreach: bool) -> int:
    """What a step needs beside its state: torch's AdamW makes the square root of its second moment, of all tensors
    at once where it runs `foreach` (on a GPU), of one after another elsewhere; Adafactor one update at a time."""
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
