"""Compare two result files: is the candidate as good as the baseline, and on which problems did they part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from assay.harness.decide.matching import Matched, label, listed, match, name_suites
from assay.harness.decide.naming import place
from assay.harness.decide.results import Answer, Counts, Results, summary
from assay.harness.decide.statistics import (
    Comparison,
    NoiseSplit,
    adjust_suites,
    compare_rates,
    estimate_score,
    noise_split,
)
from assay.harness.errors import BadInputError, UnmeasuredError
from assay.harness.stats.pass_at_k import Estimate

Verdict = Literal["better", "worse", "equivalent", "undecided"]
MISSING = ("bounds", "ignore", "fail")
WORST_FIRST: tuple[Verdict, ...] = ("worse", "undecided", "better", "equivalent")


@dataclass(frozen=True, slots=True)
class Turn:
    """A problem on which the two differ: the share of samples that passed, and an answer of each."""

    problem: str
    baseline: float
    candidate: float
    answers: tuple[Answer | None, Answer | None] = (None, None)

    @property
    def change(self) -> float:
        return self.candidate - self.baseline


@dataclass(frozen=True, slots=True)
class SuiteComparison:
    """Candidate against baseline on one suite: `comparison` is candidate − baseline. `seeds` counts the training seeds
    of each, of which `baseline` and `candidate` are the first.

    `gained` and `lost` are the problems that turned, the largest change first. `unmeasured` says of each problem that
    has no verdict in one of the files which that is; such problems are in no figure. `bounds` are the least and the
    greatest difference that the samples without a verdict could have made, None where there are none.
    """

    suite: str
    baseline: Results
    candidate: Results
    seeds: tuple[int, int]
    scores: tuple[Estimate, Estimate]
    comparison: Comparison
    noise: NoiseSplit
    gained: tuple[Turn, ...]
    lost: tuple[Turn, ...]
    alike: tuple[int, int]
    unmeasured: dict[str, str]
    left_out: int
    bounds: tuple[float, float] | None = None

    def to_json(self) -> dict[str, Any]:
        figures = asdict(self.comparison)
        del figures["a"], figures["b"]
        baseline, candidate = self.scores
        return {
            "suite": self.suite,
            "baseline": summary(self.baseline)
            | {"training_seeds": self.seeds[0], "pass@1": asdict(baseline)},
            "candidate": summary(self.candidate)
            | {"training_seeds": self.seeds[1], "pass@1": asdict(candidate)},
            **figures,
            "noise": asdict(self.noise),
            "gained": [_turn_json(turn) for turn in self.gained],
            "lost": [_turn_json(turn) for turn in self.lost],
            "both_passed": self.alike[0],
            "neither_passed": self.alike[1],
            "unmeasured": self.unmeasured,
            "left_out": self.left_out,
            "bounds": self.bounds,
        }


def _turn_json(turn: Turn) -> dict[str, Any]:
    return {"problem": turn.problem, "baseline": turn.baseline, "candidate": turn.candidate}


@dataclass(frozen=True, slots=True)
class ResultComparison:
    """The answer to one question: is the candidate as good as the baseline, on every suite that both have."""

    baseline: str
    candidate: str
    suites: tuple[SuiteComparison, ...]
    margin: float
    confidence: float
    warnings: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of a suite; better where none is worse or undecided and one is better."""
        verdicts = {suite.comparison.verdict for suite in self.suites}
        return next(verdict for verdict in WORST_FIRST if verdict in verdicts)

    def to_json(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "baseline": self.baseline,
            "candidate": self.candidate,
            "difference": "candidate - baseline, a share of 1",
            "margin": self.margin,
            "confidence": self.confidence,
            "suites": [suite.to_json() for suite in self.suites],
            "warnings": list(self.warnings),
        }


def compare_results(
    baseline: Sequence[Results],
    candidate: Sequence[Results],
    *,
    suite: str | None = None,
    margin: float = 0.05,
    confidence: float = 0.95,
    common: bool = False,
    total: int | None = None,
    missing: str = "bounds",
) -> ResultComparison:
    """Compare what two files say, on each suite that both have, or on `suite` alone.

    Samples without a verdict are in no figure, and with `missing` "bounds" a verdict stands only if it does whether
    they passed or failed: else a file could leave out what it lost. With "ignore" it stands as it is, and with "fail"
    they count as failed.

    Raises BadInputError where a file has several models, where no suite or not the same problems are in both, and
    UnmeasuredError where no problem has a verdict in both.
    """
    check_levels(margin, confidence)
    if missing not in MISSING:
        raise BadInputError(f"--missing {missing!r} is none of {', '.join(MISSING)}")
    names = _names(_one_model(baseline), _one_model(candidate))
    baseline, candidate = name_suites(baseline, candidate), name_suites(candidate, baseline)
    pairs, warnings = _paired_suites(baseline, candidate, suite)
    compared = []
    for ours, others in pairs:
        one = ours[0]
        both = match([*ours, *others], common=common, total=total)
        if missing == "fail":
            both = replace(both, samples=both.samples + both.unmeasured, unmeasured=0 * both.unmeasured)
        own = _warnings(both, len(ours))
        sides = _Sides(names, len(ours), margin, confidence)
        one_suite = _compare(sides, both)
        if missing == "bounds" and both.unmeasured.any():
            one_suite, reason = _bounded(sides, both, one_suite)
            own += [reason] if reason else []
        warnings += [f"{one.suite}: {text}" for text in own] if len(pairs) > 1 else own
        compared.append(one_suite)
    adjusted = adjust_suites([c.comparison for c in compared], confidence=confidence)
    suites = tuple(replace(c, comparison=a) for c, a in zip(compared, adjusted, strict=True))
    return ResultComparison(*names, suites, margin, confidence, tuple(dict.fromkeys(warnings)))


