"""What a comparison could detect, before it is made."""

from __future__ import annotations

import math
from statistics import NormalDist


def detectable(problems: int, samples: int, *, rate: float = 0.5, correlation: float = 0.5) -> float:
    """The smallest pass@1 difference that a paired test would show with 80 % power at the 5 % level.

    One comparison taken alone, without adjustment. Assumes a pass rate `rate`, and per-problem scores of two variants
    that correlate by `correlation` in what differs between problems; both are guesses before the run, and the run's
    own figure (`mde`) replaces them. Variance of a per-problem score: half of rate(1-rate) between problems, half
    shared out over the samples (Miller 2024, arXiv 2411.00640, section 5).
    """
    variance = rate * (1 - rate)
    between, within = variance / 2, variance / 2 / samples
    difference = 2 * between * (1 - correlation) + 2 * within
    normal = NormalDist()
    return (normal.inv_cdf(0.975) + normal.inv_cdf(0.8)) * math.sqrt(difference / problems)
