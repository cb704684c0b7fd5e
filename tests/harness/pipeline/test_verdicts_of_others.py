"""Results that somebody else wrote, or changed, count as nothing of ours: they are refused, judged again, or named."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from assay.harness.cli import app
from assay.harness.console import Progress
from assay.harness.errors import BadInputError, exit_code_of
from assay.harness.experiment import Experiment
from assay.harness.files import append_lines, recover_lines
from assay.harness.leaderboard.build import build_leaderboard
from assay.harness.pipeline.plan import Plan, make_plan
from assay.harness.pipeline.runner import BEGUN_ELSEWHERE, Run, run
from assay.harness.pipeline.seals import BROKEN, FILES, SEAL, UNSEALED, hashes_of, is_own, own_rows, sealed
from assay.harness.pipeline.steps.execute import load_tables
from assay.harness.report import note_lines
from assay.harness.report.markdown import render_markdown

pytest.importorskip("torch", reason="needs the train extra: pip install 'assay[train]'")
pytestmark = [pytest.mark.train, pytest.mark.isolated]
QUIET = Progress(enabled=False)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    from tests.tiny import make_tiny_model

    folder = tmp_path_factory.mktemp("tiny")
    rows = [
        {"id": f"t/{i}", "prompt": "def f(x):\n", "entry_point": "f", "checks": ["assert f(1) == 2"]}
        for i in range(3)
    ]
    (folder / "suite.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    make_tiny_model(folder / "model", ["def f(x):\n    return x + 1\n"] * 20)
    table = {
        "name": "tiny",
        "suite": {"name": "jsonl", "path": folder / "suite.jsonl"},
        "sampling": {"samples": 2, "temperature": 1.0, "max_new_tokens": 8, "style": "completion"},
        "engine": {"dtype": "fp32", "threads": 1, "device": "cpu"},
        "score": {"k": [1], "reference": "m"},
        "variant": [{"name": "m", "model": str(folder / "model")}],
    }
    return make_plan(Experiment.model_validate(table))


@pytest.fixture(scope="module")
def finished(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("finished")
    assert run(plan, results, QUIET).taken_over == {}
    return results


@pytest.fixture
def results(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "runs")
    return tmp_path / "runs"


def folder_of(results: Path, name: str) -> Path:
    (folder,) = (p for p in (results / "tiny" / "steps").glob(f"{name}-*") if not p.name.endswith(".part"))
    return folder


def forge(folder: Path) -> None:
    """Every sample passes, says the table."""
    table = pd.read_parquet(folder / "verdicts.parquet")
    table["outcome"], table["detail"] = "pass", "forged"
    table.to_parquet(folder / "verdicts.parquet", index=False)


def change_record(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    file = folder / "step.json"
    file.write_text(json.dumps(change(json.loads(file.read_text()))))


def outcomes(done: Run) -> set[str]:
    return set(load_tables(done.store, done.plan)["m"]["outcome"])


def test_every_table_of_every_step_has_its_hash(finished: Path) -> None:
    names = {}
    for folder in (finished / "tiny" / "steps").iterdir():
        record = json.loads((folder / "step.json").read_text())
        assert is_own(record, "step")
        names[record["kind"]] = set(record[FILES])
        assert record[FILES] == hashes_of(folder, ("step.json",))
    assert {"verdicts.parquet", "made_from.json"} <= names["execute"]
    assert {"samples.parquet", "backend.json"} <= names["generate"]


CHANGES: dict[str, tuple[str, str, Callable[[Path], object]]] = {
    "forged verdicts": ("execute-m", "verdicts.parquet", lambda path: forge(path.parent)),
    "a byte more": ("execute-m", "verdicts.parquet", lambda path: path.write_bytes(path.read_bytes() + b"x")),
    "no table": ("execute-m", "verdicts.parquet", lambda path: path.unlink()),
    "an empty table": ("execute-m", "verdicts.parquet", lambda path: path.write_bytes(b"")),
    "other samples": ("generate-m", "samples.parquet", lambda path: path.write_bytes(b"PAR1")),
    "another backend": ("generate-m", "backend.json", lambda path: path.write_text('"a GPU"')),
    "other inputs": ("execute-m", "made_from.json", lambda path: path.write_text("{}")),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_changed_file_is_refused_by_name(case: str, plan: Plan, results: Path) -> None:
    step, name, change = CHANGES[case]
    file = folder_of(results, step) / name
    change(file)
    with pytest.raises(BadInputError, match="is not what the step wrote: its sha256 is") as refused:
        run(plan, results, QUIET)
    assert exit_code_of(refused.value) == 3
    assert str(file) in str(refused.value)


@pytest.mark.parametrize("path", ["../../secret", "/etc/hostname", "sub/../../x"])
def test_a_record_lists_no_file_outside_its_step(path: str, plan: Plan, results: Path) -> None:
    change_record(folder_of(results, "execute-m"), lambda record: record | {FILES: {path: "0" * 64}})
    with pytest.raises(ValueError, match="is no path within"):
        run(plan, results, QUIET)


# A record that fits the forged table: (what is done to it, what is said of the step)
RECORDS: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], str]] = {
    "no seal, as version 0.1": (lambda r: {k: v for k, v in r.items() if k not in (SEAL, FILES)}, UNSEALED),
    "the old seal": (lambda r: r, BROKEN),
    "another's seal": (lambda r: r | {SEAL: "0" * 64}, BROKEN),
    "a seal of another place": (lambda r: sealed(r, "verdict"), BROKEN),
    "a seal that is none": (lambda r: r | {SEAL: ["x"]}, BROKEN),
}


@pytest.mark.parametrize("case", RECORDS)
def test_what_carries_no_seal_of_ours_is_used_and_named_in_every_report(
    case: str, plan: Plan, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, reason = RECORDS[case]
    folder = folder_of(results, "execute-m")
    forge(folder)
    change_record(folder, lambda record: change(record | {FILES: hashes_of(folder, ("step.json",))}))
    done = run(plan, results, Progress())
    assert (done.did, done.taken_over) == ((), {"execute-m": reason})
    assert f"warning: taken as they are: execute-m ({reason})" in capsys.readouterr().err
    board = build_leaderboard(done, load_tables(done.store, plan)).model_copy(
        update={"taken_over": done.taken_over}
    )
    assert board.to_json()["taken_over"] == {"execute-m": reason}
    assert f"steps that were taken as they are: execute-m: {reason}" in "\n".join(map(str, note_lines(board)))
    assert f"execute-m: {reason}" in render_markdown(board)


def test_a_folder_of_another_key_is_named_step_by_step(
    plan: Plan, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a colleague's folder arrives: owned by us after unpacking, sealed by their key."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    done = run(plan, results, QUIET)
    assert done.did == ()
    assert done.taken_over == dict.fromkeys(("take-m", "generate-m", "execute-m"), BROKEN)


def test_a_folder_of_another_owner_is_named(plan: Plan, results: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives a folder to another user")
    os.chown(folder_of(results, "execute-m"), 4242, -1)
    assert run(plan, results, QUIET).taken_over == {"execute-m": "it belongs to another user (uid 4242)"}


def unfinished(plan: Plan, results: Path, name: str) -> Path:
    """Undo a finished step, as if a kill had come just before its end."""
    step = plan.step(name)
    folder = folder_of(results, name)
    work = folder.with_name(f"{folder.name}.part")
    folder.rename(work)
    (work / "step.json").unlink()
    assert step.id in work.name
    return work


FORGED: dict[str, Callable[[list[dict[str, Any]], Path], list[dict[str, Any]]]] = {
    "no seals": lambda rows, _: rows,
    "seals of another step": lambda rows, _: [sealed(row, "verdict", "execute-m-0.part") for row in rows],
    "seals of a record": lambda rows, _: [sealed(row, "step") for row in rows],
    "seals of other rows": lambda rows, work: [
        row | {SEAL: sealed(row | {"outcome": "fail"}, "verdict", work.name)[SEAL]} for row in rows
    ],
    "seals that are none": lambda rows, _: [row | {SEAL: 1} for row in rows],
    "unknown problems": lambda rows, _: [row | {"problem_id": "x"} for row in rows],
    "no columns": lambda rows, _: [{} for _ in rows],
}


@pytest.mark.parametrize("case", FORGED)
def test_lines_of_an_unfinished_step_that_we_did_not_write_are_judged_again(
    case: str, plan: Plan, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = pd.read_parquet(folder_of(results, "execute-m") / "verdicts.parquet")["outcome"].tolist()
    forge(folder_of(results, "execute-m"))
    work = unfinished(plan, results, "execute-m")
    rows = pd.read_parquet(work / "verdicts.parquet").to_dict("records")
    append_lines(work / "verdicts.jsonl", FORGED[case](rows, work))
    done = run(plan, results, Progress())
    assert done.did == ("execute-m",)
    table = load_tables(done.store, plan)["m"]
    assert table["outcome"].tolist() == expected
    assert "forged" not in set(table["detail"])
    assert SEAL not in table
    assert (
        f"{len(rows)} verdicts in {work / 'verdicts.jsonl'} were not written here" in capsys.readouterr().err
    )
    assert done.taken_over == {}


def test_our_own_lines_are_not_judged_again(plan: Plan, results: Path) -> None:
    work = unfinished(plan, results, "execute-m")
    rows = pd.read_parquet(work / "verdicts.parquet").to_dict("records")
    ours = [sealed(row | {"detail": "as it was"}, "verdict", work.name) for row in rows[:2]]
    append_lines(work / "verdicts.jsonl", ours)
    assert own_rows(recover_lines(work / "verdicts.jsonl"), "verdict", work.name) == [
        {k: v for k, v in row.items() if k != SEAL} for row in ours
    ]
    done = run(plan, results, QUIET)
    assert (load_tables(done.store, plan)["m"]["detail"] == "as it was").sum() == 2


def test_samples_of_an_unfinished_step_that_we_did_not_write_are_named(plan: Plan, results: Path) -> None:
    """They were paid for, and are kept; the report says whose they are, in this run and in later ones."""
    shutil.rmtree(folder_of(results, "execute-m"))
    work = unfinished(plan, results, "generate-m")
    rows = pd.read_parquet(work / "samples.parquet").to_dict("records")
    rows = [row | {"token_ids": [int(t) for t in row["token_ids"]]} for row in rows]
    ours = [sealed(row, "sample", work.name) for row in rows[1:]]
    append_lines(work / "samples.jsonl", [rows[0] | {"completion": "    return x + 1\n"}, *ours])
    for _ in range(2):
        done = run(plan, results, QUIET)
        assert done.taken_over == {"generate-m": "1 of its samples were not written here as they are"}
    assert load_tables(done.store, plan)["m"]["outcome"].tolist()[0] == "pass"


def test_a_step_that_goes_on_from_somebody_elses_work_is_named(plan: Plan, results: Path) -> None:
    """Such as a training whose folder holds a finished model already; lines have seals of their own."""
    shutil.rmtree(folder_of(results, "execute-m"))
    for marker, expected in (
        (lambda made: made, {}),
        (lambda made: made | {SEAL: "0" * 64}, {"take-m": BEGUN_ELSEWHERE}),
    ):
        work = unfinished(plan, results, "take-m")
        begun = json.loads((work / "made_from.json").read_text())
        assert is_own(begun, "work", work.name.removesuffix(".part"))
        (work / "made_from.json").write_text(json.dumps(marker(begun)))
        for _ in range(2):
            assert run(plan, results, QUIET).taken_over == expected


def test_nothing_is_kept_of_a_step_that_is_done_again_and_was_not_ours(plan: Plan, results: Path) -> None:
    """A forged table with one `infra` in it would otherwise be sealed by us, all but that one."""
    folder = folder_of(results, "execute-m")
    expected = pd.read_parquet(folder / "verdicts.parquet")["outcome"].tolist()
    forge(folder)
    more = {"outcomes": {"infra": 1}}
    change_record(folder, lambda record: record | more | {FILES: hashes_of(folder, ("step.json",))})
    done = run(plan, results, QUIET)
    assert (done.did, done.taken_over) == (("execute-m",), {})
    assert load_tables(done.store, plan)["m"]["outcome"].tolist() == expected


def test_samples_are_written_out_of_no_changed_table(results: Path, tmp_path: Path) -> None:
    (folder,) = (path.parent for path in (results / "tiny").glob("*/plan.json"))
    asked = [
        "samples",
        str(folder),
        "--variant",
        "m",
        "--to",
        "human-eval",
        "-o",
        str(tmp_path / "out.jsonl"),
    ]
    file = folder_of(results, "generate-m") / "samples.parquet"
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    file.write_bytes(file.read_bytes() + b"x")
    done = CliRunner().invoke(app, asked)
    assert isinstance(done.exception, BadInputError)
    assert "is not what the step wrote" in str(done.exception)
