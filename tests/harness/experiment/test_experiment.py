"""Experiment files: what is wrong is said with the key, the value and the nearest known key."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.harness.errors import BadInputError
from assay.harness.experiment import find_experiment, load_experiment

GOOD = """
name = "try"
[suite]
name = "pocket"
[sampling]
samples = 4
temperature = 0.8
[score]
k = [1, 4]
[[variant]]
name = "base"
model = "pocket"
[[variant]]
name = "sft"
train = "base"
config = { method = "sft" }
data = { file = "chats.jsonl" }
[[variant]]
name = "merged"
merge = "sft"
"""


def load(tmp_path: Path, text: str):
    file = tmp_path / "exp.toml"
    file.write_text(text)
    return load_experiment(file)


def test_the_good_file_loads_and_its_paths_are_its_own(tmp_path: Path) -> None:
    experiment = load(tmp_path, GOOD)
    assert [v.name for v in experiment.variant] == ["base", "sft", "merged"]
    assert experiment.variant[1].data["file"] == str(tmp_path / "chats.jsonl")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("temperature", "temprature", "unknown key 'sampling.temprature'; did you mean 'temperature'?"),
        ('merge = "sft"', 'merge = "sft"\nquantise = "f16"', "unknown key 'variant.2.quantise'"),
        ("config =", "confg =", "unknown key 'variant.1.confg'; did you mean 'config'?"),
        ("[score]", "[scores]", "unknown key 'scores'; did you mean 'score'?"),
        (
            "samples = 4",
            "samples = 0",
            "sampling.samples = 0 is not allowed: it must be a whole number, at least 1",
        ),
        ("k = [1, 4]", "k = [1, 5]", "needs 1 <= k <= sampling.samples = 4"),
        ("temperature = 0.8", "temperature = 0", "temperature 0 gives the same sample 4 times"),
        (
            'merge = "sft"',
            'merge = "sfd"',
            "'merged' is made from 'sfd', which no variant before it is named",
        ),
        (
            'merge = "sft"',
            'merge = "sft"\ntrain = "base"',
            "needs exactly one of: model, train, merge, export",
        ),
        ('name = "merged"', 'name = "base"', "variant 'base' is named twice"),
        ('name = "base"\nmodel', 'name = "bass"\nmodel', "which no variant before it is named"),
        ("[score]", '[score]\nreference = "bse"', "score.reference 'bse' is no variant"),
        (
            'name = "try"',
            'name = "../try"',
            "name = '../try' is not allowed: it must be a name of at most 64 lower-case letters",
        ),
        ("[suite]", "[suite", "not TOML"),
        (
            "temperature = 0.8",
            "temperature = inf",
            "sampling.temperature = inf is not allowed: it must be a finite number",
        ),
        ("k = [1, 4]", "k = []", "score.k = [] is not allowed: it must be a list of at least 1"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in GOOD
    with pytest.raises(BadInputError) as error:
        load(tmp_path, GOOD.replace(old, new, 1))
    assert said in str(error.value)
    assert "exp.toml" in str(error.value)


def test_a_missing_file_and_an_unknown_lab_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="cannot be read: Is a directory"):
        load_experiment(tmp_path)
    with pytest.raises(BadInputError, match="no such file"):
        load_experiment(tmp_path / "none.toml")
    with pytest.raises(BadInputError, match="did you mean 'pocket'"):
        find_experiment("pokcet")
    assert find_experiment("pocket").name == "pocket.toml"
    load_experiment(find_experiment("pocket"))
