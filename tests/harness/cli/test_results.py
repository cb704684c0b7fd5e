"""`assay results` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from assay.harness.cli import app
from assay.harness.errors import BadInputError, exit_code_of
from tests.harness.decide.test_writers import finished_run, scored


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["results", *(str(a) for a in arguments)])


def test_json_says_what_was_written_and_what_was_left_out(tmp_path: Path) -> None:
    output = tmp_path / "m_eval_results.json"
    result = call(
        f"{finished_run(tmp_path)}:tuned", "--to", "evalplus", "-o", output, "--model", "me/mine", "--json"
    )
    value = json.loads(result.stdout)
    assert (value["model"], value["samples"], value["suite"]) == ("me/mine", 6, "humaneval")
    assert any("1 samples have no verdict" in note for note in value["notes"])
    assert "the score is over 6 of 164 problems: the others have no verdict" in value["notes"]
    assert value["problems"] == 7
    assert value["output"] == str(output)
    assert output.is_file()


def test_a_person_reads_one_line_and_the_notes(tmp_path: Path) -> None:
    result = call(scored(tmp_path), "--to", "human-eval", "-o", tmp_path / "out.jsonl")
    assert result.exit_code == 0
    assert "6 verdicts of tuned on 7 problems of humaneval, written as human-eval" in result.stdout
    assert "note: 1 samples have no verdict" in result.stdout


@pytest.mark.parametrize("name", ["tuned.jsonl", "tuned.jsonl_results.jsonl"])
def test_what_is_read_is_not_written_over(tmp_path: Path, name: str) -> None:
    results = scored(tmp_path)
    before = (tmp_path / name).read_bytes()
    result = call(results, "--to", "human-eval", "-o", tmp_path / name)
    assert isinstance(result.exception, BadInputError)
    assert exit_code_of(result.exception) == 3
    assert (tmp_path / name).read_bytes() == before
