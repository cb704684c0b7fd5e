"""What two models' next-token distributions say about each other. Pure numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PassageFigures:
    """Of one text, at each of its tokens: KL(a‖b) in nats, whether both rank the same token first, and each one's
    negative log-likelihood of the token that follows (one fewer than tokens)."""

    kl: Floats
    top1: NDArray[np.bool_]
    nll_a: Floats
    nll_b: Floats


@dataclass(frozen=True, slots=True)
class Distribution:
    """Over all texts. `kl_*` in nats a token; the interval of `kl_mean` is a bootstrap over texts (95 %).

    `perplexity_*` is exp of the mean negative log-likelihood a token, on the same tokens.
    """

    tokens: int
    kl_mean: float
    kl_low: float
    kl_high: float
    kl_p50: float
    kl_p90: float
    kl_p99: float
    kl_max: float
    top1_agreement: float
    perplexity_a: float
    perplexity_b: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def compare_logits(a: NDArray[Any], b: NDArray[Any], ids: Sequence[int]) -> PassageFigures:
    """Figures of one text from both models' logits [tokens, vocabulary]; a padded vocabulary counts as far as both
    reach."""
    shared = min(a.shape[1], b.shape[1])
    log_a, log_b = log_softmax(a[:, :shared]), log_softmax(b[:, :shared])
    kl = np.maximum((np.exp(log_a) * (log_a - log_b)).sum(axis=1), 0.0)
    at, following = np.arange(len(ids) - 1), np.asarray(ids[1:])
    return PassageFigures(
        kl=kl,
        top1=log_a.argmax(axis=1) == log_b.argmax(axis=1),
        nll_a=-log_a[at, following],
        nll_b=-log_b[at, following],
    )


def log_softmax(logits: NDArray[Any]) -> Floats:
    wide: Floats = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    wide -= np.log(np.exp(wide).sum(axis=1, keepdims=True))
    return wide


def _interval(texts: Sequence[tuple[float, int]], seed: int, resamples: int = 2000) -> tuple[float, float]:
    """95 % interval of a mean over tokens, given each text's (sum, tokens): texts are resampled whole."""
    sums, counts = np.array(texts, dtype=np.float64).T
    drawn = np.random.default_rng(seed).integers(0, len(texts), size=(resamples, len(texts)))
    low, high = np.quantile(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1), [0.025, 0.975])
    return float(low), float(high)


def summarise(passages: Sequence[PassageFigures], *, seed: int = 0) -> Distribution:
    kl = np.concatenate([p.kl for p in passages])
    p50, p90, p99 = np.quantile(kl, [0.5, 0.9, 0.99])
    low, high = _interval([(float(p.kl.sum()), len(p.kl)) for p in passages], seed)
    return Distribution(
        tokens=len(kl),
        kl_mean=float(kl.mean()),
        kl_low=low,
        kl_high=high,
        kl_p50=float(p50),
        kl_p90=float(p90),
        kl_p99=float(p99),
        kl_max=float(kl.max()),
        top1_agreement=float(np.concatenate([p.top1 for p in passages]).mean()),
        perplexity_a=float(np.exp(np.concatenate([p.nll_a for p in passages]).mean())),
        perplexity_b=float(np.exp(np.concatenate([p.nll_b for p in passages]).mean())),
    )
