"""ppo, rloo and grpo as a user's run does them: by name, into a folder, judged by a real sandbox."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from assay.sandbox import Isolation, Outcome, Sandbox  # noqa: E402
from assay.suites import UnknownNameError  # noqa: E402
from assay.trainers import TRAINERS, Artifact, ArtifactKind, TrainingError, identify  # noqa: E402
from assay.trainers.config import METHODS  # noqa: E402
from assay.trainers.data.inputs import data_table, load_data  # noqa: E402
from assay.trainers.data.problems import ProblemsConfig, load_environment  # noqa: E402
from assay.trainers.methods._trl import METRICS, train_into  # noqa: E402
from assay.trainers.methods.grpo import build_trainer, execution_reward  # noqa: E402
from assay.trainers.rl.check_split import training_problem  # noqa: E402
from assay.trainers.rl.log import RL_LOG, ROLLOUTS, RlStep, read_rl_steps  # noqa: E402
from assay.trainers.run.facts import load_facts  # noqa: E402
from assay.trainers.run.folder import record_isolation, refuse_weak, seeded  # noqa: E402
from assay.trainers.run.log import LOG, TrainingStep, append_step, read_steps  # noqa: E402
from assay.trainers.run.runtime import quiet_libraries  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.train, pytest.mark.isolated]


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


def isolation_here() -> str:
    with Sandbox(workers=1) as box:
        return box.isolation.label


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / ROLLOUTS).read_text().splitlines()]


def test_ppo_by_name(world: ModuleType, base: Artifact, tmp_path: Path) -> None:
    config = world.ppo_config(max_steps=2, reward={"compiles": 0.1})
    made = TRAINERS.get("ppo")(base, config, world.environment(), tmp_path / "out", None)
    assert made.kind is ArtifactKind.ADAPTER
    assert identify(made.path) == made
    assert "2 updates of 8 problems × 4 at T=1" in made.recipe
    assert "reference: the adapter switched off" in made.recipe
    assert f"on all checks ({isolation_here()})" in made.recipe
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
    assert f"on all checks ({isolation_here()})" in made.recipe
    rows = rows_of(made.path)
    assert len(rows) == 16
    assert len({r["problem_id"] for r in rows}) == 4


@pytest.mark.bf16
@pytest.mark.parametrize("method", ["ppo", "rloo"])
def test_a_policy_on_a_base_in_bf16(world: ModuleType, base: Artifact, tmp_path: Path, method: str) -> None:
    from safetensors.torch import load_file

    wanted: dict[str, Any] = {"dtype": "bf16", "max_steps": 2}
    config = world.ppo_config(**wanted) if method == "ppo" else group_config(method, **wanted)
    made = TRAINERS.get(method)(base, config, world.environment(), tmp_path / "out", None)
    assert "on a base in bf16" in made.recipe
    assert len(read_steps(made.path / LOG)) >= 2
    assert {t.dtype for t in load_file(str(made.path / "adapter_model.safetensors")).values()} == {
        torch.float32
    }
    if method == "ppo":  # drawn and weighed by one model: the first KL is rounding
        assert abs(read_rl_steps(made.path / RL_LOG)[0].kl) < 0.05


@pytest.mark.parametrize("method", ["rloo", "grpo"])
def test_fewer_problems_than_a_step_asks_for_are_refused(
    world: ModuleType, base: Artifact, tmp_path: Path, method: str
) -> None:
    """TRL leaves the incomplete batch out: it would make no step and hand over the adapter as it began."""
    with pytest.raises(
        TrainingError, match=r"rollout\.prompts: 4 problems a step are asked for and there are 3"
    ):
        TRAINERS.get(method)(base, group_config(method), world.environment(3), tmp_path / "out", None)


def test_a_training_without_a_step_gives_nothing(base: Artifact, world: ModuleType, tmp_path: Path) -> None:
    idle = SimpleNamespace(train=lambda resume_from_checkpoint: None, state=SimpleNamespace(global_step=0))
    with pytest.raises(TrainingError, match="rloo made no step on 4 problems of toy"):
        train_into(
            tmp_path / "out", base, group_config("rloo"), world.environment(), lambda: idle, lambda _: "said"
        )
    assert not (tmp_path / "out" / "artifact.json").exists()


def test_the_control_arms_count_problems_whose_checks_cannot_be_halved(
    world: ModuleType, base: Artifact, tmp_path: Path
) -> None:
    whole = world.environment(5)
    one_check = replace(whole.kept[0], checks=whole.kept[0].checks[:1])
    environment = replace(whole, kept=(one_check, *whole.kept[1:]))
    config = group_config("rloo", reward={"checks": "half"})
    made = TRAINERS.get("rloo")(base, config, environment, tmp_path / "out", None)
    assert made.recipe.endswith("; 1 problems left out, their checks cannot be halved or weakened")


@pytest.mark.parametrize("method", ["rloo", "grpo"])
@pytest.mark.parametrize(
    "changes", [{"gradient_accumulation_steps": 2}, {"keep_best": True}, {"eval_steps": 50}]
)
def test_what_a_control_arm_cannot_honour_is_refused(method: str, changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        group_config(method, **changes)


def test_shaping_by_syntax_is_of_bare_completions(world: ModuleType) -> None:
    rollout = {"prompts": 8, "samples": 4, "max_new_tokens": 8}
    assert world.ppo_config(shaping={"syntax": 0.1}).shaping.syntax == 0.1
    with pytest.raises(ValueError, match=r"shaping\.syntax: .* use rollout\.style = \"completion\""):
        world.ppo_config(shaping={"syntax": 0.1}, rollout=rollout | {"style": "chat"})


@pytest.mark.parametrize("method", ["rloo", "grpo"])
def test_the_control_arms_take_infra_for_no_reward(
    world: ModuleType, base: Artifact, tmp_path: Path, method: str
) -> None:
    """An answer that was not measured gets no advantage, and its group's baseline is of the others."""
    config = group_config(method, beta=0.0)
    box = world.FakeSandbox(
        lambda p: (Outcome.INFRA, Outcome.PASS, Outcome.FAIL, Outcome.FAIL)[int(p.id.rpartition("/")[2]) % 4]
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
    exercises = [training_problem(world.problem(i), world.problem(i).prompt, None, None) for i in range(2)]
    with Sandbox(workers=1) as box:
        reward = execution_reward(exercises, group_config("rloo"), box, tmp_path)
        texts = ["    return x + 1\n", "    return x\n", "    return (\n"]
        found = reward(completions=texts, completion_ids=[[1], [2, 3], [4]], place=[1, 1, 0])
    assert found == pytest.approx([1.2, 0.0, 0.0])
    assert [r["outcome"] for r in rows_of(tmp_path)] == ["pass", "fail", "error"]


@pytest.mark.parametrize("method", ["rloo", "grpo"])
def test_the_control_arms_say_how_far_the_reward_can_be_trusted(
    world: ModuleType, base: Artifact, tmp_path: Path, method: str
) -> None:
    """One line an update in PPO's words, and its figures are those of the answers on disk."""
    changes = {"max_steps": 2, "epochs": 2, "save_steps": 100}
    config = group_config(method, reward={"checks": "half", "compiles": 0.1}, **changes)
    box = world.FakeSandbox(
        lambda p: (
            Outcome.PASS if int(p.id.rpartition("/")[2]) % (4 if "held" in p.id else 2) else Outcome.FAIL
        )
    )
    with quiet_libraries(), seeded(0):
        trainer = build_trainer(base, config, world.environment(), box, tmp_path)
        trainer.train()
    steps, rows = read_rl_steps(tmp_path / RL_LOG), rows_of(tmp_path)
    assert [(s.step, s.total_steps) for s in steps] == [(1, 2), (2, 2)]
    for step, answers in zip(steps, (rows[:16], rows[16:]), strict=True):
        assert (step.pass_rate, step.held_pass_rate, step.gap) == (0.5, 0.75, -0.25)
        assert sum(r["held_passed"] for r in answers) == 12
        assert step.reward == pytest.approx(sum(r["reward"] for r in answers) / 16)
        assert step.components["compiles"] == sum(r["components"]["compiles"] for r in answers) / 16
        assert step.length == sum(r["n_tokens"] for r in answers) / 16
        assert step.outcomes == {"pass": 8, "fail": 8}
        assert (step.answers, step.infra, step.kl_coefficient) == (16, 0, config.beta)
        assert step.value_loss is step.explained_variance is None
        assert min(step.generate_s, step.train_s, step.execute_s) > 0
    trl = [json.loads(line) for line in (tmp_path / METRICS).read_text().splitlines()]
    assert len(trl) == 2 * 2 * 2  # two updates of two passes over two minibatches
    for update, step in enumerate(steps):
        logged = trl[4 * update : 4 * update + 4]
        assert step.kl == pytest.approx(_mean(logged, "kl") * step.length)
        assert step.entropy == pytest.approx(_mean(logged, "entropy"))
        assert step.clip_fraction == pytest.approx(_mean(logged, "clip_ratio/region_mean"))


def _mean(rows: list[dict[str, Any]], name: str) -> float:
    found = [row[name] for row in rows if name in row]
    return float(sum(found) / len(found))


def test_the_control_arms_go_on_with_their_log(world: ModuleType, base: Artifact, tmp_path: Path) -> None:
    """A line behind the checkpoint's update is cut, and tokens are counted on."""
    config = group_config("rloo", max_steps=2)
    lines = [json.dumps(_rl_step(update)) for update in (1, 2)]
    (tmp_path / RL_LOG).write_text("\n".join(lines) + "\n")
    append_step(tmp_path / LOG, TrainingStep(2, 4, 0.0, 0.1, 1e-3, 0.1, 50, 1.0, 1))
    with quiet_libraries(), seeded(0):
        box = world.FakeSandbox(lambda p: Outcome.PASS)
        build_trainer(base, config, world.environment(), box, tmp_path)
    assert [s.step for s in read_rl_steps(tmp_path / RL_LOG)] == [1]


def _rl_step(update: int) -> dict[str, Any]:
    figures = {f.name: 0.0 for f in fields(RlStep)}
    return figures | {"step": update, "total_steps": 2, "components": {}, "tokens": 40, "outcomes": {}}


@pytest.mark.parametrize("method", ["rloo", "grpo"])
def test_an_update_without_a_measured_answer_ends_the_run(
    world: ModuleType, tmp_path: Path, method: str
) -> None:
    exercises = [training_problem(world.problem(0), world.problem(0).prompt, None, None)]
    reward = execution_reward(
        exercises, group_config(method), world.FakeSandbox(lambda p: Outcome.INFRA), tmp_path
    )
    with pytest.raises(TrainingError, match=r"step 1: none of 2 answers could be measured \(infra\)"):
        reward(completions=["a", "b"], completion_ids=[[1], [2]], place=[0, 0])
    assert [r["why"] for r in rows_of(tmp_path)] == ["infra: not measured"] * 2


def test_what_a_weak_reward_leaves_out_is_held_out(world: ModuleType) -> None:
    problem = world.problem(3)
    first, second = problem.checks
    weak, whole = training_problem(problem, "p", None, 1), training_problem(problem, "p", None, None)
    assert (weak.paid, weak.held_out) == ((first,), (second,))
    assert (whole.paid, whole.held_out) == ((first, second), ())
    types = training_problem(problem, "p", None, "types")
    assert types.held_out == (first, second)
    assert types.paid[0] == "assert type(f3(1)) is type(4)"


def test_a_reward_for_types_needs_checks_that_have_them(
    world: ModuleType, base: Artifact, tmp_path: Path
) -> None:
    """A problem without a check that compares with a literal is left out, and where none is left the run is refused."""
    whole = world.environment(5)
    other = replace(whole.kept[0], checks=("assert f0(1) > 0", "assert f0(2) > 0"))
    config = group_config("rloo", reward={"checks": "half", "weak": "types"})
    made = TRAINERS.get("rloo")(
        base, config, replace(whole, kept=(other, *whole.kept[1:])), tmp_path / "out", None
    )
    assert made.recipe.endswith("; 1 problems left out, their checks cannot be halved or weakened")
    with pytest.raises(TrainingError, match=r'reward\.weak = "types": no problem has a check of the form'):
        TRAINERS.get("rloo")(base, config, replace(whole, kept=(other,) * 5), tmp_path / "none", None)


def test_practising_on_what_is_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="practising on 'test' would make what is measured there worthless"):
        ProblemsConfig(suite="pocket", split="test")
    with pytest.raises(UnknownNameError, match="pockt"):
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


