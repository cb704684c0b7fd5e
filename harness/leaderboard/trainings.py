"""Compute the training part of the leaderboard: what each training took, learned and cost, and what paid for it.

What paid are reward models, as measured on held-out pairs, and answers with their rewards. Times and memory are of the
training alone in its process; every figure is also summed up over its seeds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.harness.leaderboard import schema
from assay.harness.leaderboard.curves import NONE_HELD_OUT, folder_of, trained, weights_of
from assay.harness.pipeline.plan import Plan, Step
from assay.harness.pipeline.steps.compare import read_distance
from assay.harness.pipeline.store import Store, step_record
from assay.trainers.config import CommonConfig
from assay.trainers.config.rl import GroupConfig
from assay.trainers.data.inputs import PREFERENCE_METHODS, REINFORCEMENT_METHODS
from assay.trainers.methods._trl import METRICS
from assay.trainers.methods.grpo import steps_per_update
from assay.trainers.preference.reward_report import REPORT, load_report
from assay.trainers.rl.log import RL_LOG, ROLLOUTS, read_rl_steps
from assay.trainers.run.log import EVAL_LOG, read_evals, rows_of

# The figures that are summed up over seeds: of the training's own process, and from its logs what it learned and cost.
SPREADS = tuple(
    name
    for name, field in schema.TrainingRow.model_fields.items()
    if field.annotation == (schema.Spread | None)
)
SHOWN = 6  # answers of an update that a report shows
MOST_TEXT = 1_500  # characters of an answer
LAST = 5  # updates that an RL run's last figures are a mean of: one batch of answers says little

_COPIED = (
    "trainable_parameters",
    "total_parameters",
    "effective_batch",
    "dtype",
    "data_sha256",
    "data_counts",
    "versions",
)
_UNCOUNTED = "the trainer counted no tokens"
_RESUMED = "sampling was resumed after an interruption; a time of its rest is not its time"
_DRAWN = ("drawn_answers", "drawn_tokens", "generate_s", "execute_s")
Figures = dict[str, float | None]
Reasons = dict[str, str]


def training_rows(store: Store, plan: Plan) -> list[schema.TrainingRow]:
    """Return one row for each declared variant that was trained: mean, least and most over its seeds, and the runs.

    A figure that one run lacks is None, and `unmeasured` gives the reason.
    """
    rows = []
    for name, members in trained(plan).items():
        steps = [(member.seed, plan.step(f"train-{member.name}")) for member in members]
        runs = [
            _run(seed, facts, *learned(store, plan, step))
            for seed, step in steps
            if (facts := step_record(store, step).get("training"))
        ]
        if runs:
            rows.append(_row(name, runs))
    return rows


def _run(seed: int | None, facts: dict[str, Any], figures: Figures, reasons: Reasons) -> dict[str, Any]:
    """Join what the trainer recorded of one training with what it learned."""
    peak, start = facts["peak_rss_bytes"], facts["start_rss_bytes"]
    added = None if peak is None or start is None else int(peak - start)
    run = {"seed": seed, **figures, **facts, "added_rss_bytes": added}
    if not run["tokens"]:
        run |= dict.fromkeys(("tokens", "tok_per_s"))
        reasons = reasons | dict.fromkeys(("tokens", "tok_per_s"), _UNCOUNTED)
    return run | {"unmeasured": run["unmeasured"] | reasons}


def _row(name: str, runs: Sequence[dict[str, Any]]) -> schema.TrainingRow:
    spreads: dict[str, Any] = dict.fromkeys(SPREADS)
    unmeasured: Reasons = {}
    for figure in spreads:
        values = [float(run[figure]) for run in runs if run.get(figure) is not None]
        if len(values) == len(runs):
            spreads[figure] = schema.Spread(
                mean=sum(values) / len(values), least=min(values), most=max(values)
            )
        else:
            cause = "peak_rss_bytes" if figure == "added_rss_bytes" else figure
            reasons = [run["unmeasured"][cause] for run in runs if cause in run["unmeasured"]]
            unmeasured[figure] = reasons[0] if reasons else "not recorded"
    return schema.TrainingRow(
        variant=name,
        method=runs[0]["method"],
        seeds=tuple(run["seed"] for run in runs),
        **{key: runs[0][key] for key in _COPIED},
        **spreads,
        unmeasured=unmeasured,
        runs=tuple(runs),
    )


def learned(store: Store, plan: Plan, step: Step) -> tuple[Figures, Reasons]:
    """Return (figures, reasons of those that are None) of what one training learned and what that cost."""
    config = plan.trainings[step.variant].config
    folder = folder_of(store, plan, step.variant)
    is_reward_model = config.method == "reward"
    distance, reason = (None, schema.WRITES_NONE) if is_reward_model else read_distance(store, plan, step)
    figures: Figures = dict.fromkeys(SPREADS) | {"kl": None if distance is None else distance.kl}
    reasons = {"kl": reason}
    if config.method in REINFORCEMENT_METHODS:
        cost = _reinforcement(folder, _sampled(store, plan, step))
    else:
        cost = _given(store, plan, step, step_record(store, step).get("training") or {})
    for more, absent in (_preference(config, folder), cost):
        figures |= more
        reasons |= absent
    return figures, {name: reason for name, reason in reasons.items() if figures[name] is None}


def _preference(config: CommonConfig, folder: Path) -> tuple[Figures, Reasons]:
    """Return β, and of the last evaluation on held-out records its loss, margin and accuracy."""
    beta = getattr(config, "beta", None)
    if beta is None and config.method == "ppo":
        beta = config.kl.coefficient  # type: ignore[attr-defined]
    held_out = ("held_out_loss", "margin", "accuracy")
    figures: Figures = {"beta": beta}
    reasons = {"beta": schema.HAS_NONE} | dict.fromkeys(held_out, schema.NOT_PREFERENCE)
    if config.method in REINFORCEMENT_METHODS:
        return figures, reasons
    evals = read_evals(folder / EVAL_LOG)
    figures["held_out_loss"] = evals[-1].loss if evals else None
    reasons["held_out_loss"] = NONE_HELD_OUT
    if config.method in PREFERENCE_METHODS:
        figures |= _judged(folder) if config.method == "reward" else _preferred(folder)
        reasons |= dict.fromkeys(held_out, NONE_HELD_OUT)
    if config.method == "kto":
        reasons["accuracy"] = "KTO's answers are not paired"
    return figures, reasons


def _preferred(folder: Path) -> Figures:
    """Return margin and accuracy of the last evaluation that the trainer logged."""
    evals = [row for row in rows_of(folder / METRICS) if row["eval"]]
    last = evals[-1] if evals else {}
    margin = last.get("eval_rewards/margins", last.get("eval_log_odds_ratio"))
    return {"margin": margin, "accuracy": last.get("eval_rewards/accuracies")}


def _judged(folder: Path) -> Figures:
    """A reward model's own measurement of its held-out pairs, made of the model as it lies there."""
    report = load_report(folder)
    if report is None or report.accuracy is None:
        return {"margin": None, "accuracy": None}
    return {"margin": report.mean_margin, "accuracy": report.accuracy.value}


