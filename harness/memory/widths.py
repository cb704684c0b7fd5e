"""Bytes that numbers take, by type; and the bytes of a weight matrix, quantised or not."""

from __future__ import annotations

from typing import Literal

Dtype = Literal["fp32", "bf16", "fp16"]
WeightFormat = Literal["fp32", "bf16", "fp16", "int8", "nf4", "fp4"]

WIDTH: dict[Dtype, int] = {"fp32": 4, "bf16": 2, "fp16": 2}
QUANTISED: tuple[WeightFormat, ...] = ("int8", "nf4", "fp4")

# bitsandbytes' defaults (Dettmers et al. 2023, arXiv 2305.14314): one scale for 64 weights; with double quantisation
# the scales are 8-bit numbers themselves, with one fp32 scale for 256 of them.
BLOCK = 64
SCALES_PER_BLOCK = 256


def is_float(weights: WeightFormat) -> bool:
    return weights not in QUANTISED


def float_width(weights: WeightFormat) -> int:
    """Bytes of one weight of an unquantised format."""
    match weights:
        case "fp32" | "bf16" | "fp16":
            return WIDTH[weights]
        case _:
            raise ValueError(f"{weights} is no floating-point format")


def matrix_bytes(rows: int, columns: int, weights: WeightFormat, *, double_quant: bool) -> int:
    """Bytes of a weight matrix [rows, columns] with the scales that belong to it.

    nf4 and fp4: 4 bits a weight and a scale for each 64, fp32 (4.5 bits in all) or, with `double_quant`, 8-bit with
    an fp32 scale for each 256 (4.126953 bits). Their code books, 64 B a matrix and 1 KiB a model, are left out. int8
    (LLM.int8, arXiv 2208.07339): 8 bits and an fp32 scale for each row.
    """
    n = rows * columns
    match weights:
        case "nf4" | "fp4":
            blocks = -(-n // BLOCK)
            packed = -(-n // 2)
            if not double_quant:
                return packed + 4 * blocks
            return packed + blocks + 4 * -(-blocks // SCALES_PER_BLOCK)
        case "int8":
            return n + 4 * rows
        case _:
            return n * float_width(weights)
