"""What decides prompts and verdicts beside an experiment's own settings, as hashes for the ids of steps.

Prompts are hashed as they are, so that no change of code that leaves them alone makes a model sample again. Verdicts
come from the problems, hashed as they are too, and from code that cannot be hashed by what it gives: the extractor,
the sandbox, and what makes checks of a reference's answers. Of that code the sources are hashed; an edit that changes
no verdict costs one more execution of the samples, and never their generation.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from suites import Suite
from suites.prompts import chat_messages, completion_prompt

JUDGES = (
    "sandbox",
    "suites.blocks",
    "suites.extract",
    "suites.trim",
    "harness.evaluation.execution",
    "harness.evaluation.oracle",
)


def prompts_sha256(suite: Suite, style: str) -> str:
    """Of what each problem's model is given, `style` being chat or completion."""
    prompt = chat_messages if style == "chat" else completion_prompt
    return _sha256([(problem.id, prompt(problem)) for problem in suite.problems])


def judging_sha256(suite: Suite, backend: str) -> str:
    """Of all that makes a verdict of a sample: each problem's checks, the sources of what applies them, and the
    language. Embedded cells run this interpreter; what a container's image holds is the sandbox's to say."""
    makers: set[str] = set()
    problems = []
    for p in suite.problems:
        told: list[Any] = [p.id, p.prompt, p.entry_point, p.checks, p.base_checks, p.mode, p.cpu_s]
        if p.oracle is not None:
            told += [p.oracle.key, p.oracle.cpu_factor]
            makers.add(_package_of(p.oracle.make_checks))
        problems.append(told)
    python = [platform.python_implementation(), *platform.python_version_tuple()[:2]]
    return _sha256(
        {
            "problems": problems,
            "sources": sources_sha256(*JUDGES, *sorted(makers)),
            "python": python if backend == "embedded" else None,
        }
    )


@cache
def sources_sha256(*names: str) -> str:
    """Of the Python sources of modules, and of packages with all that is below them."""
    digest = hashlib.sha256()
    for name in names:
        for place, path in _sources(name):
            digest.update(f"{place}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _sources(name: str) -> Iterator[tuple[Path, Path]]:
    """(the file as its module's name places it, the file)"""
    spec = find_spec(name)
    assert spec is not None, name
    if not spec.submodule_search_locations:
        assert spec.origin is not None, name
        yield Path(name), Path(spec.origin)
        return
    root = Path(next(iter(spec.submodule_search_locations)))
    for path in sorted(root.rglob("*.py")):
        yield name / path.relative_to(root), path


def _package_of(function: Any) -> str:
    """The package that a function, or what a partial calls, is defined in; its module where that is in none."""
    while isinstance(function, partial):
        function = function.func
    module: str = getattr(function, "__module__", type(function).__module__)
    return module.rpartition(".")[0] or module


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
