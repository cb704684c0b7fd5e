"""Read comparisons of two players at a time: rows `a`, `b`, `winner`, or a matrix of wins."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.harness.errors import BadInputError
from assay.harness.stats.pass_at_k import Floats
from assay.suites.jsonlines import LineError, read_objects

TIE = "tie"
MATRIX = ("names", "wins", "ties")
WON, TIED, LOST = 1.0, 0.5, 0.0
Ints = NDArray[np.intp]
Row = tuple[str, str, float, str | None]  # a, b, a's score, problem


@dataclass(frozen=True, slots=True)
class Matches:
    """Comparisons as columns of numbers.

    Row r stands for `times[r]` comparisons of players `first[r]` and `second[r]` (indices into `names`), in each of
    which the first scored `score[r]`, on the problem of number `problem[r]` (None where problems are not named).
    `ties_known` is false where ties are counted within the wins, half to each.
    """

    names: tuple[str, ...]
    first: Ints
    second: Ints
    score: Floats
    times: Floats
    problem: Ints | None = None
    ties_known: bool = True

    @property
    def n(self) -> int:
        """The number of comparisons."""
        return round(float(self.times.sum()))

    @property
    def n_problems(self) -> int | None:
        """The number of problems, where they are named."""
        return None if self.problem is None else len(np.unique(self.problem))

    def wins(self, times: Floats | None = None) -> Floats:
        """Return i's wins over j and half of their ties as [i, j], each row counted `times` times."""
        counted = self.times if times is None else times
        return self._table(self.first, self.second, counted * self.score) + self._table(
            self.second, self.first, counted * (1 - self.score)
        )

    def ties(self) -> Floats:
        """Return the ties of i and j as [i, j] and [j, i]."""
        half = self._table(self.first, self.second, self.times * (self.score == TIED))
        return half + half.T

    def _table(self, rows: Ints, columns: Ints, values: Floats) -> Floats:
        m = len(self.names)
        table = np.bincount(rows * m + columns, weights=values, minlength=m * m)
        return table.reshape(m, m).astype(np.float64)


def from_rows(rows: Sequence[Row]) -> Matches:
    """Return comparisons with players in order of appearance. Either every row names its problem or none."""
    if not rows:
        raise BadInputError("no comparison to rank by")
    names = list(dict.fromkeys(name for a, b, _, _ in rows for name in (a, b)))
    number = {name: i for i, name in enumerate(names)}
    problems = [problem for *_, problem in rows]
    known = {problem: i for i, problem in enumerate(dict.fromkeys(problems))}
    return Matches(
        tuple(names),
        np.array([number[a] for a, *_ in rows]),
        np.array([number[b] for _, b, *_ in rows]),
        np.array([score for _, _, score, _ in rows]),
        np.ones(len(rows)),
        None if None in known else np.array([known[problem] for problem in problems]),
    )


def from_table(names: Sequence[str], wins: Floats, ties: Floats | None = None) -> Matches:
    """Return the comparisons of a matrix of wins; `ties` (symmetric) stand apart, or within the wins as halves."""
    m = len(names)
    ties_known = ties is not None or bool((wins == np.round(wins)).all())
    first, second = np.nonzero(wins)
    columns = [(first, second, np.full(len(first), WON), wins[first, second])]
    if ties is not None:
        tied_a, tied_b = np.nonzero(np.triu(ties))
        columns.append((tied_a, tied_b, np.full(len(tied_a), TIED), ties[tied_a, tied_b]))
    if not sum(len(column[0]) for column in columns):
        raise BadInputError(f"no comparison to rank by: {m} names, and no wins or ties between them")
    a, b, score, times = (np.concatenate(parts) for parts in zip(*columns, strict=True))
    return Matches(tuple(names), a, b, score, times.astype(np.float64), None, ties_known)


def read_matches(path: Path) -> Matches:
    """Return the comparisons in a file, whose suffix decides the format: .csv, .jsonl(.gz) or .json.

    A row holds `a` and `b`, two different names, and `winner`, one of them or "tie"; an optional `problem` names the
    problem that they were compared on; other fields are ignored. A matrix is an object of `names`, `wins` (wins[i][j]:
    of i over j) and, if there were any, `ties`; without it, halves in `wins` are ties, half to each. Raises
    BadInputError with file, place, field and value.
    """
    kind = "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
    if kind == ".csv":
        return _of_rows(path, _csv(path))
    if kind in (".jsonl", ".jsonl.gz"):
        return _of_rows(path, _jsonl(path))
    if kind != ".json":
        raise BadInputError(
            f"{path}: comparisons are read from .csv, .json, .jsonl and .jsonl.gz, not {kind!r}"
        )
    value = _json(path)
    if isinstance(value, list):
        return _of_rows(path, ((f"entry {i}", row) for i, row in enumerate(value, start=1)))
    if isinstance(value, dict) and "names" in value:
        return _of_matrix(path, value)
    raise BadInputError(
        f"{path}: expected a list of rows or an object with {', '.join(map(repr, MATRIX[:2]))}, got {value!r:.80}"
    )


def _csv(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, skipinitialspace=True, strict=True)
            missing = [c for c in ("a", "b", "winner") if c not in (reader.fieldnames or ())]
            if missing:
                columns = ", ".join(map(repr, reader.fieldnames or ()))
                raise BadInputError(f"{path}, line 1: no column {missing[0]!r}; found {columns or 'none'}")
            for row in reader:
                if None in row:
                    more = row[None]
                    raise BadInputError(
                        f"{path}, line {reader.line_num}: {len(more)} values too many, from {more[0]!r:.80} on"
                    )
                # an empty cell counts as missing
                yield f"line {reader.line_num}", {k: v.strip() for k, v in row.items() if v and v.strip()}
    except csv.Error as error:
        raise BadInputError(f"{path}, line {reader.reader.line_num}: {error}") from error
    except UnicodeDecodeError as error:
        raise BadInputError(f"{path}: not UTF-8 ({error})") from error


