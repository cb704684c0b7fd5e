"""The hashes that name steps, and what goes into them.

A step's id is the first 12 hexadecimal digits of the sha256 of a JSON object (sorted keys, no spaces) with four keys:

* `kind`: the step's label, i.e. its kind; "sample" and "verify" are `generate` and `execute` for preferences.
* `format`: the kind's version, raised when the meaning of its output changes.
* `inputs`: the ids of the steps whose results it takes, in order.
* `config`: what its spec's `config()` returns:
    * take: the model's name as written, and the sha256 over its weights, configuration and tokenizer.
    * train: the trainer's whole `[config]` with its seed (a reward model in a folder by its content), and the sha256
      of the training records; for records that the experiment makes, the `[data]` table in their place.
    * merge: the recipe's settings other than the defaults. export: `quantize`. compress: `quantization`,
      `double_quant`.
    * generate: the suite's revision, the sha256 of all prompts, the seed, `[sampling]`, the stop strings, and the
      engine's device and dtype.
    * execute: the suite's revision, `[sandbox]` without `workers`, and `judging_sha256`: each problem's checks and
      reference solution, the sources named in `JUDGES` (and of what makes a problem's checks from its reference), and
      the version of Python.
    * pairs: kinds, pairs a problem, matching, single or paired, and the seed.
    * profile: the `[profile]` table, device, threads and dtype.
    * contamination: the suite's revision, the method, and what decides the training records, as in train.
    * compare: the suite's revision and the `[compare]` table. kl: `[compare]`'s number of texts, and the seed.

Prompts are hashed as they are, so that no change of code that leaves them alone makes a model sample again. Verdicts
come from the problems, hashed as they are too, and from code that cannot be hashed by its results: the extractor, the
sandbox, and what makes checks of a reference's answers. Of that code the sources are hashed; an edit that changes no
verdict costs one more execution of the samples, and never their generation: a step whose configuration and inputs are
equal by content to those of a finished step is that step (`assay.harness.pipeline.store.Store.equal_record`).
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Sequence
from functools import partial
from typing import Any

from assay.harness.hardware import gpu_name
from assay.sandbox.host.cache import sources_sha256
from assay.suites import Suite
from assay.suites.model import chat_messages, completion_prompt

# Modules and packages whose sources decide verdicts.
JUDGES = (
    "assay.sandbox",
    "assay.suites.extraction.blocks",
    "assay.suites.extraction.extract",
    "assay.suites.extraction.trim",
    "assay.harness.evaluation.judge",
    "assay.harness.evaluation.scores",
    "assay.harness.evaluation.expected_values",
    "assay.harness.evaluation.ground_truth",
    "assay.harness.evaluation.time_limits",
)


def step_id(label: str, version: int, config: dict[str, Any], inputs: Sequence[str]) -> str:
    """Return the id of a step, `inputs` being the ids of the steps before it."""
    return digest({"kind": label, "format": version, "config": config, "inputs": list(inputs)})


def digest(value: Any) -> str:
    """Return 12 hexadecimal digits of the sha256 of `value` as JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def prompts_sha256(suite: Suite, style: str) -> str:
    """Return the sha256 of the prompts of all problems; `style` is chat or completion."""
    prompt = chat_messages if style == "chat" else completion_prompt
    return _sha256([(problem.id, prompt(problem)) for problem in suite.problems])


def judging_sha256(suite: Suite, backend: str) -> str:
    """Return the sha256 of everything that makes a verdict of a sample.

    That is each problem's checks, its reference solution, which decides how they are applied, the sources of what
    applies them, and the language. Embedded cells run this
    interpreter; what a container's image holds is decided by the sandbox's own sources.
    """
    makers: set[str] = set()
    problems = []
    for p in suite.problems:
        parts: list[Any] = [
            p.id,
            p.prompt,
            p.entry_point,
            p.checks,
            p.base_checks,
            p.mode,
            p.canonical_solution,
        ]
        if p.oracle is not None:
            parts.append(p.oracle.key)
            makers.add(_package_of(p.oracle.make_checks))
        problems.append(parts)
    python = [platform.python_implementation(), *platform.python_version_tuple()[:2]]
    return _sha256(
        {
            "problems": problems,
            "sources": sources_sha256(*JUDGES, *sorted(makers)),
            "python": python if backend == "embedded" else None,
        }
    )


def resolved_device(device: str) -> str:
    """Return the device that `auto` means here: samples and figures of another kind of device are other ones."""
    return ("cuda" if gpu_name() else "cpu") if device == "auto" else device


def _package_of(function: Any) -> str:
    """Return the package that a function (or what a partial calls) is defined in, or its module outside of one."""
    while isinstance(function, partial):
        function = function.func
    module: str = getattr(function, "__module__", type(function).__module__)
    return module.rpartition(".")[0] or module


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
