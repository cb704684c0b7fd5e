"""Build the leaderboard: every figure of a run, computed from the raw tables on disk and from nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import combinations
from typing import Any, Literal

import pandas as pd

from assay.harness.evaluation.scores import NOT_DATA_SHARE
from assay.harness.experiment import source_of
from assay.harness.leaderboard import precision, schema, seeds
from assay.harness.leaderboard.curves import learning_curves
from assay.harness.leaderboard.trainings import paid_answers, reward_models, training_rows
from assay.harness.pipeline.plan import Plan, Step
from assay.harness.pipeline.runner import Run
from assay.harness.pipeline.steps.compare import read_links
from assay.harness.pipeline.steps.contamination import read_overlap
from assay.harness.pipeline.steps.execute import count, without_unmeasured
from assay.harness.pipeline.steps.profile import NOT_REQUESTED, ON_A_SERVER, figures
from assay.harness.pipeline.store import step_record
from assay.harness.stats.paired import Comparison, adjust, ranks
from assay.harness.stats.pass_at_k import estimate_pass_at_k, per_problem
from assay.sandbox import Outcome

SCHEMA: Literal[1] = 1
_TENSORS = 5  # of a link, those that differ most; all of them are in the compare step's folder


def build_leaderboard(run: Run, tables: Mapping[str, pd.DataFrame]) -> schema.Leaderboard:
    """Compute the leaderboard of a finished run from its samples (one table a member of a variant).

    Difference, interval and p are paired over the problems that both variants were measured on. p is adjusted
    by Holm's method: over the variants held against the reference, and apart from that over all pairs, on which
    the ranks rest. Variants that share a rank stand in the order they were declared in, not by luck.
    """
    plan, store = run.plan, run.store
    experiment, score = plan.experiment, plan.experiment.score
    counts = {variant: count(table) for variant, table in tables.items()}
    runs = {name: [counts[m.name] for m in members] for name, members in plan.members.items()}
    samples = seeds.pool_tables(plan, tables)
    names = list(runs)
    claims = _adjusted(plan, runs, [(name, score.reference) for name in names if name != score.reference])
    against = {claim.a: claim for claim in claims}
    pairs = _adjusted(plan, runs, list(combinations(names, 2)))
    rank = ranks(names, pairs)
    first = next(iter(plan.members.values()))[0].name
    machine = step_record(store, plan.step(f"generate-{first}"))["machine"]
    rows = [
        _row(
            run, machine, name, samples[name], runs[name], rank[name], _against(plan, runs, against.get(name))
        )
        for name in names
    ]
    return schema.Leaderboard(
        schema_=SCHEMA,
        experiment=experiment.name,
        run=plan.run_id,
        created=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        seed=experiment.seed,
        training_seeds=tuple(experiment.seeds),
        reference=score.reference,
        suite=schema.SuiteFacts(
            name=plan.suite.name,
            registered=experiment.suite.name,
            limit=experiment.suite.limit,
            split=experiment.suite.split,
            revision=plan.suite.revision,
            n_problems=len(plan.suite.problems),
            unmeasured=_unmeasured(run),
        ),
        sampling=experiment.sampling.model_dump(mode="json"),
        machine=machine,
        isolation=_isolation(run),
        limits=experiment.sandbox.model_dump(mode="json"),
        k=tuple(score.k),
        confidence=score.confidence,
        margin=score.margin,
        rows=tuple(sorted(rows, key=lambda row: row.rank or 0)),
        comparisons=tuple(schema.Difference(**asdict(pair)) for pair in pairs),
        links=tuple(_link(link.to_json()) for link in read_links(store, plan, counts)),
        contamination=_contamination(run),
        curves=learning_curves(store, plan),
        trainings=tuple(training_rows(store, plan)),
        reward_models=reward_models(store, plan),
        answers=paid_answers(store, plan),
        steps=_steps(run),
    )


def _unmeasured(run: Run) -> dict[str, str]:
    """Return the problems with which nothing could be measured, and why, in the suite's order."""
    reasons: dict[str, str] = {}
    for member in (member for members in run.plan.members.values() for member in members):
        reasons |= step_record(run.store, run.plan.step(f"execute-{member.name}")).get("unmeasured", {})
    return {problem.id: reasons[problem.id] for problem in run.plan.suite.problems if problem.id in reasons}


def _not_data(table: pd.DataFrame) -> dict[str, int]:
    """Return how many samples met what is not data, of problems where that is more than NOT_DATA_SHARE of them."""
    if "notes" not in table:
        return {}
    met = table["notes"].str.contains("not_data").groupby(table["problem_id"], sort=False)
    return {p: int(n) for p, total, n in met.agg(["size", "sum"]).itertuples() if n > NOT_DATA_SHARE * total}


