"""Choose the next token of each row: the likeliest, or one drawn by the Gumbel-max trick with counted random numbers.

argmax(logits/T + g), g = -log(-log(u)), has the softmax's distribution (Gumbel 1954; Maddison et al. 2014, arXiv
1411.0030). u depends on (seed, step, token id) and on nothing else: it comes from a counter, splitmix64 (Steele et al.
2014), not from a stream, so a sample is the same in any batch, on any backend and after a restart; and two variants
that answer the same problem with the same seed draw the same noise, which takes the luck of the draw out of their
difference. torch makes the same integers as numpy, and so the same choices on a device.

On a CPU a draw over a vocabulary of 150,000 must not cost more than the model's own step, so work that cannot change
the choice is left out: after top_k and top_p noise is made for the remaining tokens only, and without them only for
tokens whose integer is high enough to win at all. The choices are those of the plain formula, token for token.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from assay.harness.generation.types import Sampling

if TYPE_CHECKING:
    import torch

_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB
_MASK = (1 << 64) - 1
_PIECE = 1 << 14  # integers mixed at once: 128 KiB, and as much again
_SMALL = 8192  # the vocabulary up to which screening costs more than it saves
_BLOCK = 1 << 15  # numbers of a dense draw at once: what stays in a core's cache
_NEAR = 4.0  # tokens this close to the top (in units of logit / temperature) are tried first
_REACHES = (4.0, 16.0, math.inf)  # where a nucleus is searched, one after the other


@dataclass(frozen=True, slots=True)
class Draws:
    """The draws of one step: each row's seed, and its step, the first being 0."""

    seeds: Sequence[int]
    steps: Sequence[int]

    def keys(self) -> list[int]:
        """Return one 64-bit key a row; every (seed, step) has its own sequence over token ids."""
        return [
            mix64((mix64(s & _MASK) + (t + 1) * _GOLDEN) & _MASK)
            for s, t in zip(self.seeds, self.steps, strict=True)
        ]


def mix64(x: int) -> int:
    """Mix a 64-bit integer by splitmix64's finaliser, a bijection."""
    x = ((x ^ (x >> 30)) * _MIX_1) & _MASK
    x = ((x ^ (x >> 27)) * _MIX_2) & _MASK
    return x ^ (x >> 31)


def bits_numpy(keys: Sequence[int], n_tokens: int) -> NDArray[np.uint64]:
    """Return random 64-bit integers [rows, n_tokens]."""
    return _mixed(np.asarray(keys, dtype=np.uint64)[:, None] + _counter(n_tokens)[None, :])


def bits_at(key: int, ids: NDArray[np.intp]) -> NDArray[np.uint64]:
    """Return the integers of some token ids alone: `bits_numpy([key], …)[0]` at `ids`."""
    return _mixed(np.uint64(key) + (ids.astype(np.uint64) + np.uint64(1)) * np.uint64(_GOLDEN))


def gumbel_numpy(keys: Sequence[int], n_tokens: int) -> NDArray[np.float64]:
    """Return Gumbel noise [rows, n_tokens]."""
    return gumbel_of(bits_numpy(keys, n_tokens))


