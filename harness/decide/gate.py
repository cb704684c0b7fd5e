"""A gate: does a result hold against its baseline? Rules, checks and the verdict that a CI's exit code says.

Quality: with B − A the paired difference of pass@1 on the same problems and strict one-sided 95 % bounds of it, the
gate is passed where the lower bound lies above −margin: a loss of the margin is ruled out, though a smaller one may
be proven, which is said. Else it is a regression where the upper bound lies below 0: some loss is proven. Else
neither is known. So of equal models at most 5 % are called a regression, and of models worse by the margin at most 5
% pass.

Sequentially (`sequence`), problems are taken in an order drawn from a seed, and the first that makes either sure ends
it. Two bets are kept, against "worse by at least the margin" and against "no worse"; a bet that has multiplied its
stake by 20 rejects its hypothesis. By Ville's inequality each is rejected wrongly in at most 5 % of all sequences,
however often one looks (Waudby-Smith and Ramdas 2024, "Estimating means of bounded random variables by betting",
section 4).
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from assay.harness.decide.comparing import ResultComparison, SuiteComparison, compare_results
from assay.harness.decide.measurements import Check, MemoryTable, SpeedTable, State
from assay.harness.decide.results import Floats, Results
from assay.harness.errors import BadInputError
from assay.harness.experiment.tables import Table
from assay.harness.stats import bounds
from assay.harness.stats.pass_at_k import Estimate, estimate_pass_at_k

_UNLUCKY = 1.28  # standard errors by which a plan takes problems to be more alike than they seemed
_NEXT = 20  # problems that a sequence names as those to answer next
_WORST: tuple[State, ...] = ("regression", "undecided", "unmeasured", "pass")


class QualityTable(Table):
    """How pass@1 is held against the baseline's."""

    margin: float = Field(default=0.05, gt=0, lt=1)
    """The loss of pass@1 that does not matter: 0.05 is 5 points."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """The confidence of the one-sided bounds that decide."""
    min_executed: float = Field(default=1.0, gt=0, le=1)
    """The share of the baseline's problems that need a verdict; with fewer nothing is decided, so that skips are no
    passes."""
    fail_under: float | None = Field(default=None, gt=0, lt=1)
    """A floor of pass@1: its interval's lower end has to reach it."""


class Rules(Table):
    """The rules of a gate."""

    on_undecided: Literal["fail", "pass"] = "fail"
    """What an undecided gate's exit code is: 2, or with "pass" 0 and a warning."""
    quality: QualityTable = QualityTable()
    """How pass@1 is held against the baseline's."""
    speed: SpeedTable = SpeedTable()
    """How benchmarks are."""
    memory: MemoryTable = MemoryTable()
    """How peak memory is."""


@dataclass(frozen=True, slots=True)
class GateResult:
    """The checks of a gate, and the comparison that quality's rest on."""

    candidate: str
    baseline: str
    rules: Rules
    checks: tuple[Check, ...]
    comparison: ResultComparison | None = None
    notes: tuple[str, ...] = ()

    @property
    def state(self) -> State:
        """The worst state of a check; what is unmeasured decides nothing unless nothing else was measured."""
        states = {check.state for check in self.checks}
        return next(
            state for state in _WORST if state in states and (state != "unmeasured" or states == {state})
        )

    @property
    def exit_code(self) -> int:
        """0 passed, 1 regression, 2 undecided."""
        if self.state == "regression":
            return 1
        if self.state == "pass" or self.rules.on_undecided == "pass":
            return 0
        return 2

    def to_json(self) -> dict[str, Any]:
        return {
            "state": self.state,
            "exit_code": self.exit_code,
            "candidate": self.candidate,
            "baseline": self.baseline,
            "rules": self.rules.model_dump(mode="json"),
            "checks": [check.to_json() for check in self.checks],
            "notes": list(self.notes),
        }


