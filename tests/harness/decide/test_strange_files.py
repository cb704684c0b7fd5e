"""Result files and runs of somebody else: nothing outside of them is read, and nothing waits for ever."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from assay.harness.decide import load_results, read_results
from assay.harness.errors import BadInputError, exit_code_of
from assay.harness.pipeline.seals import sealed
from tests.harness.decide.files import (
    humaneval,
    inspect_header,
    inspect_sample,
    write_eval_log,
    write_json,
    write_lines,
    write_parquet,
    write_run,
)


def change(run: Path, **step: str) -> None:
    """Change the last step of a run's leaderboard."""
    path = run / "leaderboard.json"
    board = json.loads(path.read_text())
    board["steps"][-1] |= step
    path.write_text(json.dumps(board))


def refused(name: Path) -> str:
    with pytest.raises(Exception) as error:  # noqa: PT011
        read_results(str(name))
    assert exit_code_of(error.value) == 3, error.value
    return str(error.value)


@pytest.mark.parametrize("name", ["p.jsonl", "p.parquet", "p.eval", "p.csv.gz"])
def test_a_pipe_is_an_error_and_no_wait(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    assert "is no file" in refused(tmp_path / name)


def test_a_pipe_as_leaderboard_is_an_unreadable_run(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    os.mkfifo(tmp_path / "r" / "leaderboard.json")
    assert load_results(tmp_path, skip_unreadable=True).empty
    with pytest.raises(BadInputError, match="is no file"):
        load_results(tmp_path)


@pytest.mark.parametrize(
    "step",
    [
        {"name": "execute-../../outside"},
        {"id": "x/../../../outside"},
        {"id": "\x00"},
        {"name": "execute-/etc"},
    ],
)
def test_no_name_of_a_step_leads_out_of_its_run(tmp_path: Path, step: dict[str, str]) -> None:
    run = write_run(tmp_path / "e", {"base": "10"})
    change(run, **step)
    assert "has no name that a step can have" in refused(run)


def test_a_link_to_another_step_is_followed_and_none_elsewhere(tmp_path: Path) -> None:
    run = write_run(tmp_path / "e", {"base": "10", "again": "11"})
    steps = tmp_path / "e" / "steps"
    shutil.rmtree(steps / "execute-again-r")
    (steps / "execute-again-r").symlink_to("execute-base-r", target_is_directory=True)
    base, again = read_results(str(run))
    assert base.passed.tolist() == again.passed.tolist() == [1, 0]
    (steps / "execute-again-r").unlink()
    shutil.copytree(steps / "execute-base-r", tmp_path / "outside")
    (steps / "execute-again-r").symlink_to(tmp_path / "outside", target_is_directory=True)
    assert "is no other step" in refused(run)
    (steps / "execute-again-r").unlink()
    (steps / "execute-again-r").mkdir()
    (steps / "execute-again-r" / "verdicts.parquet").symlink_to(tmp_path / "outside" / "verdicts.parquet")
    assert "is a link, which is not followed here" in refused(run)


def test_tables_that_are_none_are_errors(tmp_path: Path) -> None:
    run = write_run(tmp_path / "e", {"base": "10"})
    table = tmp_path / "e" / "steps" / "execute-base-r" / "verdicts.parquet"
    table.write_bytes(b"PAR1 nothing")
    assert "cannot be read as Parquet" in refused(run)
    shutil.copyfile(tmp_path / "e" / "steps" / "generate-base-r" / "samples.parquet", table)
    assert "has no column 'outcome'" in refused(run)


def test_a_sample_that_claims_more_than_it_holds_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "log.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps(inspect_header()))
        archive.writestr("samples/a_epoch_1.json", "[" * 200_000)
    assert "cannot be read" in refused(path)
    raw = bytearray(write_eval_log(path, inspect_header(), [inspect_sample("a", 1, "C")]).read_bytes())
    central = raw.index(b"PK\x01\x02")
    raw[central + 24 : central + 28] = (1 << 31).to_bytes(
        4, "little"
    )  # the size that the first sample claims
    path.write_bytes(bytes(raw))
    assert "more than a sample has" in refused(path)


@pytest.mark.parametrize(
    "value", ["[" * 100_000, '{"task_id": "a", "passed": ' + "1" * 5000 + "}", "\x00\xff"]
)
def test_text_that_is_no_json_is_an_error(tmp_path: Path, value: str) -> None:
    for name in ("x.jsonl", "x.json"):
        (tmp_path / name).write_text(value, encoding="latin-1")
        assert refused(tmp_path / name)


def test_a_name_with_a_lone_surrogate_can_be_printed(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [row | {"model": "m\ud800"} for row in humaneval("1")]
    path = write_lines(tmp_path / "x.jsonl", rows)
    assert read_results(str(path))[0].model == "m\\ud800"


def test_verdicts_that_were_edited_are_an_error_and_those_of_others_are_said(tmp_path: Path) -> None:
    run = write_run(tmp_path / "e", {"base": "10"})
    assert read_results(str(run))[0].notes == (
        "the verdicts of base are taken as they are: they have no record (step.json)",
    )
    many = write_run(tmp_path / "m", dict.fromkeys("abcde", "10"))
    assert "the verdicts of a, b, c and 2 more are taken" in read_results(str(many))[0].notes[0]
    step = tmp_path / "e" / "steps" / "execute-base-r"
    sha256 = hashlib.sha256((step / "verdicts.parquet").read_bytes()).hexdigest()
    write_json(step / "step.json", {"name": "execute-base", "files": {"verdicts.parquet": sha256}})
    assert "it carries no seal" in read_results(str(run))[0].notes[0]
    write_json(step / "step.json", {"name": "execute-base", "files": {"verdicts.parquet": "0" * 64}})
    assert "is not what the step wrote" in refused(run)
    write_json(
        step / "step.json", sealed({"name": "execute-base", "files": {"verdicts.parquet": sha256}}, "step")
    )
    assert read_results(str(run))[0].notes == ()


def test_a_run_without_its_steps_is_read_from_the_table_beside_its_leaderboard(tmp_path: Path) -> None:
    run = write_run(tmp_path / "e", {"base": "10", "tuned.s0": "11"})
    shutil.rmtree(tmp_path / "e" / "steps")
    assert "There is no verdicts.parquet beside its leaderboard either" in refused(run)
    rows = [
        {"variant": v, "training_seed": s, "problem_id": f"HumanEval/{i}", "index": 0, "outcome": o}
        for v, s, i, o in [("base", None, 0, "pass"), ("base", None, 1, "infra"), ("tuned", 0, 0, "fail")]
    ]
    write_parquet(run / "verdicts.parquet", rows)
    base, tuned = read_results(str(run))
    assert (base.model, base.passed.tolist(), base.unmeasured.tolist()) == ("base", [1, 0], [0, 1])
    assert (tuned.model, tuned.passed.tolist(), tuned.suite) == ("tuned.s0", [0], "humaneval")
    assert "steps of" in base.notes[0]
    write_parquet(run / "verdicts.parquet", [row | {"outcome": "passed"} for row in rows])
    assert "'passed' is no outcome" in refused(run)
