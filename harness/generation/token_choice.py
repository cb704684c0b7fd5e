"""The next token of each row: the likeliest, or one drawn by the Gumbel-max trick (see `noise`).

On a CPU a draw over a vocabulary of 150,000 must not cost more than the model's own step, so work that cannot change
the choice is left out: behind top_k and top_p noise is made for the tokens that are left, and without them only for
tokens whose integer is high enough to win at all. The choices are those of the plain formula, token for token.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from assay.harness.generation.counter_rng import (
    Draws,
    bits_at,
    bits_numpy,
    gumbel_numpy,
    gumbel_of,
    gumbel_torch,
)
from assay.harness.generation.types import Sampling

if TYPE_CHECKING:
    import torch

_SMALL = 8192  # a vocabulary up to which screening costs more than it saves
_BLOCK = 1 << 15  # numbers of a dense draw at once: what stays in a core's cache
_NEAR = 4.0  # tokens this close to the top (in units of logit / temperature) are looked at first
_REACHES = (4.0, 16.0, math.inf)  # where a nucleus is looked for, one after the other


def scratch_bytes(rows: int, vocabulary: int) -> int:
    """What `choose_numpy` holds beside its logits when it draws without filters [bytes]: the integers of one row with
    the counter they come from and two masks, or a small vocabulary's integers, noise and logits of a block of rows."""
    if vocabulary > _SMALL:
        return vocabulary * (8 + 8 + 2)
    return min(rows * vocabulary, _BLOCK) * (8 + 8 + 8)


def choose_numpy(logits: NDArray[np.float32], draws: Draws, sampling: Sampling) -> list[int]:
    """The next token of each row of `logits` [rows, vocabulary]."""
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
    if not math.isfinite(top):  # a broken model's; the plain formula takes the first of them
        return int(row.argmax())
    ids, scaled = kept(row.astype(np.float64) / sampling.temperature, sampling)
    noisy = scaled + gumbel_of(bits_at(key, ids))
    return int(ids[noisy.argmax()])


def kept(scaled: NDArray[np.float64], sampling: Sampling) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Ascending ids, and values, of the `top_k` likeliest tokens, and of those the fewest whose probability reaches
    `top_p`. Of equal ones the first come first."""
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
    """Ascending places of the `n` largest values, the last of which is `least`; of equal ones the first."""
    places = np.flatnonzero(values >= least)
    surplus = len(places) - n
    if surplus > 0:
        tied = places[values[places] == least]
        places = np.setdiff1d(places, tied[-surplus:], assume_unique=True)
    return places


def _nucleus(scaled: NDArray[np.float64], top_p: float) -> tuple[int, float]:
    """How many values are the nucleus, and the last of them. Only values near the top are sorted, and more of them
    where these are too few."""
    top = scaled.max()
    p = np.exp(scaled - top)
    wanted = top_p * p.sum()
    for reach in _REACHES:
        near = scaled >= top - reach
        if reach == math.inf or p[near].sum() > wanted * (1 + 1e-9):
            break
    ranked = -np.sort(-scaled[near])
    mass = np.exp(ranked - top)
    n = int((np.cumsum(mass) - mass < wanted).sum())
    return n, float(ranked[n - 1])


def _choose_screened(row: NDArray[np.float32], key: int, temperature: float) -> int:
    """argmax(row / temperature + noise). Whoever wins beats the tokens near the top; a token further down then needs
    noise above a bound, hence an integer above a bound."""
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
    """An integer below all whose noise reaches `noise`, by a margin that covers rounding."""
    if noise < -3.0:  # below what almost all have
        return np.uint64(0)
    above = -math.expm1(-math.exp(-noise))  # 1 - u
    least = math.floor(2**52 - above * 2**52 * (1 + 1e-9)) - 2
    return np.uint64(max(0, least) << 12)


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


def _filter_torch(scaled: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    ranked, order = scaled.sort(dim=1, descending=True, stable=True)
    if sampling.top_k > 0:
        ranked[:, sampling.top_k :] = float("-inf")
    if sampling.top_p < 1:
        p = (ranked - ranked[:, :1]).exp()
        before = p.cumsum(dim=1) - p
        ranked[before >= sampling.top_p * p.sum(dim=1, keepdim=True)] = float("-inf")
    return scaled.scatter(1, order, ranked)
