"""Read the curves of a run's trainings: what each of them logged, step by step and seed by seed.

A figure that a training should have and has not is named with the reason, so that a report can say it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from assay.harness.experiment import Member
from assay.harness.leaderboard.schema import CurveRun, Curves, Points
from assay.harness.pipeline.plan import Plan
from assay.harness.pipeline.steps.artifacts import MODEL
from assay.harness.pipeline.store import Store
from assay.trainers.config import CommonConfig
from assay.trainers.data.inputs import PREFERENCE_METHODS, REINFORCEMENT_METHODS
from assay.trainers.methods._trl import METRICS
from assay.trainers.methods.ppo import UNFINISHED
from assay.trainers.rl.log import RL_LOG, RlStep, read_rl_steps
from assay.trainers.run.log import EVAL_LOG, LOG, read_evals, read_steps, rows_of

NONE_HELD_OUT = "nothing was held out; data.eval_fraction holds records out"
MOST_POINTS = 300  # of a curve; neighbours are averaged beyond that

# Fields of an RL log's line that are no curve of their own.
_NO_CURVE = (
    *("step", "total_steps", "components", "answers", "tokens", "alarm", "outcomes"),
    *("value_clip_fraction", "drift"),
)
_RL = tuple(field.name for field in fields(RlStep) if field.name not in _NO_CURVE)
# The libraries' names of a curve, by the report's name.
_PREFERENCE = {
    "margin": ("rewards/margins", "log_odds_ratio", "margin"),
    "accuracy": ("rewards/accuracies", "accuracy"),
    "logp_chosen": ("logps/chosen",),
    "logp_rejected": ("logps/rejected",),
    "kl": ("kl",),
}


def trained(plan: Plan) -> dict[str, list[Member]]:
    """Return the members of each declared variant that was trained, reward models too: one a training seed."""
    variants = (plan.members | plan.reward_models).items()
    kept = {name: [m for m in members if m.name in plan.trainings] for name, members in variants}
    return {name: members for name, members in kept.items() if members}


def folder_of(store: Store, plan: Plan, member: str) -> Path:
    """Return the folder that the training of `member` wrote."""
    step = plan.step(f"train-{member}")
    return store.path(step.name, step.id) / MODEL


def learning_curves(store: Store, plan: Plan) -> dict[str, Curves]:
    """Return the curves of each variant that was trained, one run a training seed."""
    by_variant = {}
    for name, members in trained(plan).items():
        config = plan.trainings[members[0].name].config
        runs = tuple(_run(folder_of(store, plan, m.name), plan.trainings[m.name].config) for m in members)
        by_variant[name] = Curves(
            method=config.method,
            step="update" if config.method in REINFORCEMENT_METHODS else "step",
            marks=_marks(config),
            weights=weights_of(config),
            runs=runs,
            unmeasured=_unmeasured(config, runs),
        )
    return by_variant


def _run(folder: Path, config: CommonConfig) -> CurveRun:
    if config.method in REINFORCEMENT_METHODS:
        return _rl_run(config.seed, read_rl_steps(folder / RL_LOG))
    steps = read_steps(folder / LOG)
    series: dict[str, Mapping[int, float | None]] = {
        name: {s.step: getattr(s, name) for s in steps}
        for name in ("loss", "learning_rate", "grad_norm", "tok_per_s")
    }
    series["rss_gib"] = {s.step: s.rss_bytes / 2**30 for s in steps}
    held_out: dict[str, Mapping[int, float | None]] = {
        "loss": {p.step: p.loss for p in read_evals(folder / EVAL_LOG)}
    }
    if config.method in PREFERENCE_METHODS:
        logged = rows_of(folder / METRICS)
        for name, known in _PREFERENCE.items():
            series[name] = _column([r for r in logged if not r["eval"]], known)
            held_out[name] = _column([r for r in logged if r["eval"]], [f"eval_{k}" for k in known])
    return CurveRun(seed=config.seed, train=_thinned(series), held_out=_thinned(held_out), alarms={})


def _rl_run(seed: int, steps: Sequence[RlStep]) -> CurveRun:
    series: dict[str, Mapping[int, float | None]] = {
        name: {s.step: getattr(s, name) for s in steps} for name in _RL
    }
    for name in dict.fromkeys(name for s in steps for name in s.components):
        series[f"component/{name}"] = {s.step: s.components.get(name) for s in steps}
    alarms = {s.step: s.alarm for s in steps if s.alarm is not None}
    return CurveRun(seed=seed, train=_thinned(series), held_out=_thinned({}), alarms=alarms)


def _column(rows: Iterable[Mapping[str, Any]], names: Sequence[str]) -> dict[int, float | None]:
    """Return by step the first of the names that a row has; rows without any are left out."""
    return {
        int(row["step"]): float(row[name])
        for row in rows
        if (name := next((n for n in names if n in row), "")) and math.isfinite(row[name])
    }


def _thinned(series: Mapping[str, Mapping[int, float | None]]) -> Points:
    """Put every series that has a figure anywhere on common steps.

    Where there are more steps than a drawing can show, each point is the mean over neighbouring steps."""
    steps = sorted({step for points in series.values() for step in points})
    width = math.ceil(len(steps) / MOST_POINTS) or 1
    bins = [steps[i : i + width] for i in range(0, len(steps), width)]
    columns = {
        name: tuple(_mean([points.get(s) for s in one]) for one in bins) for name, points in series.items()
    }
    return Points(
        steps=tuple(one[-1] for one in bins),
        series={name: values for name, values in columns.items() if any(v is not None for v in values)},
        steps_a_point=width,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None and math.isfinite(v)]
    return float(f"{sum(known) / len(known):.6g}") if known else None


def _marks(config: CommonConfig) -> dict[str, float]:
    target = getattr(getattr(config, "kl", None), "target", None)
    return {} if target is None else {"kl_target": target, "kl_alarm": 2 * target}


def weights_of(config: CommonConfig) -> dict[str, float]:
    """Return the weight of each component of the reward that has one; empty where nothing is paid."""
    reward = getattr(config, "reward", None)
    if reward is None:
        return {}
    weights = {name: weight for name, weight in reward.weights().items() if weight}
    unfinished = getattr(config, "unfinished", 0.0)
    return weights | ({UNFINISHED: unfinished} if unfinished else {})


def _unmeasured(config: CommonConfig, runs: Sequence[CurveRun]) -> dict[str, str]:
    """Return why curves that this method could have are not there; `held_out/` before those on held-out records."""
    names = {name for run in runs for name in run.train.series}
    held_out = {f"held_out/{name}" for run in runs for name in run.held_out.series}
    reasons = _reasons(config, bool(names))
    return {name: reason for name, reason in reasons.items() if name not in names | held_out}


def _reasons(config: CommonConfig, logged: bool) -> dict[str, str]:
    """Return what the absence of each curve that may be missing means."""
    if config.method in REINFORCEMENT_METHODS:
        return _rl_reasons(config, logged)
    if not logged:
        return {"loss": f"this training left no {LOG}"}
    if config.method not in PREFERENCE_METHODS:
        return {"held_out/loss": NONE_HELD_OUT}
    reasons = dict.fromkeys(("held_out/loss", "held_out/margin", "held_out/accuracy"), NONE_HELD_OUT)
    reasons |= {"margin": "the log has no margins", "accuracy": "the log has no accuracies"}
    if config.method == "kto":
        unpaired = "KTO's answers are not paired: there is no pair to be right about"
        reasons |= {"accuracy": unpaired, "held_out/accuracy": unpaired}
    return reasons


def _rl_reasons(config: CommonConfig, logged: bool) -> dict[str, str]:
    if not logged:
        return {
            "reward": f"this training left no {RL_LOG} (rloo and grpo have written one since their updates are "
            "logged): remove the folder of its step and run again"
        }
    reward = config.reward  # type: ignore[attr-defined]
    reason = "no answer was measured on held-out checks"
    if reward.checks == "all" and reward.weak is None:
        reason = (
            'every check pays (reward.checks = "all"), so that none is held out; "half" holds one half out'
        )
    reasons = dict.fromkeys(("held_pass_rate", "gap"), reason)
    free = getattr(config, "beta", None) == 0
    reasons["kl"] = "beta = 0: the reference is not asked" if free else "the log has no KL"
    return reasons
