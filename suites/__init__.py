"""Problems to solve. `load_suite` is the one way in; each suite is one module that registers a loader."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, cast

from assay.suites.model import Problem, Suite, SuiteError
from assay.suites.registry import Registry, UnknownNameError

__all__ = ["SUITES", "Problem", "Suite", "SuiteError", "SuiteLoader", "UnknownNameError", "load_suite"]


class SuiteLoader(Protocol):
    """A suite's loader. It may have further keyword arguments, strings with a default: the suite's own options."""

    def __call__(self, *, path: Path | None, split: str | None) -> Suite: ...


SUITES: Registry[SuiteLoader] = Registry(
    "suite",
    "assay.suites",
    {
        "humaneval": "assay.suites.humaneval",
        "humaneval+": "assay.suites.evalplus",
        "jsonl": "assay.suites.jsonl",
        "mbpp": "assay.suites.mbpp",
        "mbpp+": "assay.suites.evalplus",
        "mbpp-sanitized": "assay.suites.mbpp",
        "pocket": "assay.suites.pocket",
    },
)


def load_suite(
    name: str,
    *,
    path: Path | None = None,
    split: str | None = None,
    limit: int | None = None,
    options: Mapping[str, str] | None = None,
) -> Suite:
    """Load a suite by name.

    `path` is where its data lies, for suites that read a file (`hub:org/name@revision` names a dataset on the hub
    instead); `split` selects train, dev or test where a suite has them; `limit` keeps the first problems (the
    revision then says so); `options` are the suite's own, such as a prompt style. Raises UnknownNameError or
    SuiteError.
    """
    loader = cast("Callable[..., Suite]", SUITES.get(name))
    given = dict(options or {})
    _check_options(name, loader, given)
    suite = loader(path=path, split=split, **given)
    if limit is None or limit >= len(suite.problems):
        return suite
    if limit < 1:
        raise SuiteError(f"limit must be at least 1, got {limit}")
    return replace(suite, revision=f"{suite.revision}:first{limit}", problems=suite.problems[:limit])


def _check_options(name: str, loader: Callable[..., Any], given: Mapping[str, str]) -> None:
    known = [
        parameter for parameter in inspect.signature(loader).parameters if parameter not in ("path", "split")
    ]
    unknown = [option for option in given if option not in known]
    if unknown:
        has = f"known: {', '.join(known)}" if known else "it has none"
        raise SuiteError(f"the suite {name!r} has no option {unknown[0]!r}; {has}")
