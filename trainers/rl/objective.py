"""The formulas of reinforcement learning over tokens: losses, advantages, KL estimates, learning rates. Pure torch.

Tensors are [rows, steps] unless a docstring gives another shape; `mask` is 1 on a row's steps and 0 on its padding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Estimator = Literal["k1", "k2", "k3"]


@dataclass(frozen=True, slots=True)
class PolicyLoss:
    """PPO's policy loss. `loss` is the masked mean; `clip_fraction` the share of tokens whose clipped term is taken, so
    that they give no gradient; `approx_kl` is k3 of the new policy from the one that drew the samples."""

    loss: Tensor
    clip_fraction: float
    approx_kl: float


def policy_loss(logp: Tensor, old_logp: Tensor, advantage: Tensor, mask: Tensor, clip: float) -> PolicyLoss:
    """Return PPO's clipped loss (Schulman et al. 2017, arXiv 1707.06347, eq. 7): the mean over tokens of
    max(−r·A, −clip(r, 1−ε, 1+ε)·A), r = π/π_old."""
    import torch

    log_ratio = logp - old_logp
    ratio = log_ratio.exp()
    plain = -ratio * advantage
    clipped = -ratio.clamp(1 - clip, 1 + clip) * advantage
    with torch.no_grad():
        taken = masked_mean((clipped > plain).float(), mask)
        drift = masked_mean(torch.expm1(log_ratio) - log_ratio, mask)
    return PolicyLoss(masked_mean(torch.max(plain, clipped), mask), float(taken), float(drift))


def value_loss(
    value: Tensor, old_value: Tensor, returns: Tensor, mask: Tensor, clip: float | None
) -> tuple[Tensor, float]:
    """Return ½·mean of max((V−R)², (V_old + clip(V−V_old, ±ε) − R)²), and the share of tokens where the clip is taken.

    Without `clip` it is half the mean squared error.
    """
    import torch

    plain = (value - returns) ** 2
    if clip is None:
        return 0.5 * masked_mean(plain, mask), 0.0
    near = old_value + (value - old_value).clamp(-clip, clip)
    clipped = (near - returns) ** 2
    taken = masked_mean((clipped > plain).float(), mask)
    return 0.5 * masked_mean(torch.max(plain, clipped), mask), float(taken)


def advantages(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> Tensor:
    """Return A_t = Σ_k (γλ)^k δ_{t+k}, with δ_t = r_t + γ·V_{t+1} − V_t: generalised advantage estimation (Schulman et
    al. 2015, arXiv 1506.02438, eq. 16).

    A row is one episode from step 0 on. Its end is terminal: no value is taken from beyond it. λ = 0 is the one-step TD
    error, λ = 1 the Monte Carlo return − V.
    """
    import torch

    steps = rewards.shape[1]
    advantage = torch.zeros_like(rewards)
    following = torch.zeros_like(rewards[:, 0])  # A_{t+1}
    next_value = torch.zeros_like(following)
    for t in reversed(range(steps)):
        inside = mask[:, t]
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        following = (delta + gamma * lam * following) * inside
        next_value = values[:, t] * inside
        advantage[:, t] = following
    return advantage


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over the entries where `mask` is 1; 0 where there is none."""
    return (x * mask).sum() / mask.sum().clamp(min=1)


def whiten(x: Tensor, mask: Tensor) -> Tensor:
    """Scale the masked entries to mean 0 and variance 1; padding stays 0, entries that are all equal become 0."""
    mean = masked_mean(x, mask)
    variance = masked_mean((x - mean) ** 2, mask)
    return (x - mean) * (variance + 1e-8).rsqrt() * mask


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> float:
    """Return 1 − Var(returns − values) / Var(returns) over the masked entries.

    1 is a perfect critic, 0 one that knows no more than the mean, below 0 worse than that. NaN where the returns do not
    vary.
    """
    error = returns - values
    variance = masked_mean((returns - masked_mean(returns, mask)) ** 2, mask)
    if float(variance) < 1e-12:
        return float("nan")
    return float(1 - masked_mean((error - masked_mean(error, mask)) ** 2, mask) / variance)


def estimate(logp: Tensor, ref_logp: Tensor, estimator: Estimator) -> Tensor:
    """Return per-token estimates of KL(π‖ref) from samples of π, in nats (Schulman 2020, "Approximating KL divergence",
    joschu.net/blog/kl-approx.html; ℓ = log(ref/π)).

    k1 = −ℓ is unbiased and of either sign; k2 = ℓ²/2 is never negative and biased by a relative μ²/4 for Gaussians
    whose means differ by μ; k3 = e^ℓ − 1 − ℓ is unbiased and never negative.
    """
    import torch

    log_ratio = ref_logp - logp
    if estimator == "k1":
        return -log_ratio
    if estimator == "k2":
        return log_ratio**2 / 2
    return torch.expm1(log_ratio) - log_ratio


@dataclass(slots=True)
class KlController:
    """The coefficient of the KL penalty: fixed, or where `adaptive` moved so that the KL comes to the target.

    Proportional control in log space (Ziegler et al. 2019, arXiv 1909.08593, section 2.2): e = clip(KL/target − 1,
    ±0.2), coefficient ← coefficient · (1 + e · batch/horizon).
    """

    coefficient: float
    target: float | None = None
    adaptive: bool = False
    horizon: float = 10_000

    def update(self, kl: float, samples: int) -> float:
        """Take the KL measured over `samples` sequences (nats a sequence); return the coefficient from now on."""
        if self.adaptive and self.target is not None:
            error = max(-0.2, min(0.2, kl / self.target - 1))
            self.coefficient *= 1 + error * samples / self.horizon
        return self.coefficient

    def alarm(self, kl: float) -> str | None:
        """Return the alarm about a KL above twice the target; None where it is not, or there is no target."""
        if self.target is None or kl <= 2 * self.target:
            return None
        return f"KL is {kl:.3g} nats a sequence, above twice its target of {self.target:g}"


def rate_factor(scheduler: str, step: int, warmup: int, total: int) -> float:
    """Return the factor of the learning rate at update `step` (from 0) of `total`, after `warmup` rising ones.

    constant ignores the warm-up, as transformers' does; linear and cosine fall to 0 at `total`. A test
    holds the schedules against transformers' own.
    """
    if scheduler == "constant":
        return 1.0
    if step < warmup:
        return step / max(1, warmup)
    if scheduler == "constant_with_warmup":
        return 1.0
    progress = (step - warmup) / max(1, total - warmup)
    if scheduler == "linear":
        return max(0.0, 1 - progress)
    return max(0.0, 0.5 * (1 + math.cos(math.pi * progress)))
