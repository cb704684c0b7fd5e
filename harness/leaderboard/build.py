"""The leaderboard: every figure of a run, computed from the raw tables on disk and from nothing else."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from itertools import combinations
from typing import Any

import pandas as pd

from assay.harness.experiment import source_of
from assay.harness.leaderboard.curves import learning_curves
from assay.harness.leaderboard.rewards import paid_answers, reward_models
from assay.harness.leaderboard.seeds import (
    Counts,
    Runs,
    compare_runs,
    described,
    estimate_runs,
    pool_tables,
    pooled,
    runs_of,
    sha256_of,
    total,
)
from assay.harness.leaderboard.trainings import training_rows
from assay.harness.pipeline.plan import Plan, Step
from assay.harness.pipeline.runner import Run
from assay.harness.pipeline.steps.compare import read_links
from assay.harness.pipeline.steps.contamination import read_overlap
from assay.harness.pipeline.steps.execute import count
from assay.harness.pipeline.steps.profile import NOT_REQUESTED, ON_A_SERVER, figures
from assay.harness.pipeline.store import step_record
from assay.harness.stats.paired import Comparison, adjust, ranks
from assay.harness.stats.pass_at_k import estimate_pass_at_k, per_problem
from assay.sandbox import Outcome

SCHEMA = 1


def build_leaderboard(run: Run, tables: dict[str, pd.DataFrame]) -> dict[str, Any]:
    """The leaderboard of a finished run, as `leaderboard.json` holds it (schema 1).

    Difference, interval and p are paired over the problems that both variants were measured on. p is adjusted
    by Holm's method: over the variants held against the reference, and apart from that over all pairs, on which
    the ranks rest.
    """
    plan = run.plan
    experiment, score = plan.experiment, plan.experiment.score
    counts = {variant: count(table) for variant, table in tables.items()}
    runs, samples = runs_of(plan, counts), pool_tables(plan, tables)
    names = list(runs)
    claims = adjust(
        [_compare(plan, runs, name, score.reference) for name in names if name != score.reference],
        alpha=1 - score.confidence,
    )
    against = {c.a: c for c in claims}
    pairs = adjust(
        [_compare(plan, runs, a, b) for a, b in combinations(names, 2)], alpha=1 - score.confidence
    )
    rank = ranks(names, pairs)
    first = next(iter(plan.members.values()))[0].name
    machine = step_record(run.store, plan.step(f"generate-{first}"))["machine"]
    rows = [
        _row(run, machine, name, samples[name], runs[name], rank[name], against.get(name)) for name in names
    ]
    rows.sort(
        key=lambda row: row["rank"]
    )  # what shares a rank stays in the order it was declared in, not by luck
    return {
        "schema": SCHEMA,
        "experiment": experiment.name,
        "run": plan.run_id,
        "created": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "seed": experiment.seed,
        "training_seeds": list(experiment.seeds),
        "reference": score.reference,
        "suite": {
            "name": plan.suite.name,
            "registered": experiment.suite.name,
            "limit": experiment.suite.limit,
            "split": experiment.suite.split,
            "revision": plan.suite.revision,
            "n_problems": len(plan.suite.problems),
        },
        "sampling": experiment.sampling.model_dump(mode="json"),
        "machine": machine,
        "isolation": _isolation(run),
        "limits": experiment.sandbox.model_dump(mode="json"),
        "k": list(score.k),
        "confidence": score.confidence,
        "margin": score.margin,
        "rows": rows,
        "comparisons": [c.to_json() for c in pairs],
        "links": [_without_tensors(link.to_json()) for link in read_links(run.store, plan, counts)],
        "contamination": {
            variant: found  # the seeds of a variant learn from the same records
            for variant, members in plan.members.items()
            if members[0].name in plan.trainings
            and (found := read_overlap(run.store, plan, variant)) is not None
        },
        "curves": learning_curves(run.store, plan),
        "trainings": training_rows(run.store, plan),
        "reward_models": reward_models(run.store, plan),
        "answers": paid_answers(run.store, plan),
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


def _without_tensors(link: dict[str, Any]) -> dict[str, Any]:
    """Return the link with only the tensors that differ most; all of them are in the compare step's folder."""
    weights = link["weights"]
    if weights is None:
        return link
    worst = sorted(weights["tensors"], key=lambda t: -t["relative"])[:5]
    return link | {"weights": weights | {"tensors": worst}}


def _compare(plan: Plan, runs: dict[str, Runs], a: str, b: str) -> Comparison:
    score = plan.experiment.score
    return compare_runs(
        a,
        runs[a],
        b,
        runs[b],
        margin=score.margin,
        confidence=score.confidence,
        seed=plan.experiment.seed,
    )


