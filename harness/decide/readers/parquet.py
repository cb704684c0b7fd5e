"""Results as Parquet, counted by column: ten million verdicts take seconds, and memory for nine bytes a row."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.harness.decide.naming import problem_id, suite_name, suite_of_id
from assay.harness.decide.readers.read import READERS
from assay.harness.decide.readers.source import Source
from assay.harness.decide.readers.tables import (
    COUNTED,
    MODEL,
    PROBLEM,
    SAMPLE,
    SUITE,
    TEXT,
    VERDICT,
    verdicts_of,
)
from assay.harness.decide.results import UNNAMED, Answer, Results
from assay.harness.errors import BadInputError
from assay.trainers.files import open_below, open_file

_BATCH = 1 << 20  # rows
_NONE, _FAILED, _PASSED = -1, 0, 1


@READERS.register("parquet")
def read_parquet(source: Source, /) -> list[Results]:
    """A table with the columns of `table`, or a run's `verdicts.parquet`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = source.path.is_dir()
    path = source.path / "verdicts.parquet" if folder else source.path
    try:
        with (
            os.fdopen(open_below(source.path, path.name) if folder else open_file(path), "rb") as opened,
            pq.ParquetFile(opened) as file,
        ):
            columns = _Columns.of(source, file.schema_arrow.names)
            for batch in file.iter_batches(_BATCH, columns=columns.read):
                columns.add(source, batch)
    except (OSError, pa.ArrowException) as error:
        raise BadInputError(f"{path}: cannot be read as Parquet ({error})") from error
    return columns.results(source)


@dataclass
class _Codes:
    """The numbers of a column's values, in the order in which they appear."""

    name: str | None
    numbers: dict[Any, int] = field(default_factory=dict)
    parts: list[NDArray[np.int32]] = field(default_factory=list)

    def add(self, batch: Any) -> None:
        if self.name is None:
            self.numbers.setdefault("", 0)
            self.parts.append(np.zeros(batch.num_rows, np.int32))
            return
        column = batch.column(self.name)
        column = column if hasattr(column, "dictionary") else column.dictionary_encode(null_encoding="encode")
        values = column.dictionary.to_pylist()
        local = [self.numbers.setdefault(value, len(self.numbers)) for value in values]
        self.parts.append(np.array(local, np.int32)[column.indices.to_numpy(zero_copy_only=False)])

    def all(self) -> NDArray[np.int32]:
        rows = np.concatenate(self.parts) if self.parts else np.zeros(0, np.int32)
        self.parts = [rows]
        return rows

    @property
    def values(self) -> list[str]:
        return ["" if value is None else str(value) for value in self.numbers]


