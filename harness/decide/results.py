"""What a result file says: the verdicts of one model on one suite, counted by problem."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.harness.decide.naming import problem_id, suite_of_id

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]
UNNAMED = "problems"  # the suite of a file that names none and whose ids are no known suite's


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer with its verdict, for a person to read. `text` is a program where the file has one."""

    text: str
    outcome: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Results:
    """The verdicts of one model on one suite.

    `problems` are ids after the suite's normalisation. `samples` counts those with a verdict, `passed` those that
    passed, `unmeasured` those without a verdict (infra), each with shape (problems,). `version` is whatever the
    file says of the suite's version, `sampling` of how answers were drawn, `prompts` a text that two equal prompts
    have in common, by problem; they are empty where the file does not say. `only_passed` marks a file that lists
    what passed and not what was tried. `answers` are one that passed and one that did not, of each problem that has
    them.
    """

    model: str
    suite: str
    problems: tuple[str, ...]
    samples: Counts
    passed: Counts
    unmeasured: Counts
    path: Path
    format: str
    version: str = ""
    sampling: str = ""
    only_passed: bool = False
    notes: tuple[str, ...] = ()
    prompts: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[str, tuple[Answer, ...]] = field(default_factory=dict)

    @property
    def rates(self) -> Floats:
        """The share of each problem's samples that passed; NaN without a verdict."""
        with np.errstate(invalid="ignore"):
            return np.where(self.samples > 0, self.passed / np.maximum(self.samples, 1), np.nan)

    @property
    def counts(self) -> list[tuple[int, int]]:
        """(samples, passing samples) of the problems that have a verdict."""
        measured = self.samples > 0
        pairs = zip(self.samples[measured].tolist(), self.passed[measured].tolist(), strict=True)
        return list(pairs)


@dataclass
class _Counter:
    """The counts of one model on one suite while its file is read."""

    samples: dict[str, int] = field(default_factory=dict)
    passed: dict[str, int] = field(default_factory=dict)
    unmeasured: dict[str, int] = field(default_factory=dict)
    prompts: dict[str, str] = field(default_factory=dict)
    answers: dict[str, dict[bool, Answer]] = field(default_factory=dict)


class Collector:
    """Counts verdicts that a reader gives one by one, by model and suite in the order in which they appear."""

    def __init__(self, path: Path, form: str, *, answers: bool) -> None:
        self.path, self.format, self.keep_answers = path, form, answers
        self.notes: list[str] = []
        self.versions: dict[str, str] = {}  # by suite
        self.sampling = ""
        self._counters: dict[tuple[str, str], _Counter] = {}
        self._suites: dict[tuple[str, str], str] = {}

    def add(
        self,
        problem: str,
        passed: bool | None,
        *,
        model: str = "",
        suite: str = "",
        prompt: str = "",
        answer: Callable[[], Answer] | None = None,
        samples: int = 1,
        passes: int | None = None,
    ) -> None:
        """Count `samples` verdicts on a problem, of which `passes` passed; `passed` None is no verdict.

        `suite` is a name of `naming.suite_name`, or empty for the one that the id belongs to.
        """
        suite = suite or suite_of_id(problem) or UNNAMED
        name = _storable(problem_id(suite, problem))
        counter = self._counters.setdefault((model, suite), _Counter())
        counter.samples.setdefault(name, 0)
        counter.passed.setdefault(name, 0)
        if prompt:
            counter.prompts.setdefault(name, prompt)
        if passed is None:
            counter.unmeasured[name] = counter.unmeasured.get(name, 0) + samples
            return
        counter.samples[name] += samples
        counter.passed[name] += samples * passed if passes is None else passes
        if self.keep_answers and answer is not None:
            shown = counter.answers.setdefault(name, {})
            if passed not in shown:
                shown[passed] = answer()

    def results(self, *, only_passed: bool = False) -> list[Results]:
        """Return what was counted, one for each model and suite."""
        every = []
        for (model, suite), counter in self._counters.items():
            problems = tuple(counter.samples)
            every.append(
                Results(
                    model=_storable(model),
                    suite=_storable(suite),
                    problems=problems,
                    samples=np.fromiter(counter.samples.values(), np.int64, len(problems)),
                    passed=np.fromiter(counter.passed.values(), np.int64, len(problems)),
                    unmeasured=np.array([counter.unmeasured.get(p, 0) for p in problems], np.int64),
                    path=self.path,
                    format=self.format,
                    version=self.versions.get(suite, ""),
                    sampling=self.sampling,
                    only_passed=only_passed,
                    notes=tuple(self.notes),
                    prompts=counter.prompts,
                    answers={p: tuple(a.values()) for p, a in counter.answers.items()},
                )
            )
        return every


def _storable(text: str) -> str:
    """Return text as UTF-8 can hold it: JSON may name a lone surrogate, which becomes its escape."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def summary(results: Results) -> dict[str, Any]:
    """Return where results come from and how many they are, for a program."""
    return {
        "model": results.model,
        "suite": results.suite,
        "file": str(results.path),
        "format": results.format,
        "version": results.version,
        "sampling": results.sampling,
        "n_problems": len(results.problems),
        "n_samples": int(results.samples.sum()),
        "n_unmeasured_samples": int(results.unmeasured.sum()),
    }
