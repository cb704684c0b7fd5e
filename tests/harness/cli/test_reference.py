"""The reference: current, complete, its examples parse, and its sentences are those of `--help` and `--settings`."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, TypeAdapter
from typer.testing import CliRunner

from assay.harness.cli import app, reference
from assay.harness.cli.app import VERBS, first_paragraph, load_verb
from assay.harness.experiment import Experiment, load_experiment
from assay.harness.training.file import TrainFile
from assay.harness.training.settings import VARIABLES, Environment, read_dotenv
from assay.suites.jsonl import ProblemRow
from assay.suites.validation import models_in
from assay.trainers.config import METHODS, config_class
from assay.trainers.data.inputs import data_table

SECTIONS = (*reference.EXPERIMENT, *reference.TRAINING, *reference.PROBLEMS)
FIELDS = [(section, name) for section in SECTIONS for name in section.fields()]


def reachable(model: type[BaseModel], seen: set[type[BaseModel]]) -> set[type[BaseModel]]:
    if model not in seen:
        seen.add(model)
        for info in model.model_fields.values():
            for inner in models_in(info.annotation):
                reachable(inner, seen)
    return seen


def test_every_table_of_the_three_files_is_in_it() -> None:
    seen: set[type[BaseModel]] = set()
    for model in (Experiment, TrainFile, ProblemRow, *METHODS.values(), *map(data_table, METHODS)):
        reachable(model, seen)
    assert seen <= {section.model for section in SECTIONS}


def test_the_files_are_current() -> None:
    for path, text in reference.files().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: python -m assay.harness.cli.reference"


@pytest.mark.parametrize(("section", "name"), FIELDS, ids=lambda value: str(value)[:40])
def test_every_field_has_a_sentence_and_an_example_that_parses(section: reference.Section, name: str) -> None:
    info = section.model.model_fields[name]
    assert info.description, f"{section.model.__name__}.{name} has no text under it"
    assert info.description.strip().endswith((".", ")"))
    text = reference.example(name, info)
    value = tomllib.loads(f"x = {text}")["x"]
    stated: Any = Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation
    TypeAdapter(stated).validate_python(value)


def test_the_examples_of_whole_files_parse(tmp_path: Path) -> None:
    texts = reference.texts()
    (tmp_path / "exp.toml").write_text(texts["experiment_file"])
    assert len(load_experiment(tmp_path / "exp.toml").variant) == 4
    raw = tomllib.loads(texts["training_file"])
    config = config_class(raw["config"]).model_validate(raw["config"])
    TrainFile.model_validate(raw)
    data_table(config.method).model_validate(raw["data"])
    ProblemRow.model_validate(json.loads(texts["problems_file"]))


def test_the_example_of_variables_parses(tmp_path: Path) -> None:
    lines = (reference.ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    set_ = [line.removeprefix("# ") for line in lines if line[2:].partition("=")[0].isupper()]
    (tmp_path / ".env").write_text("\n".join(set_))
    read = read_dotenv(tmp_path)
    assert set(read) == {variable.name for variable in VARIABLES}
    Environment.model_validate(read)


MUST = (
    *(
        "completion_only_loss",
        "assistant_only_loss",
        "bad_rows",
        "fraction",
        "adaptive",
        "on_alarm",
        "syntax",
    ),
    *("keep_best", "backbone", "MODULE:FUNCTION", "llama3", "roles", "upcast_fp32", "assay.trainers.example"),
)


@pytest.mark.parametrize("word", MUST)
def test_what_stood_in_no_document_stands_there(word: str) -> None:
    assert word in (reference.ROOT / "docs" / "reference.md").read_text(encoding="utf-8")


def commands() -> dict[str, Any]:
    return dict(reference._verbs())


def test_every_option_has_a_whole_phrase() -> None:
    for name, command in commands().items():
        if name in ("assay memory", "assay profile", "assay loadtest"):
            continue
        for one in command.params:
            assert one.help, f"{name} {one.name} has no help"
            assert not one.help.startswith(("Of ", "Or ")), f"{name} {one.name}: {one.help}"


# Options that fill a field: their help is the field's own sentence.
SAME = {
    "--suite": "suite.name",
    "--suite-path": None,  # the file's sentence says what the path is relative to
    "--split": "suite.split",
    "--limit": "suite.limit",
    "--n": "sampling.samples",
    "--temperature": "sampling.temperature",
    "--max-new-tokens": "sampling.max_new_tokens",
    "--style": "sampling.style",
    "--backend": "sandbox.backend",
    "--mode": "sandbox.mode",
    "--isolation": "sandbox.isolation",
    "--workers": "sandbox.workers",
    "--cpu-s": "sandbox.cpu_s",
    "--memory-mb": "sandbox.memory_mb",
}


@pytest.mark.parametrize("option", [name for name, key in SAME.items() if key])
def test_help_has_the_fields_sentence(option: str) -> None:
    table, key = str(SAME[option]).split(".")
    model = models_in(Experiment.model_fields[table].annotation)[0]
    helps = {one.help for one in commands()["assay eval"].params if option in one.opts}
    assert helps == {model.model_fields[key].description}


def test_an_option_has_one_wording_in_every_verb() -> None:
    own = {"--n": "assay contamination", "--threads": "assay export"}
    wordings: dict[str, set[str]] = {}
    for name, command in commands().items():
        if name in ("assay memory", "assay profile", "assay loadtest"):
            continue
        for one in command.params:
            for option in set(one.opts) & {
                *SAME,
                "--json",
                "--quiet",
                "--allow-weak",
                "--no-cache",
                "--results",
            }:
                if own.get(option) != name:
                    wordings.setdefault(option, set()).add(one.help)
    assert {option: texts for option, texts in wordings.items() if len(texts) > 1} == {}


def test_the_listed_help_is_the_verbs_own() -> None:
    for name in VERBS:
        first = (load_verb(name).help or "").split("\n\n")[0]
        assert " ".join(first.split()) == first_paragraph(name), name


def test_settings_prints_the_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.harness.console.PLAIN_WIDTH", 1000)
    shown = CliRunner().invoke(app, ["train", "--settings"])
    assert shown.exit_code == 0
    for section in reference.TRAINING:
        for name, info in section.fields().items():
            assert name in shown.output
            assert " ".join(str(info.description).split())[:60] in shown.output
