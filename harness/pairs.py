"""Preference data from a model's own samples, for `assay pairs`: drawn and executed as an evaluation is, then paired.

The samples and verdicts are those of a run (`results/runs/<name>/`): on disk before anything is paired, resumed after
a kill, and paired anew in other ways at no cost.
"""

from __future__ import annotations

from pathlib import Path

from harness.leaderboard import load_tables
from harness.run import Run
from harness.steps.pairs import Wanted, answers_of, provenance, write_pairs
from trainers.preference.build import Built

VARIANT = "model"


def make_pairs(done: Run, wanted: Wanted, out: Path) -> tuple[Built, int]:
    """Write `out`, whole or not at all; what was built, and how many lines were written. Raises UnmeasuredError where
    the samples hold no preference."""
    plan = done.plan
    rows = load_tables(done.store, plan)[VARIANT].to_dict("records")
    chat = plan.experiment.sampling.style == "chat"
    model = next(s.config["model"] for s in plan.steps if s.kind == "take")
    return write_pairs(
        answers_of(rows, plan.suite.by_id(), chat=chat),
        wanted,
        provenance(plan, model, plan.models[VARIANT].sha256),
        out,
    )