def _row(
    run: Run,
    machine: dict[str, Any],
    variant: str,
    table: pd.DataFrame,
    runs: Runs,
    rank: int,
    against: Comparison | None,
) -> dict[str, Any]:
    plan, score = run.plan, run.plan.experiment.score
    members = plan.members[variant]
    makers = [plan.maker(m.name) for m in members]
    made = [step_record(run.store, s) for s in makers]
    generated = [step_record(run.store, plan.step(f"generate-{m.name}")) for m in members]
    artifacts = [record["artifact"] for record in made]
    declared = next(v for v in plan.experiment.variant if v.name == variant)
    rate, why = _rate(generated, machine)
    profiled = _profiled(run, members[0].name, machine)
    unmeasured = dict(profiled["unmeasured"])
    if not machine["gpu"]:
        unmeasured["vram_bytes"] = "no CUDA device on this machine"
    if why:
        unmeasured["tok_per_s"] = why
    if uncounted := _not_counted(generated):
        unmeasured["tokens"] = uncounted
    counts = pooled(runs)
    return {
        "variant": variant,
        "kind": artifacts[0]["kind"],
        "rank": rank,
        "parent": source_of(declared),
        "training_seeds": [m.seed for m in members if m.seed is not None],
        "sha256": sha256_of([a["sha256"] for a in artifacts]),
        "recipe": described([a["recipe"] for a in artifacts], [m.seed for m in members]),
        "path": _shown_path(run, makers[0], artifacts[0]["path"]),
        "n_problems": len(counts),
        "n_samples": len(table),
        "pass@k": {
            str(k): estimate_runs(
                variant, runs, k, confidence=score.confidence, seed=plan.experiment.seed
            ).to_json()
            for k in score.k
        },
        "vs_reference": against.to_json() if against else None,
        "outcomes": _tally(table["outcome"], [o.value for o in Outcome]),
        "modes": _tally(table["mode"]),
        "cached": int(table["cached"].sum()) if "cached" in table else 0,
        "families": _families(plan, counts),
        "tokens": total([g["n_tokens"] for g in generated]),
        "tok_per_s": rate,
        "generate_s": total([g["generate_s"] for g in generated]),
        "backend": generated[0]["backend"],
        "make_s": None if makers[0].kind == "take" else sum(r["seconds"] for r in made) / len(made),
        "size_bytes": artifacts[0]["size_bytes"],
        "peak_rss_bytes": profiled["peak_rss_bytes"],
        "vram_bytes": profiled["vram_bytes"],
        "profile": profiled["profile"],
        "finish": _tally(table["finish_reason"]),
        "extraction": _tally(table["rule"]),
        "unmeasured": unmeasured,
        "step": _step_facts(makers[0], made[0]),
        "by_seed": [
            {
                "seed": m.seed,
                "sha256": a["sha256"],
                "path": _shown_path(run, s, a["path"]),
                "pass@1": float(per_problem(list(c.values()), 1).mean()),
                "step": _step_facts(s, r),
            }
            for m, s, r, a, c in zip(members, makers, made, artifacts, runs, strict=True)
            if m.seed is not None and c
        ],
    }


def _profiled(run: Run, variant: str, machine: dict[str, Any]) -> dict[str, Any]:
    """Peak memory and speed of the variant alone, or why there are none."""
    step = next((s for s in run.plan.steps if s.kind == "profile" and s.variant == variant), None)
    if step is not None:
        return figures(step_record(run.store, step), machine, "")
    return figures(None, machine, NOT_REQUESTED if run.plan.experiment.profile is None else ON_A_SERVER)


def _step_facts(maker: Step, made: dict[str, Any]) -> dict[str, Any]:
    return {"name": maker.name, "id": maker.id, "finished": made["finished"], "machine": made["machine"]}


def _rate(generated: list[dict[str, Any]], machine: dict[str, Any]) -> tuple[float | None, str]:
    """(tokens a second over all seeds, or why it was not measured)."""
    for record in generated:
        if _hardware(record["machine"]) != _hardware(machine):
            return None, f"generated on another machine ({record['machine']['device']}); not comparable"
        if why := _not_counted([record]):
            return None, why
        if record["tok_per_s"] is None:
            return None, "generation was resumed after an interruption; a rate of its rest is not its rate"
    if len(generated) == 1:
        return generated[0]["tok_per_s"], ""
    seconds = sum(record["generate_s"] for record in generated)
    return sum(record["n_tokens"] for record in generated) / seconds, ""


def _not_counted(generated: list[dict[str, Any]]) -> str:
    """Why the number of tokens is not known; empty where it is."""
    return next((r["unmeasured"]["n_tokens"] for r in generated if r["n_tokens"] is None), "")


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


def _isolation(run: Run) -> dict[str, Any]:
    """Behind which walls answers were judged, preference data's too; `rewards`: those of the trainings that executed
    some, where there are any."""
    records = [(s.kind, step_record(run.store, s)) for s in run.plan.steps]
    judged = [record["isolation"] for kind, record in records if kind == "execute"]
    rewards = {record["training"]["isolation"] for _, record in records if record.get("training")} - {None}
    return {
        "label": "; ".join(sorted({i["label"] for i in judged})),
        "levels": sorted({level for i in judged for level in i["levels"]}),
        "backend": run.plan.experiment.sandbox.backend,
    } | ({"rewards": "; ".join(sorted(rewards))} if rewards else {})
