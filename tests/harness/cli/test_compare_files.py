"""`assay compare A B` and `assay board FILES` from the command line: exit codes, files, and mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from assay.harness.cli import app
from assay.harness.errors import BadInputError, exit_code_of
from tests.harness.decide.files import humaneval, write_csv, write_lines, write_run

GOOD, BAD, OTHER = "1" * 40, "1" * 10 + "0" * 30, "1" * 39 + "0"


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, passed in (("good", GOOD), ("bad", BAD), ("other", OTHER), ("many", "10" * 200)):
        write_lines(tmp_path / f"{name}.jsonl", humaneval(passed))
    return tmp_path


@pytest.mark.parametrize(
    ("a", "b", "code"),
    [("bad", "good", 0), ("many", "many", 0), ("good", "bad", 1), ("good", "other", 2)],
)
def test_the_exit_code_is_the_verdict_on_b(folder: Path, a: str, b: str, code: int) -> None:
    files = folder / f"{a}.jsonl", folder / f"{b}.jsonl"
    assert call("compare", *files).exit_code == code
    assert call("compare", *files, "--report-only").exit_code == 0


def test_report_only_does_not_hide_bad_input(folder: Path) -> None:
    result = call("compare", folder / "good.jsonl", folder / "many.jsonl", "--report-only")
    assert isinstance(result.exception, BadInputError)
    assert exit_code_of(result.exception) == 3


def test_json_is_one_object_with_the_comparison(folder: Path) -> None:
    result = call("compare", folder / "good.jsonl", folder / "bad.jsonl", "--json")
    value = json.loads(result.stdout)
    assert (value["verdict"], value["baseline"], value["candidate"]) == ("worse", "good", "bad")
    suite = value["suites"][0]
    assert {
        "difference",
        "low",
        "high",
        "p",
        "p_adjusted",
        "mde",
        "n",
        "verdict",
        "noise",
        "lost",
        "gained",
    } <= set(suite)
    assert suite["difference"] == -0.75
    assert suite["baseline"]["pass@1"]["value"] == 1.0
    assert len(suite["lost"]) == 30


def test_reports_are_written_and_a_name_is_given(folder: Path) -> None:
    result = call(
        "compare", f"base={folder / 'good.jsonl'}", f"tuned={folder / 'bad.jsonl'}",
        "--html", folder / "c.html", "--markdown", folder / "c.md",
    )  # fmt: skip
    assert "tuned is worse than base" in result.stdout
    assert "tuned is worse than base" in (folder / "c.html").read_text()
    assert (folder / "c.md").read_text().startswith("# tuned against base")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--texts", "3"], "--texts compares models"),
        (["--n", "5"], "--n compares models"),
        (["--margin", "5"], "--margin 5"),
        (["--suite", "mbpp"], "--suite 'mbpp'"),
        (["--format", "nothing"], "--format"),
    ],
)
def test_options_that_would_change_nothing_are_refused(
    folder: Path, options: list[str], message: str
) -> None:
    result = call("compare", folder / "good.jsonl", folder / "bad.jsonl", *options)
    assert isinstance(result.exception, BadInputError)
    assert message in str(result.exception)


def test_files_and_models_are_not_mixed_nor_more_than_two_files(folder: Path) -> None:
    mixed = call("compare", folder / "good.jsonl", "pocket")
    assert "'pocket' is no result file" in str(mixed.exception)
    nothing = call("compare", "pocket", folder / "absent.json")
    assert "no such file" in str(nothing.exception)
    three = call("compare", *[folder / f"{n}.jsonl" for n in ("good", "bad", "other")])
    assert "assay board takes any number" in str(three.exception)
    options = call("compare", "pocket", "pocket", "--common")
    assert "--common is for result files" in str(options.exception)
    absent = call("compare", folder / "good.jsonl", folder / "absent.jsonl")
    assert "no such file" in str(absent.exception)
    table = write_csv(folder / "v.csv", [{"model": m, "problem": "HumanEval/0", "passed": "1"} for m in "ab"])
    several = call("compare", f"x={table}", f"{table}:b")
    assert "keep their names" in str(several.exception)


def test_a_board_is_printed_written_and_given_to_programs(folder: Path) -> None:
    files = [folder / f"{n}.jsonl" for n in ("bad", "good", "other")]
    result = call("board", *files, "--html", folder / "b.html", "--markdown", folder / "b.md", "-q")
    assert result.exit_code == 0
    assert "good and other share the first rank on humaneval" in result.stdout
    assert "1=" in result.stdout
    assert "share the first rank" in (folder / "b.html").read_text()
    assert "share the first rank" in (folder / "b.md").read_text()
    value = json.loads(call("board", *files, "--json", "-q").stdout)
    assert value["models"] == ["good", "other", "bad"]
    assert [m["rank"] for m in value["suites"][0]["models"]] == [1, 1, 3]


def test_a_run_of_ours_is_read_with_its_variants_prompts_and_answers(tmp_path: Path) -> None:
    run = write_run(tmp_path / "exp", {"base": GOOD, "tuned.s0": BAD})
    result = call("compare", f"{run}:base", f"{run}:tuned.s0", "--html", tmp_path / "c.html")
    assert (result.exit_code, str(result.exception)) == (1, "1")
    assert "tuned.s0 is worse than base" in result.stdout
    assert "the prompts of 40 of 40 problems differ" in result.stdout
    assert "program of tuned.s0" in (tmp_path / "c.html").read_text()
    both = call("compare", run, f"{run}:base")
    assert "holds 2 models" in str(both.exception)
    assert call("board", run, "-q").exit_code == 0
    for file in (run.parent / "steps").rglob("verdicts.parquet"):
        file.unlink()
    assert "was the step removed?" in str(call("board", run, "-q").exception)


def test_a_variant_of_several_training_seeds_is_compared_over_them(tmp_path: Path) -> None:
    """Two seeds that fall apart decide less than two that agree, and a seed by itself can still be asked for."""
    agree = {"base": "10" * 40, "tuned.s0": "1" * 70 + "0" * 10, "tuned.s1": "1" * 69 + "0" * 11}
    apart = agree | {"tuned.s1": "0" * 80}
    one, other = write_run(tmp_path / "e", agree), write_run(tmp_path / "f", apart)
    done = call("compare", f"{one}:base", f"{one}:tuned", "--json")
    suite = json.loads(done.stdout)["suites"][0]
    assert suite["candidate"]["training_seeds"] == 2
    assert suite["baseline"]["training_seeds"] == 1
    assert suite["difference"] == pytest.approx((70 + 69) / 160 - 0.5)
    assert "seeds" in suite["method"]
    assert suite["noise"]["se"] is None
    assert suite["candidate"]["pass@1"]["value"] == pytest.approx(139 / 160)
    far = json.loads(call("compare", f"{other}:base", f"{other}:tuned", "--json").stdout)
    assert far["verdict"] == "undecided"
    assert call("compare", f"{other}:base", f"{other}:tuned.s0").exit_code == 0
    assert call("compare", f"{other}:base", f"{other}:tuned.s1").exit_code == 1
    assert "give " in str(call("board", f"{other}:tuned", f"{other}:base", "-q").exception)
