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
from functools import partial
from typing import Any

from assay.harness.experiment import (
    Experiment,
)
from assay.harness.hardware import gpu_name
from assay.sandbox.host.cache import sources_sha256
from assay.suites import Suite
from assay.suites.model import chat_messages, completion_prompt

JUDGES = (
    "assay.sandbox",
    "assay.suites.extraction.blocks",
    "assay.suites.extraction.extract",
    "assay.suites.extraction.trim",
    "assay.harness.evaluation.judge",
    "assay.harness.evaluation.expected_values",
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


def _package_of(function: Any) -> str:
    """The package that a function, or what a partial calls, is defined in; its module where that is in none."""
    while isinstance(function, partial):
        function = function.func
    module: str = getattr(function, "__module__", type(function).__module__)
    return module.rpartition(".")[0] or module


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _device(wanted: str) -> str:
    """Figures and samples of another kind of device are other ones."""
    return ("cuda" if gpu_name() else "cpu") if wanted == "auto" else wanted


def _questions(experiment: Experiment, suite: Suite) -> tuple[dict[str, Any], dict[str, Any]]:
    """What decides samples, and what decides their verdicts, beside the model."""
    device = _device(experiment.engine.device)
    sampling = {
        "suite": suite.revision,
        "prompts": prompts_sha256(suite, experiment.sampling.style),
        "seed": experiment.seed,
        "sampling": experiment.sampling.model_dump(mode="json"),
        "stop": list(suite.stop) if experiment.sampling.style == "completion" else [],
        "engine": {"device": device, "dtype": experiment.engine.dtype},
    }
    limits = experiment.sandbox.model_dump(mode="json", exclude={"workers"})
    judging = judging_sha256(suite, experiment.sandbox.backend)
    return sampling, {"suite": suite.revision, "judging": judging, "sandbox": limits}


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
