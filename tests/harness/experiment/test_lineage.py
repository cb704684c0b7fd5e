"""What cannot be made is refused before anything is trained."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from assay.harness.cli import app
from assay.harness.errors import BadInputError
from assay.harness.experiment import load_experiment
from assay.harness.models.resolve import POCKET_FOLDER
from assay.harness.pipeline.plan import Plan, make_plan
from assay.trainers.artifact import ArtifactKind, describe, identify

START = """
name = "chain"
[suite]
name = "pocket"
split = "dev"
limit = 2
[[variant]]
name = "base"
model = "pocket"
"""
DATA = 'data = { suite = "pocket", n = 8 }\n'
LORA = '[[variant]]\nname = "lora"\ntrain = "base"\nconfig = { method = "sft" }\n' + DATA
FULL = (
    '[[variant]]\nname = "full"\ntrain = "base"\n'
    'config = { method = "sft", adapter = { type = "none" } }\n' + DATA
)
MERGED = '[[variant]]\nname = "merged"\nmerge = "lora"\n'


def plan(tmp_path: Path, *variants: str, seeds: str = "") -> Plan:
    file = tmp_path / "e.toml"
    file.write_text(seeds + START + "".join(variants))
    return make_plan(load_experiment(file))


def made(how: str, source: str, more: str = "") -> str:
    return f'[[variant]]\nname = "made"\n{how} = "{source}"\n{more}'


@pytest.mark.parametrize("seeds", ["", "seeds = [1, 2]\n"])
@pytest.mark.parametrize(
    ("before", "last", "said"),
    [
        (FULL, made("merge", "full"), "cannot merge 'full', which is of kind tuned .possible: adapter."),
        (LORA, made("merge", "base"), "cannot merge 'base', which is of kind base"),
        (LORA + MERGED, made("merge", "merged"), "cannot merge 'merged', which is of kind merged"),
        (LORA, made("export", "lora"), "cannot export 'lora', which is of kind adapter .*: merge it first"),
        (
            LORA,
            made("compress", "lora", 'quantization = "bf16"\n'),
            "cannot compress 'lora'.*: merge it first",
        ),
        (
            LORA + MERGED + '[[variant]]\nname = "file"\nexport = "merged"\n',
            made("train", "file", 'config = { method = "sft" }\n' + DATA),
            "cannot train 'file', which is of kind gguf",
        ),
        (
            LORA + MERGED + '[[variant]]\nname = "file"\nexport = "merged"\n',
            made("compress", "file", 'quantization = "bf16"\n'),
            "cannot compress 'file', which is of kind gguf",
        ),
    ],
)
def test_an_impossible_chain_is_refused(
    tmp_path: Path, before: str, last: str, said: str, seeds: str
) -> None:
    with pytest.raises(BadInputError, match=f"variant 'made' {said}"):
        plan(tmp_path, before, last, seeds=seeds)


@pytest.mark.parametrize(
    ("before", "last"),
    [
        (FULL, made("compress", "full", 'quantization = "nf4"\n')),
        (FULL, made("export", "full")),
        (FULL, made("train", "full", 'config = { method = "sft" }\n' + DATA)),
        (LORA + MERGED, made("compress", "merged", 'quantization = "bf16"\n')),
        (LORA, made("merge", "lora")),
        (LORA, made("train", "lora", 'config = { method = "sft" }\n' + DATA)),
    ],
)
def test_a_possible_one_is_planned(tmp_path: Path, before: str, last: str) -> None:
    assert plan(tmp_path, before, last).members["made"]


def test_the_sizes_of_a_tuned_models_exports_are_foretold(tmp_path: Path) -> None:
    pytest.importorskip("gguf", reason="needs the gguf extra")
    tuned = tmp_path / "tuned"
    shutil.copytree(POCKET_FOLDER, tuned)
    describe(ArtifactKind.TUNED, tuned, identify(POCKET_FOLDER), "every weight trained")
    done = CliRunner().invoke(app, ["export", str(tuned), "--plan", "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert any(row["bytes"] for row in json.loads(done.stdout)["sizes"])
