"""The compare step: a merge, export or compression held against what it was made from ("a link of the chain")."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.harness.equivalence.chain import Link, compare_links, link_from_json
from assay.harness.equivalence.measures import pass_rates
from assay.harness.equivalence.tokens import suite_passages
from assay.harness.errors import BadInputError
from assay.harness.experiment.tables import CompareTable
from assay.harness.files import read_json, write_json
from assay.harness.pipeline.steps import Context, Plan, StepKind
from assay.harness.pipeline.steps.artifacts import MergeSpec
from assay.harness.pipeline.store import Record, Step, Store
from assay.suites import Suite

FILE = "link.json"
_OLD_FOLDER, _OLD_FORMAT = "links", 2  # where version 0.1 left links


@dataclass(frozen=True, slots=True)
class CompareSpec:
    """The texts and the settings of a comparison."""

    suite: Suite
    table: CompareTable
    threads: int

    def config(self) -> dict[str, Any]:
        return {"suite": self.suite.revision, "compare": self.table.model_dump(mode="json")}


def linked_steps(steps: Iterable[Step]) -> list[tuple[Step, Step]]:
    """Return (what it was made from, what was made) of every step whose output should still be its input.

    These are merges of one adapter, exports and compressions. Trainings and merges of several adapters make other
    models.
    """
    known = {step.name: step for step in steps}
    return [(known[step.inputs[0]], step) for step in known.values() if _keeps_its_input(step)]


def _keeps_its_input(step: Step) -> bool:
    if step.kind != "merge":
        return step.kind in ("export", "compress")
    spec: MergeSpec = step.spec
    return len(step.inputs) == 1 and spec.recipe.weights in ((), (1,))


def read_links(store: Store, plan: Plan, counts: Mapping[str, Mapping[str, tuple[int, int]]]) -> list[Link]:
    """Return the links that were measured, each with the run's own pass@1."""
    links, score = [], plan.experiment.score
    for step in plan.steps:
        file = store.path(step.name, step.id) / FILE
        if step.kind != "compare" or not file.exists():
            continue
        first, second = (plan.step(name).variant for name in step.inputs)
        rates = {}
        if first in counts and second in counts:
            rates = pass_rates(
                counts,
                [(first, second)],
                margin=score.margin,
                confidence=score.confidence,
                seed=plan.experiment.seed,
            )
        links.append(link_from_json(read_json(file), rates.get((first, second))))
    return links


def _compare(context: Context, step: Step, work: Path) -> Record:
    """Measure one link; where the suite has no texts to measure it on, the record says so."""
    spec: CompareSpec = step.spec
    try:
        passages = suite_passages(spec.suite, spec.table.texts)
    except BadInputError as error:
        context.progress.say(f"{step.name}: unmeasured: {error}")
        return {"unmeasured": str(error)}
    with context.progress.task(step.name) as task:
        (link,) = compare_links(
            {context.step(name).variant: context.artifact(name) for name in step.inputs},
            passages,
            threads=spec.threads or len(os.sched_getaffinity(0)),
            greedy_tokens=spec.table.greedy_tokens,
            on_stage=lambda stage: task.update(0, stage),
        )
    write_json(work / FILE, link.to_json())
    return {}


def _recover(context: Context, step: Step, work: Path) -> Record | None:
    """Take the link that version 0.1 measured of the same two models."""
    spec: CompareSpec = step.spec
    records = [context.record(name) for name in step.inputs]
    decisive = {
        "format": _OLD_FORMAT,
        "steps": [record["id"] for record in records],
        "made": [record["token"] for record in records],
        "suite": spec.suite.revision,
        "compare": spec.table.model_dump(mode="json"),
    }
    digest = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:12]
    names = "--".join(context.step(name).variant for name in step.inputs)
    file = context.store.root / _OLD_FOLDER / f"{names}-{digest}.json"
    if not file.exists():
        return None
    write_json(work / FILE, read_json(file))
    return {}


COMPARE = StepKind("compare", _compare, recover=_recover)
