"""Random draws that depend on (seed, step, token id) and on nothing else.

A token is drawn by the Gumbel-max trick: argmax(logits/T + g), g = -log(-log(u)), has the softmax's distribution
(Gumbel 1954; Maddison et al. 2014, arXiv 1411.0030). u comes from a counter, splitmix64 (Steele et al. 2014), not from
a stream, so a sample is the same in any batch, on any backend and after a restart; and two variants that answer the
same problem with the same seed draw the same noise, which takes the luck of the draw out of their difference.

`choose_torch` makes the same integers and so the same choices on a device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.generation.model import Sampling

if TYPE_CHECKING:
    import torch

_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB
_MASK = (1 << 64) - 1


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
    counter = np.arange(1, n_tokens + 1, dtype=np.uint64) * np.uint64(_GOLDEN)
    x = np.asarray(keys, dtype=np.uint64)[:, None] + counter[None, :]
    x = (x ^ (x >> np.uint64(30))) * np.uint64(_MIX_1)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(_MIX_2)
    bits: NDArray[np.uint64] = x ^ (x >> np.uint64(31))
    return bits


def gumbel_numpy(keys: Sequence[int], n_tokens: int) -> NDArray[np.float64]:
    """Gumbel noise [rows, n_tokens]. 52 bits and a half keep u strictly between 0 and 1."""
    u = ((bits_numpy(keys, n_tokens) >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    noise: NDArray[np.float64] = -np.log(-np.log(u))
    return noise


def choose_numpy(logits: NDArray[np.float32], draws: Draws, sampling: Sampling) -> list[int]:
    """The next token of each row of `logits` [rows, vocabulary]."""
    if sampling.temperature == 0:
        return [int(i) for i in logits.argmax(axis=1)]
    scaled = logits.astype(np.float64) / sampling.temperature
    if _filters(sampling):
        scaled = _filter_numpy(scaled, sampling)
    return [int(i) for i in (scaled + gumbel_numpy(draws.keys(), logits.shape[1])).argmax(axis=1)]


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


def choose_torch(logits: torch.Tensor, draws: Draws, sampling: Sampling) -> list[int]:
    """The next token of each row of `logits` [rows, vocabulary], wherever they lie."""
    import torch

    if sampling.temperature == 0:
        chosen: list[int] = logits.argmax(dim=1).tolist()
        return chosen
    scaled = logits.to(torch.float64) / sampling.temperature
    if _filters(sampling):
        scaled = _filter_torch(scaled, sampling)
    chosen = (scaled + gumbel_torch(draws.keys(), logits.shape[1], logits.device)).argmax(dim=1).tolist()
    return chosen


def _filters(sampling: Sampling) -> bool:
    return sampling.top_k > 0 or sampling.top_p < 1


def _filter_numpy(scaled: NDArray[np.float64], sampling: Sampling) -> NDArray[np.float64]:
    """-inf outside the `top_k` likeliest tokens, and outside the fewest whose probability reaches `top_p`."""
    order = np.argsort(-scaled, axis=1, kind="stable")
    ranked = np.take_along_axis(scaled, order, axis=1)
    if sampling.top_k > 0:
        ranked[:, sampling.top_k :] = -np.inf
    if sampling.top_p < 1:
        p = np.exp(ranked - ranked[:, :1])
        before = np.cumsum(p, axis=1) - p
        ranked[before >= sampling.top_p * p.sum(axis=1, keepdims=True)] = -np.inf
    kept = np.empty_like(scaled)
    np.put_along_axis(kept, order, ranked, axis=1)
    return kept


def _filter_torch(scaled: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    ranked, order = scaled.sort(dim=1, descending=True, stable=True)
    if sampling.top_k > 0:
        ranked[:, sampling.top_k :] = float("-inf")
    if sampling.top_p < 1:
        p = (ranked - ranked[:, :1]).exp()
        before = p.cumsum(dim=1) - p
        ranked[before >= sampling.top_p * p.sum(dim=1, keepdim=True)] = float("-inf")
    return scaled.scatter(1, order, ranked)


def _signed(x: int) -> int:
    return x - (1 << 64) if x >> 63 else x


def _shift(x: torch.Tensor, by: int) -> torch.Tensor:
    """Logical shift to the right; torch's is arithmetic."""
    return (x >> by) & ((1 << (64 - by)) - 1)