def _adjusted(
    plan: Plan, runs: Mapping[str, seeds.Runs], pairs: Sequence[tuple[str, str]]
) -> list[Comparison]:
    """Compare each pair of variants, with p adjusted over all of them."""
    score = plan.experiment.score
    comparisons = [
        seeds.compare_runs(runs, a, b, margin=score.margin, confidence=score.confidence) for a, b in pairs
    ]
    return adjust(comparisons, alpha=1 - score.confidence)


def _against(
    plan: Plan, runs: Mapping[str, seeds.Runs], claim: Comparison | None
) -> schema.Difference | None:
    """Return the claim against the reference, with where its noise comes from."""
    if claim is None:
        return None
    shown = precision.measured(runs, claim.a, claim.b, plan.experiment.score.margin)
    record = None
    if shown is not None:
        buy = shown.purchase
        record = schema.Precision(
            **asdict(shown.split),
            target=buy.target,
            samples_for_target=buy.samples,
            seeds_for_target=buy.seeds,
            problems_for_target=buy.problems,
        )
    return schema.Difference(**asdict(claim), precision=record)


def _steps(run: Run) -> tuple[schema.Step, ...]:
    seconds = {step.name: step_record(run.store, step).get("seconds") for step in run.plan.steps}
    return tuple(
        schema.Step(id=s.id, name=s.name, seconds=seconds[s.name], reused=s.name not in run.did)
        for s in run.plan.steps
    )


def _link(link: dict[str, Any]) -> schema.LinkRow:
    weights = link["weights"]
    if weights is not None:
        worst = sorted(weights["tensors"], key=lambda t: -t["relative"])[:_TENSORS]
        link = link | {"weights": weights | {"tensors": worst}}
    return schema.LinkRow.model_validate(link)


def _contamination(run: Run) -> dict[str, schema.Contamination]:
    """The overlap of each trained variant's records with the suite; its seeds learn from the same records."""
    plan = run.plan
    overlaps = {
        variant: read_overlap(run.store, plan, variant)
        for variant, members in plan.members.items()
        if members[0].name in plan.trainings
    }
    return {
        name: schema.Contamination.model_validate(overlap) for name, overlap in overlaps.items() if overlap
    }


def _row(
    run: Run,
    machine: dict[str, Any],
    variant: str,
    table: pd.DataFrame,
    runs: seeds.Runs,
    rank: int,
    against: schema.Difference | None,
) -> schema.Row:
    plan, score = run.plan, run.plan.experiment.score
    members = plan.members[variant]
    makers = [plan.maker(m.name) for m in members]
    records = [step_record(run.store, step) for step in makers]
    artifacts = [record["artifact"] for record in records]
    generated = [step_record(run.store, plan.step(f"generate-{m.name}")) for m in members]
    rate, unmeasured = _rate(generated, machine)
    profiled = _profiled(run, members[0].name, machine)
    estimates = {k: seeds.estimate_runs(variant, runs, k, confidence=score.confidence) for k in score.k}
    table = without_unmeasured(table)
    no_device = {} if machine["gpu"] else {"vram_bytes": "no CUDA device on this machine"}
    counts = seeds.pooled(runs)
    return schema.Row(
        variant=variant,
        kind=artifacts[0]["kind"],
        rank=rank,
        parent=source_of(next(v for v in plan.experiment.variant if v.name == variant)),
        training_seeds=tuple(m.seed for m in members if m.seed is not None),
        sha256=seeds.sha256_of([a["sha256"] for a in artifacts]),
        recipe=seeds.described([a["recipe"] for a in artifacts], [m.seed for m in members]),
        path=_shown_path(run, makers[0], artifacts[0]["path"]),
        n_problems=len(counts),
        n_samples=len(table),
        pass_at_k={k: schema.Estimate(**asdict(estimate)) for k, estimate in estimates.items()},
        vs_reference=against,
        outcomes=dict.fromkeys(Outcome, 0) | {Outcome(o): n for o, n in _tally(table["outcome"]).items()},
        modes=_tally(table["mode"]),
        near_limit=int(table["notes"].str.contains("near_limit").sum()) if "notes" in table else 0,
        not_data=_not_data(table),
        cached=int(table["cached"].sum()) if "cached" in table else 0,
        families=_families(plan, counts),
        tokens=seeds.total([g["n_tokens"] for g in generated]),
        tok_per_s=rate,
        generate_s=seeds.total([g["generate_s"] for g in generated]),
        backend=generated[0]["backend"],
        make_s=None if makers[0].kind == "take" else sum(r["seconds"] for r in records) / len(records),
        size_bytes=artifacts[0]["size_bytes"],
        peak_rss_bytes=profiled["peak_rss_bytes"],
        vram_bytes=profiled["vram_bytes"],
        profile=None if profiled["profile"] is None else schema.ProfileFigures(**profiled["profile"]),
        finish=_tally(table["finish_reason"]),
        extraction=_tally(table["rule"]),
        unmeasured=profiled["unmeasured"] | no_device | unmeasured,
        step=_step_facts(makers[0], records[0]),
        by_seed=_by_seed(run, variant, makers, records, runs),
    )


