"""The leaderboard: every figure of a run, computed from the raw tables on disk and from nothing else."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from harness.contamination import read_overlap
from harness.errors import UnmeasuredError
from harness.experiment import source_of
from harness.plan import Plan, Step
from harness.run import Run, step_record
from harness.stats.estimate import Floats, estimate_pass_at_k, per_problem
from harness.stats.paired import Comparison, adjust, compare, ranks
from harness.steps import execute, generate
from harness.store import Store
from sandbox import Outcome

SCHEMA = 1
KEYS = ["problem_id", "index"]
NO_MEMORY_FIGURE = "variants share one process; a figure per variant needs one process each"


def load_tables(store: Store, plan: Plan) -> dict[str, pd.DataFrame]:
    """Samples joined with their verdicts, one table per variant, in the suite's order."""
    tables = {}
    for step in plan.steps:
        if step.kind != "execute":
            continue
        source = plan.step(step.inputs[0])
        samples = pd.read_parquet(store.path(source.name, source.id) / generate.TABLE)
        verdicts = pd.read_parquet(store.path(step.name, step.id) / execute.TABLE)
        joined = samples.merge(verdicts, on=KEYS, how="left", validate="one_to_one")
        if len(joined) != len(samples) or joined["outcome"].isna().any():
            raise UnmeasuredError(
                f"{step.name}: some samples have no verdict; remove its folder and run again"
            )
        tables[step.variant] = joined
    return tables


def build_leaderboard(run: Run, tables: dict[str, pd.DataFrame]) -> dict[str, Any]:
    """The leaderboard of a finished run, as `leaderboard.json` holds it (schema 1).

    Difference, interval and p are paired over the problems that both variants were measured on. p is adjusted
    by Holm's method: over the variants held against the reference, and apart from that over all pairs, on which
    the ranks rest.
    """
    plan = run.plan
    experiment, score = plan.experiment, plan.experiment.score
    counts = {variant: count(table) for variant, table in tables.items()}
    names = list(tables)
    claims = adjust(
        [_compare(plan, counts, name, score.reference) for name in names if name != score.reference],
        alpha=1 - score.confidence,
    )
    against = {c.a: c for c in claims}
    pairs = adjust(
        [_compare(plan, counts, a, b) for a, b in combinations(names, 2)], alpha=1 - score.confidence
    )
    rank = ranks(names, pairs)
    machine = step_record(run.store, next(s for s in plan.steps if s.kind == "generate"))["machine"]
    rows = [
        _row(run, machine, name, tables[name], counts[name], rank[name], against.get(name)) for name in names
    ]
    rows.sort(
        key=lambda row: row["rank"]
    )  # what shares a rank stays in the order it was declared in, not by luck
    isolations = [step_record(run.store, s)["isolation"] for s in plan.steps if s.kind == "execute"]
    return {
        "schema": SCHEMA,
        "experiment": experiment.name,
        "run": plan.run_id,
        "created": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "seed": experiment.seed,
        "reference": score.reference,
        "suite": {
            "name": plan.suite.name,
            "split": experiment.suite.split,
            "revision": plan.suite.revision,
            "n_problems": len(plan.suite.problems),
        },
        "sampling": experiment.sampling.model_dump(mode="json"),
        "machine": machine,
        "isolation": {
            "label": "; ".join(sorted({i["label"] for i in isolations})),
            "levels": sorted({level for i in isolations for level in i["levels"]}),
            "backend": experiment.sandbox.backend,
        },
        "limits": experiment.sandbox.model_dump(mode="json"),
        "k": list(score.k),
        "confidence": score.confidence,
        "margin": score.margin,
        "rows": rows,
        "comparisons": [c.to_json() for c in pairs],
        "contamination": {
            variant: found
            for variant in plan.trainings
            if (found := read_overlap(run.store, plan, variant)) is not None
        },
        "training": {
            s.variant: log
            for s in plan.steps
            if s.kind == "train" and (log := training_log(run.store, s.name, s.id))
        },
        "steps": [
            {
                "id": s.id,
                "name": s.name,
                "seconds": step_record(run.store, s).get("seconds"),
                "reused": s.name not in run.did,
            }
            for s in plan.steps
        ],
    }


Counts = dict[str, tuple[int, int]]


def count(table: pd.DataFrame) -> Counts:
    """(samples, passing samples) of each problem, in the table's order. `infra` is not measured: left out."""
    measured = table[table["outcome"] != Outcome.INFRA.value]
    found: dict[str, tuple[int, int]] = {}
    for problem, passed in zip(
        measured["problem_id"], measured["outcome"] == Outcome.PASS.value, strict=True
    ):
        n, c = found.get(problem, (0, 0))
        found[problem] = (n + 1, c + int(passed))
    return found


def measured_for(variant: str, counts: Counts, k: int) -> list[tuple[int, int]]:
    """The counts of the problems with at least k measured samples; `infra` may have left others with fewer."""
    enough = [(n, c) for n, c in counts.values() if n >= k]
    if not enough:
        raise UnmeasuredError(
            f"{variant}: no problem has {k} samples that could be measured; run again to retry them"
        )
    return enough


