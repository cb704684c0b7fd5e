"""Score variants that were made once for each training seed: tables of seeds × problems become one figure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from assay.harness.errors import UnmeasuredError
from assay.harness.pipeline.steps import Plan
from assay.harness.stats.crossed import compare_crossed, estimate_crossed
from assay.harness.stats.paired import Comparison, compare
from assay.harness.stats.pass_at_k import Estimate, Floats, estimate_pass_at_k, per_problem

Counts = dict[str, tuple[int, int]]  # problem to (samples, passing samples)
Runs = Sequence[Counts]  # one a training seed


def estimate_runs(variant: str, runs: Runs, k: int, *, confidence: float) -> Estimate:
    """pass@k of a variant: over problems where it was made once, over seeds and problems where it was made again.

    Only problems with at least k measured samples count (under every seed); UnmeasuredError where none has.
    """
    problems = _measured(runs, k)
    if not problems:
        raise UnmeasuredError(
            f"{variant}: no problem has {k} samples that could be measured; run again to retry them"
        )
    if len(runs) == 1:
        counts = [runs[0][p] for p in problems]
        return estimate_pass_at_k(counts, k, confidence=confidence)
    return estimate_crossed(scores_of(runs, problems, k), confidence=confidence)


def compare_runs(runs: Mapping[str, Runs], a: str, b: str, *, margin: float, confidence: float) -> Comparison:
    """Compare pass@1 of a and b (a − b), paired by problem where both were measured; seeds are not paired.

    Raises UnmeasuredError where no problem was measured for both.
    """
    shared = measured_problems(runs, a, b)
    if not shared:
        raise UnmeasuredError(f"{a} and {b} have no problem that was measured for both; run again to retry")
    scores_a, scores_b = (scores_of(runs[v], shared, 1) for v in (a, b))
    if len(scores_a) == len(scores_b) == 1:
        binary = all(runs[v][0][p][0] == 1 for v in (a, b) for p in shared)
        one, other = scores_a[0], scores_b[0]
        return compare(a, b, one, other, binary=binary, margin=margin, confidence=confidence)
    return compare_crossed(a, b, scores_a, scores_b, margin=margin, confidence=confidence)


def measured_problems(runs: Mapping[str, Runs], a: str, b: str) -> list[str]:
    """Return the problems that were measured for both, under every seed."""
    return [p for p in _measured(runs[a], 1) if all(p in run for run in runs[b])]


def pooled(runs: Runs) -> Counts:
    """Add up the samples and passes of all seeds."""
    sums: Counts = {}
    for counts in runs:
        for problem, (n, c) in counts.items():
            before = sums.get(problem, (0, 0))
            sums[problem] = (before[0] + n, before[1] + c)
    return sums


def pool_tables(plan: Plan, tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Put the seeds' samples of each declared variant under one another, numbered through, with `training_seed`."""
    pooled_tables = {}
    for name, members in plan.members.items():
        parts = [tables[member.name] for member in members]
        if len(parts) > 1:
            samples = plan.experiment.sampling.samples
            parts = [
                table.assign(index=table["index"] + place * samples, training_seed=member.seed)
                for place, (member, table) in enumerate(zip(members, parts, strict=True))
            ]
        pooled_tables[name] = parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=True)
    return pooled_tables


def sha256_of(parts: Sequence[str]) -> str:
    """Return the hash of one artifact, or the hash over those of all seeds in order."""
    return parts[0] if len(parts) == 1 else hashlib.sha256("".join(parts).encode()).hexdigest()


def described(recipes: Sequence[str], seeds: Sequence[int | None]) -> str:
    """Return the recipe of the first training, and the seeds that it was repeated with."""
    if len(recipes) == 1:
        return recipes[0]
    return f"{recipes[0]}; and again with training seeds {', '.join(map(str, seeds[1:]))}"


def total(values: Sequence[Any]) -> Any:
    """Return the sum of the values, or None where one is missing."""
    return None if any(v is None for v in values) else sum(values)


def _measured(runs: Runs, k: int) -> list[str]:
    return [p for p in runs[0] if all(p in run and run[p][0] >= k for run in runs)]


def scores_of(runs: Runs, problems: Sequence[str], k: int) -> Floats:
    """Return pass@k, shape (seeds, problems)."""
    return np.stack([per_problem([run[p] for p in problems], k) for run in runs])
