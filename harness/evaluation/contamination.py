"""n-gram overlap of training texts with a suite, problem by problem.

A problem is its statement (its lead and prompt, where it has none) followed by its canonical solution. Its overlap is
the share of its distinct n-grams that occur in some training text; a problem with fewer than n tokens is one n-gram of
its own length, so that the fewer they are the likelier it occurs by chance. Two kinds of n-gram:

- `words-13`: 13 words (letters, digits, underscores), lower case, punctuation left out, as GPT-3 did (Brown et al.
  2020, arXiv 2005.14165, appendix C).
- `code-10`: 10 tokens of code, punctuation and operators included, lower case, blanks and line ends left out: it sees
  copied code that is mostly punctuation, and the same code in another layout.

A problem is flagged when its overlap by a kind is at least THRESHOLD. A duplicate is a training text that holds the
whole prompt, the whole solution or both in a row, token by token; parts of fewer than 10 tokens are not looked for.

Texts stream: memory is the suite's n-grams and one block of tokens. n-grams are compared by 64-bit hashes (Σ over
random words; at 10^9 training n-grams and 10^5 of the suite, one false match is expected in 10^5 runs).
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from assay.suites import Problem, Suite

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Words = NDArray[np.uint64]

METHODS = {"words-13": 13, "code-10": 10}
THRESHOLD = 0.01
SHOWN = 10
_TOKEN = re.compile(r"\w+|[^\w\s]")
_BLOCK = 1 << 18  # tokens hashed at a time
# Ids of a text's end, and of a word and a mark that no problem has. Words are odd, marks even.
_END, _WORD, _MARK = 0, 1, 2
_PARTS = ("prompt and solution", "solution", "prompt")


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A training text that holds a whole part of a problem."""

    task_id: str
    part: str
    source: str


@dataclass(frozen=True)
class Overlap:
    """The overlap of a training set with a suite. `shares` maps a method to each problem's overlap."""

    suite: str
    suite_revision: str
    n_texts: int
    n_tokens: int
    shares: dict[str, dict[str, float]]
    duplicates: tuple[Duplicate, ...]
    seconds: float

    def flagged(self, method: str) -> list[str]:
        """Problems at or above THRESHOLD, the worst first."""
        shares = self.shares[method]
        return sorted((task for task in shares if shares[task] >= THRESHOLD), key=lambda task: -shares[task])

    def summary(self) -> dict[str, Any]:
        """Return the figures that a report shows."""
        return {
            "suite": self.suite,
            "suite_revision": self.suite_revision,
            "n_problems": len(next(iter(self.shares.values()))),
            "n_texts": self.n_texts,
            "n_tokens": self.n_tokens,
            "threshold": THRESHOLD,
            "methods": {method: self._method(method) for method in self.shares},
            "n_duplicates": len(self.duplicates),
            "duplicates": [asdict(duplicate) for duplicate in self.duplicates[:SHOWN]],
            "seconds": round(self.seconds, 3),
        }

    def _method(self, method: str) -> dict[str, Any]:
        shares, flagged = self.shares[method], self.flagged(method)
        return {
            "n": METHODS[method],
            "n_flagged": len(flagged),
            "mean": sum(shares.values()) / len(shares) if shares else 0.0,
            "worst": [{"task_id": task, "share": shares[task]} for task in flagged[:SHOWN]],
        }

    def to_json(self) -> dict[str, Any]:
        """The summary, and each problem's overlap."""
        duplicate = {d.task_id: d.part for d in reversed(self.duplicates)}
        tasks = next(iter(self.shares.values()))
        return self.summary() | {
            "problems": [
                {"task_id": task, "duplicate": duplicate.get(task)}
                | {method: round(shares[task], 6) for method, shares in self.shares.items()}
                for task in tasks
            ]
        }


class _Ids(dict[str, int]):
    """64-bit words for the suite's own tokens; of any other token only its kind, word or mark, is kept."""

    def __missing__(self, token: str) -> int:
        return _WORD if _is_word(token) else _MARK

    def learn(self, tokens: Iterable[str]) -> None:
        for token in tokens:
            if token not in self:
                digest = hashlib.blake2b(token.encode(), digest_size=8).digest()
                self[token] = int.from_bytes(digest) & ~1 | 0xF0 | _is_word(token)


def _is_word(token: str) -> bool:
    return token[0].isalnum() or token[0] == "_"


def tokens_of(text: str) -> list[str]:
    return _TOKEN.findall(text.encode("utf-8", "replace").decode("utf-8").lower())


def overlap(suite: Suite, texts: Iterable[tuple[str, str]]) -> Overlap:
    """`texts` yields (where it came from, the text); read once, in order."""
    began = time.perf_counter()
    index = _Index(suite)
    n_texts = n_tokens = 0
    for block in _blocks(texts):
        n_texts += len(block)
        n_tokens += index.mark(block)
    return Overlap(
        suite.name,
        suite.revision,
        n_texts,
        n_tokens,
        index.shares(),
        tuple(index.duplicates),
        time.perf_counter() - began,
    )


def _blocks(texts: Iterable[tuple[str, str]]) -> Iterator[list[tuple[str, list[str]]]]:
    """Tokenised texts, about _BLOCK tokens at a time."""
    block: list[tuple[str, list[str]]] = []
    size = 0
    for source, text in texts:
        block.append((source, tokens_of(text)))
        size += len(block[-1][1])
        if size >= _BLOCK:
            yield block
            block, size = [], 0
    if block:
        yield block