@dataclass
class _Columns:
    """The columns that are read, as numbers, and the first answers of each problem where they are asked for."""

    model: _Codes
    suite: _Codes
    problem: _Codes
    verdict: str
    sample: str | None
    text: str | None
    read: list[str]
    verdicts: list[NDArray[np.int8]] = field(default_factory=list)
    samples: list[NDArray[np.int64]] = field(default_factory=list)
    answers: dict[tuple[str, str, str], dict[bool, Answer]] = field(default_factory=dict)
    rows: int = 0

    @classmethod
    def of(cls, source: Source, names: Sequence[str]) -> _Columns:
        def one(known: Sequence[str]) -> str | None:
            return next((name for name in known if name in names), None)

        problem, verdict = one(PROBLEM), one(VERDICT)
        if problem is None or verdict is None:
            missing = PROBLEM if problem is None else VERDICT
            raise source.error(
                "", f"has none of the columns {', '.join(missing)}; it has: {', '.join(names)}"
            )
        if verdict in COUNTED and {"count", "n"} & set(names):
            raise source.error("", "counts several samples in a row: write it as JSON Lines or CSV")
        model, suite, sample = one(MODEL), one(SUITE), one(SAMPLE)
        text = one(TEXT) if source.answers else None
        details = ["detail"] if text and "detail" in names else []
        read = [name for name in (model, suite, problem, verdict, sample, text) if name] + details
        return cls(_Codes(model), _Codes(suite), _Codes(problem), verdict, sample, text, read)

    def add(self, source: Source, batch: Any) -> None:
        for codes in (self.model, self.suite, self.problem):
            codes.add(batch)
        column = batch.column(self.verdict).dictionary_encode(null_encoding="encode")
        meanings = [self._meaning(source, value) for value in column.dictionary.to_pylist()]
        self.verdicts.append(np.array(meanings, np.int8)[column.indices.to_numpy(zero_copy_only=False)])
        if self.sample:
            samples = batch.column(self.sample)
            if samples.null_count or not str(samples.type).startswith(("int", "uint")):
                raise source.error(
                    "", f"column {self.sample!r} has to hold whole numbers, it is of type {samples.type}"
                )
            self.samples.append(samples.to_numpy(zero_copy_only=False).astype(np.int64))
        if self.text:
            for row in batch.to_pylist():
                self._keep(row)
        self.rows += batch.num_rows

    def _meaning(self, source: Source, value: Any) -> int:
        verdicts = verdicts_of({self.verdict: value})
        if isinstance(verdicts, str):
            raise source.error("", verdicts)
        return _NONE if verdicts.passes is None else verdicts.passes

    def _keep(self, row: dict[str, Any]) -> None:
        passes = verdicts_of({self.verdict: row[self.verdict]})
        if isinstance(passes, str) or passes.passes is None:
            return
        key = tuple(str(row[c.name]) if c.name else "" for c in (self.model, self.suite, self.problem))
        shown = self.answers.setdefault((key[0], key[1], key[2]), {})
        outcome = (
            row[self.verdict] if isinstance(row[self.verdict], str) else "pass" if passes.passes else "fail"
        )
        shown.setdefault(
            bool(passes.passes),
            Answer(str(row[self.text or ""] or ""), outcome, str(row.get("detail") or "")),
        )

    def results(self, source: Source) -> list[Results]:
        """Count the rows by model, suite and problem."""
        models, suites, problems = self.model.values, self.suite.values, self.problem.values
        problem, verdict = self.problem.all(), np.concatenate(self.verdicts or [np.zeros(0, np.int8)])
        group = self.model.all().astype(np.int64) * len(suites) + self.suite.all()
        cell = group * len(problems) + problem
        if self.samples:
            self._refuse_twice(source, cell)
        size = (len(models) * len(suites), len(problems))
        counts = [
            np.bincount(cell[verdict == kind], minlength=size[0] * size[1]).reshape(size)
            for kind in (_NONE, _FAILED, _PASSED)
        ]
        every = []
        for i in range(size[0]):
            present = np.flatnonzero(counts[0][i] + counts[1][i] + counts[2][i])
            if len(present):
                name = models[i // len(suites)], suites[i % len(suites)]
                every += self._results(
                    source, name, [problems[j] for j in present], [c[i, present] for c in counts]
                )
        return every

    def _results(
        self, source: Source, name: tuple[str, str], problems: list[str], counts: list[NDArray[np.int64]]
    ) -> list[Results]:
        """Return the results of one model and suite; of each known suite where the table names none."""
        named = suite_name(name[1])
        of = np.array([named or suite_of_id(p) or UNNAMED for p in problems])
        every = []
        for suite in dict.fromkeys(of.tolist()):
            rows = np.flatnonzero(of == suite)
            ids = tuple(problem_id(suite, problems[j]) for j in rows)
            if len(set(ids)) < len(ids):
                twice = next(p for n, p in enumerate(ids) if p in ids[:n])
                raise source.error("", f"calls problem {twice!r} by several names")
            answers = {
                p: tuple(kept.values())
                for p, j in zip(ids, rows, strict=True)
                if (kept := self.answers.get((*name, problems[j])))
            }
            none, failed, passed = (c[rows] for c in counts)
            every.append(
                Results(
                    name[0],
                    suite,
                    ids,
                    failed + passed,
                    passed,
                    none,
                    source.path,
                    "parquet",
                    answers=answers,
                )
            )
        return every

    def _refuse_twice(self, source: Source, cell: NDArray[np.int64]) -> None:
        """Raise BadInputError where a sample of a problem is there twice, as after a file was put together twice."""
        numbers = np.concatenate(self.samples)
        numbers -= numbers.min(initial=0)
        keys = cell * (numbers.max(initial=0) + 1) + numbers
        keys.sort()
        if (keys[1:] == keys[:-1]).any():
            raise source.error(
                "", f"some sample (column {self.sample!r}) of a problem is there a second time"
            )
