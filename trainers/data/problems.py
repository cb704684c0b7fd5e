"""What a policy acts in: problems with their checks, the means to draw answers, and the sandbox that judges them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from assay.sandbox import Limits, Sandbox, SandboxError
from assay.suites import Problem, load_suite
from assay.suites.model import SuiteError
from assay.suites.registry import UnknownNameError
from assay.trainers.config.rl import RolloutTable
from assay.trainers.errors import DataError, TrainingError
from assay.trainers.rl.sampler import OpenSampler


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
        said = f"{len(self.kept)} problems of {self.origin}"
        return said + "".join(f"; {n} left out: {why}" for why, n in self.dropped.items())

    def sampler(self) -> OpenSampler:
        if self.open_sampler is None:
            raise TrainingError("this environment has no sampler; train by `assay train` or `assay run`")
        return self.open_sampler

    @contextmanager
    def sandbox(self, table: RolloutTable) -> Iterator[Sandbox]:
        """A sandbox that passed its start-up control. Raises TrainingError where this machine cannot isolate."""
        limits = limits_of(table)
        workers = table.workers or None
        try:
            with Sandbox(
                workers=workers, packages=self.packages, allow_weak=self.allow_weak, limits=limits
            ) as box:
                yield box
        except SandboxError as error:
            raise TrainingError(f"the sandbox could not judge answers: {error}") from error


def limits_of(table: RolloutTable) -> Limits:
    return Limits(cpu_s=table.cpu_s, wall_s=table.wall_s, memory_bytes=table.memory_mb << 20)


def load_environment(
    config: ProblemsConfig, open_sampler: OpenSampler | None = None, *, allow_weak: bool = False
) -> Environment:
    """The environment that a `[data]` table names. Raises DataError."""
    split = config.split or (None if config.file is not None else "train")
    try:
        suite = load_suite(config.suite, path=config.file, split=split, limit=config.n)
    except (SuiteError, UnknownNameError) as error:
        raise DataError(f"no problems to practise on: {error}") from error
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
        {why: n for why, n in dropped.items() if n},
    )


def _named_in(file: Path, problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
    """Those whose id stands in a line's `problem_id`. Raises DataError."""
    named: set[str] = set()
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"only: {file} cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        try:
            named.add(json.loads(line)["problem_id"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"only: {file}, line {number}: no JSON object with a problem_id; give a file of `assay pairs`"
            ) from error
    kept = tuple(p for p in problems if p.id in named)
    if not kept:
        raise DataError(
            f"only: none of the {len(named)} problems named in {file} is among the {len(problems)} of this suite; were "
            "the pairs made on another suite or split?"
        )
    return kept


def problems_sha256(problems: tuple[Problem, ...]) -> str:
    digest = hashlib.sha256()
    for p in problems:
        row = [p.id, p.prompt, p.entry_point, list(p.checks), p.instruction]
        digest.update(json.dumps(row, ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()
