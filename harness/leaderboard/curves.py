"""The curves of a run's trainings: what each of them logged, step by step and seed by seed, from the logs on disk.

A figure that a training should have and has not is named with the reason, so that a report can say it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.harness.pipeline.plan import Plan
from assay.harness.pipeline.steps.artifacts import MODEL
from assay.harness.pipeline.store import Store
from assay.trainers.config import CommonConfig
from assay.trainers.data.inputs import PREFERENCE_METHODS, REINFORCEMENT_METHODS
from assay.trainers.methods._trl import METRICS
from assay.trainers.methods.ppo import UNFINISHED
from assay.trainers.rl.log import RL_LOG, RlStep, read_rl_steps
from assay.trainers.run.log import EVAL_LOG, LOG, read_evals, read_steps, rows_of

MOST_POINTS = 300  # a curve's; neighbours are averaged beyond that
Series = dict[str, list[float | None]]

_RL = (
    "reward",
    "pass_rate",
    "held_pass_rate",
    "gap",
    "kl",
    "kl_coefficient",
    "entropy",
    "clip_fraction",
    "length",
    "unfinished",
    "policy_loss",
    "value_loss",
    "explained_variance",
    "grad_norm",
    "learning_rate",
    "generate_s",
    "execute_s",
    "execute_wait_s",
    "train_s",
    "infra",
    "tampering",
)
_CRITIC = ("value_loss", "explained_variance")
# What the libraries call them, by what a report calls them.
_PREFERENCE = {
    "margin": ("rewards/margins", "log_odds_ratio", "margin"),
    "accuracy": ("rewards/accuracies", "accuracy"),
    "logp_chosen": ("logps/chosen",),
    "logp_rejected": ("logps/rejected",),
    "kl": ("kl",),
}


def learning_curves(store: Store, plan: Plan) -> dict[str, dict[str, Any]]:
    """For each variant that was trained: its method, what one step is, and for every training seed `train` and
    `held_out` (`steps` and `series` by name, null where a step has no figure) and `alarms` by step. `marks` are values
    to hold curves against, `weights` those of the reward's components, `unmeasured` says why a curve is missing."""
    found = {}
    for name, members in (plan.members | plan.judges).items():
        runs = []
        for member in members:
            step = next((s for s in plan.steps if s.kind == "train" and s.variant == member.name), None)
            if step is None:
                continue
            config = plan.trainings[member.name].config
            folder = store.path(step.name, step.id) / MODEL
            runs.append((config, {"seed": config.seed, **_run(folder, config)}))
        if runs:
            config = runs[0][0]
            found[name] = {
                "method": config.method,
                "step": "update" if config.method in REINFORCEMENT_METHODS else "step",
                "marks": _marks(config),
                "weights": weights_of(config),
                "runs": [run for _, run in runs],
                "unmeasured": _unmeasured(config, [run for _, run in runs]),
            }
    return found


def _run(folder: Path, config: CommonConfig) -> dict[str, Any]:
    if config.method in REINFORCEMENT_METHODS:
        return _rl_run(read_rl_steps(folder / RL_LOG))
    steps = read_steps(folder / LOG)
    series: dict[str, Mapping[int, float | None]] = {
        "loss": {s.step: s.loss for s in steps},
        "learning_rate": {s.step: s.learning_rate for s in steps},
        "grad_norm": {s.step: s.grad_norm for s in steps},
        "tok_per_s": {s.step: s.tok_per_s for s in steps},
        "rss_gib": {s.step: s.rss_bytes / 2**30 for s in steps},
    }
    held: dict[str, Mapping[int, float | None]] = {
        "loss": {p.step: p.loss for p in read_evals(folder / EVAL_LOG)}
    }
    if config.method in PREFERENCE_METHODS:
        logged = rows_of(folder / METRICS)
        for name, known in _PREFERENCE.items():
            series[name] = _column([r for r in logged if not r["eval"]], known)
            held[name] = _column([r for r in logged if r["eval"]], [f"eval_{k}" for k in known])
    return {"train": _thinned(series), "held_out": _thinned(held), "alarms": {}}