def _pass_at_1(counts: Counts, problems: list[str]) -> Floats:
    return per_problem([counts[p] for p in problems], 1)


def _compare(plan: Plan, counts: dict[str, Counts], a: str, b: str) -> Comparison:
    score = plan.experiment.score
    shared = [p for p in counts[a] if p in counts[b]]
    if not shared:
        raise UnmeasuredError(f"{a} and {b} have no problem that was measured for both; run again to retry")
    return compare(
        a,
        b,
        _pass_at_1(counts[a], shared),
        _pass_at_1(counts[b], shared),
        binary=all(counts[v][p][0] == 1 for v in (a, b) for p in shared),
        margin=score.margin,
        confidence=score.confidence,
        seed=plan.experiment.seed,
    )


def _row(
    run: Run,
    machine: dict[str, Any],
    variant: str,
    table: pd.DataFrame,
    counts: Counts,
    rank: int,
    against: Comparison | None,
) -> dict[str, Any]:
    plan, score = run.plan, run.plan.experiment.score
    maker = next(s for s in plan.steps if s.variant == variant)
    made = step_record(run.store, maker)
    generated = step_record(run.store, plan.step(f"generate-{variant}"))
    declared = next(v for v in plan.experiment.variant if v.name == variant)
    difference = against.to_json() if against else None
    unmeasured = {"peak_rss_bytes": NO_MEMORY_FIGURE}
    unmeasured["vram_bytes"] = NO_MEMORY_FIGURE if machine["gpu"] else "no CUDA device on this machine"
    elsewhere = _hardware(generated["machine"]) != _hardware(machine)
    if elsewhere:
        unmeasured["tok_per_s"] = (
            f"generated on another machine ({generated['machine']['device']}); not comparable"
        )
    elif generated["tok_per_s"] is None:
        unmeasured["tok_per_s"] = (
            "generation was resumed after an interruption; a rate of its rest is not its rate"
        )
    return {
        "variant": variant,
        "kind": made["artifact"]["kind"],
        "rank": rank,
        "parent": source_of(declared),
        "sha256": made["artifact"]["sha256"],
        "recipe": made["artifact"]["recipe"],
        "path": _shown_path(run, maker, made["artifact"]["path"]),
        "n_problems": len(counts),
        "n_samples": len(table),
        "pass@k": {
            str(k): estimate_pass_at_k(
                measured_for(variant, counts, k), k, confidence=score.confidence, seed=plan.experiment.seed
            ).to_json()
            for k in score.k
        },
        "vs_reference": difference,
        "outcomes": _tally(table["outcome"], [o.value for o in Outcome]),
        "modes": _tally(table["mode"]),
        "cached": int(table["cached"].sum()) if "cached" in table else 0,
        "families": _families(plan, counts),
        "tokens": generated["n_tokens"],
        "tok_per_s": None if elsewhere else generated["tok_per_s"],
        "generate_s": generated["generate_s"],
        "backend": generated["backend"],
        "make_s": None if maker.kind == "take" else made["seconds"],
        "size_bytes": made["artifact"]["size_bytes"],
        "peak_rss_bytes": None,
        "vram_bytes": None,
        "finish": _tally(table["finish_reason"]),
        "extraction": _tally(table["rule"]),
        "unmeasured": unmeasured,
        "step": {
            "name": maker.name,
            "id": maker.id,
            "finished": made["finished"],
            "machine": made["machine"],
        },
    }


def _hardware(machine: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(machine[key] for key in ("device", "cpu", "cores"))


def _shown_path(run: Run, maker: Step, path: str) -> str:
    """Where the artifact lies: as the user called it, or relative to the experiment's folder when made there."""
    if maker.kind == "take":
        return str(maker.config["model"])
    return str((run.store.path(maker.name, maker.id) / path).relative_to(run.store.root))


def _families(plan: Plan, counts: Counts) -> dict[str, Any]:
    """pass@1 by the suite's own labels; exploration, so no test rests on it."""
    score = plan.experiment.score
    groups: dict[str, list[tuple[int, int]]] = {}
    for problem in plan.suite.problems:
        if problem.family and problem.id in counts:
            groups.setdefault(problem.family, []).append(counts[problem.id])
    return {
        family: estimate_pass_at_k(group, 1, confidence=score.confidence).to_json()
        for family, group in sorted(groups.items())
    }


def _tally(column: pd.Series[Any], names: list[str] | None = None) -> dict[str, int]:
    found = Counter(column.tolist())
    return {name: found[name] for name in names or sorted(found)}


def training_log(store: Store, name: str, identity: str) -> list[dict[str, Any]]:
    """The trainer's own log, one row a step."""
    file = store.path(name, identity) / "model" / "train_log.jsonl"
    if not file.exists():
        return []
    rows = pd.read_json(file, lines=True).replace({np.nan: None})
    return [
        {"step": row["step"], "loss": row["loss"], "lr": row["learning_rate"], "grad_norm": row["grad_norm"]}
        for row in rows.to_dict("records")
    ]
