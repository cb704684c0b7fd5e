"""Results of our own runs: a run's folder, with its verdicts, prompts and answers."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from assay.harness.decide.history import sampling_of, suite_of
from assay.harness.decide.readers.read import READERS
from assay.harness.decide.readers.source import Source
from assay.harness.decide.results import Answer, Collector, Results
from assay.harness.errors import BadInputError
from assay.harness.files import read_json
from assay.harness.leaderboard.schema import Leaderboard, read_leaderboard
from assay.harness.pipeline.seals import check_files, strangeness
from assay.harness.pipeline.store import STEP_FILE
from assay.sandbox.model import Outcome
from assay.trainers.files import open_below

_NAME = re.compile(r"[^/\x00.][^/\x00]*")  # one part of a path
TABLE = "verdicts.parquet"
_OUTCOMES = {outcome.value for outcome in Outcome}
SHOWN = 3  # variants that a note lists
_EXECUTE, _GENERATE = "execute-", "generate-"


@READERS.register("run")
def read_run(source: Source, /) -> list[Results]:
    """A run's folder, which `assay run` and `assay eval` leave: every variant that was executed is a model.

    A variant that was trained with several seeds is one model for each: `tuned.s0`, `tuned.s1`.
    """
    board = read_leaderboard(read_json(Path("leaderboard.json"), source.path))
    suite = suite_of(board)
    collector = source.collector("run")
    collector.versions[suite], collector.sampling = board.suite.revision, sampling_of(board)
    steps, folders, executed = _folders(source, board)
    removed = [v for v, folder in executed.items() if not (steps / folder / TABLE).is_file()]
    if removed or not executed:
        return _read_run_table(source, collector, suite, removed)
    strange: dict[str, list[str]] = {}
    for variant, folder in executed.items():
        if reason := _not_own(steps, folder):
            strange.setdefault(reason, []).append(variant)
        prompts = _prompts(steps, folders.get(f"{_GENERATE}{variant}"))
        columns = ("problem_id", "outcome", "program", "detail")
        for row in table_rows(steps, f"{folder}/{TABLE}", columns):
            _add(collector, variant, suite, row, prompts)
    for reason, variants in strange.items():
        more = f" and {len(variants) - SHOWN} more" if len(variants) > SHOWN else ""
        names = ", ".join(variants[:SHOWN]) + more
        collector.notes.append(f"the verdicts of {names} are taken as they are: {reason}")
    return collector.results()


def _folders(source: Source, board: Leaderboard) -> tuple[Path, dict[str, str], dict[str, str]]:
    """Return where a run's steps are, the folder of each, and that of the verdicts of each variant."""
    steps = source.path.parent / "steps"
    folders = {step.name: _own(source, steps, f"{step.name}-{step.id}") for step in board.steps}
    executed = {name.removeprefix(_EXECUTE): f for name, f in folders.items() if name.startswith(_EXECUTE)}
    return steps, folders, executed


class StepTables(NamedTuple):
    """The tables of one variant, as paths below `steps`; `strangeness` says why its verdicts are not this user's own
    work as it is, and is empty where they are."""

    variant: str
    steps: Path
    verdicts: str
    samples: str | None
    strangeness: str


def tables_of(source: Source, board: Leaderboard) -> Iterator[StepTables]:
    """Yield the tables of each variant that was executed. Raises BadInputError for one that is missing or changed."""
    steps, folders, executed = _folders(source, board)
    for variant, folder in executed.items():
        if not (steps / folder / TABLE).is_file():
            raise source.error("", f"the verdicts of {variant!r} are not in its steps: was the step removed?")
        drawn = folders.get(f"{_GENERATE}{variant}")
        samples = None if drawn is None else f"{drawn}/samples.parquet"
        there = samples is not None and (steps / samples).is_file()
        yield StepTables(
            variant, steps, f"{folder}/{TABLE}", samples if there else None, _not_own(steps, folder)
        )