def _jsonl(path: Path) -> Iterator[tuple[str, Any]]:
    for number, row in read_objects(path):
        if isinstance(row, LineError):
            raise BadInputError(str(row))
        yield f"line {number}", row


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"{path}: not JSON ({error})") from error


def _of_rows(path: Path, places: Iterable[tuple[str, Any]]) -> Matches:
    rows: list[Row] = []
    begun = ""
    for place, value in places:
        rows.append(_row(f"{path}, {place}", value))
        begun = begun or place
        if (rows[-1][3] is None) != (rows[0][3] is None):
            with_it, without = (begun, place) if rows[0][3] is not None else (place, begun)
            raise BadInputError(f"{path}: field 'problem' is missing in {without}, and {with_it} has it")
    if not rows:
        raise BadInputError(f"{path}: holds no comparison")
    return from_rows(rows)


def _row(where: str, row: Any) -> Row:
    if not isinstance(row, dict):
        raise BadInputError(f"{where}: expected an object, got {row!r:.80}")
    a, b, winner = (_name(where, row, field) for field in ("a", "b", "winner"))
    if a == b:
        raise BadInputError(f"{where}: fields 'a' and 'b' are both {a!r:.80}; a comparison is of two")
    if TIE in (a, b):
        raise BadInputError(f"{where}: {TIE!r} is the 'winner' of a draw; it cannot be a name")
    if winner not in (a, b, TIE):
        raise BadInputError(f"{where}: field 'winner' is {winner!r:.80}, not {a!r:.80}, {b!r:.80} or {TIE!r}")
    problem = row.get("problem")
    if problem is not None and (isinstance(problem, bool) or not isinstance(problem, str | int)):
        raise BadInputError(
            f"{where}: field 'problem' is neither a string nor a whole number: {problem!r:.80}"
        )
    score = TIED if winner == TIE else WON if winner == a else LOST
    return a, b, score, None if problem is None else str(problem)


def _name(where: str, row: dict[str, Any], field: str) -> str:
    value = row.get(field)
    if value is None:
        raise BadInputError(f"{where}: field {field!r} is missing")
    if not isinstance(value, str) or not value.strip():
        raise BadInputError(f"{where}: field {field!r} is not a name: {value!r:.80}")
    return value


def _of_matrix(path: Path, value: dict[str, Any]) -> Matches:
    unknown = [key for key in value if key not in MATRIX]
    if unknown:
        raise BadInputError(f"{path}: unknown field {unknown[0]!r}; known: {', '.join(MATRIX)}")
    names = value["names"]
    if not isinstance(names, list) or len(names) < 2:
        raise BadInputError(f"{path}: field 'names' is not a list of two names or more: {names!r:.80}")
    for i, name in enumerate(names):
        if not isinstance(name, str) or not name.strip() or name in names[:i]:
            raise BadInputError(f"{path}: field 'names[{i}]' is not a name of its own: {name!r:.80}")
    wins = _square(path, "wins", value.get("wins"), len(names))
    if value.get("ties") is None:
        _check_counts(path, "wins", wins, unit=0.5)
        for i, j in np.argwhere((wins + wins.T) % 1 != 0):
            raise BadInputError(
                f"{path}: fields 'wins[{i}][{j}]' and 'wins[{j}][{i}]' are {wins[i, j]:g} and {wins[j, i]:g}: a tie "
                "gives half a win to each"
            )
        return from_table(names, wins)
    ties = _square(path, "ties", value["ties"], len(names))
    _check_counts(path, "wins", wins)
    _check_counts(path, "ties", ties)
    for i, j in np.argwhere(ties != ties.T):
        raise BadInputError(
            f"{path}: fields 'ties[{i}][{j}]' and 'ties[{j}][{i}]' differ: {ties[i, j]:g} and {ties[j, i]:g}"
        )
    return from_table(names, wins, ties)


def _check_counts(path: Path, field: str, counts: Floats, unit: float = 1.0) -> None:
    for i, j in np.argwhere(counts % unit != 0):
        suffix = "" if unit == 1 else ", or with halves for ties"
        raise BadInputError(
            f"{path}: field '{field}[{i}][{j}]' is {counts[i, j]:g}, not a whole count{suffix}"
        )


def _square(path: Path, field: str, rows: Any, m: int) -> Floats:
    if not isinstance(rows, list) or len(rows) != m:
        raise BadInputError(f"{path}: field {field!r} is not a list of {m} rows, one a name: {rows!r:.80}")
    for i, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != m:
            raise BadInputError(f"{path}: field '{field}[{i}]' is not a list of {m} counts: {row!r:.80}")
        for j, count in enumerate(row):
            number = not isinstance(count, bool) and isinstance(count, int | float)
            if i == j and count in (None, 0):  # nobody plays against itself
                continue
            if not number or not 0 <= count < 2**53 or not math.isfinite(count):
                raise BadInputError(f"{path}: field '{field}[{i}][{j}]' is not a count: {count!r:.80}")
            if i == j:
                raise BadInputError(
                    f"{path}: field '{field}[{i}][{j}]' is {count!r}; nobody is compared with itself"
                )
    return np.array([[0.0 if x is None else x for x in row] for row in rows], dtype=np.float64)
