"""The overlap of a run's training sets with its suite, kept in the run's folder."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from assay.harness.console import Progress
from assay.harness.evaluation.contamination import METHODS, THRESHOLD, Overlap, overlap
from assay.harness.files import read_json, write_json
from assay.harness.leaderboard.seeds import sha256_of
from assay.harness.pipeline.plan import Plan
from assay.harness.pipeline.steps.pairs import records_of
from assay.harness.pipeline.store import Store

FOLDER = "contamination"
_NO_TEXT = ("source", "role", "id", "key")
FORMAT = 2  # raised when an overlap is defined anew


class TrainingSet(Protocol):
    """What a trainer learns from: chats, judged answers, or problems to solve (trainers/inputs.py)."""

    @property
    def sha256(self) -> str: ...

    @property
    def kept(self) -> Sequence[Any]: ...


def training_texts(records: TrainingSet) -> Iterator[tuple[str, str]]:
    """(source, text) of every record that is trained on; those held out for evaluation are not."""
    for number, record in enumerate(records.kept, start=1):
        source = getattr(record, "source", None) or getattr(record, "id", None) or f"record {number}"
        texts = _strings(dataclasses.asdict(record) if dataclasses.is_dataclass(record) else record)  # type: ignore[arg-type]
        yield str(source), "\n".join(texts)


def _strings(value: Any) -> Iterator[str]:
    """Every text in a record, whatever its shape: a chat's turns, or a preference's two answers."""
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


def learned_from(store: Store, plan: Plan, variant: str) -> list[TrainingSet] | None:
    """The sets that a variant is trained on: one for all its training seeds, but for preferences of a model that was
    trained with them, which each has of its own. None for a variant that is not trained, and while they are not made.
    """
    found: dict[str, TrainingSet] = {}
    for member in next(made for made in plan.members.values() if made[0].name == variant):
        records = None if member.name not in plan.trainings else records_of(store, plan, member.name)
        if records is None:
            return None
        found[records.sha256] = records
    return list(found.values())


def path_of(store: Store, plan: Plan, variant: str, learned: Sequence[TrainingSet]) -> Path:
    """Named by what decides it, so that a changed data set or suite has a file of its own."""
    records = sha256_of([one.sha256 for one in learned])
    name = hashlib.sha256(f"{FORMAT}/{records}/{plan.suite.revision}".encode()).hexdigest()[:12]
    return store.root / FOLDER / f"{variant}-{name}.json"


def write_overlaps(store: Store, plan: Plan, progress: Progress) -> None:
    """Compute what is missing: of each variant that is trained, and also of those that were trained before."""
    for members in plan.members.values():
        variant = members[0].name
        learned = learned_from(store, plan, variant)
        if learned is None or (path := path_of(store, plan, variant, learned)).exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        with progress.task(f"overlap of {variant}'s training set with {plan.suite.name}"):
            found = overlap(plan.suite, chain.from_iterable(training_texts(one) for one in learned))
        records = sha256_of([one.sha256 for one in learned])
        write_json(path, found.to_json() | {"variant": variant, "records": records})
        flagged = ", ".join(f"{len(found.flagged(method))} by {method}" for method in found.shares)
        progress.say(
            f"overlap of {variant}'s training set with {len(plan.suite.problems)} problems of {plan.suite.name}: "
            f"flagged are {flagged}; {len(found.duplicates)} duplicates"
        )


def read_overlap(store: Store, plan: Plan, variant: str) -> dict[str, Any] | None:
    """What `write_overlaps` wrote of a variant, without the table of problems; None where it is not there."""
    learned = learned_from(store, plan, variant)
    if learned is None or not (path := path_of(store, plan, variant, learned)).exists():
        return None
    found: dict[str, Any] = read_json(path)
    del found["problems"]
    return found | {"file": str(path.relative_to(store.root))}


# Decontamination: how much of a suite's problems stands in a training set.

__all__ = ["METHODS", "THRESHOLD", "Overlap", "overlap", "read_overlap", "training_texts", "write_overlaps"]