def _reinforcement(folder: Path, sampled: Figures | None) -> tuple[Figures, Reasons]:
    """Means over the last updates, and sums over all of them: a run that was resumed has logged every one. `sampled` is
    what choosing the problems took, which is paid for too."""
    steps = read_rl_steps(folder / RL_LOG)
    if not steps:
        names = ("gap", "pass_rate", "held_pass_rate", *_DRAWN, "learn_s", "total_s")
        return {}, dict.fromkeys(names, f"the training left no {RL_LOG}")
    last = steps[-LAST:]
    gaps = [s.gap for s in last if s.gap is not None]
    held_rates = [s.held_pass_rate for s in last if s.held_pass_rate is not None]
    figures: Figures = {
        "gap": sum(gaps) / len(gaps) if gaps else None,
        "pass_rate": sum(s.pass_rate for s in last) / len(last),
        "held_pass_rate": sum(held_rates) / len(held_rates) if held_rates else None,
        "drawn_answers": float(sum(s.answers + s.infra for s in steps)),
        "drawn_tokens": float(round(sum(s.length * (s.answers + s.infra) for s in steps))),
        "generate_s": sum(s.generate_s for s in steps),
        "execute_s": sum(s.execute_wait_s for s in steps),
    }
    if sampled is not None:
        figures |= {name: _sum((figures[name], sampled[name])) for name in _DRAWN}
    figures["learn_s"] = sum(s.train_s for s in steps)
    figures["total_s"] = _sum(figures[name] for name in ("generate_s", "execute_s", "learn_s"))
    reasons = dict.fromkeys(("gap", "held_pass_rate"), "every check pays: none is held out")
    return figures, reasons | dict.fromkeys(("generate_s", "execute_s", "total_s"), _RESUMED)