def _rl_run(steps: Sequence[RlStep]) -> dict[str, Any]:
    series: dict[str, Mapping[int, float | None]] = {
        name: {s.step: getattr(s, name) for s in steps} for name in _RL
    }
    for name in dict.fromkeys(name for s in steps for name in s.components):
        series[f"component/{name}"] = {s.step: s.components.get(name) for s in steps}
    alarms = {str(s.step): s.alarm for s in steps if s.alarm is not None}
    return {"train": _thinned(series), "held_out": _thinned({}), "alarms": alarms}


def _column(rows: Iterable[Mapping[str, Any]], names: Sequence[str]) -> dict[int, float | None]:
    """By step the first of the names that a row has; rows without any are left out."""
    return {
        int(row["step"]): float(row[name])
        for row in rows
        if (name := next((n for n in names if n in row), "")) and math.isfinite(row[name])
    }


def _thinned(series: Mapping[str, Mapping[int, float | None]]) -> dict[str, Any]:
    """`steps` and, at each of them, every series that has a figure anywhere; means over neighbours where there are more
    steps than a drawing can show."""
    steps = sorted({step for points in series.values() for step in points})
    width = math.ceil(len(steps) / MOST_POINTS) or 1
    bins = [steps[i : i + width] for i in range(0, len(steps), width)]
    found: Series = {}
    for name, points in series.items():
        values = [_mean([points.get(step) for step in steps_of]) for steps_of in bins]
        if any(v is not None for v in values):
            found[name] = values
    return {"steps": [steps_of[-1] for steps_of in bins], "series": found, "steps_a_point": width}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None and math.isfinite(v)]
    return float(f"{sum(known) / len(known):.6g}") if known else None


def _marks(config: CommonConfig) -> dict[str, float]:
    target = getattr(getattr(config, "kl", None), "target", None)
    return {} if target is None else {"kl_target": target, "kl_alarm": 2 * target}


def weights_of(config: CommonConfig) -> dict[str, float]:
    """What each component of the reward weighs, those that weigh nothing left out; empty where nothing is paid."""
    reward = getattr(config, "reward", None)
    if reward is None:
        return {}
    weights = {name: weight for name, weight in reward.weights().items() if weight}
    unfinished = getattr(config, "unfinished", 0.0)
    return weights | ({UNFINISHED: unfinished} if unfinished else {})


def _unmeasured(config: CommonConfig, runs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Why curves that this method could have are not there, by name; `held_out/` before those on held-out records."""
    have = {name for run in runs for name in run["train"]["series"]}
    held = {f"held_out/{name}" for run in runs for name in run["held_out"]["series"]}
    return {name: why for name, why in _reasons(config, bool(have)).items() if name not in have | held}


def _reasons(config: CommonConfig, logged: bool) -> dict[str, str]:
    """For every curve that may be missing, what its absence means."""
    if config.method in REINFORCEMENT_METHODS:
        if not logged:
            return {
                "reward": f"this training left no {RL_LOG} (rloo and grpo have written one since their updates are "
                "logged): remove the folder of its step and run again"
            }
        return _rl_reasons(config)
    if not logged:
        return {"loss": f"this training left no {LOG}"}
    nothing_held = "nothing was held out; data.eval_fraction holds records out"
    if config.method not in PREFERENCE_METHODS:
        return {"held_out/loss": nothing_held}
    reasons = dict.fromkeys(("held_out/loss", "held_out/margin", "held_out/accuracy"), nothing_held)
    reasons |= {"margin": "the log has no margins", "accuracy": "the log has no accuracies"}
    if config.method == "kto":
        unpaired = "KTO's answers are not paired: there is no pair to be right about"
        reasons |= {"accuracy": unpaired, "held_out/accuracy": unpaired}
    return reasons


def _rl_reasons(config: CommonConfig) -> dict[str, str]:
    reward = config.reward  # type: ignore[attr-defined]
    if reward.checks == "all" and reward.weak is None:
        why = 'every check pays (reward.checks = "all"), so that none is held out; "half" holds one half out'
    else:
        why = "no answer was measured on held-out checks"
    reasons = dict.fromkeys(("held_pass_rate", "gap"), why)
    free = getattr(config, "beta", None) == 0
    reasons["kl"] = "beta = 0: the reference is not asked" if free else "the log has no KL"
    return reasons
