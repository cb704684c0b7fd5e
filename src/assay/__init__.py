"""Measure what fine-tuning did to a code model. The public names; each is imported when it is first used.

    from assay import Sandbox, Program

The rooms behind them are `assay.suites`, `assay.sandbox`, `assay.trainers` and `assay.harness`.

pytest rewrites the assertions of packages that have a plugin, and warns where one was imported before: it is not to do
either here (PYTEST_DONT_REWRITE).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assay.harness.decide import load_results
    from assay.sandbox import Limits, Program, Sandbox, SandboxError, Verdict
    from assay.suites import Problem, Suite, load_suite

_HOME = {
    "Limits": "assay.sandbox",
    "Problem": "assay.suites",
    "Program": "assay.sandbox",
    "Sandbox": "assay.sandbox",
    "SandboxError": "assay.sandbox",
    "Suite": "assay.suites",
    "Verdict": "assay.sandbox",
    "load_results": "assay.harness.decide",
    "load_suite": "assay.suites",
}

__all__ = [
    "Limits",
    "Problem",
    "Program",
    "Sandbox",
    "SandboxError",
    "Suite",
    "Verdict",
    "load_results",
    "load_suite",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its room (PEP 562), so that `import assay` costs nothing by itself."""
    if name not in _HOME:
        raise AttributeError(f"module 'assay' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