def check_quality(
    candidate: Sequence[Results], baseline: Sequence[Results], rules: Rules, *, sequential: int | None = None
) -> tuple[list[Check], ResultComparison]:
    """Return a check for each suite that both have, and one for a floor; with `sequential`, the seed of the order, the
    problems are looked at one by one."""
    table = rules.quality
    compared = compare_results(
        baseline, candidate, margin=table.margin, confidence=table.confidence, common=True, missing="bounds"
    )
    checks = []
    for suite in compared.suites:
        name = f"pass@1 on {suite.suite}"
        if sequential is not None:
            checks.append(_in_sequence(name, suite.candidate, suite.baseline, table, sequential))
        elif few := _too_few(suite, baseline, table.min_executed):
            checks.append(Check(name, "undecided", few))
        else:
            checks.append(_quality(name, suite, table.margin))
        if table.fail_under is not None:
            checks.append(check_floor(f"floor on {suite.suite}", suite.scores[1], table.fail_under))
    return checks, compared


def _too_few(suite: SuiteComparison, baseline: Sequence[Results], least: float) -> str:
    """Return what is missing where too few of the baseline's problems have a verdict; empty where enough have."""
    known: set[str] = set()
    for one in baseline:
        if one.suite in (suite.suite, suite.baseline.suite):
            known.update(np.array(one.problems)[one.samples > 0].tolist())
    measured = suite.comparison.n
    if measured >= least * len(known):
        return ""
    return (
        f"{measured} of the baseline's {len(known)} problems have a verdict, and {100 * least:g} % are asked for "
        "(min_executed)"
    )


def _quality(name: str, suite: SuiteComparison, margin: float) -> Check:
    c = suite.comparison
    lower = -1.0 if c.lower is None else c.lower
    upper = 1.0 if c.upper is None else c.upper
    if suite.bounds is not None:  # samples without a verdict: each bound moves with what they may have been
        lower += min(0.0, suite.bounds[0] - c.difference)
        upper += max(0.0, suite.bounds[1] - c.difference)
    figures = {
        "difference": c.difference, "lower": lower, "upper": upper, "n_problems": c.n, "margin": margin,
        "baseline_pass@1": suite.scores[0].value, "candidate_pass@1": suite.scores[1].value,
        "lost": [turn.problem for turn in suite.lost], "gained": [turn.problem for turn in suite.gained],
    }  # fmt: skip
    return Check(name, decide(lower, upper, margin), _words(c.difference, lower, upper, margin, c.n), figures)


def decide(lower: float, upper: float, margin: float) -> State:
    """Return the state that one-sided bounds of the difference give."""
    if lower > -margin:
        return "pass"
    return "regression" if upper < 0 else "undecided"


def _words(difference: float, lower: float, upper: float, margin: float, n: int) -> str:
    points = (
        f"{100 * difference:+.1f} points on {n} problems, bounds {100 * lower:+.1f} and {100 * upper:+.1f}"
    )
    if lower > -margin:
        proven = "; a loss within the margin is proven" if upper < 0 else ""
        return f"{points}: a loss of {100 * margin:g} points is ruled out{proven}"
    if upper < 0:
        return f"{points}: a loss is proven, and one of {100 * margin:g} points is not ruled out"
    return f"{points}: neither a loss is proven, nor one of {100 * margin:g} points ruled out"


def check_floor(name: str, score: Estimate, floor: float) -> Check:
    """Hold pass@1 against a floor, by its interval: the lower end decides for a pass, the upper one for a failure."""
    state: State = "pass" if score.low >= floor else ("regression" if score.high < floor else "undecided")
    interval = f"{100 * score.low:.1f} to {100 * score.high:.1f}"
    words = f"{100 * score.value:.1f} % ({interval}), the floor is {100 * floor:g} %"
    return Check(
        name, state, words, {"value": score.value, "low": score.low, "high": score.high, "floor": floor}
    )


# The sequential form.


@dataclass(frozen=True, slots=True)
class SequentialEnd:
    """Where a sequential gate ended: the state, how many problems it took, and each bet's largest gain."""

    state: State
    taken: int
    of: int
    gains: tuple[float, float]


def sequence(differences: Floats, margin: float, confidence: float = 0.95) -> SequentialEnd:
    """Look at differences in [−1, 1] one by one, until a loss of the margin or no loss at all is rejected."""
    first, gains = sequences(differences[None, :], margin, confidence)
    taken, of = first[0].tolist(), len(differences)
    end = min(taken)
    state: State = "undecided" if end > of else ("pass" if taken[0] == end else "regression")
    return SequentialEnd(state, min(end, of), of, (float(gains[0, 0]), float(gains[0, 1])))


