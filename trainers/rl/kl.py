"""KL(π‖ref) per token from samples of π, and the controller of its price.

Estimators: Schulman 2020, "Approximating KL divergence" (joschu.net/blog/kl-approx.html), ℓ = log(ref/π).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Estimator = Literal["k1", "k2", "k3"]


def estimate(logp: Tensor, ref_logp: Tensor, estimator: Estimator) -> Tensor:
    """Per-sample estimates of KL(π‖ref), of the shape of `logp`, in nats.

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
        """Take the KL measured over `samples` sequences (nats a sequence); the coefficient from now on."""
        if self.adaptive and self.target is not None:
            error = max(-0.2, min(0.2, kl / self.target - 1))
            self.coefficient *= 1 + error * samples / self.horizon
        return self.coefficient

    def alarm(self, kl: float) -> bool:
        """Whether the policy has left the reference by more than twice what was aimed at."""
        return self.target is not None and kl > 2 * self.target
