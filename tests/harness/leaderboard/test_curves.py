"""Curves and costs of trainings, from the logs that trainers write: figures are those on disk, gaps say why."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from assay.harness.experiment import Member
from assay.harness.leaderboard.curves import MOST_POINTS, learning_curves
from assay.harness.leaderboard.trainings import learned, training_rows
from assay.harness.pipeline.plan import Step
from assay.harness.pipeline.steps.compare import NO_TABLE, summarise
from assay.harness.pipeline.store import Store
from assay.trainers.config import METHODS
from assay.trainers.methods._trl import METRICS
from assay.trainers.rl.log import RL_LOG, RlStep, append_rl_step
from assay.trainers.run.log import EVAL_LOG, LOG, EvalPoint, TrainingStep, append_step

FACTS: dict[str, Any] = {
    "method": "of the test",
    "trainable_parameters": 10,
    "total_parameters": 100,
    "effective_batch": 4,
    "dtype": "fp32",
    "data_sha256": "0" * 64,
    "data_counts": "all",
    "versions": {},
    "train_s": 30.0,
    "tok_per_s": 5.0,
    "tokens": 150,
    "steps": 3,
    "final_loss": 0.5,
    "peak_rss_bytes": 2000,
    "start_rss_bytes": 500,
    "peak_vram_bytes": None,
    "unmeasured": {"peak_vram_bytes": "no CUDA device on this machine"},
}


class World:
    """A store in which trainings are done that never were: their logs, records and places in a plan."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root)
        self.plan: Any = SimpleNamespace(
            steps=[],
            trainings={},
            members={},
            reward_models={},
            experiment=SimpleNamespace(compare=None),
            step=self.step,
        )

    def step(self, name: str) -> Step:
        found: Step = next(s for s in self.plan.steps if s.name == name)
        return found

    def add(self, kind: Any, variant: str, inputs: tuple[str, ...] = (), **record: Any) -> Path:
        step = Step(f"{kind}-{variant}", kind, variant, "0" * 12, {}, inputs)
        self.plan.steps.append(step)
        folder = self.store.work(step.name, step.id)
        (folder / "model").mkdir()
        self.store.commit(step.name, step.id, record)
        return self.store.path(step.name, step.id) / "model"

    def train(self, variant: str, seed: int, inputs: tuple[str, ...] = ("take-base",), **config: Any) -> Path:
        name = f"{variant}.s{seed}"
        table = METHODS[config["method"]].model_validate(config | {"seed": seed})
        self.plan.trainings[name] = SimpleNamespace(config=table)
        members = self.plan.members.get(variant, ())
        self.plan.members[variant] = (*members, Member(name, seed))
        return self.add("train", name, inputs, training=FACTS | {"method": table.method})

    def curves(self, variant: str) -> dict[str, Any]:
        return learning_curves(self.store, self.plan)[variant].to_json()

    def row(self, variant: str) -> dict[str, Any]:
        return next(r.to_json() for r in training_rows(self.store, self.plan) if r.variant == variant)


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.add("take", "base")
    return made


def rl_step(step: int, **changes: Any) -> RlStep:
    figures: dict[str, Any] = {
        "total_steps": 3,
        "reward": 0.5 * step,
        "components": {"passed": 0.1 * step, "fraction": 0.2},
        "pass_rate": 0.1 * step,
        "held_pass_rate": 0.1,
        "gap": 0.1 * step - 0.1,
        "kl": 1.0 * step,
        "kl_coefficient": 0.02,
        "policy_loss": 0.0,
        "value_loss": 0.1,
        "entropy": 0.05,
        "clip_fraction": 0.01,
        "value_clip_fraction": 0.0,
        "drift": 0.0,
        "explained_variance": None,
        "grad_norm": 0.3,
        "learning_rate": 1e-4,
        "length": 20.0,
        "unfinished": 0.0,
        "answers": 15,
        "infra": 1,
        "tampering": 0,
        "tokens": 100 * step,
        "generate_s": 2.0,
        "execute_wait_s": 0.25,
        "execute_s": 1.0,
        "train_s": 4.0,
    }
    return RlStep(step=step, **(figures | changes))


def training_step(step: int, **changes: Any) -> TrainingStep:
    figures: dict[str, Any] = {
        "total_steps": 3,
        "epoch": 0.0,
        "loss": 1.0 / step,
        "learning_rate": 1e-4,
        "grad_norm": 0.3,
        "tokens": 50 * step,
        "tok_per_s": 5.0,
        "rss_bytes": 2**30,
    }
    return TrainingStep(step=step, **(figures | changes))


