"""The contamination step: how much of a suite's problems stands in what a variant is trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from assay.harness.evaluation.contamination import overlap
from assay.harness.files import read_json, write_json
from assay.harness.leaderboard.seeds import sha256_of
from assay.harness.pipeline.steps import Context, Plan, StepKind, old_result
from assay.harness.pipeline.steps.artifacts import TrainSpec
from assay.harness.pipeline.store import Record, Step, Store
from assay.suites import Suite
from assay.trainers.data.inputs import TrainingData

FILE = "overlap.json"
_NO_TEXT = ("source", "role", "id", "key")
_VERSION = 2  # raised when an overlap is defined anew


@dataclass(frozen=True, slots=True)
class ContaminationSpec:
    """The trainings of one variant, by member.

    They learn from one set, but for preferences of a model that was trained with their seeds: each has its own of
    those.
    """

    suite: Suite
    trainings: dict[str, TrainSpec]

    def config(self) -> dict[str, Any]:
        first = next(iter(self.trainings.values())).training
        return {"suite": self.suite.revision, "method": first.config.method, "data": first.described}

    def sets(self, context: Context) -> list[TrainingData]:
        """Return the sets that are learned from, each once. Raises TrainersError."""
        records = [spec.records(context.folder) for spec in self.trainings.values()]
        return list({one.sha256: one for one in records}.values())


def training_texts(records: TrainingData) -> Iterator[tuple[str, str]]:
    """Yield (source, text) of every record that is trained on; those held out for evaluation are left out."""
    for number, record in enumerate(records.kept, start=1):
        source = getattr(record, "source", None) or getattr(record, "id", None) or f"record {number}"
        texts = _strings(dataclasses.asdict(record) if dataclasses.is_dataclass(record) else record)  # type: ignore[arg-type]
        yield str(source), "\n".join(texts)


def _strings(value: Any) -> Iterator[str]:
    """Yield every text in a record, whatever its shape: a chat's turns, or a preference's two answers."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key not in _NO_TEXT:
                yield from _strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _strings(inner)


def read_overlap(store: Store, plan: Plan, variant: str) -> dict[str, Any] | None:
    """Return the overlap of a declared variant without its table of problems; None for one that is not trained."""
    step = plan.by_name.get(f"contamination-{variant}")
    if step is None:
        return None
    path = store.path(step.name, step.id) / FILE
    result: dict[str, Any] = read_json(path)
    del result["problems"]
    return result | {"file": str(path.relative_to(store.root))}


def _overlap(context: Context, step: Step, work: Path) -> Record:
    spec: ContaminationSpec = step.spec
    suite, sets = spec.suite, spec.sets(context)
    title = f"overlap of {step.variant}'s training set with"
    with context.progress.task(f"{title} {suite.name}"):
        result = overlap(suite, chain.from_iterable(training_texts(one) for one in sets))
    records = sha256_of([one.sha256 for one in sets])
    write_json(work / FILE, result.to_json() | {"variant": step.variant, "records": records})
    flagged = ", ".join(f"{len(result.flagged(method))} by {method}" for method in result.shares)
    context.progress.say(
        f"{title} {len(suite.problems)} problems of {suite.name}: flagged are {flagged}; "
        f"{len(result.duplicates)} duplicates"
    )
    return {}


def _recover(context: Context, step: Step, work: Path) -> Record | None:
    """Take the overlap that version 0.1 computed of the same sets."""
    spec: ContaminationSpec = step.spec
    if not (context.store.root / "contamination").exists():
        return None  # before the sets are read
    records = sha256_of([one.sha256 for one in spec.sets(context)])
    decisive = f"{_VERSION}/{records}/{spec.suite.revision}"
    overlapping = old_result(context.store, "contamination", next(iter(spec.trainings)), decisive)
    if overlapping is None:
        return None
    write_json(work / FILE, overlapping)
    return {}


CONTAMINATION = StepKind("contamination", _overlap, version=_VERSION, recover=_recover, title=lambda _: "")
