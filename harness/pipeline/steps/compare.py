"""The links of a run: each merge, export and compression held against what it was made from, once, and kept."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from assay.harness.console import Progress
from assay.harness.equivalence.chain import Link, compare_links, link_from_json
from assay.harness.equivalence.measures import pass_rates
from assay.harness.equivalence.tokens import suite_passages
from assay.harness.errors import BadInputError
from assay.harness.files import read_json, write_json
from assay.harness.models.resolve import in_house_errors
from assay.harness.pipeline.plan import Plan, Step
from assay.harness.pipeline.store import Store
from assay.trainers.artifact import Artifact

FOLDER = "links"
FORMAT = 2  # raised when what is measured changes


def linked_steps(plan: Plan) -> list[tuple[Step, Step]]:
    """(what it was made from, what was made) of every step whose output claims to be its input still: a merge of one
    adapter, an export, a compression. Training and merges of several adapters make other models."""
    found = []
    for step in plan.steps:
        alone = step.config.get("merging", {}).get("weights", [1]) in ([1], [1.0], [])
        if step.kind in ("export", "compress") or (step.kind == "merge" and len(step.inputs) == 1 and alone):
            found.append((plan.step(step.inputs[0]), step))
    return found


def write_links(
    store: Store, plan: Plan, artifact_of: Callable[[Step], Artifact], progress: Progress
) -> None:
    """Measure the links that are not measured yet. Nothing is done where the experiment has no `[compare]`."""
    table = plan.experiment.compare
    missing = (
        [(a, b) for a, b in linked_steps(plan) if not _file(store, plan, a, b).exists()] if table else []
    )
    if table is None or not missing:
        return
    try:
        passages = suite_passages(plan.suite, table.texts)
    except BadInputError as error:
        progress.say(f"links unmeasured: {error}")
        return
    with progress.task("links", total=len(missing), unit="links") as task, in_house_errors():
        for number, (a, b) in enumerate(missing):
            (link,) = compare_links(
                {a.variant: artifact_of(a), b.variant: artifact_of(b)},
                passages,
                threads=plan.experiment.engine.threads or len(os.sched_getaffinity(0)),
                greedy_tokens=table.greedy_tokens,
                on_stage=lambda stage, number=number: task.update(number, stage),  # type: ignore[misc]
            )
            file = _file(store, plan, a, b)
            file.parent.mkdir(parents=True, exist_ok=True)
            write_json(file, link.to_json())


def read_links(store: Store, plan: Plan, counts: Mapping[str, Mapping[str, tuple[int, int]]]) -> list[Link]:
    """The links that were measured, each with the run's own pass@1."""
    found = []
    score = plan.experiment.score
    for a, b in linked_steps(plan):
        file = _file(store, plan, a, b)
        if plan.experiment.compare is None or not file.exists():
            continue
        pair = (a.variant, b.variant)
        rates = {}
        if all(name in counts for name in pair):
            rates = pass_rates(
                counts, [pair], margin=score.margin, confidence=score.confidence, seed=plan.experiment.seed
            )
        found.append(link_from_json(read_json(file), rates.get(pair)))
    return found


def _file(store: Store, plan: Plan, a: Step, b: Step) -> Path:
    table = plan.experiment.compare
    decides = {
        "format": FORMAT,
        "steps": [a.id, b.id],
        "made": [(store.record(s.name, s.id) or {}).get("token") for s in (a, b)],
        "suite": plan.suite.revision,
        "compare": None if table is None else table.model_dump(mode="json"),
    }
    digest = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:12]
    return store.root / FOLDER / f"{a.variant}--{b.variant}-{digest}.json"
