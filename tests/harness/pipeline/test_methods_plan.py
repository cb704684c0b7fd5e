"""Preference and reinforcement trainings in an experiment: what is planned, and what is refused before it begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.harness.errors import BadInputError
from assay.harness.experiment import TrainVariant, find_experiment, load_experiment
from assay.harness.pipeline.plan import Plan, make_plan
from assay.harness.pipeline.steps.compare import linked_steps

FILE = """
name = "methods"
seed = 3
seeds = [0, 1]
[suite]
name = "pocket"
split = "test"
limit = 4
[score]
reference = "sft"
[[variant]]
name = "base"
model = "pocket"
[[variant]]
name = "sft"
train = "base"
config = { method = "sft", max_steps = 2 }
data = { suite = "pocket", n = 8 }
[[pairs]]
name = "own"
model = "sft"
suite = { name = "pocket", limit = 8 }
sampling = { samples = 4, temperature = 1.0 }
[[pairs]]
name = "labels"
model = "sft"
suite = { name = "pocket", limit = 8 }
sampling = { samples = 4, temperature = 1.0 }
single = true
[[variant]]
name = "dpo"
train = "sft"
config = { method = "dpo", max_steps = 2 }
data = { pairs = "own", eval_fraction = 0.2 }
[[variant]]
name = "kto"
train = "sft"
config = { method = "kto", max_steps = 2 }
data = { pairs = "labels" }
[[variant]]
name = "judge"
train = "sft"
config = { method = "reward", max_steps = 2 }
data = { pairs = "own" }
[[variant]]
name = "ppo"
train = "sft"
config = { method = "ppo", reward = { model = "judge", model_weight = 0.5 } }
data = { suite = "pocket", n = 8 }
"""


def plan_of(tmp_path: Path, text: str = FILE) -> Plan:
    file = tmp_path / "e.toml"
    file.write_text(text)
    return make_plan(load_experiment(file))


def test_each_seeds_model_gives_its_own_pairs_and_is_where_its_training_starts(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    assert plan.step("sample-own.s1").inputs == ("train-sft.s1",)
    assert plan.step("verify-own.s1").inputs == ("sample-own.s1",)
    assert plan.step("pairs-own.s1").inputs == ("sample-own.s1", "verify-own.s1")
    assert plan.step("merge-sft.s1+merged").inputs == ("train-sft.s1",)
    assert plan.step("train-dpo.s1").inputs == ("merge-sft.s1+merged", "pairs-own.s1")
    assert plan.step("train-ppo.s1").inputs == ("merge-sft.s1+merged", "train-judge.s1")
    order = [step.name for step in plan.steps]
    assert all(order.index(source) < order.index(step.name) for step in plan.steps for source in step.inputs)


def test_pairs_are_sampled_as_their_table_says_and_from_the_train_split(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    sampled, verified = plan.step("sample-own.s0"), plan.step("verify-own.s0")
    assert (sampled.kind, verified.kind) == ("generate", "execute")
    assert (sampled.spec.table.split, sampled.spec.seed) == ("train", 3)
    assert (len(sampled.spec.suite.problems), sampled.spec.sampling.samples) == (8, 4)
    assert verified.spec.suite is sampled.spec.suite
    assert not {p.id for p in sampled.spec.suite.problems} & {p.id for p in plan.suite.problems}
    assert plan.step("generate-sft.s0").spec.suite is plan.suite
    own = plan_of(tmp_path, FILE.replace('suite = { name = "pocket", limit = 8 }\n', ""))
    assert own.step("sample-own.s0").spec.table.split == "train"


def test_two_tables_that_ask_alike_sample_once(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    assert plan.step("pairs-labels.s0").inputs == plan.step("pairs-own.s0").inputs
    assert plan.step("pairs-labels.s0").id != plan.step("pairs-own.s0").id
    assert not any(step.name.startswith("sample-labels") for step in plan.steps)


def test_a_model_that_is_not_trained_gives_one_set_of_pairs_to_all_seeds(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, FILE.replace('name = "own"\nmodel = "sft"', 'name = "own"\nmodel = "base"'))
    assert {plan.step(f"train-dpo.s{seed}").inputs[1] for seed in (0, 1)} == {"pairs-own"}


def test_a_merge_that_is_declared_serves_as_the_start(tmp_path: Path) -> None:
    declared = FILE.replace("[[pairs]]", '[[variant]]\nname = "whole"\nmerge = "sft"\n[[pairs]]', 1)
    plan = plan_of(tmp_path, declared)
    assert plan.step("train-dpo.s0").inputs[0] == "merge-whole.s0"


def test_the_merge_on_the_way_is_a_link_and_no_variant(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    linked = [(a.variant, b.variant) for a, b in linked_steps(plan.steps)]
    assert linked == [("sft.s0", "sft.s0+merged"), ("sft.s1", "sft.s1+merged")]
    assert not {"sft+merged", "sft.s0+merged"} & set(plan.members)


def test_a_reward_model_is_made_and_not_evaluated(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    assert list(plan.members) == ["base", "sft", "dpo", "kto", "ppo"]
    assert plan.step("train-judge.s0").inputs == ("merge-sft.s0+merged", "pairs-own.s0")
    assert not any(step.name.startswith("generate-judge") for step in plan.steps)
    assert {name: [m.name for m in made] for name, made in plan.reward_models.items()} == {
        "judge": ["judge.s0", "judge.s1"]
    }


def test_the_reward_model_that_pays_decides_the_step(tmp_path: Path) -> None:
    """Though a reward is not yet learned when the plan is made: by what it will be learned from."""
    before = plan_of(tmp_path)
    again = plan_of(
        tmp_path, FILE.replace('method = "reward", max_steps = 2', 'method = "reward", max_steps = 3')
    )
    moved = {s.name for s in before.steps if again.step(s.name).id != s.id}
    assert {"train-judge.s0", "train-ppo.s0", "generate-ppo.s0"} <= moved
    assert not {"train-sft.s0", "train-dpo.s0", "pairs-own.s0"} & moved


def test_the_lab_rlhf_differs_in_the_reward_alone() -> None:
    lab = load_experiment(find_experiment("rlhf"))
    plan = make_plan(lab)
    assert list(plan.members) == ["base", "sft", "executed", "rlhf"]
    assert plan.step("train-rlhf").inputs == ("merge-sft+merged", "pairs-own", "train-judge")
    assert plan.step("train-executed").inputs == ("merge-sft+merged", "pairs-own")
    trained = {v.name: dict(v.config) for v in lab.variant if isinstance(v, TrainVariant)}
    executed, rlhf = trained["executed"], trained["rlhf"]
    assert executed.pop("reward") == {"passed": 1.0, "fraction": 0.2, "checks": "half"}
    assert rlhf.pop("reward") == {
        "passed": 1.0,
        "fraction": 0.2,
        "checks": "half",
        "model": "judge",
        "model_weight": 0.3,
    }
    assert executed == rlhf


def test_what_pairs_are_made_of_decides_the_step_and_its_descendants(tmp_path: Path) -> None:
    before = {s.name: s.id for s in plan_of(tmp_path).steps}
    for old, new, kept in (
        ("samples = 4, temperature = 1.0 }\n[[pairs]]", "samples = 6, temperature = 1.0 }\n[[pairs]]", ()),
        (
            "temperature = 1.0 }\n[[pairs]]",
            "temperature = 1.0 }\nper_problem = 1\n[[pairs]]",
            ("sample", "verify"),
        ),
    ):
        changed = {s.name: s.id for s in plan_of(tmp_path, FILE.replace(old, new)).steps}
        moved = {name for name in before if changed[name] != before[name]}
        assert {"pairs-own.s0", "train-dpo.s0", "generate-dpo.s0"} <= moved
        assert not {"train-sft.s0", "pairs-labels.s0", "train-kto.s0", *(f"{k}-own.s0" for k in kept)} & moved


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            'pairs = "own", eval',
            'pairs = "owm", eval',
            "data.pairs = 'owm' names no [[pairs]] table; there are: labels, own",
        ),
        (
            'pairs = "own", eval',
            'pairs = "own", file = "x", eval',
            "`pairs` and `file` both say what to learn from",
        ),
        (
            'pairs = "own", eval',
            'pairs = "labels", eval',
            "single answers with a label (single = true), which only kto",
        ),
        (
            '{ pairs = "own", eval_fraction = 0.2 }',
            "{ eval_fraction = 0.2 }",
            "give `pairs`, the name of a [[pairs]] table",
        ),
        ("eval_fraction", "eval_fractoin", "unknown key 'eval_fractoin'; did you mean 'eval_fraction'"),
        (
            'data = { suite = "pocket", n = 8 }\n[[pairs]]',
            'data = { pairs = "own" }\n[[pairs]]',
            "which must be a variant before it",
        ),
        ('config = { method = "ppo"', 'config = { method = "sft" }\nx = { method = "ppo"', "unknown key"),
        ('name = "own"\nmodel = "sft"', 'name = "own"\nmodel = "sfd"', "model = 'sfd' is no variant"),
        ('name = "own"\n', 'name = "dpo"\n', "pairs 'dpo': another table has that name already"),
        ('name = "labels"\n', 'name = "base"\n', "pairs 'base': another table has that name"),
        (
            "limit = 8 }",
            'split = "test" }',
            "suite.split = 'test': learning from it would make what is measured",
        ),
        ("samples = 4", "samples = 1", "sampling.samples = 1: nothing to prefer"),
        ('name = "own"\nmodel = "sft"', 'name = "own"\nmodel = "judge"', "must be a variant before it"),
        (
            'name = "ppo"\ntrain = "sft"',
            'name = "ppo"\ntrain = "judge"',
            "'judge' cannot be the start of a variant",
        ),
        ('reference = "sft"', 'reference = "judge"', "which scores answers and writes none"),
        ('model = "judge"', 'model = "dpo"', "config.reward.model = 'dpo' is no reward model"),
        ('model = "judge"', 'model = "ppo"', "config.reward.model = 'ppo' must be a variant before it"),
        (
            'model = "judge"',
            'model = "jugde"',
            "config.reward.model = 'jugde' is no variant, and there is no folder",
        ),
        (
            'model = "judge"',
            'model = "jugde"',
            "did you mean 'judge'? Variants that are reward models: judge",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in FILE
    with pytest.raises(BadInputError) as error:
        plan_of(tmp_path, FILE.replace(old, new, 1))
    assert said in str(error.value)


def test_rewards_can_be_kept_to_the_problems_that_pairs_were_found_on(tmp_path: Path) -> None:
    only = 'reward = { model = "judge", model_weight = 0.5 } }\ndata = { suite = "pocket", n = 8'
    plan = plan_of(tmp_path, FILE.replace(only, f'{only}, only = "own"'))
    step = plan.step("train-ppo.s0")
    assert step.inputs == ("merge-sft.s0+merged", "pairs-own.s0", "train-judge.s0")
    assert plan.trainings["ppo.s0"].records is None
    other = plan_of(tmp_path, FILE.replace(only, f'{only.replace("n = 8", "n = 6")}, only = "own"'))
    assert other.step("train-ppo.s0").id != step.id
    with pytest.raises(BadInputError, match="give only = 'own'"):
        plan_of(tmp_path, FILE.replace(only, f'{only}, pairs = "own"'))
    (tmp_path / "some.jsonl").write_text('{"problem_id": "pocket-train/1"}\n')
    filed = plan_of(tmp_path, FILE.replace(only, f'{only}, only = "some.jsonl"'))
    records = filed.trainings["ppo.s0"].records
    assert records is not None
    assert len(records.kept) == 1


def test_sft_does_not_learn_from_pairs(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="method 'sft' does not learn from pairs; those that do: dpo"):
        plan_of(tmp_path, FILE.replace('method = "dpo", max_steps = 2', 'method = "sft", max_steps = 2'))
