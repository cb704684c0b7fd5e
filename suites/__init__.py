"""Problems to solve. `load_suite` is the one way in; each suite is one module that registers a loader."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from suites.model import Problem, Suite
from suites.registry import Registry, UnknownNameError

__all__ = ["SUITES", "Problem", "Suite", "SuiteError", "SuiteLoader", "UnknownNameError", "load_suite"]


class SuiteError(ValueError):
    """A suite's data is missing or malformed; the message names file, line and field, and what to do."""


class SuiteLoader(Protocol):
    def __call__(self, *, path: Path | None, split: str | None) -> Suite: ...


SUITES: Registry[SuiteLoader] = Registry(
    "suite",
    "assay.suites",
    {"humaneval": "suites.humaneval", "jsonl": "suites.jsonl", "pocket": "suites.pocket.suite"},
)


def load_suite(
    name: str, *, path: Path | None = None, split: str | None = None, limit: int | None = None
) -> Suite:
    """Load a suite by name.

    `path` is where its data lies, for suites that read a file; `split` selects train, dev or test where a suite
    has them; `limit` keeps the first problems (the revision then says so). Raises UnknownNameError or SuiteError.
    """
    suite = SUITES.get(name)(path=path, split=split)
    if limit is None or limit >= len(suite.problems):
        return suite
    if limit < 1:
        raise SuiteError(f"limit must be at least 1, got {limit}")
    return Suite(
        suite.name, f"{suite.revision}:first{limit}", suite.problems[:limit], suite.stop, suite.packages
    )
