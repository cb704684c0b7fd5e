"""A small world to learn in: a tiny random model, made-up problems, and a sandbox that judges by a function."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from assay.harness.generation.load import PolicySampler
from assay.sandbox import Outcome, Program, StandIn, Verdict
from assay.suites import Problem
from assay.trainers import Artifact
from assay.trainers.config import PpoConfig
from assay.trainers.data.problems import Environment, problems_sha256

Judged = Callable[[Program], Outcome]


class FakeSandbox(StandIn):
    """A sandbox that judges by `outcome_of` as soon as a program is submitted, and keeps what came."""

    def __init__(self, outcome_of: Judged) -> None:
        self.programs: list[Program] = []

        def judge(program: Program) -> Verdict:
            self.programs.append(program)
            outcome = outcome_of(program)
            n = len(program.checks)
            return Verdict(program.id, outcome, checks_passed=n * (outcome is Outcome.PASS), checks_total=n)

        super().__init__(judge)


def problem(i: int = 0) -> Problem:
    checks = (f"assert f{i}(1) == {i + 1}", f"assert f{i}(5) == {i + 5}")
    return Problem(f"toy/{i}", f'def f{i}(x):\n    """Add {i} to x."""\n', f"f{i}", checks)


def environment(count: int = 4) -> Environment:
    kept = tuple(problem(i) for i in range(count))
    return Environment(kept, problems_sha256(kept), "toy", open_sampler=PolicySampler)


def ppo_config(**changes: Any) -> PpoConfig:
    values: dict[str, Any] = {
        "method": "ppo",
        "adapter": {"r": 8, "alpha": 16},
        "batch_size": 16,
        "max_steps": 3,
        "learning_rate": 3e-3,
        "scheduler": "constant",
        "save_steps": 100,
        "rollout": {"prompts": 8, "samples": 4, "max_new_tokens": 8, "style": "completion"},
    }
    return PpoConfig.model_validate(values | changes)


def answer_of(program: Program) -> str:
    """What the policy wrote: the program without the prompt."""
    return program.candidate.partition('"""\n')[2]


def base_at(folder: Path, texts: list[str]) -> Artifact:
    from tests.tiny import make_tiny_model

    return make_tiny_model(folder, texts)
