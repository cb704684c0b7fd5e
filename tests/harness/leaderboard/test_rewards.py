"""What paid, from what trainers leave on disk: reward models as they were measured, and answers with their rewards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.harness.leaderboard.trainings import MOST_TEXT, choose, last_rows, paid_answers, reward_models
from assay.trainers.preference.reward_report import Scored, describe, save
from assay.trainers.rl.log import ROLLOUTS, append_rows
from tests.harness.leaderboard.test_curves import World

SCORED = [Scored("a", 2.0, 1.0), Scored("a", 0.0, 3.0), Scored("b", 1.0, 1.0), Scored("c", 5.0, 1.0)]


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.add("take", "base")
    return made


def judge(world: World, seed: int, scored: list[Scored] | None) -> Path:
    """A reward model with what its trainer measured: nothing held out where `scored` is empty, no report if None."""
    folder = world.train("judge", seed, method="reward")
    world.plan.reward_models["judge"] = (
        world.plan.members.pop("judge") if seed == 0 else world.plan.reward_models["judge"]
    )
    if scored is not None:
        save(folder, scored, describe(scored))
    return folder


def answer(step: int, reward: float | None, **changes: Any) -> dict[str, Any]:
    components = None if reward is None else {"passed": reward, "fraction": 0.0, "compiles": 1.0}
    figures: dict[str, Any] = {"problem_id": f"p/{reward}", "text": "x = 1\n", "outcome": "fail", "why": ""}
    return figures | {"step": step, "reward": reward, "components": components, "held_passed": None} | changes


def test_a_reward_model_is_what_its_trainer_measured_and_says_whom_it_pays(world: World) -> None:
    folder = judge(world, 0, SCORED)
    world.train("ppo", 0, ("take-base", "train-judge.s0"), method="ppo")
    world.train("grpo", 0, method="grpo")
    found = reward_models(world.store, world.plan)["judge"].to_json()
    assert found["pays"] == ["ppo"]
    (run,) = found["runs"]
    assert run["accuracy"]["value"] == (1 + 0 + 0.5 + 1) / 4
    assert (run["seed"], run["pairs"], run["problems"], run["mean_margin"]) == (0, 4, 3, 0.5)
    assert sum(bar["pairs"] for bar in run["margins"]) == sum(b["pairs"] for b in run["reliability"]) == 4
    assert (world.store.root / run["file"]).samefile(folder / "reward_model.json")


@pytest.mark.parametrize(
    ("scored", "why"), [([], "no pairs were held out"), (None, "the training left no reward_model.json")]
)
def test_a_reward_model_that_was_not_measured_says_why(
    world: World, scored: list[Scored] | None, why: str
) -> None:
    judge(world, 0, scored)
    (run,) = reward_models(world.store, world.plan)["judge"].to_json()["runs"]
    assert run.get("accuracy") is None
    assert why in run["unmeasured"]


def test_what_a_reward_model_took_stands_beside_the_other_trainings(world: World) -> None:
    judge(world, 0, SCORED)
    row = world.row("judge")
    assert (row["accuracy"]["mean"], row["margin"]["mean"]) == (0.625, 0.5)
    assert row["train_s"]["mean"] == 30.0
    assert row["unmeasured"]["kl"] == "a reward model writes no answers"


def test_answers_are_of_the_last_update_from_the_best_paid_to_the_worst(world: World) -> None:
    folder = world.train("ppo", 0, method="ppo", reward={"passed": 1.0, "fraction": 0.0})
    append_rows(folder / ROLLOUTS, [answer(1, 9.0)])
    append_rows(folder / ROLLOUTS, [answer(2, 0.1 * n) for n in range(11)] + [answer(2, None, why="infra")])
    with (folder / ROLLOUTS).open("a") as file:
        file.write('{"step": 3, "rew')  # as a kill leaves it
    found = paid_answers(world.store, world.plan)["ppo"].to_json()
    assert (found["seed"], found["update"], found["answers"]) == (0, 2, 12)
    assert found["weights"] == {"passed": 1.0}  # what weighs nothing is not shown
    rewards = [row["reward"] for row in found["shown"]]
    assert rewards[0] == 1.0
    assert rewards[-1] is None
    assert rewards[:-1] == sorted(rewards[:-1], reverse=True)
    assert (world.store.root / found["file"]).samefile(folder / ROLLOUTS)


def test_an_update_of_trls_is_counted_in_updates_and_not_in_its_steps(world: World) -> None:
    batch = {"rollout": {"prompts": 4, "samples": 2}, "batch_size": 2, "epochs": 2}
    folder = world.train("grpo", 0, method="grpo", **batch)
    append_rows(folder / ROLLOUTS, [answer(1, 0.0), answer(9, 1.0), answer(9, 0.5)])  # 8 steps an update
    found = paid_answers(world.store, world.plan)["grpo"].to_json()
    assert (found["update"], found["answers"]) == (2, 2)


def test_a_long_answer_is_cut_and_says_so(world: World) -> None:
    folder = world.train("ppo", 0, method="ppo")
    append_rows(folder / ROLLOUTS, [answer(1, 1.0, text="x" * (MOST_TEXT + 1)), answer(1, 0.0)])
    first, second = paid_answers(world.store, world.plan)["ppo"].to_json()["shown"]
    assert (len(first["text"]), first["cut"], second["cut"]) == (MOST_TEXT, True, False)


def test_no_answers_on_disk_is_unmeasured(world: World) -> None:
    world.train("ppo", 0, method="ppo")
    found = paid_answers(world.store, world.plan)["ppo"].to_json()
    assert (found["shown"], found["update"], found["unmeasured"]) == (
        [],
        None,
        f"the training left no {ROLLOUTS}",
    )
    world.train("sft", 0, method="sft")
    assert "sft" not in paid_answers(world.store, world.plan)


@given(st.lists(st.none() | st.floats(-5, 5), max_size=40), st.integers(2, 8))
def test_the_chosen_answers_span_the_rewards(rewards: list[float | None], count: int) -> None:
    rows = [{"reward": reward, "place": place} for place, reward in enumerate(rewards)]
    chosen = choose(rows, count)
    assert len({row["place"] for row in chosen}) == len(chosen) == min(count, len(rows))
    known = [r for r in rewards if r is not None]
    if known:
        assert chosen[0]["reward"] == max(known)
    if rewards:
        assert chosen[-1]["reward"] == (min(known) if None not in rewards else None)


def test_a_file_of_one_update_is_read_whole(tmp_path: Path) -> None:
    file = tmp_path / ROLLOUTS
    assert last_rows(file) == []
    file.write_text("".join(json.dumps({"step": 1, "n": n}) + "\n" for n in range(3)))
    assert [row["n"] for row in last_rows(file)] == [0, 1, 2]
