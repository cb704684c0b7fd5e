"""The report on a reward model, from its scores on pairs held out: accuracy with an interval, margins, calibration."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, pstdev

from pydantic import BaseModel, ConfigDict

from assay.trainers.files import write_text

REPORT = "reward_model.json"
HELD_OUT = "held_out.jsonl"
BINS = 10

_Z = 1.959963984540054
_T = (12.7062, 4.3027, 3.1824, 2.7764)  # the same quantile of Student's t with 1 to 4 degrees of freedom


@dataclass(frozen=True, slots=True)
class Scored:
    """A held-out pair with its two scores."""

    problem_id: str
    chosen: float
    rejected: float

    @property
    def margin(self) -> float:
        return self.chosen - self.rejected


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Interval(_Model):
    """A value with its 95 % interval over problems: pairs of one problem are alike."""

    value: float
    low: float
    high: float


class Bin(_Model):
    """Pairs whose confidence σ(|margin|) lies in [low, high): how many, how sure on average, how often right."""

    low: float
    high: float
    pairs: int
    confidence: float | None
    accuracy: float | None


class Bar(_Model):
    """A bar of the histogram: pairs with a margin in [low, high)."""

    low: float
    high: float
    pairs: int


class Scores(_Model):
    """Mean and standard deviation of the scores of all held-out answers, by which scores are standardised."""

    mean: float
    spread: float


class RewardReport(_Model):
    """`reward_model.json`. `accuracy` is the share of held-out pairs with a positive margin, a tie counting half;
    `calibration_error` the mean over pairs of |confidence − accuracy| of their bin (ECE). `unmeasured` is the
    reason why a figure is None."""

    pairs: int
    problems: int
    accuracy: Interval | None = None
    mean_margin: float | None = None
    margins: tuple[Bar, ...] = ()
    reliability: tuple[Bin, ...] = ()
    calibration_error: float | None = None
    scores: Scores | None = None
    unmeasured: str | None = None


def describe(scored: Sequence[Scored]) -> RewardReport:
    """Return the report on `scored`; all unmeasured where it is empty."""
    if not scored:
        return RewardReport(pairs=0, problems=0, unmeasured="no pairs were held out (data.eval_fraction)")
    answers = [s.chosen for s in scored] + [s.rejected for s in scored]
    reliability = _reliability(scored)
    return RewardReport(
        pairs=len(scored),
        problems=len({s.problem_id for s in scored}),
        accuracy=_accuracy(scored),
        mean_margin=fmean(s.margin for s in scored),
        margins=_histogram([s.margin for s in scored]),
        reliability=reliability,
        calibration_error=sum(
            b.pairs * abs(b.confidence - b.accuracy)
            for b in reliability
            if b.confidence is not None and b.accuracy is not None
        )
        / len(scored),
        scores=Scores(mean=fmean(answers), spread=pstdev(answers)),
    )


def save(folder: Path, scored: Sequence[Scored], report: RewardReport) -> None:
    """Write the raw scores (`held_out.jsonl`), then what was computed from them (`reward_model.json`)."""
    rows = "".join(json.dumps(asdict(s)) + "\n" for s in scored)
    write_text(folder / HELD_OUT, rows)
    write_text(folder / REPORT, report.model_dump_json(indent=1) + "\n")


def load_report(folder: Path) -> RewardReport | None:
    """Return the report in `folder`; None where there is none."""
    path = folder / REPORT
    return RewardReport.model_validate_json(path.read_text(encoding="utf-8")) if path.is_file() else None


def _right(margin: float) -> float:
    return 0.5 if margin == 0 else float(margin > 0)


def _accuracy(scored: Sequence[Scored]) -> Interval:
    """Return Wilson's interval at the effective number of pairs, from the linearised variance over problems, for as few
    problems as these (Korn and Graubard 1998, Survey Methodology 24:193). Where all problems are alike, each counts
    as one."""
    groups: dict[str, list[float]] = {}
    for s in scored:
        groups.setdefault(s.problem_id, []).append(_right(s.margin))
    problems, pairs = len(groups), len(scored)
    p = sum(map(sum, groups.values())) / pairs
    if problems == 1:
        return Interval(value=p, low=0.0, high=1.0)
    spread = sum((sum(g) - p * len(g)) ** 2 for g in groups.values())
    variance = problems / (problems - 1) * spread / pairs**2
    effective = min(pairs, p * (1 - p) / variance) if variance and 0 < p < 1 else problems
    effective *= (_Z / _t(problems - 1)) ** 2
    centre = (p + _Z**2 / (2 * effective)) / (1 + _Z**2 / effective)
    half = _Z / (1 + _Z**2 / effective) * math.sqrt(p * (1 - p) / effective + (_Z / (2 * effective)) ** 2)
    return Interval(value=p, low=max(0.0, centre - half), high=min(1.0, centre + half))


def _t(df: int) -> float:
    """Return the 97.5 % quantile of Student's t (Abramowitz and Stegun 26.7.5, to 0.003)."""
    if df <= len(_T):
        return _T[df - 1]
    z = _Z
    return (
        z
        + (z**3 + z) / (4 * df)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * df**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * df**3)
    )


def _histogram(margins: Sequence[float]) -> tuple[Bar, ...]:
    low, high = min(margins), max(margins)
    width = (high - low) / BINS or 1.0
    counts = [0] * BINS
    for margin in margins:
        counts[min(BINS - 1, int((margin - low) / width))] += 1
    return tuple(Bar(low=low + i * width, high=low + (i + 1) * width, pairs=n) for i, n in enumerate(counts))


def _reliability(scored: Sequence[Scored]) -> tuple[Bin, ...]:
    """Return the bins of confidence, from one half (no preference) to 1."""
    width = 0.5 / BINS
    bins: list[list[tuple[float, float]]] = [[] for _ in range(BINS)]
    for s in scored:
        confidence = 1 / (1 + math.exp(-min(abs(s.margin), 700)))
        bins[min(BINS - 1, int((confidence - 0.5) / width))].append((confidence, _right(s.margin)))
    return tuple(
        Bin(
            low=0.5 + i * width,
            high=0.5 + (i + 1) * width,
            pairs=len(bin_),
            confidence=fmean(c for c, _ in bin_) if bin_ else None,
            accuracy=fmean(r for _, r in bin_) if bin_ else None,
        )
        for i, bin_ in enumerate(bins)
    )