def check_levels(margin: float, confidence: float) -> None:
    """Raise BadInputError for a margin or a confidence level that nothing can be decided by."""
    if not 0 < margin < 1:
        raise BadInputError(
            f"--margin {margin:g}: it is a share of the problems, between 0 and 1; 0.05 is 5 points"
        )
    if not 0.5 < confidence < 1:
        raise BadInputError(f"--confidence {confidence:g}: it lies between 0.5 and 1")


def _one_model(results: Sequence[Results]) -> Results:
    models = list(dict.fromkeys(r.model for r in results))
    if len(models) > 1:
        raise BadInputError(
            f"{results[0].path} holds {len(models)} models: choose one as {results[0].path}:NAME; "
            f"it has {listed(models, 12)}"
        )
    return results[0]


def _names(one: Results, other: Results) -> tuple[str, str]:
    """Return two names that differ, with the files' names where the models' are the same."""
    if one.model != other.model:
        return one.model, other.model
    if label(one) != label(other):
        return label(one), label(other)
    return f"{one.model} (A)", f"{other.model} (B)"


def _by_suite(results: Sequence[Results]) -> dict[str, list[Results]]:
    """Return the results of each suite; several of one suite are those of a variant's training seeds."""
    suites: dict[str, list[Results]] = {}
    for one in results:
        suites.setdefault(one.suite, []).append(one)
    return suites


def _paired_suites(
    baseline: Sequence[Results], candidate: Sequence[Results], suite: str | None
) -> tuple[list[tuple[list[Results], list[Results]]], list[str]]:
    """Return the results of each suite that both files have, and what has to be said of the others."""
    ours, others = _by_suite(baseline), _by_suite(candidate)
    if suite is not None:
        for results, file in ((ours, baseline[0].path), (others, candidate[0].path)):
            if suite not in results:
                raise BadInputError(f"--suite {suite!r}: {file} has {listed(list(results), 12)}")
        return [(ours[suite], others[suite])], []
    shared = [name for name in ours if name in others]
    if not shared:
        if len(ours) == len(others) == 1:
            names = f"the suite is called {baseline[0].suite!r} in A and {candidate[0].suite!r} in B"
            return [(list(baseline), list(candidate))], [names]
        raise BadInputError(
            f"no suite is in both files: {baseline[0].path} has {listed(list(ours), 12)}, "
            f"{candidate[0].path} has {listed(list(others), 12)}"
        )
    warnings = []
    for side, results in (("A", ours), ("B", others)):
        if only := [name for name in results if name not in shared]:
            warnings.append(f"only {side} has {listed(only, 12)}, which is not compared")
    return [(ours[name], others[name]) for name in shared], warnings


def _warnings(both: Matched, seeds: int) -> list[str]:
    """Return what a reader has to know of two files before he believes their difference; the first `seeds` rows are
    of A."""
    one, other = both.results[0], both.results[seeds]
    warnings = []
    if one.version and other.version and one.version != other.version:
        warnings.append(
            f"the suite's versions differ: {_short(one.version)} in A, {_short(other.version)} in B"
        )
    if one.sampling and other.sampling and one.sampling != other.sampling:
        warnings.append(f"answers were drawn differently: {one.sampling} in A; {other.sampling} in B")
    if one.format != other.format and not {one.format, other.format} & {"table", "parquet"}:
        warnings.append(f"verdicts of different evaluators: {one.format} in A, {other.format} in B")
    shared = [p for p in both.problems if p in one.prompts and p in other.prompts]
    if differing := [p for p in shared if one.prompts[p] != other.prompts[p]]:
        warnings.append(
            f"the prompts of {len(differing)} of {len(shared)} problems differ: {listed(differing, 5)}"
        )
    for side, row in (("A", slice(seeds)), ("B", slice(seeds, None))):
        counted = both.samples[row][both.samples[row] > 0]
        if len(counted) and counted.min() != counted.max():
            warnings.append(f"{side} has {counted.min()} to {counted.max()} samples a problem")
        if unmeasured := int(both.unmeasured[row].sum()):
            warnings.append(f"{side}: {unmeasured} samples have no verdict, and count in no figure")
    if both.left_out:
        warnings.append(f"{both.left_out} problems are not in both files and were left out")
    return warnings + [f"{side}: {note}" for side, r in (("A", one), ("B", other)) for note in r.notes]


