"""Generalised advantage estimation (Schulman et al. 2015, arXiv 1506.02438)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def advantages(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> Tensor:
    """A_t = Σ_k (γλ)^k δ_{t+k}, with δ_t = r_t + γ·V_{t+1} − V_t (eq. 16); all tensors [rows, steps].

    A row is one episode from step 0 on; `mask` is 1 on its steps and 0 on the padding behind them. An episode's end is
    terminal: no value is taken from beyond it. λ = 0 is the one-step TD error, λ = 1 the Monte Carlo return − V.
    """
    import torch

    steps = rewards.shape[1]
    found = torch.zeros_like(rewards)
    following = torch.zeros_like(rewards[:, 0])  # A_{t+1}
    next_value = torch.zeros_like(following)
    for t in reversed(range(steps)):
        inside = mask[:, t]
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        following = (delta + gamma * lam * following) * inside
        next_value = values[:, t] * inside
        found[:, t] = following
    return found


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """The mean over the entries where `mask` is 1; 0 where there is none."""
    return (x * mask).sum() / mask.sum().clamp(min=1)


def whiten(x: Tensor, mask: Tensor) -> Tensor:
    """Mean 0 and variance 1 over the masked entries; padding stays 0. Entries that are all equal become 0."""
    mean = masked_mean(x, mask)
    variance = masked_mean((x - mean) ** 2, mask)
    return (x - mean) * (variance + 1e-8).rsqrt() * mask


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> float:
    """1 − Var(returns − values) / Var(returns) over the masked entries: 1 is a perfect critic, 0 one that knows no
    more than the mean, below 0 worse than that. NaN where the returns do not vary."""
    error, wanted = returns - values, returns
    variance = masked_mean((wanted - masked_mean(wanted, mask)) ** 2, mask)
    if float(variance) < 1e-12:
        return float("nan")
    return float(1 - masked_mean((error - masked_mean(error, mask)) ** 2, mask) / variance)
