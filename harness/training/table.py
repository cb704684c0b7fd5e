"""The training part of the leaderboard: what each training took, alone in its process, and over its seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.plan import Plan
from harness.run import step_record
from harness.store import Store
from harness.training.learned import LEARNED, learned

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
