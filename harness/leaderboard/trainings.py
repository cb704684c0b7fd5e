"""The training part of the leaderboard: what each training took, alone in its process, and over its seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from assay.harness.pipeline.plan import Plan, Step
from assay.harness.pipeline.steps.artifacts import MODEL
from assay.harness.pipeline.steps.kl import read_distance
from assay.harness.pipeline.store import Store, step_record
from assay.trainers.config import CommonConfig
from assay.trainers.data.inputs import PREFERENCE_METHODS, REINFORCEMENT_METHODS
from assay.trainers.methods._trl import METRICS
from assay.trainers.preference.reward_report import load_report
from assay.trainers.rl.log import RL_LOG, read_rl_steps
from assay.trainers.run.log import EVAL_LOG, read_evals, rows_of

FIGURES = (
    "train_s",
    "tok_per_s",
    "peak_rss_bytes",
    "added_rss_bytes",
    "peak_vram_bytes",
    "final_loss",
    "tokens",
    "steps",
)

_UNCOUNTED = "the trainer counted no tokens"
_OF = {"added_rss_bytes": "peak_rss_bytes"}


def training_rows(store: Store, plan: Plan) -> list[dict[str, Any]]:
    """One row for each declared variant that was trained: figures as mean, least and most over its seeds, and the
    runs they are of. A figure that one run lacks is None, and `unmeasured` says why."""
    rows = []
    for name, members in (plan.members | plan.judges).items():
        steps = [s for m in members for s in plan.steps if s.kind == "train" and s.variant == m.name]
        runs = [
            _with({"seed": m.seed, **facts, "added_rss_bytes": _added(facts)}, learned(store, plan, step))
            for m, step in zip(members, steps, strict=False)
            if (facts := step_record(store, step).get("training"))
        ]
        if runs:
            rows.append(_row(name, runs))
    return rows


def _with(run: dict[str, Any], more: tuple[dict[str, Any], dict[str, str]]) -> dict[str, Any]:
    figures, why = more
    if not run["tokens"]:
        run, why = (
            run | dict.fromkeys(("tokens", "tok_per_s")),
            why | dict.fromkeys(("tokens", "tok_per_s"), _UNCOUNTED),
        )
    return run | figures | {"unmeasured": run["unmeasured"] | why}


def _added(facts: dict[str, Any]) -> int | None:
    """The peak above what the process held before it loaded a model: the training's own part."""
    peak, start = facts["peak_rss_bytes"], facts["start_rss_bytes"]
    if peak is None or start is None:
        return None
    return int(peak - start)


