"""The ids of steps: those of version 0.1 stay, and what decides a result decides its step's id."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assay.harness.experiment import Experiment
from assay.harness.pipeline import plan as planning
from assay.harness.pipeline.fingerprints import digest
from assay.harness.pipeline.plan import KINDS, make_plan
from assay.harness.pipeline.store import Step, Store
from assay.suites import Problem, Suite
from assay.trainers.artifact import Artifact, ArtifactKind

SHORT = {"max_steps": 2, "batch_size": 2, "max_length": 384, "dtype": "fp32"}
EXPERIMENT: dict[str, Any] = {
    "name": "ids",
    "seeds": [0],
    "suite": {"name": "pocket", "split": "test", "limit": 4},
    "sampling": {"temperature": 0.8, "max_new_tokens": 32},
    "engine": {"dtype": "fp32", "device": "cpu", "threads": 1},
    "sandbox": {"workers": 1},
    "score": {"reference": "sft"},
    "profile": {"repeats": 1, "new_tokens": 8},
    "variant": [
        {"name": "base", "model": "pocket"},
        {
            "name": "sft",
            "train": "base",
            "config": {
                "method": "sft",
                "learning_rate": 1e-3,
                "max_steps": 2,
                "batch_size": 4,
                "max_length": 256,
                "dtype": "fp32",
            },
            "data": {"suite": "pocket", "n": 16},
        },
        {"name": "dpo", "train": "sft", "config": SHORT | {"method": "dpo"}, "data": {"pairs": "own"}},
        {
            "name": "judge",
            "train": "sft",
            "config": SHORT | {"method": "reward"},
            "data": {"pairs": "own", "eval_fraction": 0.5},
        },
        {
            "name": "ppo",
            "train": "sft",
            "config": {
                "method": "ppo",
                "dtype": "fp32",
                "max_steps": 2,
                "batch_size": 4,
                "epochs": 1,
                "rollout": {"prompts": 2, "samples": 2, "max_new_tokens": 32},
                "reward": {"model": "judge", "model_weight": 0.5},
            },
            "data": {"suite": "pocket", "only": "own"},
        },
        {"name": "merged", "merge": "sft"},
        {"name": "q8", "export": "merged", "quantize": "q8_0"},
        {"name": "bf16", "compress": "merged", "quantization": "bf16"},
    ],
    "pairs": [
        {
            "name": "own",
            "model": "sft",
            "suite": {"name": "pocket", "limit": 8},
            "sampling": {"samples": 4, "temperature": 1.0, "max_new_tokens": 96},
        }
    ],
}
# Printed by `assay plan` of version 0.1 (commit 525b2b7).
IDS = {
    "take-base": "314e7f8087b4",
    "train-sft.s0": "67281fd40d5c",
    "sample-own.s0": "7d36b027c90d",
    "merge-merged.s0": "c1805f1d1f60",
    "export-q8.s0": "da7b75d5c4a9",
    "compress-bf16.s0": "48abc21c725e",
    "generate-base": "5ca0aa590b43",
    "generate-sft.s0": "10a7ee7663c1",
    "generate-merged.s0": "c93286e33fa2",
    "generate-q8.s0": "772c75def0a7",
    "generate-bf16.s0": "01532c8b6a7a",
    "profile-base": "b261897e8e00",
    "profile-sft.s0": "ef39460feb23",
    "profile-q8.s0": "0a400773fd96",
}
# What verdicts decide has an id that changes with the code that judges: its configuration is held, by the same hash.
CONFIGS = {
    "pairs-own.s0": "53e6467c7329",
    "train-dpo.s0": "3f648b7a0ab8",
    "train-judge.s0": "96e3882279a8",
    "train-ppo.s0": "08f806a2fa61",
}


def test_steps_of_version_0_1_have_the_ids_that_they_had() -> None:
    """A results folder of that version is gone on with: whatever trains or samples is found there by its id."""
    plan = make_plan(Experiment.model_validate(EXPERIMENT))
    assert {name: plan.step(name).id for name in IDS} == IDS
    assert {name: digest(plan.step(name).config) for name in CONFIGS} == CONFIGS
    assert (plan.step("sample-own.s0").label, plan.step("sample-own.s0").kind) == ("sample", "generate")


def test_every_kind_has_one_object_and_every_step_one_kind() -> None:
    plan = make_plan(Experiment.model_validate(EXPERIMENT | {"compare": {"texts": 4}}))
    assert {step.kind for step in plan.steps} == set(KINDS)
    assert all(name == kind.name for name, kind in KINDS.items())
    order = [step.name for step in plan.steps]
    assert all(order.index(source) < order.index(step.name) for step in plan.steps for source in step.inputs)


def test_overlaps_with_data_that_exists_come_first() -> None:
    """They cost nothing, and what they show may keep a user from paying for the rest."""
    assert make_plan(Experiment.model_validate(EXPERIMENT)).steps[0].name == "contamination-sft"


def plan_of(monkeypatch: pytest.MonkeyPatch, stop: tuple[str, ...], style: str) -> str:
    suite = Suite("one", "0", (Problem("t/0", "def f(x):\n", "f", ("assert f(1) == 2",)),))
    monkeypatch.setattr(planning, "load_suite", lambda *_, **__: replace(suite, stop=stop))
    table = {"name": "t", "suite": {"name": "one"}, "sampling": {"style": style}}
    variants = {"variant": [{"name": "base", "model": "pocket"}]}
    return make_plan(Experiment.model_validate(table | variants)).step("generate-base").id


def test_stop_strings_decide_completions_and_not_chat_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    def ids(style: str) -> list[str]:
        return [plan_of(monkeypatch, stop, style) for stop in ((), ("\nclass",), ("\nclass", "\ndef"))]

    assert len(set(ids("completion"))) == 3
    assert len(set(ids("chat"))) == 1


def test_a_model_behind_a_server_is_not_profiled(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = Artifact(ArtifactKind.ENDPOINT, Path("http://localhost:1/v1"), "e" * 64)
    resolve = planning.resolve_model
    monkeypatch.setattr(
        planning, "resolve_model", lambda name: endpoint if name.startswith("http") else resolve(name)
    )
    server = {"name": "server", "model": "http://localhost:1/v1"}
    table = EXPERIMENT | {"variant": [*EXPERIMENT["variant"], server]}
    plan = make_plan(Experiment.model_validate(table))
    assert plan.step("generate-server").inputs == ("take-server",)
    assert "profile-base" in plan.by_name
    assert "profile-server" not in plan.by_name


def step(step_id: str, **config: Any) -> Step:
    return Step("train-dpo", "train", "dpo", step_id, config, ("merge-sft", "pairs-own"))


def test_a_result_of_equal_configuration_and_inputs_is_recognised(tmp_path: Path) -> None:
    """By the content of its inputs, whatever their ids: judging code that changes no pair repeats no training."""
    store, made_from = Store(tmp_path), {"merge-sft": "a" * 64, "pairs-own": "b" * 64}
    old = step("0" * 12, rate=0.1)
    (store.work(old.name, old.id) / "weights").write_text("w")
    record = {
        "name": old.name,
        "id": old.id,
        "config": old.config,
        "made_from": made_from,
        "finished": "2026",
    }
    store.commit(old.name, old.id, record)
    same = step("1" * 12, rate=0.1)
    assert store.equal_record(same, 1, made_from) == (store.path(old.name, old.id), record)
    assert store.equal_record(same, 2, made_from) is None
    assert store.equal_record(same, 1, made_from | {"pairs-own": "c" * 64}) is None
    assert store.equal_record(step("1" * 12, rate=0.2), 1, made_from) is None
    store.link(same, store.path(old.name, old.id))
    assert store.record(same.name, same.id) == record
    assert (store.path(same.name, same.id) / "weights").read_text() == "w"
    store.discard(same.name, same.id)
    assert store.record(same.name, same.id) is None
    assert store.record(old.name, old.id) == record  # the link is gone, and not what it led to
