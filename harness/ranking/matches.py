"""Comparisons of two players at a time, as columns of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.errors import BadInputError
from harness.stats.estimate import Floats

Ints = NDArray[np.intp]
WON, TIED, LOST = 1.0, 0.5, 0.0


@dataclass(frozen=True, slots=True)
class Matches:
    """Row r stands for `times[r]` comparisons of players `first[r]` and `second[r]` (numbers in `names`), in each of
    which the first scored `score[r]`. `problem[r]` numbers what they were compared on; None where nothing says.
    `ties_known` is false where ties are counted within the wins, half to each."""

    names: tuple[str, ...]
    first: Ints
    second: Ints
    score: Floats
    times: Floats
    problem: Ints | None = None
    ties_known: bool = True

    @property
    def n(self) -> int:
        """Comparisons."""
        return round(float(self.times.sum()))

    @property
    def n_problems(self) -> int | None:
        return None if self.problem is None else len(np.unique(self.problem))

    def wins(self, times: Floats | None = None) -> Floats:
        """wins[i, j]: i's wins over j and half of their ties, each row counted `times` times."""
        counted = self.times if times is None else times
        return self._table(self.first, self.second, counted * self.score) + self._table(
            self.second, self.first, counted * (1 - self.score)
        )

    def ties(self) -> Floats:
        """ties[i, j] = ties[j, i]."""
        half = self._table(self.first, self.second, self.times * (self.score == TIED))
        return half + half.T

    def _table(self, rows: Ints, columns: Ints, values: Floats) -> Floats:
        m = len(self.names)
        found = np.bincount(rows * m + columns, weights=values, minlength=m * m)
        return found.reshape(m, m).astype(np.float64)


def from_rows(rows: Sequence[tuple[str, str, float, str | None]]) -> Matches:
    """Of (a, b, a's score, problem); players in order of appearance. Either every row names its problem or none."""
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
    """Of a matrix of wins; `ties` (symmetric) apart, or within the wins as halves."""
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
