"""Change over time: what each variant scored in run after run, and at which runs that changed.

A series is one variant of one experiment, on one version of a suite, with the same sampling, on one machine. Each run
is held against all runs of its segment, the runs since the last step: a step is a run whose paired difference from them
is significant, at a level that is divided by the number of runs (Bonferroni), so that a series of equal runs shows a
step with 5 % chance at most.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from assay.harness.decide.comparing import check_levels
from assay.harness.decide.history import SavedRun, find_runs, sampling_of, suite_of
from assay.harness.decide.matching import match
from assay.harness.decide.readers import read_results
from assay.harness.decide.results import Results
from assay.harness.decide.statistics import Comparison, compare_rates
from assay.harness.errors import BadInputError
from assay.harness.leaderboard.schema import Estimate, Leaderboard, Row


@dataclass(frozen=True, slots=True)
class Point:
    """One run's figures of a series; `version` is Assay's, `tok_per_s` None where it was not measured."""

    folder: str
    created: str
    version: str
    sha256: str
    score: Estimate
    tok_per_s: float | None


@dataclass(frozen=True, slots=True)
class Step:
    """A run, by its place in the series, that differs from the runs since `since`: run − those runs."""

    place: int
    since: int
    comparison: Comparison


@dataclass(frozen=True, slots=True)
class Series:
    """One variant over time, the oldest run first. `reason` says why steps were not looked for."""

    experiment: str
    variant: str
    suite: str
    revision: str
    sampling: str
    machine: str
    points: tuple[Point, ...]
    steps: tuple[Step, ...]
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        names = ("experiment", "variant", "suite", "revision", "sampling", "machine", "reason")
        return {name: getattr(self, name) for name in names} | {
            "points": [asdict(p) | {"score": p.score.to_json()} for p in self.points],
            "steps": [{"place": s.place, "since": s.since} | asdict(s.comparison) for s in self.steps],
        }


def series_of(
    folders: Sequence[Path],
    *,
    suite: str | None = None,
    variant: str | None = None,
    margin: float = 0.05,
    confidence: float = 0.95,
) -> list[Series]:
    """Return the series of all runs in the folders, of one suite or variant where it is named.

    Raises BadInputError where there is no such run.
    """
    check_levels(margin, confidence)
    runs = {run.folder.resolve(): run for folder in folders for run in find_runs(folder)}
    members: dict[tuple[str, ...], list[tuple[Row, SavedRun, Leaderboard]]] = {}
    for run, board in sorted(_boards(runs.values()), key=lambda pair: pair[1].created):
        for row in board.rows:
            if suite in (None, suite_of(board)) and variant in (None, row.variant):
                members.setdefault(_key(board, row), []).append((row, run, board))
    if not members:
        named = "".join(
            f" of {what} {name!r}" for what, name in (("suite", suite), ("variant", variant)) if name
        )
        raise BadInputError(f"no run{named} in {', '.join(map(str, folders))}")
    return [_series(key, rows, margin=margin, confidence=confidence) for key, rows in members.items()]


def _boards(runs: Any) -> Iterator[tuple[SavedRun, Leaderboard]]:
    for run in runs:
        if run.board is not None:
            yield run, run.board


def _key(board: Leaderboard, row: Row) -> tuple[str, ...]:
    """Return what has to be the same for two runs to be one series, as texts in the order of Series' fields."""
    machine = (row.step.machine if row.step else None) or board.machine
    where = " ".join(str(machine[k]) for k in ("device", "cpu") if machine.get(k))
    return board.experiment, row.variant, suite_of(board), board.suite.revision, sampling_of(board), where


def _series(
    key: tuple[str, ...],
    rows: Sequence[tuple[Row, SavedRun, Leaderboard]],
    *,
    margin: float,
    confidence: float,
) -> Series:
    points = tuple(
        Point(
            str(run.folder),
            board.created,
            str(board.machine.get("packages", {}).get("assay") or ""),
            row.sha256,
            row.pass_at_k.get(1) or Estimate(reason="pass@1 was not asked for"),
            row.tok_per_s,
        )
        for row, run, board in rows
    )
    experiment, variant, suite, revision, sampling, machine = key
    series = Series(experiment, variant, suite, revision, sampling, machine, points, ())
    if len(rows) < 2:
        return replace(series, reason="there is one run")
    if any(row.training_seeds for row, _, _ in rows):
        return replace(
            series, reason="it was trained with several seeds, each of which is a model of its own"
        )
    try:
        verdicts = [_verdicts(run, variant) for _, run, _ in rows]
        steps = find_steps(verdicts, variant, margin=margin, confidence=confidence)
    except BadInputError as error:
        return replace(series, reason=str(error))
    return replace(series, steps=tuple(steps))


def _verdicts(run: SavedRun, variant: str) -> Results:
    (results,) = read_results(f"{run.folder}:{variant}")
    return results


def find_steps(
    verdicts: Sequence[Results], variant: str, *, margin: float = 0.05, confidence: float = 0.95
) -> list[Step]:
    """Return the steps of a series of results on the same problems, the oldest first."""
    level = 1 - (1 - confidence) / max(1, len(verdicts) - 1)
    matched = match(list(verdicts))
    steps, since = [], 0
    for place in range(1, len(verdicts)):
        samples = matched.samples[since:place].sum(axis=0), matched.samples[place]
        passed = matched.passed[since:place].sum(axis=0), matched.passed[place]
        both = np.asarray((samples[0] > 0) & (samples[1] > 0))
        if not both.any():
            continue
        rates = [c[None, both] / n[None, both] for c, n in zip(passed, samples, strict=True)]
        comparison = compare_rates(
            variant,
            f"{variant} before",
            (rates[1], rates[0]),
            binary=bool(max(n[both].max() for n in samples) == 1),
            margin=margin,
            confidence=level,
        )
        if comparison.verdict in ("better", "worse"):
            steps.append(Step(place, since, comparison))
            since = place
    return steps
