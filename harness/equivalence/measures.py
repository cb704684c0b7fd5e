"""Compare two models' next-token distributions and their pass@1. Pure numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from assay.harness.errors import UnmeasuredError
from assay.harness.stats.paired import Comparison, compare
from assay.harness.stats.pass_at_k import Floats, per_problem


@dataclass(frozen=True, slots=True)
class PassageFigures:
    """The figures of one text at each of its tokens.

    KL(a‖b) in nats, whether both rank the same token first, and each model's negative log-likelihood of the token that
    follows (one fewer than tokens).
    """

    kl: Floats
    top1: NDArray[np.bool_]
    nll_a: Floats
    nll_b: Floats


@dataclass(frozen=True, slots=True)
class Distribution:
    """The figures over all texts.

    `kl_*` are in nats a token; the interval of `kl_mean` is a bootstrap over texts (95 %). `perplexity_*` is exp of the
    mean negative log-likelihood a token, on the same tokens.
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


def compare_logits(a: NDArray[Any], b: NDArray[Any], ids: Sequence[int]) -> PassageFigures:
    """Return the figures of one text from both models' logits [tokens, vocabulary].

    Of vocabularies that are padded to different sizes, the part counts that both have.
    """
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
    """Return log probabilities in fp64, over the last of two axes."""
    wide: Floats = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    wide -= np.log(np.exp(wide).sum(axis=1, keepdims=True))
    return wide


def _interval(texts: Sequence[tuple[float, int]], seed: int, resamples: int = 2000) -> tuple[float, float]:
    """Return the 95 % interval of a mean over tokens, given each text's (sum, tokens): texts are resampled."""
    sums, counts = np.array(texts, dtype=np.float64).T
    drawn = np.random.default_rng(seed).integers(0, len(texts), size=(resamples, len(texts)))
    low, high = np.quantile(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1), [0.025, 0.975])
    return float(low), float(high)


def summarise(passages: Sequence[PassageFigures], *, seed: int = 0) -> Distribution:
    """Return the figures over all texts."""
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


@dataclass(frozen=True, slots=True)
class PassRate:
    """Paired non-inferiority on pass@1: is the second model worse than the first by more than a margin?

    `comparison.difference` is second − first. `lower` is its strict one-sided 95 % bound (`stats.bounds`), which holds
    where few problems differ too: non-inferior means that it lies above −`margin` (ICH E9).
    """

    comparison: Comparison
    lower: float
    margin: float
    first: float
    second: float

    @property
    def verdict(self) -> Literal["equivalent", "better", "worse", "undecided"]:
        if self.comparison.verdict == "better":
            return "better"
        if self.lower > -self.margin:
            return "equivalent"
        return "worse" if self.comparison.verdict == "worse" else "undecided"

    @property
    def words(self) -> str:
        c, points = self.comparison, 100
        between = (
            f"{c.difference * points:+.1f} points of pass@1 ({c.low * points:+.1f} to {c.high * points:+.1f})"
        )
        mde = "" if c.mde is None else f"; smallest detectable {c.mde * points:.1f}"
        bound = f"one-sided bound {self.lower * points:+.1f}, margin {-self.margin * points:.1f}"
        return f"{between}, {bound}, {c.n} problems{mde}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"verdict": self.verdict}


def non_inferiority(
    a: str, b: str, first: Floats, second: Floats, *, binary: bool, margin: float, confidence: float = 0.95
) -> PassRate:
    """Test `b` against `a`, given both models' pass@1 of the same problems, shape (problems,)."""
    comparison = compare(b, a, second, first, binary=binary, margin=margin, confidence=confidence)
    lower = -1.0 if comparison.lower is None else comparison.lower
    return PassRate(comparison, lower, margin, float(first.mean()), float(second.mean()))


def pass_rates(
    counts: Mapping[str, Mapping[str, tuple[int, int]]],
    pairs: Sequence[tuple[str, str]],
    *,
    margin: float,
    confidence: float,
) -> dict[tuple[str, str], PassRate]:
    """Test each pair's second model for non-inferiority, on the problems measured for both.

    `counts` holds (samples, passing samples) by model and problem. Raises UnmeasuredError where two share no problem.
    """
    rates = {}
    for a, b in pairs:
        shared = [p for p in counts[a] if p in counts[b]]
        if not shared:
            raise UnmeasuredError(
                f"{a} and {b} have no problem that was measured for both; run again to retry"
            )
        first, second = (per_problem([counts[v][p] for p in shared], 1) for v in (a, b))
        binary = all(counts[v][p][0] == 1 for v in (a, b) for p in shared)
        rates[a, b] = non_inferiority(
            a, b, first, second, binary=binary, margin=margin, confidence=confidence
        )
    return rates
