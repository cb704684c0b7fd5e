"""Bring the results of several files onto the same problems, or say which problems do not match."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from assay.harness.decide.naming import numbered
from assay.harness.decide.results import UNNAMED, Counts, Results
from assay.harness.errors import BadInputError
from assay.harness.report.wording import visible

LISTED = 20  # of the ids that an error or a warning lists


@dataclass(frozen=True, slots=True)
class Matched:
    """Results on the same problems: counts of shape (models, problems); `results` are in the order of the rows.

    `left_out` counts the ids that were not compared because not every file has them.
    """

    problems: tuple[str, ...]
    results: tuple[Results, ...]
    samples: Counts
    passed: Counts
    unmeasured: Counts
    left_out: int = 0


def name_suites(results: Sequence[Results], known: Sequence[Results]) -> list[Results]:
    """Return the results, those of a file that names no suite under the one suite of `known` that has its problems."""
    named: dict[str, set[str]] = {}
    for one in known:
        if one.suite != UNNAMED:
            named.setdefault(one.suite, set()).update(one.problems)
    renamed = []
    for one in results:
        shared = (
            []
            if one.suite != UNNAMED
            else [s for s, ids in named.items() if not ids.isdisjoint(one.problems)]
        )
        renamed.append(replace(one, suite=shared[0]) if len(shared) == 1 else one)
    return renamed


def label(one: Results) -> str:
    """Return a model's name with the place of its file, for models that are called alike."""
    return f"{one.model} ({one.path.resolve().parent.name}/{one.path.name})"


def match(results: Sequence[Results], *, common: bool = False, total: int | None = None) -> Matched:
    """Return results of one suite on the same problems.

    Ids that not every file has are an error that lists them; with `common` only the problems that all have are taken.
    A file that lists only what passed has failed the others' problems; where there is no other file, `total` says how
    many problems there are.
    """
    results = _renumbered(results)
    universe: dict[str, int] = {}
    for one in results:
        for problem in one.problems:
            universe.setdefault(problem, len(universe))
    complete = [one for one in results if not one.only_passed]
    if complete:
        shared = set.intersection(*(set(one.problems) for one in complete))
    else:
        shared = set(universe)
        _require_total(results, shared, total)
    if not shared:
        raise BadInputError(_no_shared(results))
    strays = [[p for p in one.problems if p not in shared] for one in results]
    if any(strays) and not common:
        raise BadInputError(_unmatched(results, strays, len(shared)))
    kept = [p for p in universe if p in shared]
    if not complete and total is not None:
        kept += [f"(problem {n} that nobody passed)" for n in range(1, total - len(kept) + 1)]
    place = {p: i for i, p in enumerate(kept)}
    counts = np.zeros((3, len(results), len(kept)), np.int64)
    for row, one in enumerate(results):
        if one.only_passed:
            counts[0, row] = 1
        rows = np.array([place.get(p, -1) for p in one.problems])
        inside = rows >= 0
        for layer, values in enumerate((one.samples, one.passed, one.unmeasured)):
            counts[layer, row, rows[inside]] = values[inside]
    left_out = len(set(universe) - shared)
    return Matched(tuple(kept), tuple(results), counts[0], counts[1], counts[2], left_out)


def _renumbered(results: Sequence[Results]) -> list[Results]:
    """Return the results with the ids of the first file, where all call their problems by the same numbers alone."""
    first = results[0]
    names = set(first.problems)
    by_number: Mapping[str, str] | None = None
    renamed = [first]
    for one in results[1:]:
        if names.isdisjoint(one.problems):
            by_number = by_number or numbered(first.problems)
            others = numbered(one.problems)
            if by_number and others:
                ours = {text: by_number.get(number, text) for number, text in others.items()}
                one = replace(
                    one,
                    problems=tuple(ours[p] for p in one.problems),
                    prompts={ours[p]: text for p, text in one.prompts.items()},
                    answers={ours[p]: answers for p, answers in one.answers.items()},
                    notes=(*one.notes, "problems are matched by their numbers alone"),
                )
        renamed.append(one)
    return renamed


def _require_total(results: Sequence[Results], named: set[str], total: int | None) -> None:
    names = " and ".join(str(one.path) for one in results[:2])
    if total is None:
        raise BadInputError(
            f"{names} list only what passed ({len(named)} problems), so how many were tried is unknown: give --total N"
        )
    if total < len(named):
        raise BadInputError(f"--total {total}: {names} name {len(named)} problems")


def _no_shared(results: Sequence[Results]) -> str:
    parts = [f"{one.path}: {listed(one.problems, 3)}" for one in results[:4]]
    return f"the files have no problem in common: {'; '.join(parts)}"


def _unmatched(results: Sequence[Results], strays: Sequence[Sequence[str]], shared: int) -> str:
    """Return the error that lists the ids which not every file has."""
    parts = []
    for one, ids in zip(results, strays, strict=True):
        if ids:
            parts.append(f"{one.path} ({one.model}) has {len(ids)} that another lacks: {listed(ids)}")
    return (
        f"the files do not have the same problems ({shared} are in all): {'; '.join(parts)}. "
        "Give files of the same problems, or --common to take only those that all have"
    )


def listed(ids: Sequence[str], most: int = LISTED) -> str:
    """Return ids as a message lists them."""
    more = f" and {len(ids) - most} more" if len(ids) > most else ""
    return visible(", ".join(ids[:most])) + more
