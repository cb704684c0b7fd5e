"""Results of our own runs: a run's folder, with its verdicts, prompts and answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from assay.harness.decide.history import suite_of
from assay.harness.decide.readers.read import READERS
from assay.harness.decide.readers.source import Source
from assay.harness.decide.results import Answer, Collector, Results
from assay.harness.leaderboard.schema import read_leaderboard
from assay.sandbox.model import Outcome

_EXECUTE, _GENERATE = "execute-", "generate-"


@READERS.register("run")
def read_run(source: Source, /) -> list[Results]:
    """A run's folder, which `assay run` and `assay eval` leave: every variant that was executed is a model.

    A variant that was trained with several seeds is one model for each: `tuned.s0`, `tuned.s1`.
    """
    import json

    board = read_leaderboard(json.loads((source.path / "leaderboard.json").read_text(encoding="utf-8")))
    suite = suite_of(board)
    collector = source.collector("run")
    collector.versions[suite] = board.suite.revision
    steps = {step.name: source.path.parent / "steps" / f"{step.name}-{step.id}" for step in board.steps}
    for name, folder in steps.items():
        if not name.startswith(_EXECUTE):
            continue
        variant = name.removeprefix(_EXECUTE)
        if not (folder / "verdicts.parquet").is_file():
            raise source.error("", f"the verdicts of {variant!r} are not in {folder}: was the step removed?")
        prompts = _prompts(steps.get(f"{_GENERATE}{variant}"))
        for row in _rows(
            folder / "verdicts.parquet", ("problem_id", "index", "outcome", "program", "detail")
        ):
            _add(collector, variant, suite, row, prompts)
    return collector.results()


def _add(
    collector: Collector, variant: str, suite: str, row: dict[str, Any], prompts: dict[str, str]
) -> None:
    outcome = row["outcome"]
    collector.add(
        row["problem_id"],
        None if outcome == Outcome.INFRA.value else outcome == Outcome.PASS.value,
        model=variant,
        suite=suite,
        prompt=prompts.get(row["problem_id"], ""),
        answer=lambda: Answer(row["program"] or "", outcome, row["detail"] or ""),
    )


def _prompts(folder: Path | None) -> dict[str, str]:
    """Return the prompt of each problem, as the model got it."""
    if folder is None or not (folder / "samples.parquet").is_file():
        return {}
    return {
        row["problem_id"]: row["prompt"]
        for row in _rows(folder / "samples.parquet", ("problem_id", "prompt"))
    }


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=list(columns)):
            yield from batch.to_pylist()
