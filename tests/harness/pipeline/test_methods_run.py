"""SFT, pairs of its answers, preferences, a reward model and PPO in one experiment, really trained at toy size."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from assay.harness.cli import app
from assay.harness.console import Progress
from assay.harness.errors import UnmeasuredError
from assay.harness.experiment import load_experiment
from assay.harness.pipeline.plan import Plan, make_plan
from assay.harness.pipeline.runner import Run, run
from assay.harness.pipeline.steps.compare import read_links
from assay.harness.pipeline.steps.contamination import read_overlap
from assay.trainers.artifact import ArtifactKind
from assay.trainers.errors import TrainingError

pytestmark = [pytest.mark.train, pytest.mark.isolated, pytest.mark.slow]
pytest.importorskip("torch", reason="needs the train extra: pip install 'assay[train]'")
pytest.importorskip("trl", reason="needs the train extra: pip install 'assay[train]'")

START = """
name = "toy"
seeds = {seeds}
[suite]
name = "pocket"
split = "test"
limit = {limit}
[sampling]
samples = 1
temperature = 0.8
max_new_tokens = 32
[engine]
dtype = "fp32"
device = "cpu"
threads = 1
[sandbox]
workers = 1
[score]
reference = "sft"
[[variant]]
name = "base"
model = "pocket"
[[variant]]
name = "sft"
train = "base"
config = {{ method = "sft", learning_rate = 1e-3, max_steps = 2, batch_size = 4, max_length = 256 }}
data = {{ suite = "pocket", n = 16 }}
[[pairs]]
name = "own"
model = "sft"
suite = {{ name = "pocket", limit = 8 }}
sampling = {{ samples = 4, temperature = 1.0, max_new_tokens = 96 }}
"""
PREFERS = """
[[variant]]
name = "{method}"
train = "sft"
config = {{ method = "{method}", max_steps = 2, batch_size = 2, max_length = 384, dtype = "fp32" }}
data = {{ pairs = "own" }}
"""
REINFORCES = """
[[variant]]
name = "{method}"
train = "sft"
[variant.config]
method = "{method}"
max_steps = 2
batch_size = 4
epochs = 1
rollout = {{ prompts = 2, samples = 2, max_new_tokens = 32 }}
{more}
[variant.data]
suite = "pocket"
n = 8
"""
JUDGE = """
[[variant]]
name = "judge"
train = "sft"
config = { method = "reward", max_steps = 2, batch_size = 2, max_length = 384, dtype = "fp32" }
data = { pairs = "own", eval_fraction = 0.5 }
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    file = tmp_path_factory.mktemp("toy") / "toy.toml"
    paid = "reward = { model = 'judge', model_weight = 0.5 }"
    compared = START.replace("[score]", "[compare]\ntexts = 2\ngreedy_tokens = 2\n[score]")
    text = compared.format(seeds=[0], limit=3) + PREFERS.format(method="dpo") + JUDGE
    practises = REINFORCES.format(method="ppo", more=paid).replace("n = 8", 'only = "own"')
    file.write_text(text + practises)
    return make_plan(load_experiment(file))


