"""One leaderboard from any number of result files: a column a suite, with ranks that models share unless a test parts
them, and the problems that say little or something odd about the models."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from assay.harness.decide.comparing import check_levels
from assay.harness.decide.matching import Matched, label, listed, match, name_suites
from assay.harness.decide.results import Floats, Results, summary
from assay.harness.decide.statistics import (
    Pairs,
    all_pairs,
    critical_correlation,
    estimate_score,
    negative_p,
    places,
    rest_correlations,
)
from assay.harness.errors import BadInputError, UnmeasuredError
from assay.harness.stats.pass_at_k import Estimate

FEWEST_MODELS = 5  # that a suspect problem can be told by
LEVEL = 0.05  # of the one-sided test that a problem is passed by the worse models
KEPT = 500  # problems of a kind that the JSON lists


@dataclass(frozen=True, slots=True)
class Suspect:
    """A problem that better models fail and worse ones pass: the correlation over models of passing it with the score
    on all other problems, its one-sided p, and who passes and fails it against the order."""

    problem: str
    correlation: float
    p: float
    passed_by: tuple[str, ...]
    failed_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SuiteBoard:
    """One suite's column. `models` are in the order of `scores`, `ranks` and of the rows of `pairs`.

    `solved` counts the problems that every model solved in all samples; `unsolved` are those that none solved once,
    `rare` those that one in twenty did, or one model. `suspects` are the first of `n_suspects`, of
    which chance alone would show `expected_suspects`.
    """

    suite: str
    models: tuple[str, ...]
    results: tuple[Results, ...]
    scores: tuple[Estimate | None, ...]
    measured: tuple[int, ...]
    ranks: tuple[int, ...]
    pairs: Pairs
    n_problems: int
    left_out: int
    solved: int
    unsolved: tuple[str, ...]
    rare: Mapping[str, tuple[str, ...]]
    suspects: tuple[Suspect, ...]
    n_suspects: int
    expected_suspects: float | None
    warnings: tuple[str, ...]

    def rank_of(self, model: str) -> int | None:
        return self.ranks[self.models.index(model)] if model in self.models else None

    def score_of(self, model: str) -> Estimate | None:
        return self.scores[self.models.index(model)] if model in self.models else None

    def shares_rank(self, model: str) -> bool:
        return self.ranks.count(self.ranks[self.models.index(model)]) > 1

    def to_json(self) -> dict[str, Any]:
        return {
            "suite": self.suite,
            "n_problems": self.n_problems,
            "left_out": self.left_out,
            "models": [
                summary(r)
                | {"model": model, "rank": rank, "n_measured": n, "pass@1": None if e is None else asdict(e)}
                for model, r, rank, n, e in zip(
                    self.models, self.results, self.ranks, self.measured, self.scores, strict=True
                )
            ],
            "pairs": self._pairs_json(),
            "solved_by_all": self.solved,
            "n_unsolved": len(self.unsolved),
            "unsolved": list(self.unsolved[:KEPT]),
            "n_rare": len(self.rare),
            "rare": {problem: list(models) for problem, models in list(self.rare.items())[:KEPT]},
            "suspects": [asdict(suspect) for suspect in self.suspects],
            "n_suspects": None if self.expected_suspects is None else self.n_suspects,
            "expected_suspects": self.expected_suspects,
            "warnings": list(self.warnings),
        }

    def _pairs_json(self) -> list[dict[str, Any]]:
        """Return the pairs that have problems in common, the better one of each first."""
        rows = []
        for i in range(len(self.models)):
            for j in range(i + 1, len(self.models)):
                if not self.pairs.n[i, j]:
                    continue
                swapped = self.pairs.difference[i, j] < 0
                first, second = (j, i) if swapped else (i, j)
                rows.append(
                    {
                        "a": self.models[first],
                        "b": self.models[second],
                        "difference": float(self.pairs.difference[first, second]),
                        "p": float(self.pairs.p[i, j]),
                        "p_adjusted": float(self.pairs.p_adjusted[i, j]),
                        "n": int(self.pairs.n[i, j]),
                        "verdict": "better" if self.pairs.better[first, second] else "undecided",
                    }
                )
        return rows


@dataclass(frozen=True, slots=True)
class Board:
    """The leaderboard: `models` best first by the mean of their scores, those that lack a suite after the others."""

    models: tuple[str, ...]
    suites: tuple[SuiteBoard, ...]
    confidence: float

    def to_json(self) -> dict[str, Any]:
        return {
            "models": list(self.models),
            "confidence": self.confidence,
            "test": "mid-p bounds over problems (McNemar mid-p for one sample each), Holm over all pairs of a suite",
            "suites": [suite.to_json() for suite in self.suites],
        }


def make_board(
    files: Sequence[Sequence[Results]],
    *,
    suite: str | None = None,
    confidence: float = 0.95,
    common: bool = False,
    total: int | None = None,
) -> Board:
    """Rank the models of all files on every suite, or on `suite` alone.

    Raises BadInputError where files of one suite do not have the same problems (`matching.match`).
    """
    check_levels(0.05, confidence)
    by_suite: dict[str, dict[str, Results]] = {}
    for file in files:
        if twice := [pair for pair, n in Counter((r.model, r.suite) for r in file).items() if n > 1]:
            name = f"{file[0].path}:{twice[0][0]}"
            raise BadInputError(
                f"{name} was trained with several seeds, each a model of a board: give {name}.s0 …"
            )
    every = [results for file in files for results in file]
    for one in name_suites(every, every):
        if suite in (None, one.suite):
            column = by_suite.setdefault(one.suite, {})
            column[_free_name(one, column)] = one
    if not by_suite:
        known = list(dict.fromkeys(r.suite for file in files for r in file))
        raise BadInputError(f"--suite {suite!r} is in no file; suites: {listed(known)}")
    suites = tuple(
        _suite_board(name, column, confidence=confidence, common=common, total=total)
        for name, column in by_suite.items()
    )
    names = list(dict.fromkeys(model for column in by_suite.values() for model in column))
    if len(names) < 2:
        raise BadInputError(f"a board needs two models or more; the files hold {names[0]!r} alone")
    return Board(tuple(_in_order(names, suites)), suites, confidence)


def _free_name(one: Results, column: Mapping[str, Results]) -> str:
    """Return the model's name, or with its file's where another file of the suite has a model of that name."""
    name = one.model if one.model not in column else label(one)
    number = 2
    while name in column:
        name, number = f"{label(one)}, {number}", number + 1
    return name


def _in_order(names: Sequence[str], suites: Sequence[SuiteBoard]) -> list[str]:
    def key(name: str) -> tuple[int, float]:
        scores = [e.value for s in suites if (e := s.score_of(name)) is not None]
        return len(suites) - len(scores), -float(np.mean(scores)) if scores else 0.0

    return sorted(names, key=key)


def _suite_board(
    suite: str, column: Mapping[str, Results], *, confidence: float, common: bool, total: int | None
) -> SuiteBoard:
    try:
        matched = match(list(column.values()), common=common, total=total)
    except BadInputError as error:
        error.add_note(f"suite {suite!r}")
        raise
    scores = [
        estimate_score(n[None, n > 0], c[None, n > 0], confidence=confidence) if n.any() else None
        for n, c in zip(matched.samples, matched.passed, strict=True)
    ]
    if not any(scores):
        raise UnmeasuredError(f"suite {suite!r}: no file has a verdict")
    order = places([math.nan if e is None else e.value for e in scores])
    names = [list(column)[i] for i in order]
    samples, passed = matched.samples[order], matched.passed[order]
    pairs = all_pairs(samples, passed, matched.unmeasured[order], confidence=confidence)
    with np.errstate(invalid="ignore"):
        rates = np.where(samples > 0, passed / np.maximum(samples, 1), np.nan)
    solvers = (passed > 0).sum(axis=0)
    suspects, n_suspects, expected = _suspects(matched.problems, names, rates)
    few = max(1, len(names) // 20) if len(names) >= FEWEST_MODELS else 0
    rare = np.flatnonzero((solvers > 0) & (solvers <= few))
    return SuiteBoard(
        suite=suite,
        models=tuple(names),
        results=tuple(matched.results[i] for i in order),
        scores=tuple(scores[i] for i in order),
        measured=tuple((samples > 0).sum(axis=1).tolist()),
        ranks=tuple(pairs.ranks.tolist()),
        pairs=pairs,
        n_problems=len(matched.problems),
        left_out=matched.left_out,
        solved=int(((rates == 1) | (samples == 0)).all(axis=0).sum()),
        unsolved=tuple(matched.problems[i] for i in np.flatnonzero(solvers == 0)),
        rare={matched.problems[i]: tuple(names[j] for j in np.flatnonzero(passed[:, i])) for i in rare},
        suspects=suspects,
        n_suspects=n_suspects,
        expected_suspects=expected,
        warnings=tuple(_warnings(matched, column)),
    )


def _suspects(
    problems: Sequence[str], models: Sequence[str], rates: Floats
) -> tuple[tuple[Suspect, ...], int, float | None]:
    """Return the first KEPT problems that better models fail and worse ones pass, the clearest first, how many there
    are, and how many chance alone would show; None where the models are too few to tell."""
    if len(models) < FEWEST_MODELS:
        return (), 0, None
    correlation = rest_correlations(rates)
    limit = critical_correlation(len(models), level=LEVEL)
    with np.errstate(invalid="ignore"):
        low = np.flatnonzero(correlation <= -limit)
    low = low[np.argsort(correlation[low], kind="stable")]
    half = len(models) // 2
    suspects = tuple(
        Suspect(
            problems[i],
            float(correlation[i]),
            negative_p(float(correlation[i]), len(models)),
            tuple(models[j] for j in range(half, len(models)) if rates[j, i] > 0),
            tuple(models[j] for j in range(half) if rates[j, i] < 1),
        )
        for i in low[:KEPT]
    )
    return suspects, len(low), LEVEL * int(np.isfinite(correlation).sum())


def _warnings(matched: Matched, column: Mapping[str, Results]) -> list[str]:
    """Return what a reader has to know of the files before he believes their order."""
    warnings = []
    versions = dict.fromkeys(r.version for r in matched.results if r.version)
    if len(versions) > 1:
        warnings.append(
            f"the files are of {len(versions)} versions of the suite: {listed(list(versions), 4)}"
        )
    differing = _differing_prompts(matched.results)
    if differing:
        warnings.append(
            f"the prompts of {len(differing)} problems differ between files: {listed(differing, 5)}"
        )
    for name, samples, unmeasured in zip(column, matched.samples, matched.unmeasured, strict=True):
        if missing := int((samples == 0).sum()):
            warnings.append(
                f"{name} has no verdict on {missing} problems, which count in none of its figures"
            )
        elif unmeasured.any():
            warnings.append(
                f"{name}: {int(unmeasured.sum())} samples have no verdict, and count in no figure"
            )
    if matched.left_out:
        warnings.append(f"{matched.left_out} problems are not in all files and were left out")
    return warnings + [f"{name}: {note}" for name, r in column.items() for note in r.notes]


def _differing_prompts(results: Sequence[Results]) -> list[str]:
    prompts: dict[str, str] = {}
    differing: dict[str, None] = {}
    for one in results:
        for problem, text in one.prompts.items():
            if prompts.setdefault(problem, text) != text:
                differing[problem] = None
    return list(differing)
