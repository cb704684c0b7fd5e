"""Read what paid in a run: each reward model as measured on held-out pairs, and answers with their rewards."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.harness.leaderboard.curves import weights_of
from assay.harness.leaderboard.schema import PaidAnswer, PaidAnswers, RewardModel, RewardModelRun
from assay.harness.pipeline.plan import Plan
from assay.harness.pipeline.steps.artifacts import MODEL
from assay.harness.pipeline.store import Store
from assay.trainers.config import CommonConfig
from assay.trainers.config.rl import GroupConfig
from assay.trainers.data.inputs import REINFORCEMENT_METHODS
from assay.trainers.methods.grpo import steps_per_update
from assay.trainers.preference.reward_report import REPORT, load_report
from assay.trainers.rl.log import ROLLOUTS

SHOWN = 6  # answers of an update that a report shows
MOST_TEXT = 1_500  # characters of an answer
Row = Mapping[str, Any]


def reward_models(store: Store, plan: Plan) -> dict[str, RewardModel]:
    """Return each variant that is a reward model: whom it pays, and its trainer's report for every seed."""
    models = {}
    for name, members in plan.reward_models.items():
        steps = {f"train-{member.name}" for member in members}
        models[name] = RewardModel(
            pays=tuple(
                v for v, trained in plan.members.items() if _rewarded_by(plan, trained[0].name) & steps
            ),
            runs=tuple(_reward_model(store, plan, member.name) for member in members),
        )
    return models


def _reward_model(store: Store, plan: Plan, member: str) -> RewardModelRun:
    folder = _folder(store, plan, member)
    report = load_report(folder)
    figures = {"unmeasured": f"the training left no {REPORT}"} if report is None else report.model_dump()
    return RewardModelRun.model_validate(
        {"seed": plan.trainings[member].config.seed, **figures, "file": _below(store, folder / REPORT)}
    )


def paid_answers(store: Store, plan: Plan) -> dict[str, PaidAnswers]:
    """Return some answers of each rewarded variant: its first training's last update, the best paid first.

    `weights` are those of the reward's components; `file` has all answers of all updates.
    """
    by_variant = {}
    for name, members in plan.members.items():
        training = plan.trainings.get(members[0].name)
        if training is None or training.config.method not in REINFORCEMENT_METHODS:
            continue
        config, file = training.config, _folder(store, plan, members[0].name) / ROLLOUTS
        last = last_rows(file)
        by_variant[name] = PaidAnswers(
            seed=config.seed,
            update=_update(config, last),
            answers=len(last),
            file=_below(store, file),
            weights=weights_of(config),
            shown=tuple(_shown(row) for row in choose(last, SHOWN)),
            unmeasured="" if last else f"the training left no {ROLLOUTS}",
        )
    return by_variant


def last_rows(path: Path) -> list[dict[str, Any]]:
    """Return the answers of the last update in a file of answers, without a last line that a kill left half-written."""
    rows: list[dict[str, Any]] = []
    if not path.is_file():
        return rows
    with path.open(encoding="utf-8") as file:
        for line in file:
            if not line.endswith("\n"):
                break
            row = json.loads(line)
            if rows and rows[-1]["step"] != row["step"]:
                rows = []
            rows.append(row)
    return rows


def choose(rows: Sequence[Row], count: int) -> list[Row]:
    """Choose at most `count` rows, evenly spaced from the best paid to the worst, those without a reward last."""
    ordered = sorted(rows, key=lambda row: (row["reward"] is None, -(row["reward"] or 0.0)))
    if len(ordered) <= count:
        return ordered
    return [ordered[round(place * (len(ordered) - 1) / (count - 1))] for place in range(count)]


def _shown(row: Row) -> PaidAnswer:
    text = row["text"]
    kept = {key: row[key] for key in ("problem_id", "outcome", "reward", "components", "why", "held_passed")}
    return PaidAnswer.model_validate(kept | {"text": text[:MOST_TEXT], "cut": len(text) > MOST_TEXT})


def _update(config: CommonConfig, rows: Sequence[Row]) -> int | None:
    """Return the number of the update that the rows are of, from 1; TRL's rows have that of an optimiser step."""
    if not rows:
        return None
    a_update = steps_per_update(config) if isinstance(config, GroupConfig) else 1
    return (int(rows[0]["step"]) - 1) // a_update + 1


def _folder(store: Store, plan: Plan, variant: str) -> Path:
    step = plan.step(f"train-{variant}")
    return store.path(step.name, step.id) / MODEL


def _rewarded_by(plan: Plan, variant: str) -> set[str]:
    """Return the steps that the training of `variant` takes something from; a reward model among them pays it."""
    return set(plan.step(f"train-{variant}").inputs) if variant in plan.trainings else set()


def _below(store: Store, path: Path) -> str:
    """Return the path relative to the experiment's folder of results."""
    return str(path.relative_to(store.root))