def _by_seed(
    run: Run, variant: str, makers: Sequence[Step], records: Sequence[dict[str, Any]], runs: seeds.Runs
) -> tuple[schema.SeedScore, ...]:
    """Each training seed's own score; nothing for a variant that no seed was given to."""
    return tuple(
        schema.SeedScore(
            seed=member.seed,
            sha256=record["artifact"]["sha256"],
            path=_shown_path(run, step, record["artifact"]["path"]),
            pass_at_1=float(per_problem(list(counts.values()), 1).mean()),
            step=_step_facts(step, record),
        )
        for member, step, record, counts in zip(run.plan.members[variant], makers, records, runs, strict=True)
        if member.seed is not None and counts
    )


def _profiled(run: Run, variant: str, machine: dict[str, Any]) -> dict[str, Any]:
    """Peak memory and speed of the variant alone, or why there are none."""
    step = next((s for s in run.plan.steps if s.kind == "profile" and s.variant == variant), None)
    if step is not None:
        return figures(step_record(run.store, step), machine, "")
    return figures(None, machine, NOT_REQUESTED if run.plan.experiment.profile is None else ON_A_SERVER)


def _step_facts(maker: Step, record: dict[str, Any]) -> schema.StepFacts:
    return schema.StepFacts(
        name=maker.name, id=maker.id, finished=record["finished"], machine=record["machine"]
    )


def _rate(
    generated: Sequence[dict[str, Any]], machine: dict[str, Any]
) -> tuple[float | None, dict[str, str]]:
    """(tokens a second over all seeds, why it or the number of tokens was not measured)."""
    uncounted = next((r["unmeasured"]["n_tokens"] for r in generated if r["n_tokens"] is None), "")
    tokens = {"tokens": uncounted} if uncounted else {}
    for record in generated:
        reason = ""
        if _hardware(record["machine"]) != _hardware(machine):
            reason = f"generated on another machine ({record['machine']['device']}); not comparable"
        elif record["n_tokens"] is None:
            reason = record["unmeasured"]["n_tokens"]
        elif record["tok_per_s"] is None:
            reason = "generation was resumed after an interruption; a rate of its rest is not its rate"
        if reason:
            return None, {"tok_per_s": reason} | tokens
    if len(generated) == 1:
        return generated[0]["tok_per_s"], tokens
    return sum(r["n_tokens"] for r in generated) / sum(r["generate_s"] for r in generated), tokens


def _hardware(machine: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(machine[key] for key in ("device", "cpu", "cores"))


def _shown_path(run: Run, maker: Step, path: str) -> str:
    """Return the place of an artifact: as the user called it, or relative to the experiment's folder."""
    if maker.kind == "take":
        return str(maker.config["model"])
    return str((run.store.path(maker.name, maker.id) / path).relative_to(run.store.root))


def _families(plan: Plan, counts: seeds.Counts) -> dict[str, schema.Estimate]:
    """pass@1 by the suite's own labels; exploration, so no test rests on it."""
    groups: dict[str, list[tuple[int, int]]] = {}
    for problem in plan.suite.problems:
        if problem.family and problem.id in counts:
            groups.setdefault(problem.family, []).append(counts[problem.id])
    confidence = plan.experiment.score.confidence
    return {
        family: schema.Estimate(**asdict(estimate_pass_at_k(group, 1, confidence=confidence)))
        for family, group in sorted(groups.items())
    }


def _tally(column: pd.Series[Any]) -> dict[str, int]:
    return dict(sorted(Counter(column.tolist()).items()))


def _isolation(run: Run) -> dict[str, Any]:
    """The isolation that answers were judged behind, preference data's too; `rewards` is that of the trainings that
    executed answers, where there are any."""
    records = [(s.kind, step_record(run.store, s)) for s in run.plan.steps]
    judged = [record["isolation"] for kind, record in records if kind == "execute"]
    rewards = {record["training"]["isolation"] for _, record in records if record.get("training")} - {None}
    return {
        "label": "; ".join(sorted({i["label"] for i in judged})),
        "levels": sorted({level for i in judged for level in i["levels"]}),
        "backend": run.plan.experiment.sandbox.backend,
    } | ({"rewards": "; ".join(sorted(rewards))} if rewards else {})
