"""The environment that a policy acts in: problems with their checks, a sampler of answers, and the sandbox.

`[data]` of ppo, rloo and grpo names the problems. The caller brings the sampler (docs/decisions/0005): a trainer
may not import the harness, whose generators are those of evaluation. It is a module-level function, which pickles into
a training's own process.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, model_validator

from assay.sandbox import Limits, Sandbox
from assay.suites import Problem, load_suite
from assay.suites.jsonlines import LineError, read_objects
from assay.trainers.config.rl import RolloutTable
from assay.trainers.errors import DataError, TrainingError


class ProblemsConfig(BaseModel):
    """The problems that ppo, rloo and grpo practise on.

    Practising on a split that is measured makes the measurement worthless, so only `train` is taken, unless the
    problems come from a file of your own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    suite: str
    """The suite that the problems are of."""
    file: Path | None = None
    """The suite's own file, for a suite that reads one, such as jsonl."""
    split: str | None = None
    """The split; only train, unless `file` names problems of your own."""
    n: Annotated[int, Field(ge=1)] | None = None
    """Take only the first problems, this many."""
    only: Path | None = None
    """Take only the problems named in a preference file: those solved sometimes, which have most to teach."""

    @model_validator(mode="after")
    def _not_what_is_measured(self) -> ProblemsConfig:
        if self.file is None and self.split not in (None, "train"):
            raise ValueError(
                f"split: practising on {self.split!r} would make what is measured there worthless; use 'train', or "
                'give problems of your own with `suite = "jsonl"` and `file`'
            )
        return self


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """One answer to draw. `key` is the caller's; `seed` alone fixes the random draws."""

    key: int
    prompt: str
    seed: int


@dataclass(frozen=True, slots=True)
class SampledAnswer:
    """One answer. `token_ids` are the policy's actions, the one that ended the answer among them; `ended` is false
    where it was cut at its limit. `text` is without an end token and without a stop string."""

    key: int
    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    text: str
    ended: bool


class Sampler(Protocol):
    """Draws answers from the model that it was opened on, with the weights as they are at each call."""

    def draw(
        self,
        asks: Iterable[SampleRequest],
        *,
        temperature: float,
        max_new_tokens: int,
        stop: tuple[str, ...] = (),
    ) -> Iterator[SampledAnswer]:
        """Yield answers as they end, in any order, one a request, sampled from softmax(logits / temperature).
        `stop` strings end an answer."""
        ...


class OpenSampler(Protocol):
    """Opens a sampler on a model."""

    def __call__(self, model: Any, tokenizer: Any, *, batch_size: int) -> Sampler: ...


@dataclass(frozen=True, slots=True)
class Environment:
    """Problems to practise on (`kept`), and how answers to them are drawn and judged.

    `open_sampler` is a module-level function, so that an environment can be sent to another process. `sha256` is of
    the problems alone; `dropped` counts those left out, by reason.
    """

    kept: tuple[Problem, ...]
    sha256: str
    origin: str
    packages: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    open_sampler: OpenSampler | None = None
    allow_weak: bool = False
    dropped: dict[str, int] = field(default_factory=dict)

    def counts(self) -> str:
        """Return how many problems there are, and how many were left out and why, as text."""
        left_out = "".join(f"; {n} left out: {reason}" for reason, n in self.dropped.items())
        return f"{len(self.kept)} problems of {self.origin}{left_out}"

    def sampler(self) -> OpenSampler:
        """Return `open_sampler`. Raises TrainingError where the environment has none."""
        if self.open_sampler is None:
            raise TrainingError("this environment has no sampler; train by `assay train` or `assay run`")
        return self.open_sampler

    def sandbox(self, table: RolloutTable) -> Sandbox:
        """Return the sandbox to open; it passes its start-up control then. Raises SandboxError where this machine
        cannot isolate."""
        workers, limits = table.workers or None, limits_of(table)
        return Sandbox(workers=workers, packages=self.packages, allow_weak=self.allow_weak, limits=limits)


def limits_of(table: RolloutTable) -> Limits:
    """Return the limits of one answer's execution."""
    return Limits(cpu_s=table.cpu_s, wall_s=table.wall_s, memory_bytes=table.memory_mb << 20)


def load_environment(
    config: ProblemsConfig, open_sampler: OpenSampler | None = None, *, allow_weak: bool = False
) -> Environment:
    """Return the environment that a `[data]` table names. Raises DataError, SuiteError and UnknownNameError."""
    split = config.split or (None if config.file is not None else "train")
    suite = load_suite(config.suite, path=config.file, split=split, limit=config.n)
    with_checks = tuple(p for p in suite.problems if p.checks)
    if not with_checks:
        raise DataError(f"no problem of {config.suite!r} has checks of its own to be rewarded by")
    kept = with_checks if config.only is None else _named_in(config.only, with_checks)
    dropped = {
        "no checks": len(suite.problems) - len(with_checks),
        f"not in {config.only and config.only.name}": len(with_checks) - len(kept),
    }
    return Environment(
        kept,
        problems_sha256(kept),
        f"{config.suite}{f', split {split}' if split else ''}",
        suite.packages,
        suite.stop,
        open_sampler,
        allow_weak,
        {reason: n for reason, n in dropped.items() if n},
    )


def _named_in(file: Path, problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
    """Return the problems whose id is some line's `problem_id`. Raises DataError."""
    named: set[str] = set()
    for number, row in read_objects(file):
        problem = row.problem if isinstance(row, LineError) else "no JSON object with a problem_id"
        if isinstance(row, LineError) or not isinstance(row.get("problem_id"), str):
            raise DataError(f"only: {file}, line {number}: {problem}; give a file of `assay pairs`")
        named.add(row["problem_id"])
    kept = tuple(p for p in problems if p.id in named)
    if not kept:
        raise DataError(
            f"only: none of the {len(named)} problems named in {file} is among the {len(problems)} of this suite; were "
            "the pairs made on another suite or split?"
        )
    return kept


def problems_sha256(problems: tuple[Problem, ...]) -> str:
    """Return the hash of everything in the problems that training depends on, in order."""
    digest = hashlib.sha256()
    for p in problems:
        row = [p.id, p.prompt, p.entry_point, list(p.checks), p.instruction]
        digest.update(json.dumps(row, ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()
