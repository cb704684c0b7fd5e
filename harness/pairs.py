"""Preference data from a model's own samples: drawn and executed as an evaluation is, then paired.

The samples and verdicts are those of a run (`results/runs/<name>/`): on disk before anything is paired, resumed after
a kill, and paired anew in other ways at no cost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import BadInputError, UnmeasuredError
from harness.experiment import Experiment
from harness.leaderboard import load_tables
from harness.plan import Plan
from harness.run import Run
from suites.prompts import chat_messages, completion_prompt
from trainers.preference.build import Built, Match, build
from trainers.preference.data import write_preferences
from trainers.preference.model import Answer, Text

VARIANT = "model"
KINDS = ("execution", "quality")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which preferences to make of the samples. `single` writes answers with a label, as KTO takes them."""

    kinds: tuple[str, ...] = ("execution",)
    per_problem: int = 4
    match: Match = "nearest"
    single: bool = False
    seed: int = 0


def answers_of(done: Run) -> Iterator[Answer]:
    """Every sample of the run with its verdict."""
    import pandas as pd

    plan = done.plan
    problems = plan.suite.by_id()
    chat = plan.experiment.sampling.style == "chat"
    for row in load_tables(done.store, plan)[VARIANT].to_dict("records"):
        problem = problems[row["problem_id"]]
        prompt: Text = tuple(chat_messages(problem)) if chat else completion_prompt(problem)
        yield Answer(
            problem_id=row["problem_id"],
            index=int(row["index"]),
            seed=int(row["seed"]),
            prompt=prompt,
            text=row["completion"],
            program=row["program"],
            outcome=row["outcome"],
            checks_passed=int(row["checks_passed"]),
            checks_total=int(row["checks_total"]),
            cpu_s=float(row["cpu_s"]),
            n_tokens=None if pd.isna(row["n_tokens"]) else int(row["n_tokens"]),
            finished=row["finish_reason"] == "stop",
        )


def make_pairs(done: Run, wanted: Wanted, out: Path) -> tuple[Built, int]:
    """Write `out`, whole or not at all; what was built, and how many lines were written. Raises UnmeasuredError where
    the samples hold no preference."""
    unknown = set(wanted.kinds) - set(KINDS)
    if unknown or not wanted.kinds:
        raise BadInputError(f"unknown kind {sorted(unknown) or ''}; known: {', '.join(KINDS)}")
    built = build(
        answers_of(done),
        kinds=wanted.kinds,
        per_problem=wanted.per_problem,
        match=wanted.match,
        seed=wanted.seed,
    )
    rows = built.opinions if wanted.single else built.pairs
    if not rows:
        raise UnmeasuredError(
            f"no preference in these samples: {built.mixed} of {built.problems} problems have answers that pass and "
            "answers that fail; draw more samples (--n) or at a higher --temperature"
        )
    write_preferences(out, rows, provenance(done.plan))
    return built, len(rows)


def provenance(plan: Plan) -> dict[str, Any]:
    """What every line says of where it comes from."""
    experiment: Experiment = plan.experiment
    sampling = experiment.sampling
    return {
        "model": next(s.config["model"] for s in plan.steps if s.kind == "take"),
        "model_sha256": plan.models[VARIANT].sha256,
        "suite": plan.suite.name,
        "split": experiment.suite.split,
        "suite_revision": plan.suite.revision,
        "seed": experiment.seed,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "style": sampling.style,
    }
