"""ppo, rloo and grpo as a user's run does them: by name, into a folder, judged by a real sandbox."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from sandbox import Outcome, Sandbox, SandboxError  # noqa: E402
from trainers import TRAINERS, Artifact, ArtifactKind, DataError, TrainingError, identify  # noqa: E402
from trainers.config import METHODS  # noqa: E402
from trainers.facts import load_facts  # noqa: E402
from trainers.folder import seeded  # noqa: E402
from trainers.inputs import data_table, load_data  # noqa: E402
from trainers.quiet import quiet_libraries  # noqa: E402
from trainers.rl.environment import ProblemsConfig, load_environment  # noqa: E402
from trainers.rl.groups import build_trainer, execution_reward  # noqa: E402
from trainers.rl.log import ROLLOUTS  # noqa: E402
from trainers.rl.rollout import exercise_of  # noqa: E402
from trainers.steplog import LOG, read_steps  # noqa: E402

pytestmark = pytest.mark.train


@pytest.fixture(scope="module", autouse=True)
def _can_isolate() -> None:
    try:
        with Sandbox(workers=1):
            pass
    except SandboxError as error:
        pytest.skip(f"this machine cannot isolate: {error}")


def group_config(method: str, **changes: Any) -> Any:
    values: dict[str, Any] = {
        "method": method,
        "adapter": {"r": 4, "alpha": 8},
        "batch_size": 8,
        "max_steps": 1,
        "epochs": 1,
        "learning_rate": 1e-3,
        "rollout": {"prompts": 4, "samples": 4, "max_new_tokens": 8, "style": "completion"},
    }
    return METHODS[method].model_validate(values | changes)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / ROLLOUTS).read_text().splitlines()]


def test_ppo_by_name(world: ModuleType, base: Artifact, tmp_path: Path) -> None:
    config = world.ppo_config(max_steps=2, reward={"compiles": 0.1})
    made = TRAINERS.get("ppo")(base, config, world.environment(), tmp_path / "out", None)
    assert made.kind is ArtifactKind.ADAPTER
    assert identify(made.path) == made
    assert "2 updates of 8 problems × 4 at T=1" in made.recipe
    assert "reference: the adapter switched off" in made.recipe
    assert [s.step for s in read_steps(made.path / LOG)] == [1, 2]
    assert {r["outcome"] for r in rows_of(made.path)} <= {"fail", "error", "pass"}
    assert (made.path / "value_head" / "value_head.safetensors").is_file()
    facts = load_facts(made.path)
    assert facts is not None
    assert (facts.method, facts.steps) == ("ppo", 2)
    assert not (made.path / "checkpoints").exists()
    assert TRAINERS.get("ppo")(base, config, world.environment(), tmp_path / "out", None) == made


@pytest.mark.parametrize("method", ["rloo", "grpo"])
def test_the_control_arms_by_name(world: ModuleType, base: Artifact, tmp_path: Path, method: str) -> None:
    config = group_config(method)
    made = TRAINERS.get(method)(base, config, world.environment(), tmp_path / "out", None)
    assert made.kind is ArtifactKind.ADAPTER
    assert "1 updates of 4 problems × 4 at T=1 (2 optimiser steps of 8)" in made.recipe
    rows = rows_of(made.path)
    assert len(rows) == 16
    assert len({r["problem_id"] for r in rows}) == 4


@pytest.mark.parametrize("method", ["rloo", "grpo"])
def test_the_control_arms_take_infra_for_no_reward(
    world: ModuleType, base: Artifact, tmp_path: Path, method: str
) -> None:
    """An answer that was not measured gets no advantage, and its group's baseline is of the others."""
    config = group_config(method, beta=0.0)
    box = world.FakeBox(
        lambda p: (
            Outcome.INFRA if int(p.id) % 4 == 0 else Outcome.PASS if int(p.id) % 4 == 1 else Outcome.FAIL
        )
    )
    with quiet_libraries(), seeded(0):
        trainer = build_trainer(base, config, world.environment(), box, tmp_path)
        batch = next(iter(trainer.get_train_dataloader()))
        found = trainer._generate_and_score_completions(batch)
    advantages = found["advantages"].view(-1, 4)
    assert advantages[:, 0].tolist() == [0.0] * 4
    assert all(a > 0 for a in advantages[:, 1].tolist())
    if method == "rloo":  # reward 1.2 against 0 and 0, baselines of the two measured others
        assert advantages[0].tolist() == pytest.approx([0, 1.2, -0.6, -0.6])


def test_the_reward_that_trl_calls_is_execution(world: ModuleType, tmp_path: Path) -> None:
    exercises = [exercise_of(world.problem(i), world.problem(i).prompt, None, None) for i in range(2)]
    with Sandbox(workers=1) as box:
        reward = execution_reward(exercises, group_config("rloo"), box, tmp_path)
        texts = ["    return x + 1\n", "    return x\n", "    return (\n"]
        found = reward(completions=texts, completion_ids=[[1], [2, 3], [4]], place=[1, 1, 0])
    assert found == pytest.approx([1.2, 0.0, 0.0])
    assert [r["outcome"] for r in rows_of(tmp_path)] == ["pass", "fail", "error"]


def test_practising_on_what_is_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="practising on 'test' would make what is measured there worthless"):
        ProblemsConfig(suite="pocket", split="test")
    with pytest.raises(DataError, match="no problems to practise on"):
        load_environment(ProblemsConfig(suite="pockt"))


def test_each_method_names_its_data() -> None:
    assert data_table("ppo") is ProblemsConfig
    environment = load_data("ppo", ProblemsConfig(suite="pocket", n=5))
    assert environment.counts() == "5 problems of pocket, split train"
    assert len(environment.sha256) == 64


def test_without_a_sampler_it_says_who_has_one(world: ModuleType, base: Artifact, tmp_path: Path) -> None:
    environment = load_environment(ProblemsConfig(suite="pocket", n=5))
    with pytest.raises(TrainingError, match="train by `assay train` or `assay run`"):
        TRAINERS.get("ppo")(base, world.ppo_config(), environment, tmp_path / "out", None)