def gumbel_of(bits: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return the noise that random integers stand for; 52 bits and a half keep u strictly between 0 and 1."""
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
    """Mix by splitmix64's finaliser, in place, in pieces that stay in a core's cache: several times faster."""
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
    """Return `bits_numpy` as int64 of the same bit pattern: torch has no arithmetic on uint64."""
    import torch

    counter = torch.arange(1, n_tokens + 1, dtype=torch.int64, device=device) * _signed(_GOLDEN)
    rows = torch.tensor([_signed(k) for k in keys], dtype=torch.int64, device=device)
    x = rows[:, None] + counter[None, :]
    x = (x ^ _shift(x, 30)) * _signed(_MIX_1)
    x = (x ^ _shift(x, 27)) * _signed(_MIX_2)
    return x ^ _shift(x, 31)


def gumbel_torch(keys: Sequence[int], n_tokens: int, device: Any = "cpu") -> torch.Tensor:
    """Return `gumbel_numpy` on a device."""
    import torch

    u = (_shift(bits_torch(keys, n_tokens, device), 12).to(torch.float64) + 0.5) * 2.0**-52
    return u.log_().neg_().log_().neg_()


def _signed(x: int) -> int:
    return x - (1 << 64) if x >> 63 else x


def _shift(x: torch.Tensor, by: int) -> torch.Tensor:
    """Shift to the right logically; torch's own shift is arithmetic."""
    return (x >> by) & ((1 << (64 - by)) - 1)


def scratch_bytes(rows: int, vocabulary: int) -> int:
    """Return the bytes that `choose_numpy` needs besides its logits to draw without filters.

    They are the integers of one row with the counter they come from and two masks, or for a small vocabulary the
    integers, noise and logits of a block of rows.
    """
    if vocabulary > _SMALL:
        return vocabulary * (8 + 8 + 2)
    return min(rows * vocabulary, _BLOCK) * (8 + 8 + 8)


def choose_numpy(logits: NDArray[np.float32], draws: Draws, sampling: Sampling) -> list[int]:
    """Return the next token of each row of `logits` [rows, vocabulary]."""
    if sampling.temperature == 0:
        return [int(i) for i in logits.argmax(axis=1)]
    keys, vocabulary = draws.keys(), logits.shape[1]
    if _filters(sampling):
        return [_choose_kept(row, key, sampling) for row, key in zip(logits, keys, strict=True)]
    if vocabulary > _SMALL:
        return [
            _choose_screened(row, key, sampling.temperature) for row, key in zip(logits, keys, strict=True)
        ]
    chosen: list[int] = []
    at_once = max(1, _BLOCK // vocabulary)
    for i in range(0, len(keys), at_once):
        noisy = gumbel_numpy(keys[i : i + at_once], vocabulary)
        noisy += logits[i : i + at_once].astype(np.float64) / sampling.temperature
        chosen += [int(j) for j in noisy.argmax(axis=1)]
    return chosen


def _choose_kept(row: NDArray[np.float32], key: int, sampling: Sampling) -> int:
    top = float(row.max())
    if not math.isfinite(top):  # of a broken model; the plain formula takes the first such token
        return int(row.argmax())
    ids, scaled = kept(row.astype(np.float64) / sampling.temperature, sampling)
    noisy = scaled + gumbel_of(bits_at(key, ids))
    return int(ids[noisy.argmax()])


def kept(scaled: NDArray[np.float64], sampling: Sampling) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return ascending ids, and values, of the `top_k` likeliest tokens, of those the fewest that reach `top_p`.

    Of equally likely tokens the first count first.
    """
    ids = np.arange(len(scaled))
    if 0 < sampling.top_k < len(scaled):
        least = -np.partition(-scaled, sampling.top_k - 1)[sampling.top_k - 1]
        ids = _largest(scaled, sampling.top_k, least)
        scaled = scaled[ids]
    if sampling.top_p < 1:
        inside = _largest(scaled, *_nucleus(scaled, sampling.top_p))
        ids, scaled = ids[inside], scaled[inside]
    return ids, scaled


def _largest(values: NDArray[np.float64], n: int, least: float) -> NDArray[np.intp]:
    """Return ascending places of the `n` largest values, the last of which is `least`; of equal ones the first."""
    places = np.flatnonzero(values >= least)
    surplus = len(places) - n
    if surplus > 0:
        tied = places[values[places] == least]
        places = np.setdiff1d(places, tied[-surplus:], assume_unique=True)
    return places


def _nucleus(scaled: NDArray[np.float64], top_p: float) -> tuple[int, float]:
    """Return how many values are the nucleus, and the last of them.

    Only values near the top are sorted, and more of them where these are too few.
    """
    top = scaled.max()
    p = np.exp(scaled - top)
    mass_needed = top_p * p.sum()
    for reach in _REACHES:
        near = scaled >= top - reach
        if reach == math.inf or p[near].sum() > mass_needed * (1 + 1e-9):
            break
    ranked = -np.sort(-scaled[near])
    mass = np.exp(ranked - top)
    n = int((np.cumsum(mass) - mass < mass_needed).sum())
    return n, float(ranked[n - 1])


def _choose_screened(row: NDArray[np.float32], key: int, temperature: float) -> int:
    """Return argmax(row / temperature + noise).

    The winner beats the tokens near the top, so a token further down needs noise, and hence an integer, above a bound.
    """
    top_id = int(row.argmax())
    top = float(row[top_id])
    if not math.isfinite(top):
        return top_id
    bits = bits_numpy([key], len(row))[0]
    border = np.float32(top - _NEAR * temperature)
    first = np.flatnonzero(row >= border)
    if len(first) > len(row) >> 6:  # a flat distribution: the highest noise wins, or one close to it
        first, border = np.array([top_id, int(bits.argmax())]), np.float32(top)

    def noisy(ids: NDArray[np.intp]) -> NDArray[np.float64]:
        return row[ids].astype(np.float64) / temperature + gumbel_of(bits[ids])

    need = float(noisy(first).max()) - float(border) / temperature
    ids = np.union1d(first, np.flatnonzero(bits >= _least_bits(need)))
    return int(ids[noisy(ids).argmax()])


def _least_bits(noise: float) -> np.uint64:
    """Return an integer below all whose noise reaches `noise`, by a margin that covers rounding."""
    if noise < -3.0:  # below what almost all have
        return np.uint64(0)
    above = -math.expm1(-math.exp(-noise))  # 1 - u
    least = math.floor(2**52 - above * 2**52 * (1 + 1e-9)) - 2
    return np.uint64(max(0, least) << 12)


def choose_torch(logits: torch.Tensor, draws: Draws, sampling: Sampling) -> list[int]:
    """Return the next token of each row of `logits` [rows, vocabulary], on their device."""
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


def _filter_torch(scaled: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    ranked, order = scaled.sort(dim=1, descending=True, stable=True)
    if sampling.top_k > 0:
        ranked[:, sampling.top_k :] = float("-inf")
    if sampling.top_p < 1:
        p = (ranked - ranked[:, :1]).exp()
        before = p.cumsum(dim=1) - p
        ranked[before >= sampling.top_p * p.sum(dim=1, keepdim=True)] = float("-inf")
    return scaled.scatter(1, order, ranked)