@pytest.mark.parametrize("method", ["ppo", "rloo"])
def test_rewards_under_weak_isolation_are_not_taken_for_others(
    world: ModuleType, base: Artifact, tmp_path: Path, method: str
) -> None:
    """A folder that a call with --allow-weak began, or finished, is none for a call without it; and it says for good
    under which isolation its first rewards were computed."""
    config = world.ppo_config(max_steps=1) if method == "ppo" else group_config(method)
    out, environment = tmp_path / "out", world.environment()
    out.mkdir()
    record_isolation(out, Isolation("embedded", "weak", "seccomp alone", ()))
    for _ in ("begun", "finished"):
        with pytest.raises(TrainingError, match="under seccomp alone, weaker than this call asks for"):
            TRAINERS.get(method)(base, config, environment, out, None)
        made = TRAINERS.get(method)(base, config, replace(environment, allow_weak=True), out, None)
    facts = load_facts(made.path)
    assert facts is not None
    assert (facts.isolation_level, facts.isolation) == ("weak", "seccomp alone")
    (out / "isolation.json").unlink()  # as if it had never been weak
    assert TRAINERS.get(method)(base, config, replace(environment, allow_weak=True), out, None) == made
    assert not (
        out / "isolation.json"
    ).exists()  # what is whole is handed over, and no sandbox is opened for it
    assert "on all checks (seccomp alone)" in made.recipe


def test_the_isolation_of_a_folder_is_the_weakest_it_had(tmp_path: Path) -> None:
    full, weak = (Isolation("embedded", level, f"{level} isolation", ()) for level in ("full", "weak"))
    assert record_isolation(tmp_path, full).level == "full"
    refuse_weak(tmp_path, allow_weak=False)
    assert record_isolation(tmp_path, weak).label == "weak isolation"
    assert record_isolation(tmp_path, full).level == "weak"
    refuse_weak(tmp_path, allow_weak=True)
    with pytest.raises(TrainingError, match="pass --allow-weak"):
        refuse_weak(tmp_path, allow_weak=False)