def sequences(
    differences: Floats, margin: float, confidence: float = 0.95
) -> tuple[NDArray[np.int64], Floats]:
    """Return, for each row of differences and each of the two bets, after how many it rejects its hypothesis (one more
    than there are where it never does), and its largest capital until either did. Shapes (rows, 2).

    The first bet is against a loss of the margin or more, the second against no loss. Each stakes a share λ of its
    capital on the next value being on its side, from what came before alone: the share that would have grown most
    (approximately mean over variance), at most half of what cannot be lost.
    """
    rows, n = differences.shape
    values = (1 + differences) / 2
    null = np.array([(1 - margin) / 2, 0.5])  # the mean under each hypothesis, on 0 to 1
    sign = np.array([1.0, -1.0])  # which side of it each bet is on
    most = 0.5 / np.where(sign > 0, null, 1 - null)
    stake = math.log(1 / (1 - confidence))
    capital, largest = np.zeros((rows, 2)), np.zeros((rows, 2))
    first = np.full((rows, 2), n + 1)
    total, squares = np.full(rows, 0.5), np.full(rows, 0.25)  # one value of a half, before any
    for i in range(n):
        mean, variance = total / (i + 1), squares / (i + 1)
        lean = sign * (mean[:, None] - null)
        share = np.clip(lean / (variance[:, None] + lean**2), 0.0, most)
        capital += np.log1p(share * sign * (values[:, i, None] - null))
        going = (first > n).all(axis=1)
        largest[going] = np.maximum(largest[going], capital[going])
        first[(largest >= stake) & (first > n)] = i + 1
        total = total + values[:, i]
        squares = squares + (values[:, i] - total / (i + 2)) ** 2
    return first, np.exp(largest)


def drawn_order(problems: Sequence[str], seed: int) -> list[int]:
    """Return the order in which a seed has problems looked at, the same for the same ids."""
    key = [hashlib.sha256(f"{seed}:{problem}".encode()).digest() for problem in problems]
    return sorted(range(len(problems)), key=key.__getitem__)


def _in_sequence(name: str, candidate: Results, baseline: Results, table: QualityTable, seed: int) -> Check:
    """Take the baseline's problems in the drawn order, up to the first that the candidate has no verdict on."""
    rates = [dict(zip(one.problems, one.rates.tolist(), strict=True)) for one in (candidate, baseline)]
    known = [p for p, rate in rates[1].items() if not math.isnan(rate)]
    ordered = [known[i] for i in drawn_order(known, seed)]
    taken = list(itertools.takewhile(lambda p: not math.isnan(rates[0].get(p, math.nan)), ordered))
    differences = np.array([rates[0][p] - rates[1][p] for p in taken], dtype=np.float64)
    ended = sequence(differences, table.margin, table.confidence)
    reached = {
        "pass": f"a loss of {100 * table.margin:g} points is ruled out",
        "regression": "a loss is proven",
        "undecided": f"neither a loss is proven, nor one of {100 * table.margin:g} points ruled out",
    }.get(ended.state, "")
    words = f"after {ended.taken} of {len(known)} problems {reached} (always valid, 5 % each)"
    following = ordered[len(taken) : len(taken) + _NEXT] if ended.state == "undecided" else []
    return Check(name, ended.state, words, asdict(ended) | {"seed": seed, "next": following})


# How many problems and samples a gate needs.


@dataclass(frozen=True, slots=True)
class GatePlan:
    """How often equal models would be left undecided, and the samples a problem with which at most `share` are.

    `samples` is None where no number of samples does it: then `problems` would, with the samples there are.
    """

    suite: str
    n_problems: int
    n_samples: int
    margin: float
    undecided: float
    share: float
    samples: int | None
    problems: int | None
    assumed: str

    def words(self) -> str:
        now = (
            f"{self.suite}: {self.n_problems} problems x {self.n_samples} samples and a margin of "
            f"{100 * self.margin:g} points leave {100 * self.undecided:.0f} % of equal models undecided"
        )
        if self.undecided <= self.share:
            return f"{now}: enough for {100 * self.share:g} %. {self.assumed}"
        ways = [f"{self.samples} samples a problem"] if self.samples else []
        ways += [f"{self.problems} problems"] if self.problems else []
        either = " or ".join(ways) or "a wider margin"
        return f"{now}; {either} would leave {100 * self.share:g} %. {self.assumed}"