def test_ppos_curves_are_its_log_seed_by_seed(world: World) -> None:
    for seed in (3, 4):
        folder = world.train("ppo", seed, method="ppo", reward={"checks": "half"}, kl={"target": 1.0})
        for step in (1, 2, 3):
            alarm = "KL is 3 nats" if step == 3 else None
            append_rl_step(folder / RL_LOG, rl_step(step, kl=step + 0.5 * seed, alarm=alarm))
    found = world.curves("ppo")
    assert (found["method"], found["step"]) == ("ppo", "update")
    assert found["marks"] == {"kl_target": 1.0, "kl_alarm": 2.0}
    assert found["weights"] == {"passed": 1.0, "fraction": 0.2}
    assert found["unmeasured"] == {}
    assert [run["seed"] for run in found["runs"]] == [3, 4]
    first, second = (run["train"]["series"] for run in found["runs"])
    assert found["runs"][0]["train"]["steps"] == [1, 2, 3]
    assert (first["kl"], second["kl"]) == ([2.5, 3.5, 4.5], [3.0, 4.0, 5.0])
    assert first["gap"] == [0, 0.1, 0.2]
    assert first["component/passed"] == [0.1, 0.2, 0.3]
    assert "explained_variance" not in first  # never a figure
    assert found["runs"][1]["alarms"] == {"3": "KL is 3 nats"}


def test_what_an_rl_run_drew_waited_and_learned_is_its_cost(world: World) -> None:
    folder = world.train("ppo", 0, method="ppo", reward={"checks": "half"})
    for step in range(1, 8):
        append_rl_step(folder / RL_LOG, rl_step(step))
    row = world.row("ppo")
    assert row["drawn_answers"]["mean"] == 7 * 16
    assert row["drawn_tokens"]["mean"] == 7 * 16 * 20
    assert (row["generate_s"]["mean"], row["execute_s"]["mean"], row["learn_s"]["mean"]) == (14, 1.75, 28)
    assert row["total_s"]["mean"] == 43.75
    assert row["gap"]["mean"] == pytest.approx(0.4)  # of the last five updates: .2 to .6
    config: Any = METHODS["ppo"].model_validate({"method": "ppo"})
    assert row["beta"]["mean"] == config.kl.coefficient
    assert row["kl"] is None
    assert row["unmeasured"]["kl"] == NO_TABLE
    assert row["unmeasured"]["margin"] == "the method has no pairs"


def test_a_reward_that_every_check_pays_has_no_gap_and_says_so(world: World) -> None:
    folder = world.train("grpo", 0, method="grpo", beta=0.0)
    append_rl_step(folder / RL_LOG, rl_step(1, held_pass_rate=None, gap=None, kl=None, value_loss=None))
    found = world.curves("grpo")
    assert 'reward.checks = "all"' in found["unmeasured"]["gap"]
    assert found["unmeasured"]["kl"] == "beta = 0: the reference is not asked"
    assert "value_loss" not in found["unmeasured"]  # it has no critic: nothing is missing
    assert world.row("grpo")["unmeasured"]["gap"] == "every check pays: none is held out"


def test_a_training_without_its_log_says_what_to_do(world: World) -> None:
    world.train("rloo", 0, method="rloo")
    found = world.curves("rloo")
    assert list(found["unmeasured"]) == ["reward"]
    assert "remove the folder of its step and run again" in found["unmeasured"]["reward"]
    assert world.row("rloo")["unmeasured"]["generate_s"] == f"the training left no {RL_LOG}"


def preference(folder: Path, names: dict[str, str], *, held: bool) -> None:
    for step in (1, 2, 3):
        append_step(folder / LOG, training_step(step))
    rows = [{"step": s, "eval": False, "loss": 1.0 / s, names["margin"]: 0.1 * s} for s in (1, 2, 3)]
    if held:
        append_step(folder / EVAL_LOG, EvalPoint(3, 0.6, 1.0, True))
        rows.append({"step": 3, "eval": True, "eval_loss": 0.6, f"eval_{names['margin']}": 0.05})
        rows[-1]["eval_rewards/accuracies"] = 0.75
    (folder / METRICS).write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize(("method", "margin"), [("dpo", "rewards/margins"), ("orpo", "log_odds_ratio")])
def test_preference_curves_are_of_what_was_learned_from_and_of_what_was_held_out(
    world: World, method: str, margin: str
) -> None:
    preference(world.train("p", 0, method=method, beta=0.3), {"margin": margin}, held=True)
    found = world.curves("p")
    run = found["runs"][0]
    assert run["train"]["series"]["margin"] == [0.1, 0.2, 0.3]
    assert (run["held_out"]["steps"], run["held_out"]["series"]["margin"]) == ([3], [0.05])
    assert run["held_out"]["series"]["loss"] == [0.6]
    assert "held_out/margin" not in found["unmeasured"]
    row = world.row("p")
    figures = [row[name]["mean"] for name in ("beta", "held_out_loss", "margin", "accuracy", "learn_s")]
    assert figures == [0.3, 0.6, 0.05, 0.75, 30.0]
    assert "come from a file" in row["unmeasured"]["generate_s"]


