"""Reward models: none writes answers or is merged, and ppo's is part of what a step is."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from assay.harness.cli import app
from assay.harness.console import Progress
from assay.harness.errors import BadInputError
from assay.harness.experiment import load_experiment
from assay.harness.generation.load import load_generator
from assay.harness.models.resolve import POCKET_FOLDER
from assay.harness.pipeline.plan import KINDS, Plan, make_plan
from assay.harness.pipeline.steps import Artifacts, Context
from assay.harness.pipeline.store import Store
from assay.harness.training.file import load_job
from assay.trainers import ArtifactError, ArtifactKind, TrainingError, identify
from assay.trainers.artifact import describe, is_reward_model
from assay.trainers.merge import merge
from assay.trainers.preference.reward_report import REPORT, Scored, save
from assay.trainers.preference.reward_report import describe as worth
from assay.trainers.run.folder import claim

HEAD = """
name = "rm"
[suite]
name = "pocket"
split = "dev"
limit = 2
[[variant]]
name = "base"
model = "pocket"
"""
PPO = """
[[variant]]
name = "ppo"
train = "base"
config = { method = "ppo", reward = { model = "judge", model_weight = 0.5 } }
data = { suite = "pocket", n = 4 }
"""


def make_judge(folder: Path, weights: bytes = b"head", task: str = "SEQ_CLS") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    config = {"base_model_name_or_path": str(POCKET_FOLDER), "r": 8, "task_type": task}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    (folder / "adapter_model.safetensors").write_bytes(weights)
    return folder


def plan_of(folder: Path, more: str = PPO) -> Plan:
    (folder / "e.toml").write_text(HEAD + more)
    return make_plan(load_experiment(folder / "e.toml"))


def test_a_reward_model_neither_generates_nor_merges(tmp_path: Path) -> None:
    judge = identify(make_judge(tmp_path / "judge"))
    assert is_reward_model(judge)
    assert not is_reward_model(identify(make_judge(tmp_path / "other", task="CAUSAL_LM")))
    with pytest.raises(BadInputError, match="is a reward model: it scores answers and writes none"):
        load_generator(judge)
    with pytest.raises(ArtifactError, match="is a reward model: it scores answers, and a merge would"):
        merge([judge], tmp_path / "out")


def test_a_step_is_its_reward_models_content_and_not_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    make_judge(here / "judge")
    make_judge(there / "judge")
    monkeypatch.chdir(there)  # a relative name is beside the file, wherever the command is given
    first = plan_of(here).step("train-ppo").id
    assert plan_of(there).step("train-ppo").id == first
    make_judge(here / "judge", weights=b"another")
    assert plan_of(here).step("train-ppo").id != first
    make_judge(here / "judge")
    (here / "judge" / REPORT).write_text("{}")  # its scores are read by the report's mean and spread
    assert plan_of(here).step("train-ppo").id != first
    with pytest.raises(TrainingError, match=r"judge is no reward model"):
        make_judge(here / "judge", task="CAUSAL_LM")
        plan_of(here)


def test_a_training_folder_is_of_its_reward_models_content(tmp_path: Path) -> None:
    make_judge(tmp_path / "judge")
    file = tmp_path / "t.toml"
    file.write_text(
        'base = "pocket"\n[config]\nmethod = "ppo"\nreward = { model = "judge", model_weight = 1 }\n'
        '[data]\nsuite = "pocket"\nn = 4\n'
    )
    job, out = load_job(file), tmp_path / "out"
    assert job.settings()["config.reward.model"] == str(tmp_path / "judge")
    out.mkdir()
    claim(out, job.base, job.config, job.records)
    claim(out, job.base, job.config, job.records)
    make_judge(tmp_path / "judge", weights=b"another")
    with pytest.raises(TrainingError, match="begun with another config"):
        claim(out, job.base, job.config, job.records)


def test_assay_train_says_what_a_reward_model_is_worth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = [Scored("a", 2.0, 1.0), Scored("b", 0.0, 3.0), Scored("c", 5.0, 1.0), Scored("c", 1.0, 0.5)]

    def train_alone(base: Any, _config: Any, _records: Any, out: Path, _on_step: Any) -> Any:
        save(make_judge(out), scored, worth(scored))
        return describe(ArtifactKind.ADAPTER, out, base, "trained")

    monkeypatch.setattr("assay.trainers.run.process.train_alone", train_alone)
    chat = [{"role": "user", "content": "do"}]
    pair = {
        "prompt": chat,
        "chosen": [{"role": "assistant", "content": "a"}],
        "rejected": [{"role": "assistant", "content": "b"}],
    }
    (tmp_path / "pairs.jsonl").write_text(json.dumps(pair) + "\n")
    (tmp_path / "t.toml").write_text(
        'base = "pocket"\n[config]\nmethod = "reward"\n[data]\nfile = "pairs.jsonl"\n'
    )
    command = ["train", str(tmp_path / "t.toml"), "-o", str(tmp_path / "out"), "--quiet"]
    said = CliRunner().invoke(app, command, catch_exceptions=False)
    assert "held-out accuracy 75.0 % (" in said.stdout
    assert "on 4 pairs of 3 problems" in said.stdout
    assert "calibration error" in said.stdout
    assert str(tmp_path / "out" / REPORT) in said.stdout
    told = CliRunner().invoke(app, [*command, "--json"], catch_exceptions=False)
    assert json.loads(told.stdout)["reward_model"] == json.loads((tmp_path / "out" / REPORT).read_text())


@pytest.mark.parametrize("allow_weak", [False, True])
def test_allow_weak_reaches_a_training_that_executes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allow_weak: bool
) -> None:
    make_judge(tmp_path / "judge")
    plan = plan_of(tmp_path)
    seen: list[bool] = []

    def train_alone(base: Any, _config: Any, records: Any, out: Path, _on_step: Any) -> Any:
        seen.append(records.allow_weak)
        return describe(ArtifactKind.ADAPTER, make_judge(out), base, "trained")

    monkeypatch.setattr("assay.trainers.run.process.train_alone", train_alone)
    (tmp_path / "work").mkdir()
    store = Store(tmp_path)
    context = Context(plan, store, Progress(enabled=False), Artifacts(store, plan.steps), None, allow_weak)
    KINDS["train"].run(context, plan.step("train-ppo"), tmp_path / "work")
    assert seen == [allow_weak]


@pytest.mark.parametrize("style", ["chat", "completion"])
def test_a_judge_reads_the_problem_as_it_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, style: str
) -> None:
    from assay.trainers.config.rl import RewardTable
    from assay.trainers.rl.check_split import training_problem
    from assay.trainers.rl.reward import reward_model_scores

    seen: list[Any] = []

    def score(items: Any) -> list[float]:
        seen.extend(items)
        return [5.0 for _ in items]

    model = SimpleNamespace(mean=1.0, spread=2.0, score=score)
    monkeypatch.setattr("assay.trainers.methods.reward_model.load_reward_model", lambda _: model)
    problem = plan_of(tmp_path, "").suite.problems[0]
    judge = reward_model_scores(RewardTable(model=tmp_path, model_weight=1), style)
    assert judge is not None
    attempt: Any = SimpleNamespace(
        problem=training_problem(problem, problem.prompt, None, None),
        drawn=SimpleNamespace(text="    return 1\n"),
    )
    assert judge([attempt]) == [2.0]
    ((prompt, text),) = seen
    assert text == "    return 1\n"
    assert (prompt == problem.prompt) is (style == "completion")
    assert isinstance(prompt, list) is (style == "chat")
