"""Training seeds: what is repeated, what it is named, and how seeds become one row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from assay.harness.errors import BadInputError, UnmeasuredError
from assay.harness.experiment import Experiment, load_experiment
from assay.harness.leaderboard.seeds import compare_runs, estimate_runs, pool_tables, pooled
from assay.harness.pipeline.plan import make_plan
from assay.harness.stats.crossed import compare_crossed

FILE = """
name = "seeded"
seed = 7
seeds = [3, 5]
[suite]
name = "pocket"
split = "dev"
limit = 4
[[variant]]
name = "base"
model = "pocket"
[[variant]]
name = "lora"
train = "base"
config = { method = "sft", max_steps = 2 }
data = { suite = "pocket", n = 8 }
[[variant]]
name = "merged"
merge = "lora"
[[variant]]
name = "small"
export = "merged"
quantize = "q8_0"
[[variant]]
name = "plain"
export = "base"
"""


def load(tmp_path: Path, text: str = FILE) -> Experiment:
    (tmp_path / "e.toml").write_text(text)
    return load_experiment(tmp_path / "e.toml")


def test_what_is_trained_is_repeated_and_what_is_not_is_not(tmp_path: Path) -> None:
    plan = make_plan(load(tmp_path))
    assert {name: [m.name for m in members] for name, members in plan.members.items()} == {
        "base": ["base"],
        "lora": ["lora.s3", "lora.s5"],
        "merged": ["merged.s3", "merged.s5"],
        "small": ["small.s3", "small.s5"],
        "plain": ["plain"],
    }
    assert plan.step("merge-merged.s5").inputs == ("train-lora.s5",)
    assert plan.step("export-small.s3").inputs == ("merge-merged.s3",)
    assert {name: t.config.seed for name, t in plan.trainings.items()} == {"lora.s3": 3, "lora.s5": 5}
    assert plan.step("train-lora.s3").id != plan.step("train-lora.s5").id
    alone = make_plan(load(tmp_path, FILE.replace("seeds = [3, 5]", "")))
    assert [m.name for m in alone.members["lora"]] == ["lora"]
    assert alone.trainings["lora"].config.seed == 7


def test_another_seed_redoes_nothing_of_the_others(tmp_path: Path) -> None:
    before, after = (
        {s.name: s.id for s in make_plan(load(tmp_path, FILE.replace("[3, 5]", seeds))).steps}
        for seeds in ("[3, 5]", "[3, 5, 9]")
    )
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[3, 5]", "[3, 3]", "one is named twice"),
        ("max_steps = 2", "seed = 1", "both set the training seed"),
        ('name = "plain"', 'name = "lora.s3"', "has the name that 'lora' gets for training seed 3"),
        ("[3, 5]", "[-1]", "seeds.0 = -1 is not allowed: it must be a whole number, at least 0 and below"),
    ],
)
def test_seeds_that_cannot_be_meant_are_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        load(tmp_path, FILE.replace(old, new))


def test_the_labs_load() -> None:
    from assay.harness.experiment import find_experiment

    for lab in ("techniques", "qat", "methods"):
        assert load_experiment(find_experiment(lab)).seeds == (0, 1, 2)
    assert load_experiment(find_experiment("rlhf")).seeds == ()


def test_two_seeds_are_one_estimate_over_seeds_and_problems() -> None:
    runs = [{"a": (1, 1), "b": (1, 0), "c": (1, 1)}, {"a": (1, 1), "b": (1, 1), "c": (1, 0)}]
    e = estimate_runs("v", runs, 1, confidence=0.95)
    assert (e.value, e.n, e.method) == (pytest.approx(4 / 6), 3, "Student's t over seeds x problems")
    assert pooled(runs) == {"a": (2, 2), "b": (2, 1), "c": (2, 1)}
    once = estimate_runs("v", runs[:1], 1, confidence=0.95)
    assert once.method == "Wilson score"


def test_pass_at_k_is_taken_within_a_seed() -> None:
    """Two samples of one training are two chances; one sample of each of two trainings are not."""
    runs = [{"a": (2, 1), "b": (2, 0)}, {"a": (2, 0), "b": (2, 0)}]
    assert estimate_runs("v", runs, 2, confidence=0.95).value == pytest.approx(0.25)
    with pytest.raises(UnmeasuredError, match="no problem has 3 samples"):
        estimate_runs("v", runs, 3, confidence=0.95)


def test_a_problem_without_a_verdict_under_one_seed_is_left_out() -> None:
    runs = [{"a": (1, 1), "b": (1, 0), "c": (1, 1)}, {"a": (1, 1), "c": (1, 0)}]
    assert estimate_runs("v", runs, 1, confidence=0.95).n == 2


def test_seeded_variants_are_compared_by_problem_and_not_by_seed() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 2, size=(2, 3, 40))
    names = [f"p{i}" for i in range(40)]

    def runs(table: np.ndarray) -> list[dict[str, tuple[int, int]]]:
        return [{p: (1, int(x)) for p, x in zip(names, row, strict=True)} for row in table]

    found = compare_runs({"a": runs(a), "b": runs(b)}, "a", "b", margin=0.05, confidence=0.95)
    assert found == compare_crossed("a", "b", a.astype(float), b.astype(float), margin=0.05)
    base = compare_runs({"a": runs(a), "base": runs(b[:1])}, "a", "base", margin=0.05, confidence=0.95)
    turned = {"a": runs(a[[1, 2, 0]]), "b": runs(b)}
    assert compare_runs(turned, "a", "b", margin=0.05, confidence=0.95).p == pytest.approx(found.p)
    assert base == compare_crossed("a", "base", a.astype(float), b[:1].astype(float), margin=0.05)


def test_pooled_tables_number_the_samples_through(tmp_path: Path) -> None:
    plan = make_plan(load(tmp_path))
    table = pd.DataFrame({"problem_id": ["p", "q"], "index": [0, 0], "outcome": ["pass", "fail"]})
    names = [m.name for members in plan.members.values() for m in members]
    found = pool_tables(plan, dict.fromkeys(names, table))
    assert list(found) == ["base", "lora", "merged", "small", "plain"]
    assert found["lora"]["index"].tolist() == [0, 0, 1, 1]
    assert found["lora"]["training_seed"].tolist() == [3, 3, 5, 5]
    assert "training_seed" not in found["base"]


def test_pooled_samples_of_a_problem_are_numbered_through_over_seeds(tmp_path: Path) -> None:
    """With two samples a problem the second seed's are 2 and 3: no index is there twice."""
    plan = make_plan(load(tmp_path, FILE + "[sampling]\nsamples = 2\ntemperature = 0.8\n"))
    table = pd.DataFrame({"problem_id": ["p", "p", "q", "q"], "index": [0, 1, 0, 1]})
    names = [m.name for members in plan.members.values() for m in members]
    found = pool_tables(plan, dict.fromkeys(names, table))["lora"]
    assert found["index"].tolist() == [0, 1, 0, 1, 2, 3, 2, 3]
    assert not found.duplicated(["problem_id", "index"]).any()
    assert table["index"].tolist() == [0, 1, 0, 1]