def _short(version: str) -> str:
    return version if len(version) <= 24 else f"{version[:12]}…"


@dataclass(frozen=True, slots=True)
class _Sides:
    """How the rows of a match are compared: the first `seeds` are the baseline's, one a training seed."""

    names: tuple[str, str]
    seeds: int
    margin: float
    confidence: float

    def of(self, table: Counts) -> tuple[Counts, Counts]:
        """Return the baseline's rows and the candidate's."""
        return table[: self.seeds], table[self.seeds :]

    def compare(self, samples: Counts, passed: Counts) -> Comparison:
        """Test candidate − baseline on problems that every row has samples of."""
        baseline, candidate = ((c / n) for n, c in zip(self.of(samples), self.of(passed), strict=True))
        return compare_rates(
            self.names[1],
            self.names[0],
            (candidate, baseline),
            binary=bool((samples == 1).all()),
            margin=self.margin,
            confidence=self.confidence,
        )


def _compare(sides: _Sides, both: Matched) -> SuiteComparison:
    one, other = both.results[0], both.results[sides.seeds]
    lacks = [(n == 0).any(axis=0) for n in sides.of(both.samples)]
    measured = ~(lacks[0] | lacks[1])
    lacking = {
        both.problems[i]: " and ".join(n for n, row in zip(sides.names, lacks, strict=True) if row[i])
        for i in np.flatnonzero(~measured)
    }
    if not measured.any():
        raise UnmeasuredError(f"{one.path} and {other.path} have no problem with a verdict in both")
    samples, passed = both.samples[:, measured], both.passed[:, measured]
    problems = [p for p, there in zip(both.problems, measured.tolist(), strict=True) if there]
    tables = list(zip(sides.of(samples), sides.of(passed), strict=True))
    rates = np.stack([(c / n).mean(axis=0) for n, c in tables])
    turns = [_turn(p, a, b, one, other) for p, a, b in zip(problems, *rates.tolist(), strict=True) if a != b]
    turns.sort(key=lambda turn: (-abs(turn.change), place(turn.problem)))
    baseline, candidate = tables
    if len(samples) > 2:
        noise = NoiseSplit(None, None, None, "training seeds are a third part, which is in the interval")
    else:
        noise = noise_split((candidate[0][0], candidate[1][0]), (baseline[0][0], baseline[1][0]))
    scores = [estimate_score(n, c, confidence=sides.confidence) for n, c in tables]
    return SuiteComparison(
        suite=one.suite,
        baseline=one,
        candidate=other,
        seeds=(len(baseline[0]), len(candidate[0])),
        scores=(scores[0], scores[1]),
        comparison=sides.compare(samples, passed),
        noise=noise,
        gained=tuple(turn for turn in turns if turn.change > 0),
        lost=tuple(turn for turn in turns if turn.change < 0),
        alike=(int((rates == 1).all(axis=0).sum()), int((rates == 0).all(axis=0).sum())),
        unmeasured={p: f"no verdict of {who}" for p, who in lacking.items()},
        left_out=both.left_out,
    )


def _bounded(sides: _Sides, both: Matched, compared: SuiteComparison) -> tuple[SuiteComparison, str]:
    """Return the comparison with what it would be if the samples without a verdict had turned out otherwise.

    Its verdict becomes undecided, with the reason, where it does not stand at both ends.
    """
    samples = both.samples + both.unmeasured
    there = np.asarray((samples > 0).all(axis=0))
    ends = []
    for lucky in (
        slice(sides.seeds),
        slice(sides.seeds, None),
    ):  # whose samples without a verdict passed: A's, B's
        passed = both.passed.copy()
        passed[lucky] += both.unmeasured[lucky]
        ends.append(sides.compare(samples[:, there], passed[:, there]))
    figures = replace(compared, bounds=(ends[0].difference, ends[1].difference))
    verdict = compared.comparison.verdict
    if verdict == "undecided" or all(_says(end.verdict) == _says(verdict) for end in ends):
        return figures, ""
    low, high = (f"{100 * end.difference:+.1f}" for end in ends)
    reason = (
        f"{verdict} by what has a verdict, but undecided: {int(both.unmeasured.sum())} samples have none, and "
        f"depending on them the difference is {low} to {high} points (--missing)"
    )
    return replace(figures, comparison=replace(compared.comparison, verdict="undecided")), reason


def _says(verdict: Verdict) -> str:
    """Return what a verdict says of B: that it is as good as A, that it is worse, or neither."""
    return "as good" if verdict in ("better", "equivalent") else verdict


def _turn(problem: str, baseline: float, candidate: float, one: Results, other: Results) -> Turn:
    """Return a problem that turned, with an answer that passed beside one that did not where there are such."""
    won = candidate > baseline
    answers = (_answer(one, problem, passed=not won), _answer(other, problem, passed=won))
    return Turn(problem, baseline, candidate, answers)


def _answer(results: Results, problem: str, *, passed: bool) -> Answer | None:
    answers = results.answers.get(problem, ())
    return next(
        (a for a in answers if (a.outcome in ("pass", "success")) == passed), next(iter(answers), None)
    )
