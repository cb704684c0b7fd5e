"""Learning rate schedules in closed form; a test holds them against transformers' own."""

from __future__ import annotations

import math


def rate_factor(scheduler: str, step: int, warmup: int, total: int) -> float:
    """What the learning rate is multiplied with at update `step` (from 0) of `total`, after `warmup` rising ones.

    constant ignores the warm-up, as transformers' does; linear and cosine fall to 0 at `total`.
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