class _Index:
    """The suite's n-grams, and which of them were seen."""

    def __init__(self, suite: Suite) -> None:
        import numpy as np

        self._ids = _Ids()
        self._tasks = [problem.id for problem in suite.problems]
        self.duplicates: list[Duplicate] = []
        self._known_duplicates: set[tuple[str, str]] = set()
        bodies = [tokens_of(_wording(p) + p.canonical_solution) for p in suite.problems]
        for tokens in bodies:
            self._ids.learn(tokens)
        # Of a method and a length: that of the method, and less for the problems that are shorter.
        self._grams: dict[tuple[str, int], Words] = {}
        self._seen: dict[tuple[str, int], NDArray[np.bool_]] = {}
        self._of: dict[str, list[tuple[int, Words]]] = {}
        for method, most in METHODS.items():
            arrays = [_used(self._array(tokens), method) for tokens in bodies]
            lengths = [min(most, len(ids)) for ids in arrays]
            own = [np.unique(_rolling(ids, n)[0]) for ids, n in zip(arrays, lengths, strict=True)]
            self._of[method] = list(zip(lengths, own, strict=True))
            for n in {*lengths} - {0}:
                grams = np.unique(np.concatenate([g for length, g in self._of[method] if length == n]))
                self._grams[method, n] = grams
                self._seen[method, n] = np.zeros(len(grams), bool)
        self._parts = self._starts(suite.problems)

    def _array(self, tokens: list[str]) -> Words:
        import numpy as np

        return np.fromiter(map(self._ids.__getitem__, tokens), np.uint64, len(tokens))

    def _starts(self, problems: Iterable[Problem]) -> dict[int, list[tuple[str, str, list[str]]]]:
        """Parts that a duplicate would hold, by the hash of their first code-10 n-gram."""
        n = METHODS["code-10"]
        starts: dict[int, list[tuple[str, str, list[str]]]] = {}
        for problem in problems:
            wording = _wording(problem)
            wholes = (wording + problem.canonical_solution, problem.canonical_solution, wording)
            for part, text in zip(_PARTS, wholes, strict=True):
                tokens = tokens_of(text)
                if len(tokens) >= n and (part != _PARTS[0] or problem.canonical_solution):
                    start = int(_rolling(self._array(tokens[:n]), n)[0][0])
                    starts.setdefault(start, []).append((problem.id, part, tokens))
        return starts

    def mark(self, block: list[tuple[str, list[str]]]) -> int:
        """Note which of the suite's n-grams, and which whole parts, stand in these texts. Returns their tokens."""
        import numpy as np

        end = np.zeros(1, np.uint64)
        arrays = [part for _, tokens in block for part in (self._array(tokens), end)]
        ids = np.concatenate(arrays)
        used = {method: _used(ids, method) for method in METHODS}
        for (method, n), known in self._grams.items():
            hashes, ok = _rolling(used[method], n)
            hashes = hashes[ok]
            places = np.searchsorted(known, hashes)
            places[places == len(known)] = 0
            self._seen[method, n][places[known[places] == hashes]] = True
        self._find_duplicates(block, ids)
        return len(ids) - len(block)

    def _find_duplicates(self, block: list[tuple[str, list[str]]], ids: Words) -> None:
        import numpy as np

        n = METHODS["code-10"]
        if len(ids) < n or not self._parts:
            return
        hashes, ok = _rolling(ids, n)
        starts = np.array(sorted(self._parts), np.uint64)
        places = np.searchsorted(starts, hashes)
        places[places == len(starts)] = 0
        hits = np.flatnonzero((starts[places] == hashes) & ok)
        if not len(hits):
            return
        begins = np.cumsum([0, *(len(tokens) + 1 for _, tokens in block)])
        for at in hits.tolist():
            text = int(np.searchsorted(begins, at, side="right")) - 1
            (source, tokens), start = block[text], at - int(begins[text])
            for task, part, other in self._parts[int(hashes[at])]:
                same = tokens[start : start + len(other)] == other
                if same and (task, part) not in self._known_duplicates:
                    self._known_duplicates.add((task, part))
                    self.duplicates.append(Duplicate(task, part, source))

    def shares(self) -> dict[str, dict[str, float]]:
        import numpy as np

        def share(method: str, n: int, grams: Words) -> float:
            seen = self._seen[method, n][np.searchsorted(self._grams[method, n], grams)] if n else np.zeros(1)
            return float(seen.mean())

        return {
            method: {task: share(method, *grams) for task, grams in zip(self._tasks, own, strict=True)}
            for method, own in self._of.items()
        }


def _wording(problem: Problem) -> str:
    """The task itself, without what a style says of every problem."""
    return f"{problem.statement}\n" if problem.statement else problem.lead + problem.prompt


def _used(ids: Words, method: str) -> Words:
    """Return the tokens that a method's n-grams are made of: `words` leave marks out."""
    import numpy as np

    if not method.startswith("words"):
        return ids
    words: Words = ids[(ids & np.uint64(1)).astype(bool) | (ids == _END)]
    return words


def _rolling(ids: Words, n: int) -> tuple[Words, NDArray[np.bool_]]:
    """The hash of each run of n ids, and whether all of them are the suite's own (so that none is a text's end)."""
    import numpy as np

    count = len(ids) - n + 1
    if n < 1 or count < 1:
        return np.zeros(0, np.uint64), np.zeros(0, bool)
    hashes = np.zeros(count, np.uint64)
    factor = np.uint64(0x9E3779B97F4A7C15)
    with np.errstate(over="ignore"):
        for offset in range(n):
            hashes = hashes * factor + ids[offset : offset + count]
    foreign = np.cumsum(np.concatenate([[0], ids <= _MARK]))
    return hashes, foreign[n:] == foreign[:-n]
