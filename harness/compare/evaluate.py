"""pass@1 of the models of a chain: an experiment whose variants they are, run and kept like any other."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from harness.compare.passrate import PassRate, pass_rates
from harness.experiment import Experiment
from harness.leaderboard import count, load_tables
from harness.plan import make_plan
from harness.progress import Progress
from harness.run import run


def chain_pass_rates(
    experiment: Experiment, results: Path, progress: Progress, *, margin: float, allow_weak: bool
) -> dict[tuple[str, str], PassRate]:
    """Run the experiment (what is done already is not done again) and test each variant against the one before."""
    plan = make_plan(experiment)
    done = run(plan, results, progress, allow_weak=allow_weak)
    counts = {variant: count(table) for variant, table in load_tables(done.store, plan).items()}
    names = [v.name for v in experiment.variant]
    return pass_rates(counts, list(pairwise(names)), margin=margin, confidence=experiment.score.confidence)