@pytest.fixture(scope="module")
def done(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run, whose verdicts on the pairs' samples failed the first time."""
    results = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:

        def broken(*_: Any, **__: Any) -> Any:
            raise UnmeasuredError("the sandbox is away")

        patch.setattr("assay.harness.pipeline.steps.execute.open_executor", broken)
        with pytest.raises(UnmeasuredError, match="the sandbox is away"):
            run(plan, results, Progress(enabled=False))
    kept = list((results / "toy" / "steps").glob("sample-own.s0-*/samples.*")) + list(
        (results / "toy" / "steps").glob("sample-own.s0-*.part/samples.jsonl")
    )
    assert kept  # raw samples are on disk though not one of them has a verdict
    assert not list((results / "toy" / "steps").glob("pairs-*"))
    return run(plan, results, Progress(enabled=False))


def record(done: Run, name: str) -> dict[str, Any]:
    step = done.plan.step(name)
    found = done.store.record(step.name, step.id)
    assert found is not None
    return found


def lines(done: Run) -> list[dict[str, Any]]:
    step = done.plan.step("pairs-own.s0")
    text = (done.store.path(step.name, step.id) / "pairs.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_every_pair_is_of_the_models_own_samples(done: Run) -> None:
    step = done.plan.step("sample-own.s0")
    samples = pd.read_parquet(done.store.path(step.name, step.id) / "samples.parquet")
    assert len(samples) == 32
    texts = {(r["problem_id"], r["index"]): r["completion"] for r in samples.to_dict("records")}
    made = lines(done)
    assert record(done, "pairs-own.s0")["pairs"]["lines"] == len(made) > 0
    for line in made:
        assert line["model_sha256"] == record(done, "train-sft.s0")["artifact"]["sha256"]
        assert (line["split"], line["model"]) == ("train", "sft.s0")
        for side in ("chosen", "rejected"):
            source = line[f"{side}_sample"]
            assert texts[line["problem_id"], source["index"]].rstrip() == line[side][0]["content"]
            assert (source["outcome"] == "pass") == (side == "chosen")


def test_trainings_start_from_the_merged_adapter_and_learn_from_the_pairs(done: Run) -> None:
    dpo, merged = record(done, "train-dpo.s0"), record(done, "merge-sft.s0+merged")
    assert dpo["training"]["base_sha256"] == merged["artifact"]["sha256"]
    assert merged["artifact"]["kind"] == ArtifactKind.MERGED
    assert dpo["training"]["data_counts"].startswith(f"{len(lines(done))} pairs on ")
    assert "from pairs-own.s0" in dpo["training"]["data_counts"]
    ppo = record(done, "train-ppo.s0")
    problems = {line["problem_id"] for line in lines(done)}
    assert ppo["training"]["data_counts"].startswith(f"{len(problems)} problems of pocket, split train; ")
    assert "model 0.5" in record(done, "train-ppo.s0")["artifact"]["recipe"]


@pytest.mark.parametrize("name", ["dpo.s0", "judge.s0", "ppo.s0"])
def test_a_dry_run_tells_what_the_training_then_was(done: Run, name: str) -> None:
    from assay.harness.pipeline.steps import Artifacts
    from assay.harness.training.dry_run import plan_training
    from assay.harness.training.file import Job

    artifacts = Artifacts(done.store, done.plan.steps)
    start = artifacts.of(done.plan.step("merge-sft.s0+merged"))
    training, plan = done.plan.trainings[name], done.plan
    records = plan.maker(name).spec.records(lambda made: done.store.path(made, plan.step(made).id))
    config: Any = training.config
    if name == "ppo.s0":
        judge = artifacts.of(done.plan.step("train-judge.s0")).path
        config = config.model_copy(update={"reward": config.reward.model_copy(update={"model": judge})})
    told = plan_training(Job(start, "sft", config, training.data, records, None, {}, {}))
    facts = record(done, f"train-{name}")["training"]
    assert told.trainable_parameters == facts["trainable_parameters"]
    assert told.total_parameters == facts["total_parameters"]
    assert (told.steps, told.records) == (facts["steps"], facts["data_counts"])
    assert told.memory is not None, told.memory_reason
    assert told.answers == (4 if name == "ppo.s0" else None)
    assert told.lengths.unit == ("problems" if name == "ppo.s0" else "pairs")


def test_the_leaderboard_has_who_answers_and_the_overlap_of_what_was_learned(done: Run) -> None:
    from assay.harness.leaderboard.build import build_leaderboard
    from assay.harness.pipeline.steps.execute import load_tables

    board = build_leaderboard(done, load_tables(done.store, done.plan)).to_json()
    assert {row["variant"] for row in board["rows"]} == {"base", "sft", "dpo", "ppo"}
    parents = {row["variant"]: row["parent"] for row in board["rows"]}
    assert parents["dpo"] == parents["ppo"] == "sft"
    assert set(board["contamination"]) == {"sft", "dpo", "ppo"}
    assert board["contamination"]["dpo"]["n_texts"] == len(lines(done))
    assert board["isolation"]["rewards"] == record(done, "train-ppo.s0")["training"]["isolation"]


def test_the_report_says_what_the_reward_model_is_worth_and_what_answers_were_paid(done: Run) -> None:
    from assay.harness.leaderboard.build import build_leaderboard
    from assay.harness.pipeline.steps.execute import load_tables
    from assay.harness.report import render_markdown, reward_model_lines

    leaderboard = build_leaderboard(done, load_tables(done.store, done.plan))
    board = leaderboard.to_json()
    step = done.plan.step("train-judge.s0")
    folder = done.store.path(step.name, step.id) / "model"
    measured = json.loads((folder / "reward_model.json").read_text())
    model = board["reward_models"]["judge"]
    assert model["pays"] == ["ppo"]
    assert record(done, "train-judge.s0")["reward_model"] == measured
    (run,) = json.loads(json.dumps(model["runs"]))
    assert {key: run[key] for key in measured} == measured
    held = [json.loads(line) for line in (folder / "held_out.jsonl").read_text().splitlines()]
    right = sum(0.5 if r["chosen"] == r["rejected"] else r["chosen"] > r["rejected"] for r in held)
    assert run["accuracy"]["value"] == pytest.approx(right / len(held))
    assert f"{100 * right / len(held):.1f} %" in reward_model_lines(leaderboard)[0].plain
    assert board["curves"]["judge"]["runs"][0]["train"]["series"]["accuracy"]
    paid = board["answers"]["ppo"]
    assert (paid["update"], paid["answers"], len(paid["shown"])) == (2, 4, 4)
    assert set(paid["weights"]) == {"passed", "fraction", "model"}
    for answer in paid["shown"]:
        parts = [weight * answer["components"][name] for name, weight in paid["weights"].items()]
        assert answer["reward"] == pytest.approx(sum(parts))  # what the report's rows add up to
    text = render_markdown(leaderboard)
    assert "### Reward models" in text
    assert f"answers of all updates are in {paid['file']}" in text.replace("\\_", "_")


def test_pairs_made_again_alike_are_not_learned_from_again(done: Run, plan: Plan) -> None:
    results = done.store.root.parent
    assert run(plan, results, Progress(enabled=False)).did == ()
    step = plan.step("pairs-own.s0")
    shutil.rmtree(done.store.path(step.name, step.id))
    assert run(plan, results, Progress(enabled=False)).did == ("pairs-own.s0",)


def test_newer_judging_code_judges_again_and_trains_nothing_again(
    done: Run, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(done.store.root, tmp_path / "toy")
    monkeypatch.setattr("assay.harness.pipeline.steps.execute.judging_sha256", lambda *_: "newer")
    newer = make_plan(plan.experiment)
    later = ("train-dpo.s0", "generate-dpo.s0", "train-ppo.s0", "kl-ppo.s0", "contamination-dpo")
    assert all(newer.step(name).id != plan.step(name).id for name in later)
    again = run(newer, tmp_path, Progress(enabled=False))
    assert {name.partition("-")[0] for name in again.did} == {"verify", "pairs", "execute"}
    for name in later:
        step = newer.step(name)
        assert again.store.record(step.name, step.id) == record(done, name)
    assert run(newer, tmp_path, Progress(enabled=False)).did == ()


def test_overlaps_links_and_distances_of_version_0_1_are_taken(
    done: Run, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That version kept them in folders of their own, named by hashes of their own."""
    results, root = tmp_path / "runs", tmp_path / "runs" / "toy"
    shutil.copytree(done.store.root, root)

    def old(folder: str, name: str, decisive: dict[str, Any] | str) -> Path:
        text = decisive if isinstance(decisive, str) else json.dumps(decisive, sort_keys=True)
        (root / folder).mkdir(exist_ok=True)
        return root / folder / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"

    step = plan.step("contamination-sft")
    overlap = json.loads((root / "steps" / f"{step.name}-{step.id}" / "overlap.json").read_text())
    file = old("contamination", "sft.s0", f"2/{overlap['records']}/{plan.suite.revision}")
    file.write_text(json.dumps(overlap))
    shutil.rmtree(root / "steps" / f"{step.name}-{step.id}")

    step = plan.step("compare-sft.s0+merged")
    pair = [record(done, name) for name in ("train-sft.s0", "merge-sft.s0+merged")]
    link = {
        "format": 2,
        "steps": [one["id"] for one in pair],
        "made": [one["token"] for one in pair],
        "suite": plan.suite.revision,
        "compare": {"texts": 2, "greedy_tokens": 2},
    }
    (root / "steps" / f"{step.name}-{step.id}" / "link.json").rename(
        old("links", "sft.s0--sft.s0+merged", link)
    )
    shutil.rmtree(root / "steps" / f"{step.name}-{step.id}")

    step, generated = plan.step("kl-dpo.s0"), record(done, "generate-dpo.s0")
    distance = {
        "format": 1,
        "steps": ["merge-sft.s0+merged", record(done, "train-dpo.s0")["id"], generated["id"]],
        "made": generated["token"],
        "texts": 2,
    }
    old("distances", "dpo.s0", distance).write_text(json.dumps(record(done, "kl-dpo.s0")["distance"]))
    shutil.rmtree(root / "steps" / f"{step.name}-{step.id}")

    for name in ("contamination.overlap", "compare.compare_links", "compare._measure"):
        monkeypatch.setattr(f"assay.harness.pipeline.steps.{name}", None)  # whoever calls it fails
    again = run(plan, results, Progress(enabled=False))
    assert again.did == ()
    assert record(again, "kl-dpo.s0")["distance"] == record(done, "kl-dpo.s0")["distance"]
    assert read_overlap(again.store, plan, "sft") == read_overlap(done.store, plan, "sft")
    assert [a.to_json() for a in read_links(again.store, plan, {})] == [
        b.to_json() for b in read_links(done.store, plan, {})
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prefers", "reinforces", "seeds"),
    [
        (("orpo",), ("rloo",), [0, 1]),
        pytest.param(
            ("dpo", "ipo", "kto", "orpo"),
            ("ppo", "rloo", "grpo"),
            [0, 1, 2],
            marks=pytest.mark.conformance,  # 24 trainings
        ),
    ],
)
def test_each_method_over_seeds_is_held_against_sft(
    tmp_path: Path, prefers: tuple[str, ...], reinforces: tuple[str, ...], seeds: list[int]
) -> None:
    """The way that a user goes: a file, `assay plan`, `assay run`, the leaderboard."""
    text = START.format(seeds=seeds, limit=6)
    text += "".join(PREFERS.format(method=m) for m in prefers)
    text += "".join(REINFORCES.format(method=m, more="") for m in reinforces)
    file, results = tmp_path / "toy.toml", tmp_path / "runs"
    file.write_text(text)
    runner = CliRunner()
    planned = runner.invoke(
        app, ["plan", str(file), "--results", str(results), "--json"], catch_exceptions=False
    )
    steps = [step["name"] for step in json.loads(planned.stdout)["steps"]]
    assert {f"pairs-own.s{seed}" for seed in seeds} < set(steps)
    ran = runner.invoke(
        app, ["run", str(file), "--results", str(results), "--json", "--quiet"], catch_exceptions=False
    )
    assert ran.exit_code == 0, ran.output
    rows = {row["variant"]: row for row in json.loads(ran.stdout)["rows"]}
    assert set(rows) == {"base", "sft", *prefers, *reinforces}
    for method in (*prefers, *reinforces):
        against = rows[method]["vs_reference"]
        assert against["low"] <= against["difference"] <= against["high"]
        assert rows[method]["training_seeds"] == seeds
        assert [row["seed"] for row in rows[method]["by_seed"]] == seeds


def rewrite(done: Run, name: str, **training: Any) -> None:
    """Change what a finished training's record says of its isolation, as another machine might have left it."""
    step = done.plan.step(name)
    file = done.store.path(step.name, step.id) / "step.json"
    found = json.loads(file.read_text())
    file.write_text(json.dumps(found | {"training": found["training"] | training}))


def test_rewards_given_under_weak_isolation_are_learned_from_again(
    done: Run, plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    results, ppo = done.store.root.parent, record(done, "train-ppo.s0")
    assert ppo["training"]["isolation_level"] == "full"
    assert record(done, "train-dpo.s0")["training"]["isolation_level"] is None  # executes nothing
    rewrite(done, "train-ppo.s0", isolation="embedded, weak isolation", isolation_level="weak")
    assert run(plan, results, Progress(enabled=False), allow_weak=True).did == ()
    again = run(plan, results, Progress(enabled=True))
    assert again.did[0] == "train-ppo.s0"
    assert "its rewards were computed under embedded, weak isolation, weaker than" in capsys.readouterr().err
    assert record(again, "train-ppo.s0")["artifact"]["sha256"] == ppo["artifact"]["sha256"]
    rewrite(again, "train-ppo.s0", isolation=None, isolation_level=None)  # as before it was recorded
    assert run(plan, results, Progress(enabled=False)).did[0] == "train-ppo.s0"


def test_a_strict_run_does_not_go_on_from_weak_rewards(
    done: Run, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from assay.trainers.run.process import train_alone

    results, found = tmp_path / "runs", []
    shutil.copytree(done.store.root, results / "toy")
    step = plan.step("train-ppo.s0")
    shutil.rmtree(results / "toy" / "steps" / f"{step.name}-{step.id}")

    def killed(base: Any, config: Any, records: Any, out: Path, on_step: Any) -> Any:
        if config.method != "ppo":
            return train_alone(base, config, records, out, on_step)
        found.append(sorted(p.name for p in out.glob("*")))
        out.mkdir(exist_ok=True)
        (out / f"checkpoint of weak={records.allow_weak}").touch()
        raise TrainingError("killed")

    monkeypatch.setattr("assay.trainers.run.process.train_alone", killed)
    for allow_weak in (False, True, True, False, False):
        with pytest.raises(TrainingError, match="killed"):
            run(plan, results, Progress(enabled=False), allow_weak=allow_weak)
    strict, weak = "checkpoint of weak=False", "checkpoint of weak=True"
    assert found == [[], [strict], [strict, weak], [], [strict]]
