"""The baseline file of a gate: what was measured, where, by which version; written once, reviewed, and committed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from assay.harness.decide.measurements import Measurements
from assay.harness.decide.naming import place
from assay.harness.decide.readers.read import READERS
from assay.harness.decide.readers.source import Source
from assay.harness.decide.results import Results
from assay.harness.errors import BadInputError
from assay.trainers.files import write_text

FORMAT = 1


def write_baseline(
    path: Path, results: Sequence[Results], measurements: Measurements, note: str = ""
) -> None:
    """Write the verdicts of one model, one line a problem, so that a review shows what changed."""
    models = list(dict.fromkeys(r.model for r in results))
    if len(models) != 1:
        raise BadInputError(f"a baseline is of one model, not of {len(models)}: choose one as FILE:NAME")
    head = {
        "assay_baseline": FORMAT,
        "assay": version("assay"),
        "updated": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "note": note,
        "model": models[0],
        "from": sorted({r.path.name for r in results}),
        "measurements": measurements.to_json(),
    }
    suites = []
    for one in results:
        facts = {"suite": one.suite, "version": one.version, "sampling": one.sampling, "format": one.format}
        counts = zip(
            one.problems, one.passed.tolist(), one.samples.tolist(), one.unmeasured.tolist(), strict=True
        )
        ordered = sorted(counts, key=lambda row: place(row[0]))
        rows = ",\n   ".join(f"{json.dumps(p)}: {json.dumps(row)}" for p, *row in ordered)
        suites.append(f'{json.dumps(facts)[:-1]},\n  "problems": {{\n   {rows}}}}}')
    body = json.dumps(head, indent=1)[:-2]
    write_text(
        path,
        f'{body},\n "counts": ["passed", "samples", "without a verdict"],\n "suites": [\n  '
        + ",\n  ".join(suites)
        + "]}\n",
    )


def is_baseline(value: Any) -> bool:
    return isinstance(value, dict) and "assay_baseline" in value


@READERS.register("baseline")
def read_baseline(source: Source, /) -> list[Results]:
    """The file that `assay baseline update` wrote."""
    value = source.json
    collector = source.collector("baseline")
    if not is_baseline(value) or value["assay_baseline"] != FORMAT:
        raise source.error("", f"is not a baseline of format {FORMAT}: write it by assay baseline update")
    formats: dict[str, str] = {}
    try:
        for suite in value["suites"]:
            name = str(suite["suite"])
            formats[name] = str(suite.get("format", "baseline"))
            collector.versions[name] = str(suite.get("version", ""))
            collector.sampling = str(suite.get("sampling", ""))
            for problem, (passed, samples, unmeasured) in suite["problems"].items():
                if not 0 <= passed <= samples or unmeasured < 0:
                    raise ValueError(f"{problem}: {passed} of {samples} passed")
                _add(collector, problem, str(value["model"]), name, (passed, samples, unmeasured))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise source.error("", f"cannot be read as a baseline ({error!r})") from error
    return [replace(one, format=formats.get(one.suite, "baseline")) for one in collector.results()]


def _add(collector: Any, problem: str, model: str, suite: str, counts: tuple[int, int, int]) -> None:
    passed, samples, unmeasured = counts
    if samples:
        collector.add(problem, True, model=model, suite=suite, samples=samples, passes=passed)
    if unmeasured or not samples:
        collector.add(problem, None, model=model, suite=suite, samples=unmeasured)


def measurements_of(path: Path) -> Measurements:
    """Return the measurements of a baseline file; none where the file is no baseline."""
    if path.is_dir() or path.suffix != ".json":
        return Measurements()
    value = Source(path).json
    return (
        Measurements.from_json(value.get("measurements", {}), str(path))
        if is_baseline(value)
        else Measurements()
    )
