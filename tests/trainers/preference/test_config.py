"""The tables of preference and reinforcement methods: what reaches TRL, and what is refused with a reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from assay.trainers import TRAINERS
from assay.trainers.config import METHODS, GrpoConfig, PpoConfig, RlooConfig
from assay.trainers.config.common import common_arguments
from assay.trainers.config.preference import dpo_arguments, kto_arguments, reward_arguments
from assay.trainers.config.rl import KlTable, RewardTable, group_arguments
from assay.trainers.data.inputs import PREFERENCE_METHODS, REINFORCEMENT_METHODS


def made(method: str, **values: Any) -> Any:
    return METHODS[method].model_validate({"method": method} | values)


@pytest.mark.train
@pytest.mark.parametrize(
    ("method", "values", "reach"),
    [
        ("dpo", {"beta": 0.3}, {"beta": 0.3, "loss_type": ["sigmoid"], "label_smoothing": 0.0}),
        ("dpo", {"label_smoothing": 0.1, "smoothing": "robust"}, {"loss_type": ["robust"], "label_smoothing": 0.1}),
        ("dpo", {"label_smoothing": 0.1}, {"loss_type": ["sigmoid", "robust"], "loss_weights": [1.8, -0.8]}),
        ("ipo", {"beta": 0.2, "max_length": 77}, {"beta": 0.2, "loss_type": ["ipo"], "max_length": 77}),
        ("kto", {"desirable_weight": 1.5, "undesirable_weight": 0.5},
         {"desirable_weight": 1.5, "undesirable_weight": 0.5, "loss_type": "kto", "beta": 0.1}),
        ("reward", {"center": 0.01}, {"center_rewards_coefficient": 0.01}),
        ("reward", {}, {"center_rewards_coefficient": None}),
        ("rloo", {"beta": 0.2, "clip": 0.1},
         {"beta": 0.2, "epsilon": 0.1, "num_generations": 4, "max_steps": 50 * 8 * 2}),
        ("grpo", {"rollout": {"temperature": 0.7, "max_new_tokens": 9}, "max_steps": 3, "epochs": 1, "batch_size": 64},
         {"temperature": 0.7, "max_completion_length": 9, "generation_batch_size": 128, "max_steps": 6}),
    ],
)  # fmt: skip
def test_fields_reach_trl(method: str, values: dict[str, Any], reach: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("trl", reason="needs the train extra")
    import trl

    config = made(method, learning_rate=3e-4, seed=5, save_steps=7, **values)
    kinds = {
        "dpo": (trl.DPOConfig, dpo_arguments),
        "ipo": (trl.DPOConfig, dpo_arguments),
        "kto": (trl.KTOConfig, kto_arguments),
        "reward": (trl.RewardConfig, reward_arguments),
        "rloo": (trl.RLOOConfig, group_arguments),
        "grpo": (trl.GRPOConfig, group_arguments),
    }
    kind, arguments = kinds[method]
    shared = common_arguments(config, str(tmp_path), use_cpu=True, dtype="fp32")
    received = kind(**shared | arguments(config))
    assert {name: getattr(received, name) for name in reach} == reach
    assert (received.learning_rate, received.seed, received.per_device_train_batch_size) == (
        3e-4,
        5,
        config.batch_size,
    )
    assert received.disable_dropout is False


@pytest.mark.parametrize("method", ["rloo", "grpo"])
def test_a_control_arms_warm_up_counts_updates_as_ppos_does(method: str) -> None:
    """Two minibatches and two passes are four optimiser steps of one update."""
    values: dict[str, Any] = {"batch_size": 32, "epochs": 2, "rollout": {"prompts": 16, "samples": 4}}
    warmed = group_arguments(made(method, warmup_steps=3, **values))
    assert (warmed["warmup_steps"], warmed["max_steps"]) == (12, 200)
    share = group_arguments(made(method, warmup_ratio=0.1, **values))
    assert share["warmup_steps"] == 0.1


@pytest.mark.parametrize(
    ("method", "values", "said"),
    [
        (
            "dpo",
            {"adapter": {"type": "none"}, "reference": "adapter_off"},
            "there is no adapter to switch off",
        ),
        ("dpo", {"label_smoothing": 0.5}, "less than 0.5"),
        ("kto", {"batch_size": 1}, "must be at least 2"),
        ("orpo", {"reference": "copy"}, "Extra inputs are not permitted"),
        ("reward", {"adapter": {"type": "none"}}, "trained as an adapter with a head"),
        ("ppo", {"rollout": {"prompts": 3, "samples": 3}}, "no multiple of batch_size = 16"),
        ("ppo", {"baseline": "group", "rollout": {"samples": 1}}, "rollout.samples must be at least 2"),
        ("ppo", {"adapter": {"dropout": 0.1}}, "dropout makes the policy that learns another"),
        ("ppo", {"optimizer": "sgd"}, "ppo uses adamw_torch"),
        ("ppo", {"epochs": 1.5}, "passes over a batch of answers are whole"),
        ("ppo", {"kl": {"adaptive": True}}, "needs a target"),
        ("ppo", {"reward": {"passed": 0, "fraction": 0}}, "nothing is rewarded"),
        ("ppo", {"reward": {"model_weight": 1}}, "model and model_weight go together"),
        ("grpo", {"rollout": {"samples": 1}}, "a group's answers are compared with each other"),
        ("ppo", {"max_length": 512}, "max_length: ppo does not use it: .* rollout.max_new_tokens"),
        ("ppo", {"logging_steps": 5}, "logging_steps: ppo does not use it: every update is logged"),
        ("ppo", {"alarm": {"spikes": False}}, "alarm: ppo does not use it: .* kl.target with kl.on_alarm"),
        ("ppo", {"keep_best": True}, "keep_best: ppo does not use it: .* `assay run`"),
        ("rloo", {"max_length": 512}, "max_length: rloo does not use it: .* rollout.max_new_tokens"),
        ("grpo", {"logging_steps": 5}, "logging_steps: grpo does not use it: every update is logged"),
    ],
)
def test_what_cannot_be_is_refused(method: str, values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        made(method, **values)


def test_the_control_arms_have_the_alarm_of_a_loss() -> None:
    assert made("rloo", alarm={"patience": 5}).alarm.patience == 5
    assert made("ppo", alarm={}, max_length=1024).alarm.patience == 2  # what is said as it is anyway


def test_without_an_adapter_the_reference_is_a_copy() -> None:
    assert made("dpo", adapter={"type": "none"}).reference == "copy"
    assert made("dpo").reference == "adapter_off"


def test_every_method_has_a_table_a_trainer_and_data() -> None:
    assert set(METHODS) == {"sft", *PREFERENCE_METHODS, *REINFORCEMENT_METHODS}
    assert set(METHODS) <= set(TRAINERS.names())


def test_defaults_are_of_a_kind_that_trains() -> None:
    ppo = made("ppo")
    assert isinstance(ppo, PpoConfig)
    assert (ppo.kl, ppo.reward) == (KlTable(), RewardTable())
    assert isinstance(made("rloo"), RlooConfig)
    assert isinstance(made("grpo"), GrpoConfig)


@pytest.mark.parametrize("lab", ["dpo", "reward", "ppo"])
def test_the_labs_tables_are_valid(lab: str) -> None:
    import tomllib

    from assay.trainers.data.inputs import data_table

    path = Path(__file__).parents[3] / "suites" / "labs" / f"{lab}.toml"
    raw = tomllib.loads(path.read_text())
    config = METHODS[raw["config"]["method"]].model_validate(raw["config"])
    data_table(config.method).model_validate(raw["data"])