def test_a_curve_on_held_out_pairs_needs_some(world: World) -> None:
    preference(world.train("p", 0, method="dpo"), {"margin": "rewards/margins"}, held=False)
    assert "data.eval_fraction" in world.curves("p")["unmeasured"]["held_out/accuracy"]
    assert "data.eval_fraction" in world.row("p")["unmeasured"]["margin"]
    preference(world.train("k", 0, method="kto"), {"margin": "rewards/margins"}, held=False)
    assert "not paired" in world.curves("k")["unmeasured"]["accuracy"]


def test_pairs_made_in_the_run_cost_what_their_sampling_took(world: World) -> None:
    world.add("sample", "own", ("take-base",), n_samples=48, n_tokens=900, generate_s=10.0, seconds=12.0)
    world.add("verify", "own", ("sample-own",), seconds=12.5)
    world.add("pairs", "own", ("sample-own", "verify-own"))
    preference(world.train("p", 0, ("take-base", "pairs-own"), method="dpo"), {"margin": "m"}, held=False)
    figures, _ = learned(world.store, world.plan, world.step("train-p.s0"))
    assert [figures[n] for n in ("drawn_answers", "drawn_tokens", "generate_s")] == [48, 900, 10]
    assert (figures["execute_s"], figures["learn_s"], figures["total_s"]) == (0.5, 30, 40.5)


def test_choosing_the_problems_that_a_policy_practises_on_is_paid_for(world: World) -> None:
    world.add("sample", "own", ("take-base",), n_samples=48, n_tokens=900, generate_s=10.0, seconds=12.0)
    world.add("verify", "own", ("sample-own",), seconds=12.5)
    world.add("pairs", "own", ("sample-own", "verify-own"))
    folder = world.train("p", 0, ("take-base", "pairs-own"), method="ppo", reward={"checks": "half"})
    for step in range(1, 8):
        append_rl_step(folder / RL_LOG, rl_step(step))
    figures, _ = learned(world.store, world.plan, world.step("train-p.s0"))
    assert (figures["drawn_answers"], figures["drawn_tokens"]) == (7 * 16 + 48, 7 * 16 * 20 + 900)
    assert (figures["generate_s"], figures["execute_s"], figures["learn_s"]) == (24, 2.25, 28)
    assert figures["total_s"] == 54.25


def test_sampling_that_was_resumed_has_no_time(world: World) -> None:
    world.add("sample", "own", ("take-base",), n_samples=48, n_tokens=900, generate_s=None, seconds=3.0)
    world.add("verify", "own", ("sample-own",), seconds=1.0)
    world.add("pairs", "own", ("sample-own", "verify-own"))
    preference(world.train("p", 0, ("take-base", "pairs-own"), method="dpo"), {"margin": "m"}, held=False)
    figures, why = learned(world.store, world.plan, world.step("train-p.s0"))
    assert figures["generate_s"] is figures["execute_s"] is figures["total_s"] is None
    assert "resumed" in why["generate_s"]
    assert "resumed" in why["total_s"]
    assert figures["drawn_answers"] == 48


def test_supervised_curves_keep_their_machine(world: World) -> None:
    folder = world.train("sft", 0, method="sft")
    for step in (1, 2, 3):
        append_step(folder / LOG, training_step(step))
    found = world.curves("sft")
    series = found["runs"][0]["train"]["series"]
    assert series["loss"] == [1.0, 0.5, pytest.approx(1 / 3, rel=1e-5)]
    assert series["rss_gib"] == [1.0] * 3
    assert set(found["unmeasured"]) == {"held_out/loss"}
    row = world.row("sft")
    assert row["total_s"]["mean"] == 30.0
    assert row["unmeasured"]["drawn_tokens"].startswith("the method draws no answers")


def test_long_curves_are_means_over_neighbours(world: World) -> None:
    folder = world.train("sft", 0, method="sft")
    steps = 2 * MOST_POINTS + 1
    with (folder / LOG).open("w") as file:
        file.writelines(
            json.dumps(asdict(training_step(s, loss=float(s)))) + "\n" for s in range(1, steps + 1)
        )
    train = world.curves("sft")["runs"][0]["train"]
    assert train["steps_a_point"] == 3
    assert len(train["steps"]) == len(train["series"]["loss"]) <= MOST_POINTS
    assert (train["steps"][0], train["series"]["loss"][0]) == (3, 2.0)
    assert (train["steps"][-1], train["series"]["loss"][-1]) == (steps, steps - 0.0)


def test_a_distance_is_summed_over_an_answers_tokens() -> None:
    answers = [np.array([0.1, 0.3]), np.array([0.0, 0.2, 0.4]), np.array([1.0])]
    found = summarise(answers, seed=0)
    assert found.kl == pytest.approx((0.4 + 0.6 + 1.0) / 3)
    assert found.kl_token == pytest.approx(2.0 / 6)
    assert (found.answers, found.tokens) == (3, 6)
    assert 0.4 <= found.kl_low <= found.kl <= found.kl_high <= 1.0
