"""PPO's losses over tokens (Schulman et al. 2017, arXiv 1707.06347). Everything is [rows, steps]; padding is masked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainers.rl.gae import masked_mean

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class PolicyLoss:
    """`loss` is the masked mean; `clip_fraction` the share of tokens whose clipped term is the one taken, so that
    they give no gradient; `approx_kl` is k3 of the new policy from the one that drew the samples."""

    loss: Tensor
    clip_fraction: float
    approx_kl: float


def policy_loss(logp: Tensor, old_logp: Tensor, advantage: Tensor, mask: Tensor, clip: float) -> PolicyLoss:
    """mean over tokens of max(−r·A, −clip(r, 1−ε, 1+ε)·A), r = π/π_old (eq. 7)."""
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
    """½·mean of max((V−R)², (V_old + clip(V−V_old, ±ε) − R)²), and the share of tokens where the clip is taken.
    Without `clip` the plain squared error."""
    import torch

    plain = (value - returns) ** 2
    if clip is None:
        return 0.5 * masked_mean(plain, mask), 0.0
    near = old_value + (value - old_value).clamp(-clip, clip)
    clipped = (near - returns) ** 2
    taken = masked_mean((clipped > plain).float(), mask)
    return 0.5 * masked_mean(torch.max(plain, clipped), mask), float(taken)