def _row(name: str, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    first = runs[0]
    unmeasured: dict[str, str] = {}
    figures: dict[str, dict[str, float] | None] = {}
    for figure in (*FIGURES, *LEARNED):
        values = [float(run[figure]) for run in runs if run.get(figure) is not None]
        if len(values) < len(runs):
            figures[figure] = None
            unmeasured[figure] = next(
                (
                    run["unmeasured"][of]
                    for run in runs
                    if (of := _OF.get(figure, figure)) in run["unmeasured"]
                ),
                "not recorded",
            )
        else:
            figures[figure] = {"mean": sum(values) / len(values), "least": min(values), "most": max(values)}
    return {
        "variant": name,
        "method": first["method"],
        "seeds": [run["seed"] for run in runs],
        "trainable_parameters": first["trainable_parameters"],
        "total_parameters": first["total_parameters"],
        "effective_batch": first["effective_batch"],
        "dtype": first["dtype"],
        "data_sha256": first["data_sha256"],
        "data_counts": first["data_counts"],
        "versions": first["versions"],
        **figures,
        "unmeasured": unmeasured,
        "runs": list(runs),
    }


# What a training learned and what that cost: its last figures, how far it moved, and the answers it had to draw.

# Figures that are summed up over seeds as those of `trainings` are.
LEARNED = (
    "beta",
    "kl",
    "held_out_loss",
    "margin",
    "accuracy",
    "gap",
    "pass_rate",
    "held_pass_rate",
    "drawn_answers",
    "drawn_tokens",
    "generate_s",
    "execute_s",
    "learn_s",
    "total_s",
)
LAST = 5  # updates that an RL run's last figures are a mean of: one batch of answers says little
_NOT_PREFERENCE = "the method has no pairs"
_NOT_RL = "the method is not paid by checks"
_WRITES_NONE = "a reward model writes no answers"
_NO_DRAWS = "the method draws no answers: it learns from given ones"
_RESUMED = "sampling was resumed after an interruption; a time of its rest is not its time"
_DRAWN = ("drawn_answers", "drawn_tokens", "generate_s", "execute_s")
Figures = dict[str, float | None]


def learned(store: Store, plan: Plan, step: Step) -> tuple[Figures, dict[str, str]]:
    """(figures, why some of them are None) of one training."""
    config = plan.trainings[step.variant].config
    folder = store.path(step.name, step.id) / MODEL
    figures: Figures = dict.fromkeys(LEARNED)
    why: dict[str, str] = {}
    judge = config.method == "reward"
    found, reason = (None, _WRITES_NONE) if judge else read_distance(store, plan, step)
    figures["kl"] = None if found is None else found.kl
    if found is None:
        why["kl"] = reason
    _add(figures, why, _preference(config, folder))
    if config.method in REINFORCEMENT_METHODS:
        _add(figures, why, _reinforcement(folder, _sampled(store, plan, step)))
    else:
        facts = step_record(store, step).get("training") or {}
        _add(figures, why, _given(store, plan, step, facts))
    return figures, {name: reason for name, reason in why.items() if figures[name] is None}


def _add(figures: Figures, why: dict[str, str], more: tuple[Figures, dict[str, str]]) -> None:
    figures.update(more[0])
    why.update(more[1])


def _preference(config: CommonConfig, folder: Path) -> tuple[Figures, dict[str, str]]:
    """β; and of the last evaluation on held-out records its loss, margin and accuracy."""
    beta = getattr(config, "beta", None)
    if beta is None and config.method == "ppo":
        beta = config.kl.coefficient  # type: ignore[attr-defined]
    why = {"beta": "the method has none"}
    if config.method in REINFORCEMENT_METHODS:
        return {"beta": beta}, why | dict.fromkeys(("held_out_loss", "margin", "accuracy"), _NOT_PREFERENCE)
    evals = read_evals(folder / EVAL_LOG)
    figures: Figures = {"beta": beta, "held_out_loss": evals[-1].loss if evals else None}
    held = "nothing was held out; data.eval_fraction holds records out"
    why["held_out_loss"] = held
    if config.method not in PREFERENCE_METHODS:
        return figures, why | dict.fromkeys(("margin", "accuracy"), _NOT_PREFERENCE)
    if config.method == "reward":
        return figures | _judged(folder), why | dict.fromkeys(("margin", "accuracy"), held)
    rows = [row for row in rows_of(folder / METRICS) if row["eval"]]
    last = rows[-1] if rows else {}
    margin = last.get("eval_rewards/margins", last.get("eval_log_odds_ratio"))
    figures |= {"margin": margin, "accuracy": last.get("eval_rewards/accuracies")}
    unpaired = "KTO's answers are not paired" if config.method == "kto" else held
    return figures, why | {"margin": held, "accuracy": unpaired}


def _judged(folder: Path) -> Figures:
    """A reward model's own measurement of its held-out pairs, made of the model as it lies there."""
    report = load_report(folder)
    if report is None or report.accuracy is None:
        return {"margin": None, "accuracy": None}
    return {"margin": report.mean_margin, "accuracy": report.accuracy.value}


def _reinforcement(folder: Path, sampled: Figures | None) -> tuple[Figures, dict[str, str]]:
    """Means over the last updates, and sums over all of them: a run that was resumed has logged every one. `sampled` is
    what choosing the problems took, which is paid for too."""
    steps = read_rl_steps(folder / RL_LOG)
    if not steps:
        names = ("gap", "pass_rate", "held_pass_rate", *_DRAWN, "learn_s", "total_s")
        return {}, dict.fromkeys(names, f"the training left no {RL_LOG}")
    last = steps[-LAST:]
    gaps = [s.gap for s in last if s.gap is not None]
    held = [s.held_pass_rate for s in last if s.held_pass_rate is not None]
    figures: Figures = {
        "gap": sum(gaps) / len(gaps) if gaps else None,
        "pass_rate": sum(s.pass_rate for s in last) / len(last),
        "held_pass_rate": sum(held) / len(held) if held else None,
        "drawn_answers": float(sum(s.answers + s.infra for s in steps)),
        "drawn_tokens": float(round(sum(s.length * (s.answers + s.infra) for s in steps))),
        "generate_s": sum(s.generate_s for s in steps),
        "execute_s": sum(s.execute_wait_s for s in steps),
    }
    if sampled is not None:
        figures |= {name: _sum((figures[name], sampled[name])) for name in _DRAWN}
    figures["learn_s"] = sum(s.train_s for s in steps)
    figures["total_s"] = _sum(figures[name] for name in ("generate_s", "execute_s", "learn_s"))
    why = dict.fromkeys(("gap", "held_pass_rate"), "every check pays: none is held out")
    return figures, why | dict.fromkeys(("generate_s", "execute_s", "total_s"), _RESUMED)


def _given(store: Store, plan: Plan, step: Step, facts: dict[str, Any]) -> tuple[Figures, dict[str, str]]:
    """What sampling and executing for its preferences took, where this run made them."""
    learn_s = facts.get("train_s")
    why = dict.fromkeys(("gap", "pass_rate", "held_pass_rate"), _NOT_RL)
    why["learn_s"] = why["total_s"] = facts.get("unmeasured", {}).get("train_s", "not recorded")
    sampled = _sampled(store, plan, step)
    if sampled is None:
        if plan.trainings[step.variant].config.method not in PREFERENCE_METHODS:
            return {"learn_s": learn_s, "total_s": learn_s}, why | dict.fromkeys(_DRAWN, _NO_DRAWS)
        file = "its preferences come from a file; what sampling for them cost is not in this run"
        return {"learn_s": learn_s}, why | dict.fromkeys((*_DRAWN, "total_s"), file)
    figures = sampled | {"learn_s": learn_s}
    figures["total_s"] = _sum(figures[name] for name in ("generate_s", "execute_s", "learn_s"))
    late = dict.fromkeys(("generate_s", "execute_s"), _RESUMED)
    return figures, why | late | ({"total_s": _RESUMED} if learn_s is not None else {})


def _sampled(store: Store, plan: Plan, step: Step) -> Figures | None:
    """What it took to draw and execute the answers behind the pairs that a training takes: its preferences, or the
    problems it practises on. None where it takes none that this run made."""
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
