"""The board: shared ranks, several suites, names, and the problems that it shows up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.harness.decide import Board, Results, make_board, read_results
from assay.harness.decide import board as board_module
from assay.harness.decide.board_page import board_document
from assay.harness.errors import BadInputError
from assay.harness.report import document_markdown
from tests.harness.decide.files import evalplus, humaneval, write_csv, write_json, write_lines, write_parquet


def read(path: Path, passed: str) -> list[Results]:
    return read_results(str(write_lines(path, humaneval(passed))))


def test_models_that_no_test_parts_share_a_rank(tmp_path: Path) -> None:
    files = [
        read(tmp_path / "weak.jsonl", "1" * 5 + "0" * 35),
        read(tmp_path / "good.jsonl", "1" * 36 + "0" * 4),
        read(tmp_path / "fine.jsonl", "1" * 37 + "0" * 3),
    ]
    board = make_board(files)
    column = board.suites[0]
    assert board.models == column.models == ("fine", "good", "weak")
    assert column.ranks == (1, 1, 3)
    assert [column.shares_rank(m) for m in board.models] == [True, True, False]
    verdicts = {(p["a"], p["b"]): p["verdict"] for p in column.to_json()["pairs"]}
    assert verdicts == {("fine", "good"): "undecided", ("fine", "weak"): "better", ("good", "weak"): "better"}


def test_ranks_do_not_depend_on_the_order_of_the_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    files = [
        read(tmp_path / f"{i}.jsonl", "".join("01"[int(x)] for x in rng.random(80) < 0.1 + 0.15 * i))
        for i in range(6)
    ]
    one, other = make_board(files), make_board(files[::-1])
    assert {m: one.suites[0].rank_of(m) for m in one.models} == {
        m: other.suites[0].rank_of(m) for m in other.models
    }


def test_several_suites_are_columns_and_who_lacks_one_comes_last(tmp_path: Path) -> None:
    statuses = {f"HumanEval/{i}": [("pass", "fail")] for i in range(9)}
    a = read_results(str(write_json(tmp_path / "a_eval_results.json", evalplus(statuses))))
    b = read(tmp_path / "b.jsonl", "1" * 9)
    board = make_board([b, a])
    assert [s.suite for s in board.suites] == ["humaneval", "humaneval+"]
    assert board.models == ("a", "b")
    assert board.suites[1].score_of("b") is None
    assert make_board([b, a], suite="humaneval").suites[0].models == ("b", "a")
    with pytest.raises(BadInputError, match="'mbpp' is in no file; suites: humaneval, humaneval"):
        make_board([b, a], suite="mbpp")


def test_two_files_of_one_name_are_two_models(tmp_path: Path) -> None:
    board = make_board([read(tmp_path / "x" / "m.jsonl", "10"), read(tmp_path / "y" / "m.jsonl", "11")])
    assert sorted(board.models) == ["m", "m (y/m.jsonl)"]


def test_one_model_is_no_board(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="two models or more; the files hold 'a' alone"):
        make_board([read(tmp_path / "a.jsonl", "10")])


def test_problems_that_do_not_match_are_an_error_that_names_the_suite(tmp_path: Path) -> None:
    files = [read(tmp_path / "a.jsonl", "111"), read(tmp_path / "b.jsonl", "11")]
    with pytest.raises(BadInputError) as error:
        make_board(files)
    assert error.value.__notes__ == ["suite 'humaneval'"]
    assert "HumanEval/2" in str(error.value)
    board = make_board(files, common=True)
    assert (board.suites[0].n_problems, board.suites[0].left_out) == (2, 1)


def test_what_has_no_verdict_is_said_and_counts_for_nobody(tmp_path: Path) -> None:
    board = make_board([read(tmp_path / "a.jsonl", "1-1"), read(tmp_path / "b.jsonl", "110")])
    column = board.suites[0]
    score = column.score_of("a")
    assert score is not None
    assert (score.value, score.n) == (1.0, 2)
    assert column.warnings == ("a has no verdict on 1 problems, which count in none of its figures",)
    assert column.pairs.n[0, 1] == 2


def board_of(tmp_path: Path, rates: np.ndarray) -> Any:
    rows = [
        {"model": f"m{i}", "problem": f"HumanEval/{j}", "passed": bool(rates[i, j])}
        for i in range(rates.shape[0]) for j in range(rates.shape[1])
    ]  # fmt: skip
    return make_board([read_results(str(write_parquet(tmp_path / "v.parquet", rows)))]).suites[0]


def test_hard_and_suspect_problems_are_listed(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    strength = np.linspace(0.9, 0.2, 10)
    passed = rng.random((10, 60)) < strength[:, None]
    passed[:, 3] = False  # nobody
    passed[:, 4] = np.arange(10) == 6  # one model
    passed[:, 5] = np.arange(10) >= 5  # the worse half alone
    passed[:, 6] = True
    column = board_of(tmp_path, passed)
    assert "HumanEval/3" in column.unsolved
    assert column.rare["HumanEval/4"] == ("m6",)
    assert column.suspects[0].problem == "HumanEval/5"
    assert column.suspects[0].correlation < 0
    assert column.solved >= 1
    assert set(column.suspects[0].passed_by) <= set(column.models[5:])


def test_suspects_are_about_as_many_as_chance_alone_shows_where_there_are_none(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    passed = rng.random((20, 2000)) < 0.5  # equal models: no problem is odd
    column = board_of(tmp_path, passed)
    assert column.expected_suspects == pytest.approx(100, abs=1)
    assert 60 <= len(column.suspects) == column.n_suspects <= 145


def test_suspects_are_counted_where_not_all_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_module, "KEPT", 5)
    column = board_of(tmp_path, np.random.default_rng(3).random((20, 600)) < 0.5)
    assert len(column.suspects) == 5 < column.n_suspects
    assert column.to_json()["n_suspects"] == column.n_suspects
    assert f"{column.n_suspects} problems are suspect" in document_markdown(
        board_document(Board((), (column,), 0.95))
    )


def test_few_models_tell_no_suspects(tmp_path: Path) -> None:
    column = board_of(tmp_path, np.eye(4, 9) > 0)
    assert (column.suspects, column.expected_suspects, column.rare) == ((), None, {})
    assert column.to_json()["n_suspects"] is None


def test_versions_and_prompts_that_differ_are_warned_of(tmp_path: Path) -> None:
    statuses = {"HumanEval/0": [("pass", "pass")]}
    paths = (
        write_json(tmp_path / f"{v}_eval_results.json", evalplus(statuses, version=v)) for v in ("one", "two")
    )
    files = [read_results(str(path)) for path in paths]
    assert make_board(files).suites[0].warnings == ("the files are of 2 versions of the suite: one, two",)
    rows = [{"model": m, "problem": "HumanEval/0", "passed": "1", "prompt": m} for m in ("a", "b")]
    warnings = make_board([read_results(str(write_csv(tmp_path / "v.csv", rows)))]).suites[0].warnings
    assert warnings == ("the prompts of 1 problems differ between files: HumanEval/0",)


def test_no_model_is_proven_better_by_what_it_left_out(tmp_path: Path) -> None:
    honest, cheat = read(tmp_path / "h.jsonl", "10" * 30), read(tmp_path / "c.jsonl", "1-" * 30)
    assert make_board([honest, cheat]).suites[0].ranks == (1, 1)
    better = read(tmp_path / "b.jsonl", "11" * 29 + "--")  # two are missing, which cannot matter
    assert make_board([honest, better]).suites[0].ranks == (1, 2)
    few = read(tmp_path / "f.jsonl", "1" * 12 + "-" * 48)
    hard = read(tmp_path / "g.jsonl", "0" * 12 + "1" * 48)
    assert make_board([few, hard]).suites[0].ranks == (1, 1)


def test_a_file_that_names_no_suite_stands_under_the_one_whose_problems_it_has(tmp_path: Path) -> None:
    rows = [{"problem": f"pocket-test/{i}", "passed": "1"} for i in range(3)]
    named = read_results(str(write_csv(tmp_path / "a.csv", [row | {"suite": "pocket"} for row in rows])))
    other = read_results(str(write_csv(tmp_path / "b.csv", rows)))
    board = make_board([named, other])
    assert [(s.suite, s.models) for s in board.suites] == [("pocket", ("a", "b"))]