def plan_gate(baseline: Results, rules: Rules, *, sequential: bool = False, share: float = 0.1) -> GatePlan:
    """Return what a gate against this baseline needs: the chance is simulated with the gate's own rule."""
    measured = baseline.samples > 0
    n, c = baseline.samples[measured], baseline.passed[measured]
    if not len(n):
        raise BadInputError(f"{baseline.path} has no problem with a verdict: nothing can be planned from it")
    samples = int(np.median(n))
    rate, assumed = _rates(n, c)
    margin, confidence = rules.quality.margin, rules.quality.confidence

    def undecided(problems: int, drawn: int) -> float:
        return _undecided(rate, problems, drawn, margin, confidence, sequential=sequential)

    now = undecided(len(n), samples)
    more = problems = None
    if now > share:
        more = next((k for k in _growing(samples, 256) if undecided(len(n), k) <= share), None)
        problems = next((k for k in _growing(len(n), 100_000) if undecided(k, samples) <= share), None)
    return GatePlan(baseline.suite, len(n), samples, margin, now, share, more, problems, assumed)


def _rates(n: Any, c: Any) -> tuple[Floats, str]:
    """Return plausible pass rates of single problems, and how they were come by."""
    mean = float((c / n).mean())
    if n.min() >= 2:
        spread = float((c / n).var()) - float(((c / n) * (1 - c / n) / (n - 1)).mean())
        k = float(np.median(n))
        error = math.sqrt(
            2 / (k * (k - 1)) / len(n)
        )  # of the correlation of two samples of a problem (Fisher 1925)
        between = max(0.0, min(1.0, spread / max(1e-9, mean * (1 - mean))) - _UNLUCKY * error)
        assumed = "Rates of problems vary as the baseline's samples say, or less."
    else:
        between, assumed = 0.5, "One sample a problem: half of its variance is taken for the problems'."
    if mean in (0.0, 1.0) or between >= 1:
        return np.array([0.0, 1.0])[(np.arange(1000) < 1000 * mean).astype(int)], assumed
    concentration = max(1e-3, 1 / max(between, 1e-6) - 1)
    rng = np.random.default_rng(0)
    drawn: Floats = rng.beta(mean * concentration, (1 - mean) * concentration, size=1000)
    return drawn, assumed


def _undecided(
    rate: Floats, problems: int, samples: int, margin: float, confidence: float, *, sequential: bool
) -> float:
    """Return how often two equal models do not pass, over draws with a fixed seed."""
    rng = np.random.default_rng(1)
    runs = 400 if problems <= 5000 else 100
    misses = 0
    for _ in range(runs // 50):
        p = rng.choice(rate, size=(50, problems))
        moved = (rng.binomial(samples, p) - rng.binomial(samples, p)) / samples
        if sequential:
            first, _ = sequences(moved, margin, confidence)
            misses += int((first[:, 0] > np.minimum(problems, first[:, 1])).sum())
        else:
            sample = bounds.Values.of(list(moved), -1.0, 1.0)
            misses += int((bounds.at_most(sample, -margin, "floor") > 1 - confidence).sum())
    return misses / runs


def _growing(start: int, most: int) -> list[int]:
    """Return numbers from `start` on that grow by a quarter."""
    numbers, now = [], start
    while now < most:
        now = max(now + 1, math.ceil(now * 1.25))
        numbers.append(min(now, most))
    return numbers


def floor_of(results: Results, floor: float, confidence: float = 0.95) -> Check:
    """Hold a result by itself against a floor."""
    score = estimate_pass_at_k(results.counts, 1, confidence=confidence)
    return check_floor(f"floor on {results.suite}", score, floor)
