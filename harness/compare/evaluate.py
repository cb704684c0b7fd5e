"""pass@1 of the models of a chain: an experiment whose variants they are, run and kept like any other."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from harness.compare.passrate import PassRate, non_inferiority
from harness.errors import UnmeasuredError
from harness.experiment import Experiment
from harness.leaderboard import Counts, count, load_tables
from harness.plan import make_plan
from harness.progress import Progress
from harness.run import run
from harness.stats.estimate import per_problem


def chain_pass_rates(
    experiment: Experiment, results: Path, progress: Progress, *, margin: float, allow_weak: bool
) -> dict[tuple[str, str], PassRate]:
    """Run the experiment (what is done already is not done again) and test each variant against the one before."""
    plan = make_plan(experiment)
    done = run(plan, results, progress, allow_weak=allow_weak)
    counts = {variant: count(table) for variant, table in load_tables(done.store, plan).items()}
    names = [v.name for v in experiment.variant]
    return pass_rates(counts, list(pairwise(names)), margin=margin, confidence=experiment.score.confidence)


def pass_rates(
    counts: Mapping[str, Counts],
    pairs: list[tuple[str, str]],
    *,
    margin: float,
    confidence: float,
    seed: int = 0,
) -> dict[tuple[str, str], PassRate]:
    """Non-inferiority of each pair's second model, on the problems measured for both."""
    found = {}
    for a, b in pairs:
        shared = [p for p in counts[a] if p in counts[b]]
        if not shared:
            raise UnmeasuredError(
                f"{a} and {b} have no problem that was measured for both; run again to retry"
            )
        first, second = (per_problem([counts[v][p] for p in shared], 1) for v in (a, b))
        binary = all(counts[v][p][0] == 1 for v in (a, b) for p in shared)
        found[a, b] = non_inferiority(
            a, b, first, second, binary=binary, margin=margin, confidence=confidence, seed=seed
        )
    return found
