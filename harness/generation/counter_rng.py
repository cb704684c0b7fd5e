"""Random draws that depend on (seed, step, token id) and on nothing else.

A token is drawn by the Gumbel-max trick: argmax(logits/T + g), g = -log(-log(u)), has the softmax's distribution
(Gumbel 1954; Maddison et al. 2014, arXiv 1411.0030). u comes from a counter, splitmix64 (Steele et al. 2014), not from
a stream, so a sample is the same in any batch, on any backend and after a restart; and two variants that answer the
same problem with the same seed draw the same noise, which takes the luck of the draw out of their difference.

torch makes the same integers as numpy, and so the same choices on a device (`assay.harness.generation.token_choice`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB
_MASK = (1 << 64) - 1
_PIECE = 1 << 14  # integers mixed at once: 128 KiB, and as much beside it


@dataclass(frozen=True, slots=True)
class Draws:
    """What the next token of each row depends on: its request's seed and its step, the first being 0."""

    seeds: Sequence[int]
    steps: Sequence[int]

    def keys(self) -> list[int]:
        """One 64-bit key a row; every (seed, step) has its own sequence over token ids."""
        return [
            mix64((mix64(s & _MASK) + (t + 1) * _GOLDEN) & _MASK)
            for s, t in zip(self.seeds, self.steps, strict=True)
        ]


def mix64(x: int) -> int:
    """splitmix64's finaliser, a bijection of 64-bit integers."""
    x = ((x ^ (x >> 30)) * _MIX_1) & _MASK
    x = ((x ^ (x >> 27)) * _MIX_2) & _MASK
    return x ^ (x >> 31)


def bits_numpy(keys: Sequence[int], n_tokens: int) -> NDArray[np.uint64]:
    """Random 64-bit integers [rows, n_tokens]."""
    return _mixed(np.asarray(keys, dtype=np.uint64)[:, None] + _counter(n_tokens)[None, :])


def bits_at(key: int, ids: NDArray[np.intp]) -> NDArray[np.uint64]:
    """The integers of some token ids alone: those of `bits_numpy([key], …)[0]` at `ids`."""
    return _mixed(np.uint64(key) + (ids.astype(np.uint64) + np.uint64(1)) * np.uint64(_GOLDEN))


def gumbel_numpy(keys: Sequence[int], n_tokens: int) -> NDArray[np.float64]:
    """Gumbel noise [rows, n_tokens]."""
    return gumbel_of(bits_numpy(keys, n_tokens))


def gumbel_of(bits: NDArray[np.uint64]) -> NDArray[np.float64]:
    """The noise that random integers stand for. 52 bits and a half keep u strictly between 0 and 1."""
    u = (bits >> np.uint64(12)).astype(np.float64)
    u += 0.5
    u *= 2.0**-52
    for _ in range(2):
        np.log(u, out=u)
        np.negative(u, out=u)
    return u


@lru_cache(maxsize=4)
def _counter(n_tokens: int) -> NDArray[np.uint64]:
    counter = np.arange(1, n_tokens + 1, dtype=np.uint64) * np.uint64(_GOLDEN)
    counter.flags.writeable = False
    return counter


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64's finaliser, in place and in pieces that stay in a core's cache: several times as fast as whole."""
    flat = x.reshape(-1)
    shifted = np.empty(min(len(flat), _PIECE), dtype=np.uint64)
    for begin in range(0, len(flat), _PIECE):
        piece = flat[begin : begin + _PIECE]
        s = shifted[: len(piece)]
        for by, factor in ((30, _MIX_1), (27, _MIX_2), (31, None)):
            np.right_shift(piece, np.uint64(by), out=s)
            np.bitwise_xor(piece, s, out=piece)
            if factor is not None:
                np.multiply(piece, np.uint64(factor), out=piece)
    return x


def bits_torch(keys: Sequence[int], n_tokens: int, device: Any = "cpu") -> torch.Tensor:
    """`bits_numpy` as int64 of the same bit pattern: torch has no arithmetic on uint64."""
    import torch

    counter = torch.arange(1, n_tokens + 1, dtype=torch.int64, device=device) * _signed(_GOLDEN)
    rows = torch.tensor([_signed(k) for k in keys], dtype=torch.int64, device=device)
    x = rows[:, None] + counter[None, :]
    x = (x ^ _shift(x, 30)) * _signed(_MIX_1)
    x = (x ^ _shift(x, 27)) * _signed(_MIX_2)
    return x ^ _shift(x, 31)


def gumbel_torch(keys: Sequence[int], n_tokens: int, device: Any = "cpu") -> torch.Tensor:
    import torch

    u = (_shift(bits_torch(keys, n_tokens, device), 12).to(torch.float64) + 0.5) * 2.0**-52
    return u.log_().neg_().log_().neg_()


def _signed(x: int) -> int:
    return x - (1 << 64) if x >> 63 else x


def _shift(x: torch.Tensor, by: int) -> torch.Tensor:
    """Logical shift to the right; torch's is arithmetic."""
    return (x >> by) & ((1 << (64 - by)) - 1)
