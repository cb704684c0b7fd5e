"""What paid in a run: each reward model as it was measured on pairs held out, and answers with what they were paid."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.harness.leaderboard.curves import weights_of
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


def reward_models(store: Store, plan: Plan) -> dict[str, dict[str, Any]]:
    """For each variant that is a reward model: `pays`, the variants whose reward it is in; and for every training seed
    the report that its trainer wrote, with its `file`. `unmeasured` says why a figure is None."""
    found = {}
    for name, members in plan.judges.items():
        runs = []
        for member in members:
            folder = _folder(store, plan, member.name)
            report = load_report(folder)
            told = {"unmeasured": f"the training left no {REPORT}"} if report is None else report.model_dump()
            runs.append(
                {
                    "seed": plan.trainings[member.name].config.seed,
                    **told,
                    "file": _below(store, folder / REPORT),
                }
            )
        made = {f"train-{member.name}" for member in members}
        pays = [v for v, trained in plan.members.items() if _judge(plan, trained[0].name) in made]
        found[name] = {"pays": pays, "runs": runs}
    return found


def paid_answers(store: Store, plan: Plan) -> dict[str, dict[str, Any]]:
    """For each variant that was rewarded, of its first training: some answers of the last update, from the best paid to
    the worst, with every component. `weights` are the components'; `file` has all answers of all updates. `unmeasured`
    says why there are none."""
    found = {}
    for name, members in plan.members.items():
        training = plan.trainings.get(members[0].name)
        if training is None or training.config.method not in REINFORCEMENT_METHODS:
            continue
        config, file = training.config, _folder(store, plan, members[0].name) / ROLLOUTS
        last = last_rows(file)
        found[name] = {
            "seed": config.seed,
            "update": _update(config, last),
            "answers": len(last),
            "file": _below(store, file),
            "weights": weights_of(config),
            "shown": [_shown(row) for row in choose(last, SHOWN)],
            "unmeasured": "" if last else f"the training left no {ROLLOUTS}",
        }
    return found


def last_rows(path: Path) -> list[dict[str, Any]]:
    """The answers of the last update in a file of answers; a half-written last line, as a kill leaves, is left out."""
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
    """At most `count` of them, evenly spaced from the best paid to the worst; behind these, what was not measured."""
    ordered = sorted(rows, key=lambda row: (row["reward"] is None, -(row["reward"] or 0.0)))
    if len(ordered) <= count:
        return ordered
    return [ordered[round(place * (len(ordered) - 1) / (count - 1))] for place in range(count)]


def _shown(row: Row) -> dict[str, Any]:
    text = row["text"]
    kept = {key: row[key] for key in ("problem_id", "outcome", "reward", "components", "why", "held_passed")}
    return kept | {"text": text[:MOST_TEXT], "cut": len(text) > MOST_TEXT}


def _update(config: CommonConfig, rows: Sequence[Row]) -> int | None:
    """Which update the rows are of, from 1; TRL's rows have the number of an optimiser step."""
    if not rows:
        return None
    a_update = steps_per_update(config) if isinstance(config, GroupConfig) else 1
    return (int(rows[0]["step"]) - 1) // a_update + 1


def _folder(store: Store, plan: Plan, variant: str) -> Path:
    step = plan.step(f"train-{variant}")
    return store.path(step.name, step.id) / MODEL


def _judge(plan: Plan, variant: str) -> str | None:
    """The step of the reward model that pays `variant`, where this run made it."""
    return plan.trainings[variant].judge if variant in plan.trainings else None


def _below(store: Store, path: Path) -> str:
    """As it is called from the experiment's folder of results."""
    return str(path.relative_to(store.root))