def _given(store: Store, plan: Plan, step: Step, facts: dict[str, Any]) -> tuple[Figures, Reasons]:
    """Return what sampling and executing for its preferences took, where this run made them."""
    learn_s = facts.get("train_s")
    reasons = dict.fromkeys(("gap", "pass_rate", "held_pass_rate"), schema.NOT_RL)
    reasons["learn_s"] = reasons["total_s"] = facts.get("unmeasured", {}).get("train_s", "not recorded")
    sampled = _sampled(store, plan, step)
    if sampled is None:
        if plan.trainings[step.variant].config.method not in PREFERENCE_METHODS:
            return {"learn_s": learn_s, "total_s": learn_s}, reasons | dict.fromkeys(_DRAWN, schema.NO_DRAWS)
        file = "its preferences come from a file; what sampling for them cost is not in this run"
        return {"learn_s": learn_s}, reasons | dict.fromkeys((*_DRAWN, "total_s"), file)
    figures = sampled | {"learn_s": learn_s}
    figures["total_s"] = _sum(figures[name] for name in ("generate_s", "execute_s", "learn_s"))
    late = dict.fromkeys(("generate_s", "execute_s"), _RESUMED)
    return figures, reasons | late | ({"total_s": _RESUMED} if learn_s is not None else {})


def _sampled(store: Store, plan: Plan, step: Step) -> Figures | None:
    """Return what it took to draw and execute the answers behind the pairs that a training takes: its preferences, or
    the problems it practises on. None where it takes none that this run made."""
    pairs = next((s for name in step.inputs if (s := plan.step(name)).kind == "pairs"), None)
    if pairs is None:
        return None
    sampled, verified = (step_record(store, plan.step(name)) for name in pairs.inputs)
    generate_s = sampled["generate_s"]
    behind = verified["seconds"] - sampled["seconds"]  # the two ran side by side
    return {
        "drawn_answers": float(sampled["n_samples"]),
        "drawn_tokens": sampled["n_tokens"],
        "generate_s": generate_s,
        "execute_s": None if generate_s is None or behind < 0 else behind,
    }


def _sum(parts: Iterable[float | None]) -> float | None:
    known = list(parts)
    return None if any(p is None for p in known) else sum(p for p in known if p is not None)


def reward_models(store: Store, plan: Plan) -> dict[str, schema.RewardModel]:
    """Return each variant that is a reward model: whom it pays, and its trainer's report for every seed."""
    models = {}
    for name, members in plan.reward_models.items():
        steps = {f"train-{member.name}" for member in members}
        first = {v: trained[0].name for v, trained in plan.members.items()}
        models[name] = schema.RewardModel(
            pays=tuple(
                v
                for v, member in first.items()
                if member in plan.trainings and steps & {*plan.step(f"train-{member}").inputs}
            ),
            runs=tuple(_reward_model(store, plan, member.name) for member in members),
        )
    return models


def _reward_model(store: Store, plan: Plan, member: str) -> schema.RewardModelRun:
    folder = folder_of(store, plan, member)
    report = load_report(folder)
    figures = {"unmeasured": f"the training left no {REPORT}"} if report is None else report.model_dump()
    own = {"seed": plan.trainings[member].config.seed, "file": str((folder / REPORT).relative_to(store.root))}
    return schema.RewardModelRun.model_validate(figures | own)


def paid_answers(store: Store, plan: Plan) -> dict[str, schema.PaidAnswers]:
    """Return some answers of each rewarded variant: its first training's last update, the best paid first.

    `weights` are those of the reward's components; `file` has all answers of all updates.
    """
    by_variant = {}
    for name, members in plan.members.items():
        training = plan.trainings.get(members[0].name)
        if training is None or training.config.method not in REINFORCEMENT_METHODS:
            continue
        config, file = training.config, folder_of(store, plan, members[0].name) / ROLLOUTS
        last = last_rows(file)
        by_variant[name] = schema.PaidAnswers(
            seed=config.seed,
            update=_update(config, last),
            answers=len(last),
            file=str(file.relative_to(store.root)),
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


def choose(rows: Sequence[Mapping[str, Any]], count: int) -> list[Mapping[str, Any]]:
    """Choose at most `count` rows, evenly spaced from the best paid to the worst, those without a reward last."""
    ordered = sorted(rows, key=lambda row: (row["reward"] is None, -(row["reward"] or 0.0)))
    if len(ordered) <= count:
        return ordered
    return [ordered[round(place * (len(ordered) - 1) / (count - 1))] for place in range(count)]


def _shown(row: Mapping[str, Any]) -> schema.PaidAnswer:
    text = row["text"]
    kept = {key: row[key] for key in ("problem_id", "outcome", "reward", "components", "why", "held_passed")}
    return schema.PaidAnswer.model_validate(kept | {"text": text[:MOST_TEXT], "cut": len(text) > MOST_TEXT})


def _update(config: CommonConfig, rows: Sequence[Mapping[str, Any]]) -> int | None:
    """Return the number of the update that the rows are of, from 1; TRL's rows have that of an optimiser step."""
    if not rows:
        return None
    a_update = steps_per_update(config) if isinstance(config, GroupConfig) else 1
    return (int(rows[0]["step"]) - 1) // a_update + 1
