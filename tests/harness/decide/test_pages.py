"""What a comparison and a board say to a person, as page, Markdown and text; and nothing that a file holds runs."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from assay.harness.decide import compare_results, comparison_page, make_board, read_results
from assay.harness.decide.board_page import board_document
from assay.harness.decide.comparison_page import (
    SHOWN_ANSWERS,
    comparison_document,
    headline,
    suites_table,
    warning_lines,
)
from assay.harness.report import document_markdown, render_document, render_table
from assay.harness.report.blocks import side_by_side
from tests.harness.decide.files import humaneval, write_lines
from tests.harness.report.hostile import HOSTILE


def results(path: Path, passed: str, **fields: Any) -> Any:
    rows = [row | {k: v.format(i) for k, v in fields.items()} for i, row in enumerate(humaneval(passed))]
    return read_results(str(write_lines(path, rows)), answers=True)


@pytest.mark.parametrize(
    ("a", "b", "begins"),
    [
        ("1" * 20 + "0" * 20, "1" * 40, "b is better than a: +50.0 points"),
        ("1" * 40, "1" * 20 + "0" * 20, "b is worse than a: −50.0 points"),
        ("10" * 100, "10" * 100, "b is as good as a within 5 points: 0.0 points"),
        ("1100", "1000", "Whether b is as good as a could not be decided: −25.0 points"),
    ],
)
def test_the_answer_is_one_sentence(tmp_path: Path, a: str, b: str, begins: str) -> None:
    result = compare_results(results(tmp_path / "a.jsonl", a), results(tmp_path / "b.jsonl", b))
    assert headline(result).startswith(begins)


def test_an_undecided_answer_says_what_would_show(tmp_path: Path) -> None:
    few = compare_results(results(tmp_path / "a.jsonl", "10"), results(tmp_path / "b.jsonl", "01"))
    assert headline(few).endswith("So few problems show no difference at all.")
    more = compare_results(
        results(tmp_path / "c.jsonl", "10" * 20), results(tmp_path / "d.jsonl", "1001" * 10)
    )
    assert "points would show." in headline(more)


def test_a_page_has_both_answers_side_by_side_with_what_differs(tmp_path: Path) -> None:
    a = results(tmp_path / "a.jsonl", "11", solution="def f():\n    return {}")
    b = results(tmp_path / "b.jsonl", "10", solution="def f():\n    x = 1\n    return {}", detail="wrong")
    page = render_document(comparison_document(compare_results(a, b)))
    assert "HumanEval/1: 100.0 % → 0.0 %" in page
    assert "b: fail (wrong)" in page
    assert '<span class="l gap"></span>' in page
    assert '<span class="l changed">    x = 1</span>' in page
    assert page.count('<div class="side">') == 1  # HumanEval/0 did not turn


def test_equal_lines_stand_at_the_same_height() -> None:
    block = side_by_side(("a", "b"), "one\ntwo\nthree\n", "one\nthree\nfour")
    assert block.lines == (("one", "one"), ("two", None), ("three", "three"), (None, "four"))
    assert block.marked == {1, 3}


def test_answers_that_a_page_has_no_room_for_are_counted(tmp_path: Path) -> None:
    n = SHOWN_ANSWERS + 7
    a, b = (results(tmp_path / f"{x}.jsonl", y * n, solution=x) for x, y in (("a", "1"), ("b", "0")))
    page = render_document(comparison_document(compare_results(a, b)))
    assert page.count('<div class="side">') == SHOWN_ANSWERS
    assert "the answers to 7 more problems are not in this page" in page


def test_warnings_stand_in_every_form(tmp_path: Path) -> None:
    result = compare_results(results(tmp_path / "a.jsonl", "1-"), results(tmp_path / "b.jsonl", "11"))
    line = "humaneval: 1 problems are in no figure: HumanEval/1 (no verdict of a)"
    assert line in warning_lines(result)
    document = comparison_document(result)
    assert line in render_document(document)
    assert line in document_markdown(document)


def test_nothing_that_a_file_holds_becomes_markup(tmp_path: Path) -> None:
    def row(name: str, number: int, passed: str) -> dict[str, Any]:
        names = {"model": HOSTILE + name, "suite": HOSTILE, "task_id": HOSTILE + str(number)}
        return names | {"passed": passed == "1", "solution": HOSTILE, "detail": HOSTILE}

    read = []
    for name, passed in (("a", "1010"), ("b", "0110")):
        path = write_lines(tmp_path / f"{name}.jsonl", [row(name, i, c) for i, c in enumerate(passed)])
        read.append(read_results(str(path), answers=True))
    for document in (comparison_document(compare_results(*read)), board_document(make_board(read))):
        page = render_document(document)
        page.encode()
        assert "<script>document" not in page
        assert "<img" not in page
        assert "\u202e" not in page
        assert "\x1b" not in document_markdown(document)


def test_a_board_says_who_leads_and_what_it_rests_on(tmp_path: Path) -> None:
    files = [
        results(tmp_path / f"{m}.jsonl", p)
        for m, p in (("a", "1" * 30), ("b", "1" * 29 + "0"), ("c", "0" * 30))
    ]
    document = board_document(make_board(files))
    assert document.verdict == "a and b share the first rank on humaneval."
    markdown = document_markdown(document)
    assert "| a | 1= |" in markdown
    assert "| c | 3 |" in markdown
    assert "Suspect problems unmeasured: 3 models are too few; it takes 5." in markdown


@pytest.mark.parametrize("width", [80, 100, 140])
def test_no_figure_is_cut_in_a_terminal(tmp_path: Path, width: int) -> None:
    result = compare_results(
        results(tmp_path / "a.jsonl", "1" * 30), results(tmp_path / "b.jsonl", "10" * 15)
    )
    console = Console(width=width, file=io.StringIO())
    console.print(render_table(suites_table(result), width=width))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in text
    assert all(figure in text for figure in ("humaneval", "worse", "100.0", "50.0", "−50.0"))
    assert ("problems" in text) == (width >= 120)


def test_problems_that_a_page_does_not_list_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison_page, "SHOWN_TURNED", 3)
    result = compare_results(results(tmp_path / "a.jsonl", "1" * 5), results(tmp_path / "b.jsonl", "0" * 5))
    text = document_markdown(comparison_document(result))
    assert "HumanEval/2" in text
    assert "HumanEval/3" not in text
    assert "And 2 more problems" in text