def _read_run_table(source: Source, collector: Collector, suite: str, removed: list[str]) -> list[Results]:
    """Return the verdicts that stand beside a run's leaderboard, where its steps are gone: no programs, no prompts."""
    if not (source.path / TABLE).is_file():
        gone = (
            f"the verdicts of {removed[0]!r} are not in its steps: was the step removed?"
            if removed
            else "no step"
        )
        raise source.error("", f"{gone} There is no {TABLE} beside its leaderboard either")
    columns = ("variant", "training_seed", "problem_id", "outcome")
    for row in table_rows(source.path, TABLE, columns):
        seed = row["training_seed"]
        variant = row["variant"] if seed is None else f"{row['variant']}.s{seed}"
        _add(collector, variant, suite, row | {"program": "", "detail": ""}, {})
    collector.notes.append(
        f"the steps of {source.path} are gone: verdicts are those of its {TABLE}, as they are"
    )
    return collector.results()


def _add(
    collector: Collector, variant: str, suite: str, row: dict[str, Any], prompts: dict[str, str]
) -> None:
    outcome = row["outcome"]
    if outcome not in _OUTCOMES:
        raise BadInputError(
            f"{collector.path}: {outcome!r:.80} is no outcome: {', '.join(sorted(_OUTCOMES))}"
        )
    collector.add(
        str(row["problem_id"]),
        None if outcome == Outcome.INFRA.value else outcome == Outcome.PASS.value,
        model=variant,
        suite=suite,
        prompt=prompts.get(row["problem_id"], ""),
        answer=None if not row["program"] else lambda: Answer(row["program"], outcome, row["detail"] or ""),
    )


def _own(source: Source, steps: Path, folder: str) -> str:
    """Return the name of a step's folder; of the one beside it that it is a link to, as a step done before is.

    A leaderboard.json may be somebody else's: no name and no link leads out of the run's own steps.
    """
    if not _NAME.fullmatch(folder):
        raise source.error("", f"step {folder!r:.80} has no name that a step can have")
    if not (steps / folder).is_symlink():
        return folder
    target = os.readlink(steps / folder)
    if not _NAME.fullmatch(target):
        raise source.error("", f"{steps / folder} is a link to {target!r:.80}, which is no other step")
    return target


def _not_own(steps: Path, folder: str) -> str:
    """Return why a step's verdicts are not this user's own work as it is; empty where they are.

    Raises BadInputError where a file of the step is not the one that it wrote.
    """
    if not (steps / folder / STEP_FILE).is_file():
        return f"they have no record ({STEP_FILE})"
    record = read_json(Path(folder) / STEP_FILE, steps)
    if not isinstance(record, dict):
        raise BadInputError(f"{steps / folder / STEP_FILE} is not a step's record")
    check_files(steps / folder, record)
    return strangeness(steps / folder, record)


def _prompts(steps: Path, folder: str | None) -> dict[str, str]:
    """Return the prompt of each problem, as the model got it."""
    if folder is None or not (steps / folder / "samples.parquet").is_file():
        return {}
    rows = table_rows(steps, f"{folder}/samples.parquet", ("problem_id", "prompt"))
    return {row["problem_id"]: row["prompt"] for row in rows}


def table_rows(
    steps: Path, name: str, columns: tuple[str, ...], optional: tuple[str, ...] = ()
) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table below a folder, with those of the `optional` columns that it has."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with os.fdopen(open_below(steps, name), "rb") as opened, pq.ParquetFile(opened) as file:
            if missing := [c for c in columns if c not in file.schema_arrow.names]:
                raise BadInputError(f"{steps / name}: has no column {missing[0]!r}")
            more = [column for column in optional if column in file.schema_arrow.names]
            for batch in file.iter_batches(columns=[*columns, *more]):
                yield from batch.to_pylist()
    except pa.ArrowException as error:
        raise BadInputError(f"{steps / name}: cannot be read as Parquet ({error})") from error
